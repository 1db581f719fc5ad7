import { cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

/** A package laid out as this one is compiled, whose "simulator" prints its arguments. */
export async function simulatorPackage(): Promise<{ readonly root: string; remove(): Promise<void> }> {
  const root = await mkdtemp(path.join(tmpdir(), 'lmcache-ci-package-'));
  const files: Readonly<Record<string, string>> = {
    'package.json': '{"name":"p","type":"module","dependencies":{"used":"1.0.0","unused":"1.0.0"}}',
    'dist/simulator/main.js':
      "import './args.js';\nimport 'node:fs';\nimport { used } from 'used/sub';\nexport { used };\n",
    'dist/simulator/args.js':
      "import { join } from '../shared/join.js';\nconsole.log(join(process.argv.slice(2)), process.env.PATH);\n",
    'dist/simulator/image/image-context.js': "import 'unused';\n",
    'dist/shared/join.js':
      "import data from './data.json' with { type: 'json' };\nexport const join = (parts) => data.prefix + parts.join(' ');\n",
    'dist/shared/data.json': '{"prefix":"args: "}',
    'dist/pipeline/cli.js': "import 'unused';\n",
    'simulator/tokenizer/words.txt': 'hello\n',
    'simulator/engine.ts': 'source\n',
    'node_modules/used/package.json':
      '{"name":"used","version":"1.0.0","main":"sub.js","exports":{"./sub":"./sub.js"},"dependencies":{"deep":"1.0.0"}}',
    'node_modules/used/sub.js': "exports.used = require('deep');\n",
    'node_modules/used/sub.d.ts': 'export {};\n',
    'node_modules/deep/package.json': '{"name":"deep","version":"1.0.0"}',
    'node_modules/deep/index.js': 'module.exports = 1;\n',
    'node_modules/unused/package.json': '{"name":"unused","version":"1.0.0"}',
    'node_modules/unused/index.js': '',
  };
  for (const [name, text] of Object.entries(files)) {
    await mkdir(path.dirname(path.join(root, name)), { recursive: true });
    await writeFile(path.join(root, name), text);
  }
  const dockerfile = path.join('simulator', 'image', 'Dockerfile');
  await cp(path.join(import.meta.dirname, '..', '..', dockerfile), path.join(root, dockerfile));
  return { root, remove: () => rm(root, { recursive: true, force: true }) };
}
