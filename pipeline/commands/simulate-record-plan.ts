import { formatNumber } from '../../report/numbers.js';
import { textTable } from '../../report/text-table.js';
import { nameOfArrivals } from '../../workloads/recording/record-arrivals.js';
import type { RecordedPart, RecordSettings } from './simulate-record-flags.js';

/** Beside a document's words: its number. */
const DOCUMENT_NUMBER_TOKENS = 2;

/** Name of a part's file. @param what tells the files of one part apart */
export function fileOf(
  part: RecordedPart,
  { engine }: Pick<RecordSettings, 'engine'>,
  ...what: readonly string[]
): string {
  return `${[part, engine, ...what].join('-')}.csv`;
}

/** Files of the chosen parts, in order. */
export function filesOf(settings: RecordSettings): readonly string[] {
  return settings.parts.flatMap((part) => {
    if (part === 'arrivals') return settings.arrivals.map((own) => fileOf(part, settings, nameOfArrivals(own)));
    if (part === 'longdoc') return ['warmup', 'query'].map((round) => fileOf(part, settings, round));
    return [fileOf(part, settings)];
  });
}

/** The most tokens, prompt and answer, that each flag of the chosen parts asks for at once. */
export function tokensOf(
  settings: RecordSettings,
): readonly { readonly flag: string; readonly value: string; readonly tokens: number }[] {
  const { parts, arrivalPromptTokens, arrivalOutputTokens } = settings;
  const longest = Math.max(...settings.lengths);
  const own = (flag: string, prompt: number, output: number) => ({
    flag,
    value: String(prompt),
    tokens: prompt + output,
  });
  return [
    ...(parts.includes('single') || parts.includes('ids') ? [own('--lengths', longest, 1)] : []),
    ...(parts.includes('decode')
      ? [own('--decode-prompt-tokens', settings.decodePromptTokens, settings.decodeOutputTokens)]
      : []),
    ...(parts.includes('arrivals')
      ? [own('--arrival-prompt-tokens', arrivalPromptTokens.max, arrivalOutputTokens.max)]
      : []),
    ...(parts.includes('longdoc')
      ? [own('--document-length', settings.documentLength, settings.outputLen + DOCUMENT_NUMBER_TOKENS)]
      : []),
  ];
}

/** What would be sent, for `--dry-run`. */
export function describeRecording(settings: RecordSettings): string {
  const { url, model, engine, seed, parts } = settings;
  const table = [['part', 'requests', 'what'], ...parts.flatMap((part) => plannedRows(part, settings))];
  const lines = [
    `Would record ${url} (${model === undefined ? 'the model that it lists first' : `"${model}"`}) as ${engine}, seed ${seed}:`,
    '',
    textTable(table, [1]),
    '',
    `Files in "${settings.out}": ${filesOf(settings).join(', ')}, recording.json`,
    'Nothing was sent.',
  ];
  return `${lines.join('\n')}\n`;
}

function plannedRows(part: RecordedPart, settings: RecordSettings): readonly (readonly string[])[] {
  switch (part) {
    case 'single':
      return [singlesRow(part, 'new texts', settings)];
    case 'ids':
      return [singlesRow(part, 'new prompts as token ids', settings)];
    case 'decode': {
      const { batches, decodePromptTokens, decodeOutputTokens } = settings;
      const requests = batches.reduce((sum, batch) => sum + batch, 0);
      const sizes = `prompts of ${formatNumber(decodePromptTokens)} tokens, answers of ${decodeOutputTokens}`;
      return [[part, String(requests), `batches of ${batches.join(', ')} at once: ${sizes}`]];
    }
    case 'arrivals': {
      const { arrivalPromptTokens: prompt, arrivalOutputTokens: output } = settings;
      const sizes = `prompts of ${prompt.min} to ${prompt.max} tokens, answers of ${output.min} to ${output.max}`;
      return settings.arrivals.map((own) => [
        part,
        String(own.count),
        `${own.kind === 'burst' ? 'all at once' : `${own.rate} a second, at random times`}: ${sizes}`,
      ]);
    }
    case 'longdoc': {
      const { documents, documentLength, repeatCount, outputLen, maxInflightRequests } = settings;
      const sizes = `${documents} documents of ${formatNumber(documentLength)} tokens, answers of ${outputLen}`;
      const what = `${sizes}, ${maxInflightRequests} at once; then ${repeatCount} queries of each`;
      return [[part, String(documents * (1 + repeatCount)), what]];
    }
  }
}

function singlesRow(part: RecordedPart, form: string, settings: RecordSettings): readonly string[] {
  const { engine, lengths, repetitions } = settings;
  const modes = engine === 'lmcache' ? ['cold', 'from the GPU', 'from LMCache'] : ['cold', 'from the GPU'];
  const what = `${form} of ${lengths.map(formatNumber).join(' ')} tokens, ${repetitions} of each: ${modes.join(', ')}`;
  return [part, String(lengths.length * repetitions * modes.length), what];
}
