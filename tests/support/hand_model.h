// Small models written by hand for tests: shapes and formats in the open, no file.
//   ModelSpec m = hand_model({.layers = 4, .hidden = 256}, Format::Q4_K);
#pragma once

#include <string>

#include "workload/model_spec.h"

namespace bandwall::testing_support {

struct HandShape {
  std::int64_t layers = 4, hidden = 512, vocab = 1024, heads = 8, kv_heads = 2, head_dim = 64;
  std::int64_t ffn = 1024;  // dense width; 0 with experts
  std::int64_t experts = 0, experts_used = 0, expert_ffn = 0;
  std::int64_t window = 0;
  bool alternates = false;
  std::int64_t context = 32768;
};

inline void add_tensor(ModelSpec& m, std::string name, Role role, int layer, Format format,
                       std::int64_t cols, std::int64_t rows = 1, std::int64_t experts = 1) {
  TensorSpec t;
  t.name = std::move(name);
  t.role = role;
  t.layer = layer;
  t.format = format;
  t.n_dims = experts > 1 ? 3 : rows > 1 ? 2 : 1;
  t.dims[0] = cols;
  t.dims[1] = rows;
  t.dims[2] = experts;
  t.bytes = row_bytes(format, cols) * rows * experts;
  m.tensors.push_back(std::move(t));
}

inline ModelSpec hand_model(const HandShape& s, Format format = Format::Q8_0) {
  ModelSpec m;
  m.name = "hand";
  m.architecture = s.experts > 0 ? "qwen3moe" : "llama";
  Hyper& h = m.hyper;
  h.layers = s.layers;
  h.hidden = s.hidden;
  h.vocab = s.vocab;
  h.context_train = s.context;
  h.heads = s.heads;
  h.kv_heads = s.kv_heads;
  h.head_dim_k = h.head_dim_v = h.rope_dims = s.head_dim;
  h.ffn = s.experts > 0 ? 0 : s.ffn;
  h.experts = s.experts;
  h.experts_used = s.experts_used;
  h.expert_ffn = s.expert_ffn;
  h.window = s.window;
  h.window_period = s.alternates ? 2 : 0;
  h.router = s.experts > 0 ? RouterKind::SoftmaxAll : RouterKind::None;
  add_tensor(m, "token_embd.weight", Role::TokenEmbedding, -1, format, s.hidden, s.vocab);
  for (int l = 0; l < s.layers; ++l) {
    const std::string b = "blk." + std::to_string(l) + ".";
    add_tensor(m, b + "attn_norm.weight", Role::AttnNorm, l, Format::F32, s.hidden);
    add_tensor(m, b + "attn_q.weight", Role::AttnQ, l, format, s.hidden, h.q_width());
    add_tensor(m, b + "attn_k.weight", Role::AttnK, l, format, s.hidden, h.k_width());
    add_tensor(m, b + "attn_v.weight", Role::AttnV, l, format, s.hidden, h.v_width());
    add_tensor(m, b + "attn_output.weight", Role::AttnOut, l, format, h.q_width(), s.hidden);
    add_tensor(m, b + "ffn_norm.weight", Role::FfnNorm, l, Format::F32, s.hidden);
    if (s.experts > 0) {
      const auto e = s.experts;
      add_tensor(m, b + "ffn_gate_inp.weight", Role::Router, l, Format::F32, s.hidden, e);
      add_tensor(m, b + "ffn_gate_exps.weight", Role::ExpertGate, l, format, s.hidden, s.expert_ffn,
                 e);
      add_tensor(m, b + "ffn_up_exps.weight", Role::ExpertUp, l, format, s.hidden, s.expert_ffn, e);
      add_tensor(m, b + "ffn_down_exps.weight", Role::ExpertDown, l, format, s.expert_ffn, s.hidden,
                 e);
    } else {
      add_tensor(m, b + "ffn_gate.weight", Role::DenseGate, l, format, s.hidden, s.ffn);
      add_tensor(m, b + "ffn_up.weight", Role::DenseUp, l, format, s.hidden, s.ffn);
      add_tensor(m, b + "ffn_down.weight", Role::DenseDown, l, format, s.ffn, s.hidden);
    }
  }
  add_tensor(m, "output_norm.weight", Role::OutputNorm, -1, Format::F32, s.hidden);
  add_tensor(m, "output.weight", Role::OutputHead, -1, format, s.hidden, s.vocab);
  return m;
}

// A model whose weights are `bytes` and whose cache is that of MiniMax-M2: for footprints.
inline ModelSpec minimax_sized(std::int64_t bytes) {
  ModelSpec m;
  m.name = "minimax-sized";
  m.architecture = "minimax-m2";
  Hyper& h = m.hyper;
  h.layers = 62;
  h.hidden = 3072;
  h.vocab = 200064;
  h.context_train = 196608;
  h.heads = 48;
  h.kv_heads = 8;
  h.head_dim_k = h.head_dim_v = 128;
  h.experts = 256;
  h.experts_used = 8;
  h.expert_ffn = 1536;
  TensorSpec t;
  t.name = "everything";
  t.role = Role::ExpertUp;
  t.bytes = bytes;
  m.tensors.push_back(t);
  return m;
}

}  // namespace bandwall::testing_support
