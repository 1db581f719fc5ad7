import path from 'node:path';
import { type LmcacheSettings, readLmcacheFile } from './lmcache-configuration.js';
import type { Engine } from './terms.js';

/** What sets an engine apart, in a few words: `vLLM + LMCache (cpu)`, `vLLM TP2`. */
export function engineLabel(engine: Engine): string {
  if (engine.label !== undefined) return engine.label;
  if (engine.program === 'external') return engine.url;
  const { tensorParallelSize = 1, lmcache } = engine;
  const options = engine.program === 'command' ? {} : (engine.options ?? {});
  const program = { vllm: 'vLLM', sglang: 'SGLang', command: commandName(engine) }[engine.program];
  const parts = [
    ...(tensorParallelSize > 1 ? [`TP${tensorParallelSize}`] : []),
    ...(options['enable_prefix_caching'] === true ? ['prefix caching'] : []),
  ];
  const own = [program, ...parts].join(' ');
  if (!lmcache) return own;
  const where = lmcache.server === undefined ? tiers(settingsOf(lmcache.config)) : 'server';
  return `${own} + LMCache (${where})`;
}

function settingsOf(config: string | LmcacheSettings): LmcacheSettings {
  return typeof config === 'string' ? readLmcacheFile(config) : config;
}

function tiers(settings: LmcacheSettings): string {
  const { local_device: device, remote_url: remote, remote_serde: serde } = settings;
  const local = [
    ...(device ? [device.startsWith('file:') ? 'disk' : device] : []),
    ...(settings.local_cpu ? ['cpu'] : []),
    ...(settings.local_disk ? ['disk'] : []),
  ];
  const far = remote ? [`${remote.split(':', 1)[0]}${serde ? ` ${serde}` : ''}`] : [];
  const extras = [
    ...(settings.pipelined_backend && remote ? ['pipelined'] : []),
    ...(settings.save_decode_cache ? ['decode cache'] : []),
  ];
  return [...new Set([...local, ...far, ...extras])].join(', ') || 'no tier';
}

/** `my-engine` of `/opt/bin/my-engine serve`. */
function commandName(engine: Engine): string {
  return engine.program === 'command' ? path.basename(engine.command[0] ?? 'command') : '';
}
