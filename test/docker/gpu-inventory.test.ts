import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { GpuInventoryError, type GpuInventoryErrorKind, readGpuInventory } from '../../docker/gpu-inventory.js';
import { fixture } from './fixtures.js';
import { emptyPath, stubProgram } from './stub-program.js';

async function kindOfFailure(promise: Promise<unknown>): Promise<GpuInventoryErrorKind> {
  const error = await promise.then(
    () => null,
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof GpuInventoryError)) throw new Error(`expected a GpuInventoryError, got ${String(error)}`);
  expect(error.message.length).toBeGreaterThan(20);
  return error.kind;
}

describe('nvidia-smi', () => {
  test('is asked for everything as XML', async () => {
    const directory = await stubProgram(
      'nvidia-smi',
      `const fs = require('node:fs');
      if (process.argv.slice(2).join(' ') !== '-q -x') process.exit(9);
      process.stdout.write(require('node:zlib').gunzipSync(fs.readFileSync(__dirname + '/answer.gz')));`,
    );
    await writeFile(path.join(directory, 'answer.gz'), gzipSync(fixture('nvidia-smi-idle.2xH200.xml.gz')));
    const inventory = await readGpuInventory();
    expect(inventory.gpus.map(({ name, memoryFreeMiB }) => [name, memoryFreeMiB])).toEqual([
      ['NVIDIA H200', 143156],
      ['NVIDIA H200', 143156],
    ]);
  });

  test('is not installed', async () => {
    await emptyPath();
    expect(await kindOfFailure(readGpuInventory())).toBe('tool-missing');
  });

  test.each([
    ['No devices were found', 6, 'no-devices'],
    ['No devices were found', 0, 'no-devices'],
    [
      'Failed to initialize NVML: Driver/library version mismatch\nNVML library version: 580.159',
      18,
      'driver-mismatch',
    ],
    [
      "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver. Make sure that the latest NVIDIA driver is installed and running.",
      9,
      'driver-not-loaded',
    ],
    ['Failed to initialize NVML: Driver Not Loaded', 9, 'driver-not-loaded'],
    ['Unable to determine the device handle for GPU0000:06:00.0: GPU is lost.', 15, 'failed'],
    ['<nvidia_smi_log><gpu>', 0, 'bad-output'],
    ['', 0, 'bad-output'],
  ] as const)('"%s" with exit code %i', async (text, exitCode, kind) => {
    await stubProgram('nvidia-smi', `console.log(${JSON.stringify(text)}); process.exitCode = ${exitCode};`);
    expect(await kindOfFailure(readGpuInventory())).toBe(kind);
  });

  test('hangs', async () => {
    await stubProgram('nvidia-smi', "process.on('SIGTERM', () => {}); setInterval(() => {}, 1000);");
    expect(await kindOfFailure(readGpuInventory({ timeoutMs: 300 }))).toBe('timeout');
  });

  test('is interrupted', async () => {
    await stubProgram('nvidia-smi', 'setInterval(() => {}, 1000);');
    expect(await kindOfFailure(readGpuInventory({ signal: AbortSignal.timeout(100) }))).toBe('aborted');
  });
});
