/**
 * Words that are one token each with a blank before them, in byte-pair vocabularies such as Qwen's, Llama's and GPT's
 * as in the simulator's own: a text of n of them is n tokens long, give or take what a chat template adds.
 */
export const SINGLE_TOKEN_WORDS = (
  'answer area army art author baby back bag ball bank bar base bed blood board boat body book box boy business ' +
  'card case cause cell center chance child church city class club code color company computer corner country ' +
  'course court customer day deal detail doctor dog door dream earth effect energy engine evening event eye ' +
  'face fact family father field film fire fish floor food foot form friend future game garden girl glass goal ' +
  'gold government group hair hall hand head heart history home horse hospital hotel hour house idea island job ' +
  'judge key king lady lake land language law leader letter level library life light line list machine man ' +
  'manager map market master memory message metal middle mind minute model moment money month morning mother ' +
  'mountain mouth movie music name nature night noise north note number object office oil order page paper ' +
  'parent park part party path peace people person phone picture piece place plan plant plate play player point ' +
  'police pool power president price problem product program project question rain report result river road ' +
  'rock room rule school science sea season seat sense ship shop side sign sister sky snow sound south space ' +
  'sport spring stage star station step store story street student summer sun system table teacher team test ' +
  'theory thing tool town trade train tree trip truth user value village voice war water way weather week wind ' +
  'window winter woman wood word work worker world writer year'
).split(' ');

/**
 * A text of `tokens` tokens, decided by its name alone: equal names give texts that are prefixes of each other, other
 * names give texts that part within a few words.
 */
export function textOf(name: string, tokens: number): string {
  let state = 0x811c9dc5;
  for (let index = 0; index < name.length; index += 1) {
    state = Math.imul(state ^ name.charCodeAt(index), 0x01000193);
  }
  state = Math.imul(state ^ (state >>> 15), 0x85ebca6b) || 1;
  const words = new Array<string>(tokens);
  for (let index = 0; index < tokens; index += 1) {
    // xorshift32 (Marsaglia, 2003).
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    words[index] = SINGLE_TOKEN_WORDS[(state >>> 8) % SINGLE_TOKEN_WORDS.length] ?? 'answer';
  }
  return words.join(' ');
}
