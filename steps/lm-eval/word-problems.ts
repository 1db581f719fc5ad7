/** One document of the local data set, in the shape of GSM8K's: the answer ends in `#### <number>`. */
export interface WordProblem {
  readonly question: string;
  readonly answer: string;
}

/**
 * Every word is at least one token in any tokenizer that splits text at spaces, so a question of this many
 * words is longer than three chunks of 256 tokens.
 */
const minimumWords = 820;
const events = 5;

const people =
  'Anna Boris Clara Daniel Emma Felix Grace Henry Irene Jacob Karen Louis Maria Nathan Olive Peter Quinn Rosa Simon Teresa'.split(
    ' ',
  );
const shops = ['bakery', 'bookshop', 'toy shop', 'flower shop', 'tea house', 'tool shop', 'paper mill', 'fish market'];
const towns = ['Ashford', 'Bergen', 'Calais', 'Dover', 'Exeter', 'Florence', 'Geneva', 'Hamburg', 'Lisbon', 'Oxford'];
const goods = ['boxes', 'baskets', 'crates', 'bottles', 'parcels', 'bags', 'jars', 'rolls'];
const days = ['Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday', 'Sunday'];
const times = ['early in the morning', 'before lunch', 'around noon', 'after lunch', 'late in the evening', 'at night'];
const weathers = [
  'the rain fell',
  'the sun was out',
  'a strong wind blew',
  'snow covered the road',
  'the fog was thick',
];
const doings = [
  'cleaned the windows',
  'repaired the old door',
  'wrote a long letter',
  'painted the front wall',
  'talked with the neighbours',
  'moved the heavy table',
  'fed the small dog',
  'looked for the lost keys',
  'made a pot of coffee',
  'read the local newspaper',
  'swept the wooden floor',
  'planned the next market day',
];
const places = [
  'behind the counter',
  'near the river',
  'in the back room',
  'under the big tree',
  'beside the station',
  'across the street',
  'in front of the church',
  'on the upper floor',
];
const moods = ['quiet', 'busy', 'pleasant', 'strange', 'ordinary', 'slow', 'cheerful', 'tiring'];

/**
 * An arithmetic word problem, always the same one for the same number: a few additions and subtractions
 * in a long story. It starts with what no other problem has, its own book number and its own story, because
 * a prefix cache shares whatever two prompts begin with.
 */
export function wordProblem(number: number): WordProblem {
  const random = mulberry32(0x9e3779b9 ^ Math.imul(number + 1, 0x85ebca6b));
  const pick = (list: readonly string[]): string => list[Math.floor(random() * list.length)] ?? '';
  const between = (low: number, high: number): number => low + Math.floor(random() * (high - low + 1));

  const keeper = pick(people);
  const good = pick(goods);
  let stock = between(60, 240);
  const sentences = [
    `Book ${1000 + number}: ${keeper} keeps the books of a ${pick(shops)} in ${pick(towns)}.`,
    `At the beginning there are ${stock} ${good} in the store.`,
  ];
  const steps = [`The store starts with ${stock} ${good}.`];
  let words = countWords(sentences);
  for (let event = 0; event <= events; event++) {
    for (const target = (minimumWords * (event + 1)) / (events + 1); words < target; ) {
      const sentence = narrate(pick, random);
      sentences.push(sentence);
      words += countWords([sentence]);
    }
    if (event < events) {
      const delivered = stock < 60 || random() < 0.5;
      const count = delivered ? between(12, 95) : between(5, 50);
      const next = delivered ? stock + count : stock - count;
      sentences.push(
        delivered
          ? `Then a truck brings ${count} more ${good}.`
          : `Then a customer takes ${count} of the ${good} away.`,
      );
      steps.push(`${stock} ${delivered ? '+' : '-'} ${count} = ${next}.`);
      stock = next;
    }
  }
  sentences.push(
    `How many ${good} are in the store at the end? Show each step shortly and finish with "#### " and the number.`,
  );
  return { question: sentences.join(' '), answer: `${steps.join(' ')}\n#### ${stock}` };
}

function narrate(pick: (list: readonly string[]) => string, random: () => number): string {
  const first = pick(people);
  const second = pick(people.filter((person) => person !== first));
  return random() < 0.5
    ? `On ${pick(days)} ${pick(times)} ${pick(weathers)}, so ${first} ${pick(doings)} ${pick(places)} while ${second} ${pick(doings)}.`
    : `It was a ${pick(moods)} ${pick(days)}: ${first} ${pick(doings)} ${pick(places)}, and ${pick(times)} ${second} ${pick(doings)} ${pick(places)}.`;
}

function countWords(sentences: readonly string[]): number {
  return sentences.reduce((sum, sentence) => sum + sentence.split(' ').length, 0);
}

/** Mulberry32 (Tommy Ettinger, public domain): 32 bits of state, uniform in [0, 1). */
function mulberry32(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
