import { accessSync, constants } from 'node:fs';
import path from 'node:path';
import { type Browser, chromium } from 'playwright-core';

const names = ['chromium', 'google-chrome', 'google-chrome-stable', 'chromium-browser'];

/** The machine's own Chromium, or the one that CHROMIUM names. @throws where there is none: install `chromium` */
export async function openBrowser(): Promise<Browser> {
  const sandbox = process.getuid?.() === 0 ? ['--no-sandbox'] : [];
  return chromium.launch({ executablePath: findChromium(), args: sandbox });
}

function findChromium(): string {
  const named = process.env['CHROMIUM'];
  if (named) return named;
  const directories = (process.env['PATH'] ?? '').split(path.delimiter);
  const found = names.flatMap((name) => directories.map((directory) => path.join(directory, name))).find(isExecutable);
  if (found === undefined) {
    throw new Error(`none of ${names.join(', ')} is in PATH: apt-get install chromium, or set CHROMIUM to its path`);
  }
  return found;
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
