import { access, constants, statfs } from 'node:fs/promises';
import path from 'node:path';
import { which } from 'zx';
import { openContainerHost } from '../docker/client.js';
import { readGpuInventory } from '../docker/gpu-inventory.js';
import { findPortOwner } from '../engines/port-owner.js';
import { openRegistry } from '../engines/registry.js';
import type { SettingValue } from './config/parse-value.js';

export interface Finding {
  readonly subject: string;
  /** `note`: a run can start, but something will be different. */
  readonly status: 'ok' | 'missing' | 'note';
  readonly detail: string;
  /** What mends it; null where nothing is to be mended. */
  readonly remedy: string | null;
}

type Values = Readonly<Record<string, SettingValue | null>>;

/** The original image is about 30 GB, its build as much again. */
const imageBuildGiB = 60;

/** Looks at everything at once; no check can end the others. */
export async function examine(values: Values): Promise<readonly Finding[]> {
  const onProcesses = values['RUNTIME'] === 'process';
  const groups = await Promise.all([
    onProcesses ? [] : examineDocker(),
    examinePrograms(onProcesses),
    examineGpus(Number(values['MIN_FREE_GPU_MIB'])),
    examinePorts(values),
    examineDisk(String(values['RESULTS_DIR']), onProcesses ? 0 : imageBuildGiB),
    examineModel(String(values['HF_HOME']), String(values['MODEL'])),
    examinePython(),
  ]);
  return groups.flat();
}

async function examineDocker(): Promise<Finding[]> {
  try {
    const host = openContainerHost();
    const info = await host.info();
    const nvidia = info.runtimes.includes('nvidia');
    return [
      { subject: 'Docker daemon', status: 'ok', detail: `${info.serverVersion} at ${host.address}`, remedy: null },
      ...(info.rootless ? [rootless] : []),
      {
        subject: 'BuildKit',
        status: info.buildKit ? 'ok' : 'missing',
        detail: info.buildKit ? 'built into the daemon' : "the daemon has none, and LMCache's Dockerfile needs it",
        remedy: info.buildKit ? null : 'install Docker Engine 18.09 or newer',
      },
      {
        subject: 'NVIDIA runtime',
        status: nvidia ? 'ok' : 'missing',
        detail: nvidia ? 'registered with the daemon' : `the daemon knows ${info.runtimes.join(', ')}`,
        remedy: nvidia
          ? null
          : 'install nvidia-container-toolkit, then: nvidia-ctk runtime configure --runtime=docker && systemctl restart docker',
      },
    ];
  } catch (error) {
    return [
      {
        subject: 'Docker daemon',
        status: 'missing',
        detail: messageOf(error),
        remedy: 'install docker.io and start it: systemctl start docker',
      },
    ];
  }
}

/** What engines are started from that are child processes: those of experiments and sweeps, and of RUNTIME=process. */
async function examinePrograms(areNeeded: boolean): Promise<Finding[]> {
  const programs = ['vllm', 'lmcache'];
  const found = await Promise.all(programs.map((program) => which(program, { nothrow: true })));
  return programs.map((subject, index): Finding => {
    const place = found[index];
    if (place) return { subject, status: 'ok', detail: place, remedy: null };
    return {
      subject,
      status: areNeeded ? 'missing' : 'note',
      detail: 'not on PATH, where RUNTIME=process, experiments and sweeps look for it',
      remedy: 'pip install vllm lmcache, and put its environment on PATH, or RUNTIME=docker',
    };
  });
}

const rootless: Finding = {
  subject: 'host network',
  status: 'missing',
  detail: "the daemon is rootless: its containers' ports are those of its own namespace and not reached from here",
  remedy: 'use a daemon of root (docker context use default, or DOCKER_HOST), or RUNTIME=process',
};

async function examineGpus(minFreeMiB: number): Promise<Finding[]> {
  try {
    const { gpus } = await readGpuInventory();
    const fitting = gpus.filter(({ memoryFreeMiB }) => memoryFreeMiB >= minFreeMiB).length;
    const listing = gpus
      .map(({ index, name, memoryFreeMiB }) => `GPU ${index} ${name} ${memoryFreeMiB} MiB free`)
      .join('; ');
    return [
      {
        subject: 'GPUs',
        status: fitting >= 2 ? 'ok' : 'missing',
        detail: listing,
        remedy:
          fitting >= 2
            ? null
            : `two GPUs with ${minFreeMiB} MiB free each are needed (MIN_FREE_GPU_MIB); nvidia-smi shows who uses them`,
      },
    ];
  } catch (error) {
    return [
      {
        subject: 'GPUs',
        status: 'missing',
        detail: messageOf(error),
        remedy: 'install the NVIDIA driver; nvidia-smi must list two cards',
      },
    ];
  }
}

function examinePorts(values: Values): Finding[] {
  const registry = openRegistry();
  return ['VLLM_PORT', 'VLLM_BASELINE_PORT', 'LMCACHE_PORT', 'LMCACHE_HTTP_PORT'].map((name): Finding => {
    const port = Number(values[name]);
    const owner = findPortOwner(port, registry);
    return {
      subject: `port ${port}`,
      status: owner ? 'missing' : 'ok',
      detail: owner ? `taken by ${owner.description}` : `free (${name})`,
      remedy: owner ? `end that process, or set ${name} to another port or to auto` : null,
    };
  });
}

async function examineDisk(resultsDir: string, neededGiB: number): Promise<Finding[]> {
  const directory = path.dirname(resultsDir);
  try {
    const { bavail, bsize } = await statfs(directory);
    const freeGiB = (bavail * bsize) / 2 ** 30;
    await access(directory, constants.W_OK);
    return [
      {
        subject: 'disk',
        status: freeGiB >= neededGiB ? 'ok' : 'note',
        detail: `${freeGiB.toFixed(0)} GiB free below "${directory}"`,
        remedy:
          freeGiB >= neededGiB
            ? null
            : `building the image takes about ${neededGiB} GiB: docker system prune, or IMAGE=... for a built one`,
      },
    ];
  } catch (error) {
    return [
      {
        subject: 'disk',
        status: 'missing',
        detail: messageOf(error),
        remedy: 'choose a RESULTS_DIR that can be written',
      },
    ];
  }
}

async function examineModel(hfHome: string, model: string): Promise<Finding[]> {
  const folder = path.isAbsolute(model) ? model : path.join(hfHome, 'hub', `models--${model.replaceAll('/', '--')}`);
  const present = await access(folder).then(
    () => true,
    () => false,
  );
  return [
    {
      subject: 'model',
      status: present ? 'ok' : 'note',
      detail: present
        ? `"${model}" is in the cache`
        : `"${model}" is not below "${hfHome}": vLLM will download it while it starts`,
      remedy: present ? null : `hf download ${model}, or HF_HOME=... for another cache`,
    },
  ];
}

async function examinePython(): Promise<Finding[]> {
  const [uv, python] = await Promise.all(['uv', 'python3'].map((program) => which(program, { nothrow: true })));
  if (uv) return [{ subject: 'Python', status: 'ok', detail: `uv at ${uv}`, remedy: null }];
  return [
    python
      ? { subject: 'Python', status: 'ok', detail: `${python} (uv would set environments up faster)`, remedy: null }
      : {
          subject: 'Python',
          status: 'note',
          detail: 'neither uv nor python3: lm-eval runs natively',
          remedy: 'install uv or python3 with venv',
        },
  ];
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
