// The package's entry "lmcache-ci/experiments": what a file of test functions is written with.
export type { EngineBootstrapper } from '../engine-bootstrapper.js';
export { command, experiment, external, lmcache, lmcacheServer, sglang, testCase, vllm, withOptions } from './build.js';
export type { LmcacheConfiguration, LmcacheServer, LmcacheSettings } from './lmcache-configuration.js';
export type { Shows, Side } from './shows.js';
export type {
  CommandEngine,
  Engine,
  Experiment,
  ExternalEngineConfiguration,
  GeneratorInput,
  Request,
  Settings,
  SglangEngine,
  TestCase,
  TestFunction,
  UseCase,
  VllmEngine,
  Workload,
  WorkloadConfiguration,
  WorkloadGenerator,
  WorkloadGeneratorClass,
} from './terms.js';
export { DummyText } from './workloads/dummy-text.js';
export { indexedQuestion, timestamps } from './workloads/schedule.js';
