import { createServer } from 'node:net';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { countConnections, findPortOwner, parseListeners } from '../../engines/port-owner.js';
import { openRegistry } from '../../engines/registry.js';
import { fakeSpec, freePort, sampleRun, temporaryDirectory } from './engine-rig.js';

const table = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F40 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 55501 1 0 100 0 0 10 0
   1: 0100007F:C350 0100007F:1F40 01 00000000:00000000 00:00000000 00000000     0        0 55502 1 0 100 0 0 10 0
   2: 00000000000000000000000000000000:2328 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 55503 1 0 100 0 0 10 0
`;

describe('the table of sockets', () => {
  it('gives listening sockets of both families, not connections', () => {
    expect(parseListeners(table)).toEqual([
      { port: 8000, uid: 1000, inode: '55501' },
      { port: 9000, uid: 0, inode: '55503' },
    ]);
    expect(parseListeners('')).toEqual([]);
  });

  it("tells how many connections to a port are open, by their clients' ends", () => {
    expect(countConnections(8000, table)).toBe(1);
    expect(countConnections(50_000, table)).toBe(0);
    expect(countConnections(8000, '')).toBe(0);
  });
});

describe("a port's owner", () => {
  it('is nobody for a free port', async () => {
    expect(findPortOwner(await freePort())).toBeNull();
  });

  it.each(['127.0.0.1', '::'])('is the process that listens on %s, and the run it belongs to', async (host) => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, host, resolve));
    const address = server.address();
    const port = typeof address === 'object' && address ? address.port : 0;
    const owner = findPortOwner(port);
    expect(owner).toMatchObject({ port, pid: process.pid, uid: process.getuid?.(), buildId: null });
    expect(owner?.description).toContain(`process ${process.pid} (`);

    const registry = openRegistry(path.join(temporaryDirectory(), 'registry'));
    const spec = { ...(await fakeSpec('vllm')), ports: [port] };
    const handle = { kind: 'process' as const, pid: process.pid, startTime: 1 };
    registry.write(
      sampleRun({ engines: { vllm: { spec, logPath: '/x', state: { status: 'ready', handle, since: '' } } } }),
    );
    expect(findPortOwner(port, registry)?.description).toMatch(/, run sample$/);
    await new Promise((resolve) => server.close(resolve));
  });
});
