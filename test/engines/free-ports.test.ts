import { execFileSync } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { describe, expect, it, vi } from 'vitest';
import { z } from 'zod';
import { findFreePorts } from '../../engines/free-ports.js';
import { claimPort, releasePort } from '../../engines/machine-claim.js';

vi.mock('node:crypto', async (original) => {
  const crypto = await original<typeof import('node:crypto')>();
  return { ...crypto, randomInt: vi.fn<(least: number, end: number) => number>(crypto.randomInt) };
});

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

describe('a port that was found is claimed', () => {
  const elsewhere = (port: number) =>
    execFileSync(process.execPath, [
      '-e',
      `require('node:net').createServer().once('error', (error) => console.log(error.code))
        .listen('\\0lmcache-ci-port-' + ${port}, () => { console.log('mine'); process.exit(); })`,
    ])
      .toString()
      .trim();

  it('for the machine: whatever registry another process has, it does not get that port until it is given back', async () => {
    const [port = 0] = await findFreePorts(1);
    expect(elsewhere(port)).toBe('EADDRINUSE');
    expect(await claimPort(port)).toBe(false);
    releasePort(port);
    expect(elsewhere(port)).toBe('mine');
  });

  it('so that of two who choose the same one in the same instant the second takes another', async () => {
    const [port = 0] = await findFreePorts(1);
    const draws = vi.mocked(randomInt);
    draws.mockClear();
    draws.mockImplementationOnce(() => port);
    const [other = 0] = await findFreePorts(1);
    expect(draws.mock.calls.length).toBeGreaterThan(1);
    expect(other).not.toBe(port);
    expect(other).toBeGreaterThanOrEqual(10_000);
  });

  it('and a claim on a port that somebody listens on is given back', async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, resolve));
    const { port } = z.object({ port: z.number() }).parse(server.address());
    vi.mocked(randomInt).mockImplementationOnce(() => port);
    expect(await findFreePorts(1)).not.toContain(port);
    expect(elsewhere(port)).toBe('mine');
    await new Promise((resolve) => server.close(resolve));
  });
});
