import os from 'node:os';

/** What identifies the machine that is to stay unknown. */
export interface Machine {
  readonly hostname: string;
  readonly kernel: string;
  /** Of its network interfaces, loopback excluded. */
  readonly addresses: readonly string[];
  /** Texts to replace, longest first: folders above all. */
  readonly replacements: readonly (readonly [from: string, to: string])[];
}

export function thisMachine(replacements: Machine['replacements']): Machine {
  const addresses = Object.values(os.networkInterfaces()).flatMap((list = []) =>
    list.filter(({ internal }) => !internal).flatMap(({ address, mac }) => [address.replace(/%.*$/, ''), mac]),
  );
  return { hostname: os.hostname(), kernel: os.release(), addresses, replacements };
}

const xmlFields =
  /<((?:serial|board_id|board_part_number|gpu_part_number|gpu_fru_part_number|gpu_pdi|pdi|module_id|chassis_serial_number|host_id|cluster_uuid|inforom_\w+|guid|\w*_serial(?:_number)?))>([^<]*)</g;
const pciFields = /<(pci_bus|pci_device|pci_domain|pci_base_class|pci_sub_class|pci_sub_system_id)>([^<]*)</g;
const pciId = /\b[0-9A-Fa-f]{4,8}:[0-9A-Fa-f]{2}:[0-9A-Fa-f]{2}\.[0-9A-Fa-f]\b/g;
const uuid = /\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b/gi;
const privateIpv4 =
  /\b(?:10(?:\.\d{1,3}){3}|192\.168(?:\.\d{1,3}){2}|172\.(?:1[6-9]|2\d|3[01])(?:\.\d{1,3}){2}|169\.254(?:\.\d{1,3}){2}|100\.(?:6[4-9]|[7-9]\d|1[01]\d|12[0-7])(?:\.\d{1,3}){2})\b/g;
const linkLocalIpv6 = /\bfe80:[0-9a-f:]+/gi;
const mac = /\b[0-9a-f]{2}(?::[0-9a-f]{2}){5}\b/gi;
const notAvailable = /^\s*(?:N\/A|)\s*$/;

/**
 * Takes out of texts what says whose machine it was: ids of GPUs and boards, PCI places, host name, kernel, addresses, folders.
 * The same thing gets the same new name in all texts of one Anonymiser, so that files still belong together.
 */
export class Anonymiser {
  readonly #machine: Machine;
  readonly #names = new Map<string, string>();
  readonly #counts = new Map<string, number>();

  constructor(machine: Machine) {
    this.#machine = machine;
  }

  text(text: string): string {
    const { replacements, addresses, hostname, kernel } = this.#machine;
    let result = text;
    for (const [from, to] of replacements) result = result.replaceAll(from, to);
    result = result
      .replace(xmlFields, (whole, tag: string, value: string) =>
        notAvailable.test(value) ? whole : `<${tag}>anonymised<`,
      )
      .replace(pciFields, (_, tag: string) => `<${tag}>0<`)
      .replace(uuid, (id) => this.#rename('uuid', id, (n) => `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`))
      .replace(pciId, (id) =>
        this.#rename('pci', id, (n) => `00000000:${n.toString(16).padStart(2, '0').toUpperCase()}:00.0`),
      )
      .replace(mac, (id) => this.#rename('mac', id, () => '02:00:00:00:00:00'));
    for (const address of addresses.toSorted((a, b) => b.length - a.length)) {
      if (address.length > 3 && result.includes(address)) result = result.replaceAll(address, this.#address(address));
    }
    result = result
      .replace(privateIpv4, (address) => this.#address(address))
      .replace(linkLocalIpv6, (address) => this.#address(address));
    if (kernel.length > 2) result = result.replaceAll(kernel, 'kernel');
    return hostname.length > 2 && hostname !== 'localhost' ? replaceWord(result, hostname, 'gpu-host') : result;
  }

  /** Addresses of RFC 5737 and RFC 3849, which are nobody's. */
  #address(address: string): string {
    const isIpv6 = address.includes(':');
    return this.#rename('address', address, (n) => (isIpv6 ? `2001:db8::${n.toString(16)}` : `192.0.2.${n % 256}`));
  }

  #rename(kind: string, original: string, name: (number: number) => string): string {
    const key = `${kind} ${original.toLowerCase()}`;
    const known = this.#names.get(key);
    if (known !== undefined) return known;
    const number = (this.#counts.get(kind) ?? 0) + 1;
    this.#counts.set(kind, number);
    const made = name(number);
    this.#names.set(key, made);
    return made;
  }
}

function replaceWord(text: string, word: string, by: string): string {
  return text.split(word).reduce((left, right) => {
    const isPart = /[\w-]$/.test(left) || /^[\w-]/.test(right);
    return `${left}${isPart ? word : by}${right}`;
  });
}
