import { execFile } from 'node:child_process';
import { mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { gzipSync } from 'node:zlib';
import { makeFolder } from '../../results-schema/make-folder.js';
import type { Anonymiser } from './anonymise.js';

/** Of a longer file only its beginning and its end are taken: engines repeat themselves in between. */
const keptHeadBytes = 300_000;
const keptTailBytes = 500_000;
/** Data that is read as a whole is never cut. */
const neverCut = /\.(?:json|jsonl|csv|xml)$/;
/** Stays readable without unpacking. */
const smallBytes = 4096;

/**
 * Packs a folder of results, anonymised and each larger file gzipped, into one tar; the largest files are left out until it
 * is small enough, and named in `LEFT-OUT.txt`.
 * @returns bytes of the archive
 */
export async function collect(
  directory: string,
  archive: string,
  anonymiser: Anonymiser,
  limitBytes: number,
): Promise<number> {
  const work = await mkdtemp(path.join(os.tmpdir(), 'lmcache-ci-collect-'));
  try {
    const entries = await readdir(directory, { recursive: true, withFileTypes: true });
    const files: { name: string; content: Buffer }[] = [];
    for (const entry of entries) {
      if (!entry.isFile() || entry.name.endsWith('.tmp')) continue;
      const full = path.join(entry.parentPath, entry.name);
      const name = anonymiser.text(path.relative(directory, full));
      const whole = await readFile(full, 'utf8').catch(isGone);
      // What a run that goes on has removed meanwhile.
      if (whole === null) continue;
      const text = cut(whole, neverCut.test(entry.name));
      const content = Buffer.from(anonymiser.text(text));
      files.push(
        content.length < smallBytes
          ? { name, content }
          : { name: `${name}.gz`, content: gzipSync(content, { level: 9 }) },
      );
    }
    files.sort((a, b) => a.content.length - b.content.length);
    let total = 0;
    const leftOut: string[] = [];
    for (const { name, content } of files) {
      // A tar's own block and padding.
      total += content.length + 1024;
      if (total > limitBytes) {
        leftOut.push(`${name} ${content.length}`);
        continue;
      }
      makeFolder(path.dirname(path.join(work, name)));
      await writeFile(path.join(work, name), content);
    }
    if (leftOut.length > 0) await writeFile(path.join(work, 'LEFT-OUT.txt'), `${leftOut.join('\n')}\n`);
    // Replaced as a whole: whoever takes it meanwhile gets the one before.
    const draft = `${archive}.${process.pid}.tmp`;
    await promisify(execFile)('tar', ['--sort=name', '--owner=0', '--group=0', '-cf', draft, '-C', work, '.']);
    await rename(draft, archive);
    return total;
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

function isGone(error: NodeJS.ErrnoException): null {
  if (error.code === 'ENOENT') return null;
  throw error;
}

function cut(text: string, isWhole: boolean): string {
  if (isWhole || text.length <= keptHeadBytes + keptTailBytes) return text;
  const dropped = text.length - keptHeadBytes - keptTailBytes;
  return `${text.slice(0, keptHeadBytes)}\n[... ${dropped} characters left out ...]\n${text.slice(-keptTailBytes)}`;
}
