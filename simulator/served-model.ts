import type { ModelShape, Profile, StepTimeModel, TextGenerator, Tokenizer } from './contracts.js';
import type { VllmServeOptions } from './vllm-args.js';

/** What one server process serves, decided at its start. */
export interface ServedModel {
  readonly options: VllmServeOptions;
  readonly profile: Profile;
  readonly shape: ModelShape;
  readonly stepTime: StepTimeModel;
  /** The name in the answers. */
  readonly name: string;
  readonly maxModelLen: number;
  readonly blockTokens: number;
  readonly blockCount: number;
  readonly tokenizer: Tokenizer;
  readonly text: TextGenerator;
  /** `vllm-0.26.0-1a2b3c4d`: version and a hash of the configuration. */
  readonly fingerprint: string;
  /** Of --api-key, or VLLM_API_KEY without it; none: nothing is protected. */
  readonly apiKeys: readonly string[];
  /** VLLM_SERVER_DEV_MODE=1. */
  readonly devMode: boolean;
  /** VLLM_ENABLE_RESPONSES_API_STORE=1. */
  readonly storesResponses: boolean;
}
