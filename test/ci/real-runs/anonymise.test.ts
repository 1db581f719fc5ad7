import { expect, it } from 'vitest';
import { Anonymiser, type Machine } from '../../../ci/real-runs/anonymise.js';

const machine: Machine = {
  hostname: 'node-17',
  kernel: '6.18.44-x-gpu',
  addresses: ['10.0.0.10', '2a01:db9::17', '52:54:00:aa:bb:cc'],
  replacements: [
    ['/home/jane/session', '/results'],
    ['/home/jane', '/home/user'],
  ],
};

it.each<[what: string, text: string, expected: string]>([
  ['the id of a GPU', 'GPU-8a1b2c3d-0000-1111-2222-333344445555', 'GPU-00000000-0000-4000-8000-000000000001'],
  ['a place on the bus', '<gpu id="00000000:1B:00.0">', '<gpu id="00000000:01:00.0">'],
  ['its parts', '<pci_bus>1B</pci_bus>', '<pci_bus>0</pci_bus>'],
  ['serial numbers', '<serial>1650123456789</serial>', '<serial>anonymised</serial>'],
  ['what is not there', '<serial>N/A</serial>', '<serial>N/A</serial>'],
  ['the host', '"hostname": "node-17"', '"hostname": "gpu-host"'],
  ['what only contains its name', 'node-170 my-node-17', 'node-170 my-node-17'],
  ['the kernel', 'Linux 6.18.44-x-gpu', 'Linux kernel'],
  ['its addresses', 'tcp://10.0.0.10:42917 [2a01:db9::17]', 'tcp://192.0.2.2:42917 [2001:db8::1]'],
  ['private ones of others', '172.20.3.4 192.168.7.8', '192.0.2.1 192.0.2.2'],
  ['loopback and versions', '127.0.0.1 0.0.0.0 580.159.04 2.11.0', '127.0.0.1 0.0.0.0 580.159.04 2.11.0'],
  ['hardware addresses', '52:54:00:aa:bb:cc', '02:00:00:00:00:00'],
  ['folders', '/home/jane/session/run.json /home/jane/x', '/results/run.json /home/user/x'],
])('%s', (_, text, expected) => expect(new Anonymiser(machine).text(text)).toBe(expected));

it('gives the same thing the same name in every text, and different things different ones', () => {
  const anonymiser = new Anonymiser(machine);
  const [a, b] = ['11111111-2222-3333-4444-555555555555', '99999999-2222-3333-4444-555555555555'];
  const first = anonymiser.text(`${a} ${b} ${a}`).split(' ');
  expect(first[0]).toBe(first[2]);
  expect(first[0]).not.toBe(first[1]);
  expect(anonymiser.text(b.toUpperCase())).toBe(first[1]);
});
