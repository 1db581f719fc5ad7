import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseNvidiaSmi } from '../../docker/nvidia-smi-parser.js';
import { fixture } from './fixtures.js';

const idle = fixture('nvidia-smi-idle.2xH200.xml.gz');
const busy = fixture('nvidia-smi-during-run.2xH200.xml.gz');

describe('real nvidia-smi output', () => {
  test('two idle H200', () => {
    const inventory = parseNvidiaSmi(idle);
    expect(inventory.driverVersion).toBe('580.159.04');
    expect(inventory.cudaVersion).toBe('13.0');
    expect(inventory.unreadable).toEqual([]);
    expect(inventory.gpus).toHaveLength(2);
    expect(inventory.gpus[0]).toEqual({
      index: 0,
      uuid: 'GPU-00000001-0000-0000-0000-000000000000',
      name: 'NVIDIA H200',
      memoryTotalMiB: 143771,
      memoryUsedMiB: 0,
      memoryFreeMiB: 143156,
      utilizationPercent: 0,
      processes: [],
      migEnabled: false,
      eccEnabled: true,
    });
  });

  test('two H200 with engines on them', () => {
    const [first, second] = parseNvidiaSmi(busy).gpus;
    expect(first).toMatchObject({ memoryUsedMiB: 74431, memoryFreeMiB: 68726, utilizationPercent: 95 });
    expect(first?.processes).toEqual([
      { pid: 647, name: '/opt/pyenv/.venv/bin/python3', usedMiB: 772 },
      { pid: 1878, name: 'VLLM::EngineCore', usedMiB: 73482 },
    ]);
    expect(second?.processes).toEqual([{ pid: 1657, name: 'VLLM::EngineCore', usedMiB: 73482 }]);
  });

  test('one GPU alone', () => {
    const one = busy.replace(/<gpu id="00000000:00:07\.0">[\s\S]*?<\/gpu>/, '');
    expect(parseNvidiaSmi(one).gpus.map(({ index }) => index)).toEqual([0]);
  });

  test('no GPU', () => {
    expect(parseNvidiaSmi(idle.replace(/<gpu id=[\s\S]*<\/gpu>/, '')).gpus).toEqual([]);
  });
});

describe('what a card does not tell', () => {
  const withText = (element: string, text: string): string =>
    idle.replaceAll(new RegExp(`<${element}>[^<]*</${element}>`, 'g'), `<${element}>${text}</${element}>`);

  test.each(['N/A', '[N/A]', '[Not Supported]', '[Insufficient Permissions]', ''])('"%s" is unknown', (text) => {
    expect(parseNvidiaSmi(withText('gpu_util', text)).gpus[0]?.utilizationPercent).toBeNull();
    expect(parseNvidiaSmi(withText('current_mig', text)).gpus[0]?.migEnabled).toBeNull();
    expect(parseNvidiaSmi(withText('current_ecc', text)).gpus[0]?.eccEnabled).toBeNull();
    const processes = parseNvidiaSmi(busy.replaceAll('772 MiB', text)).gpus[0]?.processes;
    expect(processes?.[0]).toEqual({ pid: 647, name: '/opt/pyenv/.venv/bin/python3', usedMiB: null });
  });

  test('MIG mode', () => {
    expect(parseNvidiaSmi(withText('current_mig', 'Enabled')).gpus[0]?.migEnabled).toBe(true);
  });

  test('processes hidden from this user', () => {
    const hidden = busy.replaceAll(/<processes>[\s\S]*?<\/processes>/g, '<processes>N/A</processes>');
    expect(parseNvidiaSmi(hidden).gpus[0]?.processes).toEqual([]);
  });

  test('a card without readable memory is listed apart and the other one still counts, with its own index', () => {
    const lost = idle.replace('<total>143771 MiB</total>', '<total>Unknown Error</total>');
    const inventory = parseNvidiaSmi(lost);
    expect(inventory.gpus.map(({ index }) => index)).toEqual([1]);
    expect(inventory.unreadable).toMatchObject([{ index: 0, name: 'NVIDIA H200' }]);
    expect(inventory.unreadable[0]?.why).toContain('Unknown Error');
  });
});

describe('other output', () => {
  test.each([
    ['', /not XML/],
    ['No devices were found', /not XML/],
    [idle.slice(0, 5000), /not XML/],
    ['<html><body>proxy</body></html>', /not a GPU log/],
  ])('%#', (text, message) => {
    expect(() => parseNvidiaSmi(text)).toThrow(message);
  });

  test('cut anywhere, it is refused and never half an inventory', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: idle.trimEnd().length - 1 }), (length) => {
        expect(() => parseNvidiaSmi(idle.slice(0, length))).toThrow();
      }),
      { numRuns: 50 },
    );
  });

  test('numbers survive the way through XML', () => {
    const amount = fc.integer({ min: 0, max: 10_000_000 });
    fc.assert(
      fc.property(fc.array(fc.tuple(amount, amount, amount), { maxLength: 16 }), (cards) => {
        const gpus = cards.map(
          ([total, used, free], index) =>
            `<gpu id="${index}"><uuid>GPU-${index}</uuid><fb_memory_usage><total>${total} MiB</total><used>${used} MiB</used><free>${free} MiB</free></fb_memory_usage></gpu>`,
        );
        const { gpus: parsed } = parseNvidiaSmi(
          `<nvidia_smi_log><driver_version>1</driver_version>${gpus.join('')}</nvidia_smi_log>`,
        );
        expect(
          parsed.map(({ memoryTotalMiB, memoryUsedMiB, memoryFreeMiB }) => [
            memoryTotalMiB,
            memoryUsedMiB,
            memoryFreeMiB,
          ]),
        ).toEqual(cards);
        expect(parsed.map(({ index }) => index)).toEqual(cards.map((_, index) => index));
      }),
    );
  });
});
