// Shapes of public models for tests that need one without reading data files (sources: the models'
// config.json). ModelShape s = minimax_m2();
#pragma once

#include <string>

#include "workload/model_spec.h"

namespace bandwall::testing {

inline ModelShape shape(std::string name, std::string architecture, Hyper h) {
  ModelShape s;
  s.name = std::move(name);
  s.architecture = std::move(architecture);
  s.hyper = std::move(h);
  return s;
}

inline ModelShape minimax_m2() {
  return shape("minimax-m2.5", "minimax-m2",
               {.layers = 62,
                .hidden = 3072,
                .vocab = 200064,
                .context_train = 196608,
                .heads = 48,
                .kv_heads = 8,
                .head_dim_k = 128,
                .head_dim_v = 128,
                .experts = 256,
                .experts_used = 8,
                .expert_ffn = 1536,
                .rope_dims = 64,
                .rope_base = 5e6});
}

inline ModelShape gpt_oss(std::int64_t layers, std::int64_t experts) {
  return shape("gpt-oss", "gpt-oss",
               {.layers = layers,
                .hidden = 2880,
                .vocab = 201088,
                .context_train = 131072,
                .heads = 64,
                .kv_heads = 8,
                .head_dim_k = 64,
                .head_dim_v = 64,
                .experts = experts,
                .experts_used = 4,
                .expert_ffn = 2880,
                .window = 128,
                .rope_dims = 64});
}

inline ModelShape qwen3_moe(std::int64_t layers, std::int64_t hidden, std::int64_t heads,
                            std::int64_t expert_ffn) {
  return shape("qwen3", "qwen3moe",
               {.layers = layers,
                .hidden = hidden,
                .vocab = 151936,
                .context_train = 40960,
                .heads = heads,
                .kv_heads = 4,
                .head_dim_k = 128,
                .head_dim_v = 128,
                .experts = 128,
                .experts_used = 8,
                .expert_ffn = expert_ffn,
                .rope_dims = 128});
}
inline ModelShape qwen3_30b() { return qwen3_moe(48, 2048, 32, 768); }
inline ModelShape qwen3_235b() { return qwen3_moe(94, 4096, 64, 1536); }

inline ModelShape llama_8b() {
  return shape("llama-3.1-8b", "llama",
               {.layers = 32,
                .hidden = 4096,
                .vocab = 128256,
                .context_train = 131072,
                .heads = 32,
                .kv_heads = 8,
                .head_dim_k = 128,
                .head_dim_v = 128,
                .ffn = 14336,
                .rope_dims = 128});
}

inline ModelShape llama_70b() {
  ModelShape s = llama_8b();
  s.hyper.layers = 80;
  s.hyper.hidden = 8192;
  s.hyper.heads = 64;
  s.hyper.ffn = 28672;
  return s;
}

inline ModelShape mixtral() {
  return shape("mixtral-8x7b", "llama",
               {.layers = 32,
                .hidden = 4096,
                .vocab = 32000,
                .context_train = 32768,
                .heads = 32,
                .kv_heads = 8,
                .head_dim_k = 128,
                .head_dim_v = 128,
                .experts = 8,
                .experts_used = 2,
                .expert_ffn = 14336,
                .rope_dims = 128});
}

inline ModelShape qwen3_8b() {
  return shape("qwen3-8b", "qwen3",
               {.layers = 36,
                .hidden = 4096,
                .vocab = 151936,
                .context_train = 40960,
                .heads = 32,
                .kv_heads = 8,
                .head_dim_k = 128,
                .head_dim_v = 128,
                .ffn = 12288,
                .rope_dims = 128});
}

// Letters at `attention` are *, the others alternate M and E, beginning with M.
inline std::string hybrid_pattern(int blocks, std::initializer_list<int> attention) {
  std::string pattern;
  char next = 'M';
  for (int i = 0; i < blocks; ++i) {
    bool attends = false;
    for (const int a : attention) attends = attends || a == i;
    pattern += attends ? '*' : next;
    if (!attends) next = next == 'M' ? 'E' : 'M';
  }
  return pattern;
}

inline ModelShape nemotron_super() {
  return shape("nemotron-3-super", "nemotron_h_moe",
               {.layers = 88,
                .hidden = 4096,
                .vocab = 131072,
                .context_train = 262144,
                .heads = 32,
                .kv_heads = 2,
                .head_dim_k = 128,
                .head_dim_v = 128,
                .experts = 512,
                .experts_used = 22,
                .expert_ffn = 2688,
                .shared_ffn = 5376,
                .pattern = hybrid_pattern(88, {7, 16, 25, 36, 47, 58, 69, 78}),
                .ssm_inner = 8192,
                .ssm_state = 128,
                .ssm_heads = 128,
                .ssm_groups = 8,
                .ssm_conv = 4,
                .expert_latent = 1024});
}

inline ModelShape nemotron_nano() {
  return shape("nemotron-3-nano", "nemotron_h_moe",
               {.layers = 52,
                .hidden = 2688,
                .vocab = 131072,
                .context_train = 262144,
                .heads = 32,
                .kv_heads = 2,
                .head_dim_k = 128,
                .head_dim_v = 128,
                .experts = 128,
                .experts_used = 6,
                .expert_ffn = 1856,
                .shared_ffn = 3712,
                .pattern = hybrid_pattern(52, {5, 12, 19, 26, 33, 42}),
                .ssm_inner = 4096,
                .ssm_state = 128,
                .ssm_heads = 64,
                .ssm_groups = 8,
                .ssm_conv = 4});
}

inline ModelShape qwen3_next() {
  return shape("qwen3-next", "qwen3next",
               {.layers = 48,
                .hidden = 2048,
                .vocab = 151936,
                .context_train = 262144,
                .heads = 16,
                .kv_heads = 2,
                .head_dim_k = 256,
                .head_dim_v = 256,
                .experts = 512,
                .experts_used = 10,
                .expert_ffn = 512,
                .shared_ffn = 512,
                .rope_dims = 64,
                .rope_base = 1e7,
                .attention_interval = 4,
                .ssm_inner = 4096,
                .ssm_state = 128,
                .ssm_heads = 32,
                .ssm_groups = 16,
                .ssm_conv = 4});
}

}  // namespace bandwall::testing
