import type { EngineStep, ModelShape, StepTimeModel, StepTimeOptions } from './contracts.js';
import { createMatmulTime } from './matmul-time.js';
import type { ProfileFile } from './profile-schema.js';

const BYTES_PER_WEIGHT = 2;
const GIB = 1024 ** 3;

/**
 * The time of one engine step as a sum of what the GPU does in it: matrix multiplications (bound by compute or by
 * reading the weights, blended in the 4th power; or tile by tile), output head, prefill attention, reading of KV while decoding,
 * element-wise kernels, launches and bookkeeping. Constants come from the profile, shapes from the model.
 */
export function createStepTimeModel(profile: ProfileFile, model: ModelShape, options: StepTimeOptions): StepTimeModel {
  const gpus = options.tensorParallelSize ?? 1;
  const { step, api, connector } = profile;
  const flops = step.peakFlops.value * gpus;
  const bandwidth = step.memoryBytesPerSecond.value * gpus;
  const matmul = createMatmulTime(step, model, gpus);
  const attentionSecondsPerPair =
    (4 * model.layers * model.attentionHeads * model.headSize) / (flops * step.attentionEfficiency.value);
  const kvSecondsPerToken = model.kvBytesPerToken / (bandwidth * step.kvReadEfficiency.value);
  const sequenceKvSecondsPerToken =
    step.sequenceKvBytesPerSecond === undefined
      ? 0
      : model.kvBytesPerToken / (step.sequenceKvBytesPerSecond.value * gpus);
  /** Sequences whose KV heads, a multiprocessor each, fill the GPU; fewer share it evenly, and wait for the longest. */
  const sequencesBeside = (step.multiprocessors?.value ?? 0) / Math.max(1, model.kvHeads / gpus);
  const elementwiseSecondsPerToken =
    (model.layers * (12 * model.hiddenSize + 3 * model.intermediateSize) * BYTES_PER_WEIGHT) /
    (bandwidth * step.elementwiseEfficiency.value);
  // Two all-reduces a layer: in a ring each GPU sends 2 (n - 1) / n of the activations.
  const allReduces = gpus > 1 ? 2 * model.layers : 0;
  const communicationSeconds = allReduces * step.allReduceSeconds.value;
  const communicationSecondsPerToken =
    (allReduces * (2 - 2 / gpus) * model.hiddenSize * BYTES_PER_WEIGHT) / step.linkBytesPerSecond.value;
  const schedulingSeconds = options.asyncScheduling ? 0 : step.stepSeconds.value;
  const fixedSeconds = schedulingSeconds + model.layers * step.layerSeconds.value + communicationSeconds;
  const requestSeconds = step.requestSeconds.value + (options.connector ? connector.requestStepSeconds.value : 0);
  /** What the host needs for a step: kernel by kernel, unless a CUDA graph of this size was captured. */
  const hostSecondsOf = (tokens: number): number => {
    const eager = options.eager ? step.eagerLayerSeconds.value : 0;
    const ungraphed = tokens > step.graphTokens.value ? step.ungraphedLayerSeconds.value : 0;
    return model.layers * Math.max(step.hostLayerSeconds.value, eager, ungraphed);
  };
  const prefillStepSeconds =
    step.prefillStepSeconds.value + (options.connector ? connector.prefillStepSeconds.value : 0);
  const dragSecondsPerToken = options.connector
    ? model.kvBytesPerToken / gpus / connector.storeDragBytesPerSecond.value
    : 0;

  const prefillKvSecondsPerToken = model.kvBytesPerToken / (step.prefillKvBytesPerSecond.value * gpus);
  const kvReadSeconds = (decodes: EngineStep['decodes']): number => {
    if (decodes.length === 0) return 0;
    let contexts = 0;
    let longest = 0;
    for (const { contextTokens } of decodes) {
      contexts += contextTokens;
      longest = Math.max(longest, contextTokens);
    }
    const share = decodes.length / (decodes.length + step.kvReadHalfBatch.value);
    const read = Math.max(contexts, longest * Math.min(decodes.length, sequencesBeside));
    return Math.max((read * kvSecondsPerToken) / share, longest * sequenceKvSecondsPerToken);
  };

  const { afterSeconds, rampSeconds, slowdown } = step.sustainedPrefill;
  /** Integral of the way from full speed (0) to the slowest (1), up to a time since the prefill began. */
  const slowedSeconds = (until: number): number => {
    const ramp = Math.min(Math.max(0, until - afterSeconds.value), rampSeconds.value);
    return ramp ** 2 / (2 * rampSeconds.value) + Math.max(0, until - afterSeconds.value - rampSeconds.value);
  };

  const weightBytes =
    (model.bytesPerLayerWeight ?? BYTES_PER_WEIGHT) * model.layerParameters +
    BYTES_PER_WEIGHT * (model.tiedEmbeddings ? 1 : 2) * model.vocabularySize * model.hiddenSize;
  return {
    stepSeconds({ prefills, decodes, sustainedPrefillSeconds = 0 }: EngineStep): number {
      const requests = prefills.length + decodes.length;
      if (requests === 0) return 0;
      let prefillTokens = 0;
      let attentionSeconds = 0;
      let variedTokens = 0;
      for (const { newTokens, contextTokens, variety = 1 } of prefills) {
        prefillTokens += newTokens;
        variedTokens += newTokens * variety;
        const pairs = newTokens * (contextTokens + newTokens / 2 + step.attentionStartTokens.value);
        attentionSeconds += Math.max(pairs * attentionSecondsPerPair, contextTokens * prefillKvSecondsPerToken);
      }
      const tokens = prefillTokens + decodes.length;
      const gemm = matmul.layersSeconds(tokens);
      const gpuSeconds =
        gemm +
        matmul.headSeconds(requests) +
        attentionSeconds +
        kvReadSeconds(decodes) +
        tokens * (elementwiseSecondsPerToken + communicationSecondsPerToken) +
        fixedSeconds +
        (prefills.length > 0 ? prefillStepSeconds : 0);
      const variety = prefillTokens === 0 ? 1 : variedTokens / prefillTokens;
      const slowed =
        prefillTokens === 0
          ? 0
          : (slowedSeconds(sustainedPrefillSeconds + gpuSeconds) - slowedSeconds(sustainedPrefillSeconds)) *
              slowdown.value *
              variety -
            gemm * step.uniformPrefillSpeedup.value * (1 - variety);
      return (
        Math.max(gpuSeconds + slowed, hostSecondsOf(tokens)) +
        prefillTokens * dragSecondsPerToken +
        requests * requestSeconds
      );
    },
    launchSeconds({ prefills, decodes }) {
      const tokens = prefills.reduce((sum, { newTokens }) => sum + newTokens, decodes.length);
      const captured =
        prefills.length > 0 ? model.layers * step.prefillLaunchLayerSeconds.value : step.graphLaunchSeconds.value;
      return options.eager || tokens > step.graphTokens.value ? Math.max(captured, hostSecondsOf(tokens)) : captured;
    },
    warmUpSeconds: afterSeconds.value + rampSeconds.value,
    apiSeconds(promptTokens, distinctTokens) {
      const reading = api.busyRequestSeconds.value + promptTokens * api.busyTokenSeconds.value;
      const tokenising =
        distinctTokens === null
          ? promptTokens * api.idTokenSeconds.value
          : promptTokens * api.tokenSeconds.value + distinctTokens * api.distinctTokenSeconds.value;
      return { reading, tokenising, rest: api.requestSeconds.value };
    },
    lookupSeconds: (hitTokens) =>
      options.connector ? connector.lookupSeconds.value + hitTokens * connector.foundTokenSeconds.value : 0,
    apiScatter: api.scatter.value,
    deliverySeconds: api.deliverySeconds.value,
    kvBytesPerToken: model.kvBytesPerToken,
    weightBytes,
    kvPoolTokens({ gpuMemoryUtilization, tensorParallelSize }) {
      const ownWeights = weightBytes / tensorParallelSize;
      const free =
        gpuMemoryUtilization * profile.gpuMemoryGiB.value * GIB - ownWeights - profile.nonKvMemoryGiB.value * GIB;
      const block = profile.blockTokens.value;
      const tokens = Math.floor(free / (model.kvBytesPerToken / tensorParallelSize) / block) * block;
      if (tokens < block) {
        throw new Error(
          `no memory is left for KV cache: "${model.name}" at --gpu-memory-utilization "${gpuMemoryUtilization}" on ${profile.gpu}; raise it or use --tensor-parallel-size`,
        );
      }
      return tokens;
    },
  };
}
