import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { expect, it } from 'vitest';
import { findFreePorts } from '../../engines/free-ports.js';

it('finds ports that are all different, free, and never those of outgoing connections', async () => {
  const [first = 0] = readFileSync('/proc/sys/net/ipv4/ip_local_port_range', 'utf8').split(/\s+/).map(Number);
  const ports = await findFreePorts(40);
  expect(new Set(ports).size).toBe(40);
  for (const port of ports) {
    expect(port).toBeGreaterThanOrEqual(10_000);
    expect(port).toBeLessThan(first);
  }
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(ports[0], resolve));
  await new Promise((resolve) => server.close(resolve));
  expect(await findFreePorts(0)).toEqual([]);
});
