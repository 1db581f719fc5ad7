// An engine that answers what no engine should: the simulator plays it.
import { setTimeout as delay } from 'node:timers/promises';
import { hasPassed, isFailure } from './ends.mjs';

/** From a random moment on, one engine answers like that; its client must say so, and not wait for ever. */
function answers(name, fault, isRight) {
  return {
    name,
    async inflict(arena, moment) {
      const run = arena.start({ TEST_TIMEOUT_SECONDS: '6', MAX_WAIT_SECONDS: '6' });
      const role = moment.choose(['vllm', 'baseline']);
      const url = await arena.engineUrl(role, run.ended);
      await Promise.race([run.ended, delay(moment.afterMs / 3)]);
      if (url !== null) await tell(url, fault);
      return await run.ended;
    },
    isRight: (end, results) => hasPassed(end, results) || isRight(end, results),
  };
}

/** Until it hears: it may not serve yet, or be gone already. */
async function tell(url, fault) {
  for (let tries = 0; tries < 100; tries += 1) {
    const answer = await fetch(`${url}/sim/control`, { method: 'POST', body: JSON.stringify({ fault }) }).catch(
      () => null,
    );
    if (answer?.ok) return;
    await delay(50);
  }
}

const wrongly = (end, results) =>
  isFailure(end, results, 'regression', ['request-failed']) ||
  // Asked for its models or metrics, not for tokens.
  isFailure(end, results, 'unknown', ['request-failed']) ||
  isFailure(end, results, 'infrastructure', ['timeout', 'engine-unreachable']);
const never = (end, results) =>
  isFailure(end, results, 'unknown', ['timeout', 'engine-unreachable']) || wrongly(end, results);

/** Streams break after their third event: of one engine, from the first request on. */
const streamsCut = {
  name: 'streams cut in the middle',
  inflict: (arena, moment) =>
    arena.start(
      { SIM_FAULT: `${moment.choose(['vllm', 'baseline'])}:stream-cut`, DOCUMENT_LENGTH: '2000', OUTPUT_LEN: '20' },
      'long-doc-qa',
    ).ended,
  isRight: wrongly,
};

export const answerFaults = [
  answers('answers 5xx', 'http-503', wrongly),
  answers('answers garbage', 'garbage', wrongly),
  answers('answers half a JSON', 'half-json', wrongly),
  answers('connections cut', 'stream-cut', wrongly),
  streamsCut,
  answers('endless streams', 'endless-stream', never),
  answers('answers nothing', 'http-hang', never),
];
