import { readFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { AnsiStripper } from '../../engines/engine-log.js';
import { createProcessRuntime } from '../../engines/process-runtime.js';
import { executeOwned } from '../../pipeline/execute.js';
import { secrets } from '../../results-schema/secrets.js';
import { fakeSpec, temporaryDirectory } from './engine-rig.js';

const token = 'hf_TopSecret0123456789';
secrets.learnEnvironment({ HF_TOKEN: token });
const before = process.env['HF_TOKEN'];
afterAll(() => {
  if (before === undefined) delete process.env['HF_TOKEN'];
  else process.env['HF_TOKEN'] = before;
});

function stripped(chunks: readonly string[]): string {
  const stripper = new AnsiStripper();
  let text = '';
  stripper.setEncoding('utf8').on('data', (part: string) => {
    text += part;
  });
  for (const chunk of chunks) stripper.write(chunk);
  stripper.end();
  stripper.read();
  return text;
}

describe('a secret in the output', () => {
  it('of an engine, told in its environment, is hidden in its log', async () => {
    const logPath = path.join(temporaryDirectory(), 'engine.log');
    const spec = await fakeSpec('vllm');
    const script =
      'console.log("token", process.env.HF_TOKEN); console.error("\\u001b[1mtwice\\u001b[0m", process.env.HF_TOKEN)';
    const engine = await createProcessRuntime({ ...process.env, HF_TOKEN: token }).start(
      { ...spec, command: [process.execPath, '-e', script], args: [] },
      logPath,
      {},
    );
    await engine.exited;
    expect(readFileSync(logPath, 'utf8').split('\n').sort()).toEqual(['', 'token ***', 'twice ***']);
  });

  it('is hidden however it is cut into chunks, in endless lines too', async () => {
    for (let cut = 1; cut < token.length; cut++) {
      expect(stripped([`a ${token.slice(0, cut)}`, `${token.slice(cut)} b\n`])).toBe('a *** b\n');
      const long = 'x'.repeat(65_600 - cut);
      expect(stripped([`${long}${token.slice(0, cut)}`, `${token.slice(cut)} b`])).toBe(`${long}*** b`);
    }
  });

  it("of a step's program is hidden from its log and from the step", async () => {
    const logPath = path.join(temporaryDirectory(), 'child.log');
    const lines: string[] = [];
    process.env['HF_TOKEN'] = token;
    const result = await executeOwned([process.execPath, '-e', 'console.log(process.env.HF_TOKEN)'], {
      logPath,
      onLine: (line) => lines.push(line),
      signal: AbortSignal.timeout(10_000),
      owner: null,
    });
    expect([result.stdout, readFileSync(logPath, 'utf8'), ...lines]).toEqual(['***\n', '***\n', '***']);
  });
});
