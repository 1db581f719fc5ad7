// Makes a fresh clone runnable: locked install and compile when stale, under a lock.
// Only node's own modules may be used here: nothing else exists yet. Those that a look at what is there does
// not need are loaded when they are: crypto and child_process alone would cost every command 8 ms.
import {
  closeSync,
  existsSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const installStamp = path.join(root, 'node_modules', '.lmcache-ci-install');
const lockFile = path.join(root, 'package-lock.json');
const compileStamp = path.join(root, 'dist', '.lmcache-ci-compile');
const minimumNode = [20, 19];

/** Installs and compiles what is missing or stale; returns at once in an installed package, which ships compiled. */
export function bootstrap() {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  if (major < minimumNode[0] || (major === minimumNode[0] && minor < minimumNode[1])) {
    fail(2, `Node.js ${process.versions.node} is too old: lmcache-ci needs ${minimumNode.join('.')} or newer.`);
  }
  if (!existsSync(path.join(root, 'tsconfig.json'))) return;
  if (isInstalled() && isCompiled()) return;
  const release = takeLock();
  try {
    if (!isInstalled()) install();
    if (!isCompiled()) compile();
  } finally {
    release();
  }
}

/** Runs the command line of the compiled project with these arguments. */
export async function runCommandLine(args) {
  bootstrap();
  const { main } = await import('../dist/pipeline/cli.js');
  await main(args);
}

/** Entry of a `steps/*.mjs` script, started by `npx zx`, by node or by its path. */
export async function runStepScript(name, scriptUrl) {
  const script = fileURLToPath(scriptUrl);
  const position = process.argv.findIndex((argument) => path.resolve(argument) === script);
  await runCommandLine(['step', name, ...process.argv.slice(position + 1)]);
}

/**
 * Compiles and records it; what `npm install` runs as `prepare`, where the dependencies are just installed. `npx` runs it
 * too, in a checkout that it has only linked: there the command that follows sets up what lacks.
 */
export function prepare() {
  if (!existsSync(path.join(root, 'tsconfig.json')) || process.env.npm_command === 'exec') return;
  writeInstallStamp();
  if (!isCompiled()) compile();
}

/** The lock file looks as it did when it was installed, or at least says the same. */
function isInstalled() {
  if (!existsSync(installStamp)) return false;
  const [hash, look] = readFileSync(installStamp, 'utf8').split('\n');
  if (look === lookOf(lockFile)) return true;
  if (hash !== lockHash()) return false;
  try {
    // So that a look is enough the next time.
    writeInstallStamp();
  } catch {
    // Somebody else's checkout: reading the file each time does as well.
  }
  return true;
}

function isCompiled() {
  return existsSync(compileStamp) && readFileSync(compileStamp, 'utf8') === listSources();
}

function writeInstallStamp() {
  writeFileSync(installStamp, `${lockHash()}\n${lookOf(lockFile)}`);
}

function lockHash() {
  return sha256(readFileSync(lockFile));
}

function sha256(content) {
  return process.getBuiltinModule('node:crypto').createHash('sha256').update(content).digest('hex');
}

function lookOf(file) {
  const { size, mtimeMs } = statSync(file);
  return `${size} ${mtimeMs}`;
}

/** Names, sizes and times of all sources: a look at each is quick, reading them is not. */
function listSources() {
  let list = '';
  const configuration = JSON.parse(readFileSync(path.join(root, 'tsconfig.json'), 'utf8'));
  const rooms = configuration.include.map((pattern) => pattern.split('/')[0]);
  const visit = (directory) => {
    for (const entry of readdirSync(directory, { withFileTypes: true })) {
      const file = path.join(directory, entry.name);
      if (entry.isDirectory()) visit(file);
      else if (/\.(ts|json)$/.test(entry.name)) {
        list += `${file} ${lookOf(file)}\n`;
      }
    }
  };
  for (const room of rooms) if (existsSync(path.join(root, room))) visit(path.join(root, room));
  return list;
}

function install() {
  announce('installing the locked dependencies (npm ci) ...');
  const started = Date.now();
  // Install scripts of dependencies are denied; the compilation is ours.
  const result = run(
    'npm',
    ['ci', '--ignore-scripts', '--include=dev', '--no-audit', '--no-fund', '--loglevel=error'],
    {
      cwd: root,
      stdio: ['ignore', 'pipe', 'pipe'],
      encoding: 'utf8',
    },
  );
  if (result.error || result.status !== 0) {
    fail(
      3,
      `npm ci failed${result.error ? `: ${result.error.message}` : ` with exit code ${result.status}`}.\n${lastLines(`${result.stdout ?? ''}${result.stderr ?? ''}`)}`,
    );
  }
  writeInstallStamp();
  announce(`dependencies installed in ${seconds(started)}.`);
}

function compile() {
  const started = Date.now();
  const sources = listSources();
  const result = run(
    process.execPath,
    [path.join(root, 'node_modules', 'typescript', 'bin', 'tsc'), '-p', path.join(root, 'tsconfig.json')],
    {
      cwd: root,
      stdio: ['ignore', 'pipe', 'pipe'],
      encoding: 'utf8',
    },
  );
  if (result.error || result.status !== 0) {
    fail(3, `the project does not compile.\n${lastLines(`${result.stdout ?? ''}${result.stderr ?? ''}`)}`);
  }
  writeFileSync(compileStamp, sources);
  announce(`compiled in ${seconds(started)}.`);
}

function run(command, args, options) {
  return process.getBuiltinModule('node:child_process').spawnSync(command, args, options);
}

/** One set-up at a time a checkout; the lock of a process that is gone is broken. */
function takeLock() {
  const key = sha256(root).slice(0, 16);
  const lock = path.join(
    process.getBuiltinModule('node:os').tmpdir(),
    `lmcache-ci-setup-${process.getuid?.() ?? 0}-${key}.lock`,
  );
  let announced = false;
  for (;;) {
    try {
      const file = openSync(lock, 'wx', 0o600);
      writeSync(file, String(process.pid));
      closeSync(file);
      const release = () => rmSync(lock, { force: true });
      process.once('exit', release);
      return release;
    } catch (error) {
      if (error.code !== 'EEXIST') throw error;
    }
    if (holderIsGone(lock)) {
      breakLock(lock);
      continue;
    }
    if (!announced) announce('another process is setting this checkout up, waiting for it ...');
    announced = true;
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 100);
  }
}

/** Of several that find a dead holder only one breaks its lock, and never the next holder's. */
function breakLock(lock) {
  const breaker = `${lock}.break`;
  try {
    closeSync(openSync(breaker, 'wx', 0o600));
  } catch (error) {
    if (error.code !== 'EEXIST') throw error;
    if (holderIsGone(breaker)) rmSync(breaker, { force: true });
    return;
  }
  try {
    if (holderIsGone(lock)) rmSync(lock, { force: true });
  } finally {
    rmSync(breaker, { force: true });
  }
}

function holderIsGone(lock) {
  try {
    const { mtimeMs } = statSync(lock);
    const pid = Number(readFileSync(lock, 'utf8'));
    // Just created, not yet written.
    if (!pid) return Date.now() - mtimeMs > 2000;
    process.kill(pid, 0);
    return Date.now() - mtimeMs > 15 * 60_000;
  } catch (error) {
    return error.code === 'ESRCH' || error.code === 'ENOENT';
  }
}

function announce(message) {
  process.stderr.write(`lmcache-ci: ${message}\n`);
}

function fail(exitCode, message) {
  process.stderr.write(`lmcache-ci: ${message}\n`);
  process.exit(exitCode);
}

function lastLines(text) {
  return text.trimEnd().split('\n').slice(-30).join('\n');
}

function seconds(started) {
  return `${((Date.now() - started) / 1000).toFixed(1)} s`;
}
