import { readFile, writeFile } from 'node:fs/promises';
import { assetPath } from '../steps/package-root.js';
import { settingGroups } from './setting-groups.js';
import { renderSettingsTables, withSettingsTables } from './settings-table.js';

/** Brings the README's settings up to date: `npm run docs`. */
const path = assetPath('README.md');
await writeFile(path, withSettingsTables(await readFile(path, 'utf8'), renderSettingsTables(await settingGroups())));
console.log(`wrote the settings tables of "${path}"`);
