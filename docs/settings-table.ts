import type { SettingDefinition, SettingDefinitions } from '../steps/settings.js';

/** Settings that belong together, in the order of the table. */
export interface SettingGroup {
  readonly title: string;
  readonly settings: SettingDefinitions;
}

/** Markdown tables of every setting: variable, default, meaning. A setting of several groups stands in the first. */
export function renderSettingsTables(groups: readonly SettingGroup[]): string {
  const shown = new Set<string>();
  const tables: string[] = [];
  for (const { title, settings } of groups) {
    const rows = Object.entries(settings).filter(([name]) => !shown.has(name));
    for (const [name] of rows) shown.add(name);
    if (rows.length === 0) continue;
    tables.push(
      [
        `### ${title}`,
        '',
        '| Variable | Default | Meaning |',
        '|---|---|---|',
        ...rows.map(([name, definition]) => `| \`${name}\` | ${defaultOf(definition)} | ${meaningOf(definition)} |`),
      ].join('\n'),
    );
  }
  return tables.join('\n\n');
}

const begin = '<!-- settings:begin (npm run docs) -->';
const end = '<!-- settings:end -->';

/** The document with what stands between its markers replaced. @throws when it has no markers. */
export function withSettingsTables(document: string, tables: string): string {
  const from = document.indexOf(begin);
  const to = document.indexOf(end);
  if (from === -1 || to < from) throw new Error(`The document has no "${begin}" ... "${end}".`);
  return `${document.slice(0, from + begin.length)}\n\n${tables}\n\n${document.slice(to)}`;
}

function defaultOf(definition: SettingDefinition): string {
  if (definition.defaultText !== undefined) return cell(definition.defaultText);
  if (definition.default === null) return 'unset';
  const value = definition.type === 'flag' ? Number(definition.default) : definition.default;
  return `\`${value}\`${definition.unit === undefined ? '' : ` ${cell(definition.unit)}`}`;
}

function meaningOf(definition: SettingDefinition): string {
  const choices = definition.type === 'choice' ? ` (${definition.choices.map((one) => `\`${one}\``).join(', ')})` : '';
  const aliases = definition.aliases ?? [];
  const also = aliases.length === 0 ? '' : ` Also: ${aliases.map((one) => `\`${one}\``).join(', ')}.`;
  return cell(`${definition.description}${choices}${also}`);
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|').replaceAll('<', '&lt;');
}
