import type { UseCase, WorkloadGeneratorClass } from '../terms.js';
import { DummyGenerator } from './dummy.js';
import { MultiTurnGenerator } from './multi-turn.js';
import { PrefixReuseGenerator } from './prefix-reuse.js';
import { RagGenerator } from './rag.js';
import { VaryGenerator } from './vary.js';

const builtIn: Readonly<Record<string, WorkloadGeneratorClass>> = {
  DUMMY: DummyGenerator,
  VARY: VaryGenerator,
  MULTI: MultiTurnGenerator,
  PREFIX_REUSE: PrefixReuseGenerator,
  RAG: RagGenerator,
};

/** The generator of a use case. @throws Error naming those there are. */
export function generatorOf(useCase: UseCase): WorkloadGeneratorClass {
  if (typeof useCase === 'function') return useCase;
  const found = builtIn[useCase];
  if (found !== undefined) return found;
  throw new Error(`There is no use case "${useCase}": choose ${Object.keys(builtIn).join(', ')}, or give a class.`);
}

/** As it is shown. */
export function useCaseName(useCase: UseCase): string {
  return typeof useCase === 'function' ? useCase.name : useCase;
}
