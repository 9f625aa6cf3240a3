// Shared memory of attention kernels and of llama.cpp's quantized matrix product by tile. Formulas
// follow Dao-AILab/flash-attention (kernel_traits.h), flashinfer-ai/flashinfer (mla.cuh,
// prefill.cuh) and ggml-org/llama.cpp (fattn-mma-f16.cuh, fattn-vec.cuh, mmq.cuh, August 2026).
//   AttentionTile t{.m = 128, .n = 64, .dim_k = 128, .dim_v = 128};
//   attention_kernel(t).shared_bytes == 65536
// Tiles in rows of queries (m) and of keys (n), head sizes in values, element sizes in bytes.
#pragma once

#include "analysis/tile_kernel.h"

namespace bandwall {

enum class AttentionFamily {
  Flash,          // FlashAttention forward, also Triton kernels that stage Q, K and V
  FlashBackward,  // Q and dO streamed in stages, K and V resident
  FlashInfer,     // FlashInfer's probe: Q and one K and one V tile, KV of its own width
  FlashInferMla,  // latent attention: one key that is also the value
  LlamaMma,       // llama.cpp's tensor-core kernel: m = ncols1, n = ncols2
  LlamaVec,       // llama.cpp's vector kernel: m = columns, n not used
};
std::string_view name(AttentionFamily family);
std::optional<AttentionFamily> attention_family_from_name(std::string_view name);
std::vector<std::string> attention_family_names();

struct AttentionTile {
  AttentionFamily family = AttentionFamily::Flash;
  std::int64_t m = 0, n = 0, dim_k = 0, dim_v = 0;
  int stages = 1;  // of K and V (backward: of Q and dO)
  double element_bytes = 2, kv_bytes = 2;
  bool q_in_registers = false;                       // Q shares its buffer with V
  enum class Kv { Both, Key, Value } kv = Kv::Both;  // what a stage holds; Key: it is V too
};

// Throws Error (Input) for sizes out of range and for head sizes that llama.cpp has no table row
// for.
TileKernel attention_kernel(const AttentionTile& tile);
int largest_stage_count(const AttentionTile& tile, std::int64_t capacity);  // 0: none fits

// llama.cpp's matrix product on quantized weights: I rows of weights times J columns, by ggml type
// ("q4_k"; "nvfp4_generic": NVFP4 without FP4 instructions). Throws Error (Input) for unknown
// types.
TileKernel mmq_kernel(std::string_view type, std::int64_t i, std::int64_t j, std::int64_t threads);
std::vector<std::string> mmq_type_names();

}  // namespace bandwall
