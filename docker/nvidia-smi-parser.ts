import { XMLParser, XMLValidator } from 'fast-xml-parser';
import { z } from 'zod';

interface GpuProcess {
  readonly pid: number;
  readonly name: string;
  /** null where the driver does not say. */
  readonly usedMiB: number | null;
}

export interface Gpu {
  /** Position in nvidia-smi's list, from 0. */
  readonly index: number;
  readonly uuid: string;
  readonly name: string;
  readonly memoryTotalMiB: number;
  readonly memoryUsedMiB: number;
  readonly memoryFreeMiB: number;
  /** Percent of the last sample period with a kernel running; null where not supported (e.g. MIG). */
  readonly utilizationPercent: number | null;
  readonly processes: readonly GpuProcess[];
  /** null where the card has no MIG. */
  readonly migEnabled: boolean | null;
  /** null where the card has no ECC. */
  readonly eccEnabled: boolean | null;
}

export interface GpuInventory {
  readonly driverVersion: string | null;
  readonly cudaVersion: string | null;
  readonly gpus: readonly Gpu[];
  /** Cards whose memory nvidia-smi cannot tell: lost from the bus, failed, or without memory of their own. */
  readonly unreadable: readonly UnreadableGpu[];
}

interface UnreadableGpu {
  readonly index: number;
  readonly name: string;
  readonly uuid: string | null;
  readonly why: string;
}

const mib = z.string().transform((text, context) => {
  const match = /^\s*(\d+)\s*MiB\s*$/.exec(text);
  if (match) return Number(match[1]);
  context.addIssue({ code: 'custom', message: `"${text}" is not a number of MiB` });
  return z.NEVER;
});
/** `N/A`, `[Not Supported]`, `[Insufficient Permissions]` and the like: the card or this user cannot know. */
const mibOrNull = mib.nullable().catch(null);
const percentOrNull = z
  .string()
  .transform((text) => /^\s*(\d+(?:\.\d+)?)\s*%\s*$/.exec(text)?.[1])
  .transform((digits) => (digits === undefined ? null : Number(digits)))
  .catch(null);
const onOffOrNull = z
  .enum(['Enabled', 'Disabled'])
  .transform((word) => word === 'Enabled')
  .nullable()
  .catch(null);
const textOrNull = z
  .string()
  .transform((text) => (isUnknown(text) ? null : text))
  .nullable()
  .catch(null);

const processSchema = z.object({
  pid: z.string().regex(/^\d+$/).transform(Number),
  process_name: z.string().catch(''),
  used_memory: mibOrNull,
});
const processesSchema = z
  .object({ process_info: z.array(processSchema.nullable().catch(null)) })
  .transform(({ process_info }) => process_info.filter((process) => process !== null))
  // Without processes the element holds nothing, or `N/A`.
  .catch([]);

const gpuSchema = z.object({
  uuid: textOrNull,
  product_name: z.string().catch('unknown GPU'),
  fb_memory_usage: z.unknown().optional(),
  utilization: z.object({ gpu_util: percentOrNull }).catch({ gpu_util: null }),
  mig_mode: z.object({ current_mig: onOffOrNull }).catch({ current_mig: null }),
  ecc_mode: z.object({ current_ecc: onOffOrNull }).catch({ current_ecc: null }),
  processes: processesSchema,
});
const memorySchema = z.object({ total: mib, used: mib, free: mib });

const logSchema = z.object({
  nvidia_smi_log: z.object({
    driver_version: textOrNull,
    cuda_version: textOrNull,
    gpu: z.array(gpuSchema).default([]),
  }),
});

const lists = new Set(['nvidia_smi_log.gpu', 'nvidia_smi_log.gpu.processes.process_info']);

/**
 * Reads what `nvidia-smi -q -x` prints (nvsmi_device_v*.dtd). Memory is in MiB.
 * @throws Error that names the part which is not as expected: broken XML, or not a GPU log.
 */
export function parseNvidiaSmi(xml: string): GpuInventory {
  const valid = XMLValidator.validate(xml);
  if (valid !== true) throw new Error(`the output is not XML: ${valid.err.msg} (line ${valid.err.line})`);
  const parser = new XMLParser({
    parseTagValue: false,
    // Only the entities XML itself defines; nothing in the document may expand to more.
    processEntities: true,
    isArray: (_name, path) => lists.has(String(path)),
  });
  const parsed = logSchema.safeParse(parser.parse(xml));
  if (!parsed.success) throw new Error(`the output is not a GPU log: ${z.prettifyError(parsed.error)}`);
  const log = parsed.data.nvidia_smi_log;
  const gpus: Gpu[] = [];
  const unreadable: UnreadableGpu[] = [];
  for (const [index, gpu] of log.gpu.entries()) {
    const memory = memorySchema.safeParse(gpu.fb_memory_usage);
    if (gpu.uuid === null || !memory.success) {
      const why = memory.success ? 'it has no UUID' : `its memory: ${z.prettifyError(memory.error)}`;
      unreadable.push({ index, name: gpu.product_name, uuid: gpu.uuid, why });
      continue;
    }
    gpus.push({
      index,
      uuid: gpu.uuid,
      name: gpu.product_name,
      memoryTotalMiB: memory.data.total,
      memoryUsedMiB: memory.data.used,
      memoryFreeMiB: memory.data.free,
      utilizationPercent: gpu.utilization.gpu_util,
      processes: gpu.processes.map(({ pid, process_name, used_memory }) => ({
        pid,
        name: process_name,
        usedMiB: used_memory,
      })),
      migEnabled: gpu.mig_mode.current_mig,
      eccEnabled: gpu.ecc_mode.current_ecc,
    });
  }
  return { driverVersion: log.driver_version, cudaVersion: log.cuda_version, gpus, unreadable };
}

function isUnknown(text: string): boolean {
  return /^\[?(?:n\/a|not supported|unknown error|insufficient permissions|requested functionality has been deprecated)\]?$/i.test(
    text.trim(),
  );
}
