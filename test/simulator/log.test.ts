import { expect, it } from 'vitest';
import { createEngineLog } from '../../simulator/log.js';

it('writes each line where the real program writes it: `tail -f 8000-stderr.log` shows when an engine serves', () => {
  const written: Record<'stdout' | 'stderr', string[]> = { stdout: [], stderr: [] };
  const log = createEngineLog(
    { write: (line) => void written.stdout.push(line), writeError: (line) => void written.stderr.push(line) },
    7,
  );
  log.api('INFO', 'api_server.py:677', 'Starting vLLM server');
  log.engine('INFO', 'loggers.py:310', 'Engine 000');
  log.access('127.0.0.1:1 - "POST /v1/completions HTTP/1.1" 200 OK');
  log.server('Application startup complete.');
  log.lmcache('connector.py:1', 'Reqid: a');
  expect(written.stdout.join('')).toMatch(/^.*Starting vLLM server\n.*Engine 000\n.*"POST.*\n$/);
  expect(written.stderr.join('')).toMatch(
    /^\(APIServer pid=7\) INFO: {5}Application startup complete\.\n.*Reqid: a.*\n$/,
  );
});
