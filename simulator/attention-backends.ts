/** Names of the members of an enumeration of Python's, with their values: where a kernel's class stands. */
export type Backends = Readonly<Record<string, string | null>>;

/** Of vLLM 0.26, in the order in which it lists them. */
export const ATTENTION_BACKENDS: Backends = {
  FLASH_ATTN: 'vllm.v1.attention.backends.flash_attn.FlashAttentionBackend',
  FLASH_ATTN_DIFFKV: 'vllm.v1.attention.backends.flash_attn_diffkv.FlashAttentionDiffKVBackend',
  TRITON_ATTN: 'vllm.v1.attention.backends.triton_attn.TritonAttentionBackend',
  TRITON_ATTN_DIFFKV: 'vllm.v1.attention.backends.triton_attn_diffkv.TritonAttentionDiffKVBackend',
  ROCM_ATTN: 'vllm.v1.attention.backends.rocm_attn.RocmAttentionBackend',
  ROCM_AITER_MLA: 'vllm.v1.attention.backends.mla.rocm_aiter_mla.AiterMLABackend',
  ROCM_AITER_TRITON_MLA: 'vllm.v1.attention.backends.mla.aiter_triton_mla.AiterTritonMLABackend',
  ROCM_AITER_FA: 'vllm.v1.attention.backends.rocm_aiter_fa.AiterFlashAttentionBackend',
  ROCM_AITER_MLA_SPARSE: 'vllm.v1.attention.backends.mla.rocm_aiter_mla_sparse.ROCMAiterMLASparseBackend',
  XPU_MLA_SPARSE: 'vllm.v1.attention.backends.mla.xpu_mla_sparse.XPUMLASparseBackend',
  TORCH_SDPA: '',
  FLASHINFER: 'vllm.v1.attention.backends.flashinfer.FlashInferBackend',
  FLASHINFER_MLA: 'vllm.v1.attention.backends.mla.flashinfer_mla.FlashInferMLABackend',
  TOKENSPEED_MLA: 'vllm.v1.attention.backends.mla.tokenspeed_mla.TokenspeedMLABackend',
  FLASHINFER_MLA_SPARSE: 'vllm.v1.attention.backends.mla.flashinfer_mla_sparse.FlashInferMLASparseTRTLLMBackend',
  FLASHINFER_MLA_SPARSE_SM120: 'vllm.v1.attention.backends.mla.flashinfer_mla_sparse.FlashInferMLASparseSM120Backend',
  TRITON_MLA: 'vllm.v1.attention.backends.mla.triton_mla.TritonMLABackend',
  CUTLASS_MLA: 'vllm.v1.attention.backends.mla.cutlass_mla.CutlassMLABackend',
  FLASHMLA: 'vllm.v1.attention.backends.mla.flashmla.FlashMLABackend',
  FLASHMLA_SPARSE: 'vllm.v1.attention.backends.mla.flashmla_sparse.FlashMLASparseBackend',
  FLASHMLA_SPARSE_DSV4: 'vllm.models.deepseek_v4.sparse_mla.DeepseekV4FlashMLABackend',
  FLASHINFER_MLA_SPARSE_DSV4: 'vllm.models.deepseek_v4.nvidia.flashinfer_sparse.DeepseekV4FlashInferMLASparseBackend',
  ROCM_FLASHMLA_SPARSE_DSV4: 'vllm.models.deepseek_v4.amd.rocm.DeepseekV4ROCMAiterMLASparseBackend',
  FLASH_ATTN_MLA: 'vllm.v1.attention.backends.mla.flashattn_mla.FlashAttnMLABackend',
  FLASH_ATTN_MLA_SPARSE: 'vllm.v1.attention.backends.mla.flashattn_mla_sparse.FlashAttnMLASparseBackend',
  MINIMAX_M3_SPARSE: 'vllm.models.minimax_m3.common.sparse_attention.MiniMaxM3SparseBackend',
  NO_ATTENTION: 'vllm.v1.attention.backends.no_attention.NoAttentionBackend',
  FLEX_ATTENTION: 'vllm.v1.attention.backends.flex_attention.FlexAttentionBackend',
  HPC_ATTN: 'vllm.v1.attention.backends.hpc_attn.HpcAttentionBackend',
  ROCM_AITER_UNIFIED_ATTN: 'vllm.v1.attention.backends.rocm_aiter_unified_attn.RocmAiterUnifiedAttentionBackend',
  CPU_ATTN: 'vllm.v1.attention.backends.cpu_attn.CPUAttentionBackend',
  TURBOQUANT: 'vllm.v1.attention.backends.turboquant_attn.TurboQuantAttentionBackend',
  CUSTOM: null,
};

/** The same, for the prompts of models with multi-head latent attention. */
export const PREFILL_BACKENDS: Backends = {
  FLASH_ATTN: 'vllm.v1.attention.backends.mla.prefill.flash_attn.FlashAttnPrefillBackend',
  FLASHINFER: 'vllm.v1.attention.backends.mla.prefill.flashinfer.FlashInferPrefillBackend',
  TRTLLM_RAGGED: 'vllm.v1.attention.backends.mla.prefill.trtllm_ragged.TrtllmRaggedPrefillBackend',
  TOKENSPEED_MLA: 'vllm.v1.attention.backends.mla.prefill.tokenspeed_mla.TokenspeedMLAPrefillBackend',
  ROCM_AITER_FA: 'vllm.v1.attention.backends.mla.prefill.aiter_flash_attn.AiterFlashAttnPrefillBackend',
  CUSTOM: null,
};
