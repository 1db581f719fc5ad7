import path from 'node:path';
import { parseArgs } from 'node:util';
import { makeBundle } from './make-bundle.js';

const usage = `npm run bundle [-- OPTIONS]

One archive that runs lmcache-ci on x86-64 Linux with glibc 2.28 or later: compiled code, production dependencies and a
Node binary. Nothing of it needs Node, npm or a network where it is unpacked.

  --out DIR       where the archive goes (default: the working directory)
  --node FILE     take this Node binary as it is, instead of the npm registry's, stripped
  --level N       xz's effort, 0 to 9 (default: 9)
`;

const { values } = parseArgs({
  options: {
    out: { type: 'string', default: '.' },
    node: { type: 'string' },
    level: { type: 'string', default: '9' },
    help: { type: 'boolean', default: false },
  },
});
if (values.help) {
  process.stdout.write(usage);
} else if (!/^\d$/.test(values.level)) {
  process.stderr.write(`lmcache-ci: --level "${values.level}": expected 0 to 9. Nothing was made.\n`);
  process.exitCode = 2;
} else {
  try {
    const { archive, bytes } = await makeBundle({
      outDirectory: path.resolve(values.out),
      nodeBinary: values.node === undefined ? null : path.resolve(values.node),
      level: Number(values.level),
    });
    process.stdout.write(`${archive}  ${(bytes / 1e6).toFixed(1)} MB\n`);
  } catch (error) {
    process.stderr.write(`lmcache-ci: no bundle was made: ${error instanceof Error ? error.message : error}\n`);
    process.exitCode = 3;
  }
}
