import { XMLBuilder } from 'fast-xml-parser';
import type { RunRecord, StepRecord } from '../../results-schema/run-record.js';
import { describeMiss } from '../../results-schema/verdicts.js';
import { oneLine } from '../plain-text.js';
import { simulatedMark } from '../simulated-mark.js';

/**
 * A run as JUnit XML, as CI systems show it: one test case a step. What the code under test did wrong is a
 * `failure`; what says nothing about it (infrastructure, inconclusive) is an `error`.
 */
export function junitXml(run: RunRecord): string {
  const results = run.steps.map(({ result }) => result);
  const failures = results.filter((result) => result.outcome === 'failed' && isFault(result.reason)).length;
  const unhappy = results.filter(({ outcome }) => outcome === 'failed' || outcome === 'inconclusive').length;
  const mark = simulatedMark(run);
  const suite = {
    '@_name': `lmcache-ci${mark === null ? '' : ' (SIMULATED)'}`,
    '@_tests': results.length,
    '@_failures': failures,
    '@_errors': unhappy - failures,
    '@_skipped': results.filter(({ outcome }) => outcome === 'skipped').length,
    '@_time': (run.timings?.wallSeconds ?? 0).toFixed(3),
    '@_timestamp': run.startedAt,
    properties: {
      property: [
        { '@_name': 'build-id', '@_value': shown(run.buildId) },
        { '@_name': 'model', '@_value': shown(run.model) },
        ...(mark === null ? [] : [{ '@_name': 'simulated', '@_value': shown(mark) }]),
      ],
    },
    testcase: run.steps.map(testCase),
  };
  const builder = new XMLBuilder({ ignoreAttributes: false, format: true, suppressEmptyNode: true });
  return `<?xml version="1.0" encoding="UTF-8"?>\n${builder.build({ testsuites: { testsuite: suite } })}`;
}

function testCase({ name, title, kind, durationSeconds, result }: StepRecord): object {
  const place = {
    '@_name': shown(title),
    '@_classname': `lmcache-ci.${kind}.${shown(name)}`,
    '@_time': durationSeconds.toFixed(3),
  };
  switch (result.outcome) {
    case 'passed':
      return place;
    case 'skipped':
      return { ...place, skipped: { '@_message': shown(result.why) } };
    case 'inconclusive':
      return { ...place, error: { '@_type': result.reason, '@_message': shown(result.message) } };
    case 'failed': {
      const missed = result.verdicts.filter(({ outcome }) => outcome === 'failed').map(describeMiss);
      const lines = [...missed, ...result.evidence].map(shown).join('\n');
      const trouble = {
        '@_type': `${result.reason} (${result.cause})`,
        '@_message': shown(result.message),
        '#text': lines,
      };
      return { ...place, [isFault(result.reason) ? 'failure' : 'error']: trouble };
    }
  }
}

function isFault(reason: string): boolean {
  return ['regression', 'incorrect-output', 'cache-not-exercised'].includes(reason);
}

/** Fit for XML; the builder escapes markup. */
function shown(text: string): string {
  return oneLine(text);
}
