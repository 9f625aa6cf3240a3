#include "workload/hf_names.h"

#include <algorithm>
#include <unordered_map>

#include <fmt/format.h>

namespace bandwall {
namespace {

constexpr HfName kCommon[] = {
    {"token_embd", "embed_tokens"},
    {"output_norm", "norm"},
    {"output", "lm_head"},
    {"attn_norm", "input_layernorm"},
    {"attn_q", "self_attn.q_proj"},
    {"attn_k", "self_attn.k_proj"},
    {"attn_v", "self_attn.v_proj"},
    {"attn_output", "self_attn.o_proj"},
    {"attn_q_norm", "self_attn.q_norm"},
    {"attn_k_norm", "self_attn.k_norm"},
    {"attn_sinks", "self_attn.sinks"},
    {"attn_q_a", "self_attn.q_a_proj"},
    {"attn_q_a_norm", "self_attn.q_a_layernorm"},
    {"attn_q_b", "self_attn.q_b_proj"},
    {"attn_kv_a_mqa", "self_attn.kv_a_proj_with_mqa"},
    {"attn_kv_a_norm", "self_attn.kv_a_layernorm"},
    {"attn_k_b", "self_attn.kv_b_proj"},
    {"attn_v_b", "self_attn.kv_b_proj"},
    {"indexer.proj", "self_attn.indexer.weights_proj"},
    {"indexer.attn_k", "self_attn.indexer.wk"},
    {"indexer.attn_q_b", "self_attn.indexer.wq_b"},
    {"indexer.k_norm", "self_attn.indexer.k_norm"},
    {"ffn_norm", "post_attention_layernorm"},
    {"post_attention_norm", "post_attention_layernorm"},
    {"ffn_gate", "mlp.gate_proj"},
    {"ffn_up", "mlp.up_proj"},
    {"ffn_down", "mlp.down_proj"},
    {"ffn_gate_inp", "mlp.gate"},
    {"exp_probs_b.bias", "mlp.gate.e_score_correction_bias"},
    {"ffn_gate_exps", "mlp.experts.#.gate_proj"},
    {"ffn_up_exps", "mlp.experts.#.up_proj"},
    {"ffn_down_exps", "mlp.experts.#.down_proj"},
    {"ffn_gate_shexp", "mlp.shared_experts.gate_proj"},
    {"ffn_up_shexp", "mlp.shared_experts.up_proj"},
    {"ffn_down_shexp", "mlp.shared_experts.down_proj"},
    {"ffn_gate_inp_shexp", "mlp.shared_expert_gate"},
    {"nextn.eh_proj", "eh_proj"},
    {"nextn.embed_tokens", "embed_tokens"},
    {"nextn.shared_head_head", "shared_head.head"},
    {"nextn.shared_head_norm", "shared_head.norm"},
    {"nextn.enorm", "enorm"},
    {"nextn.hnorm", "hnorm"},
};

// Tensors of MTP blocks that checkpoints keep beside the blocks.
constexpr HfName kMtpApart[] = {
    {"nextn.eh_proj", "mtp.fc"},
    {"nextn.shared_head_norm", "mtp.norm"},
    {"nextn.enorm", "mtp.pre_fc_norm_embedding"},
    {"nextn.hnorm", "mtp.pre_fc_norm_hidden"},
};

constexpr std::string_view kPrefixes[] = {"model.language_model.", "language_model.model.",
                                          "language_model.", "backbone.", "model."};

// Longer ones before those they end in.
constexpr std::string_view kParameters[] = {"weight_scale_inv",
                                            "weight_scale_2",
                                            "weight_global_scale",
                                            "input_global_scale",
                                            "weight_zero_point",
                                            "weight_g_idx",
                                            "weight_packed",
                                            "weight_shape",
                                            "weight_scale",
                                            "input_scale",
                                            "pre_quant_scale",
                                            "qweight",
                                            "qzeros",
                                            "g_idx",
                                            "k_scale",
                                            "v_scale",
                                            "scales",
                                            "blocks",
                                            "weight"};

const HfName* find(std::span<const HfName> rows, std::string_view part) {
  const auto it =
      std::find_if(rows.begin(), rows.end(), [&](const HfName& row) { return row.part == part; });
  return it == rows.end() ? nullptr : &*it;
}

// "blk.3.attn_q.weight" -> "attn_q"; full when the ending is part of the name.
std::string_view part_of(const TensorSpec& t, std::string_view ending) {
  std::string_view name = t.name;
  if (t.layer >= 0) name.remove_prefix(name.find('.', 4) + 1);
  if (name.ends_with(ending)) name.remove_suffix(ending.size());
  return name;
}

std::string module_name(const HfNames& names, const Hyper& h, const TensorSpec& t) {
  const HfName* row = find(names.rows, part_of(t, ""));
  if (row == nullptr) row = find(kCommon, part_of(t, ""));
  std::string_view suffix;
  if (row == nullptr) {
    suffix = t.name.ends_with(".bias") ? ".bias" : "";
    const std::string_view part = part_of(t, suffix.empty() ? ".weight" : ".bias");
    if (names.mtp_apart && t.layer >= h.layers) {
      if (const HfName* apart = find(kMtpApart, part)) return std::string(apart->module);
    }
    row = find(names.rows, part);
    if (row == nullptr) row = find(kCommon, part);
    if (row == nullptr) return t.name;  // no checkpoint has it under another name
  }
  if (t.layer < 0) return fmt::format("{}{}", row->module, suffix);
  if (names.mtp_apart && t.layer >= h.layers) {
    return fmt::format("mtp.layers.{}.{}{}", t.layer - h.layers, row->module, suffix);
  }
  return fmt::format("layers.{}.{}{}", t.layer, row->module, suffix);
}

bool is_linear(const TensorSpec& t) {
  return t.n_dims >= 2 && !t.is_bias && t.name.ends_with(".weight") && t.role != Role::Router &&
         t.role != Role::TokenEmbedding && t.role != Role::SsmConv && t.role != Role::SsmNorm &&
         t.name.find("nextn.") == std::string::npos;
}

// Rows and row length in the checkpoint; experts are copies.
void set_shape(const TensorSpec& t, HfModule& m) {
  std::int64_t rows = t.dims[1], cols = t.dims[0], copies = t.dims[2];
  if (t.name.ends_with("attn_k_b.weight")) {  // per head, and turned
    rows = t.dims[0] * t.dims[2];
    cols = t.dims[1];
    copies = 1;
  } else if (t.name.ends_with("attn_v_b.weight")) {
    rows = t.dims[1] * t.dims[2];
    copies = 1;
  }
  m.cols = cols;
  m.copies = copies;
  m.rows = (m.tensors.size() > 1 ? m.rows : 0) + rows;
}

}  // namespace

std::vector<HfModule> hf_modules(const HfNames& names, const Hyper& h,
                                 std::span<const TensorSpec> tensors) {
  std::vector<HfModule> modules;
  std::unordered_map<std::string, std::size_t> index;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    std::string name = module_name(names, h, tensors[i]);
    const auto [it, fresh] = index.emplace(name, modules.size());
    if (fresh) {
      modules.emplace_back();
      modules.back().name = std::move(name);
    }
    HfModule& m = modules[it->second];
    m.tensors.push_back(i);
    m.linear = is_linear(tensors[i]);
    m.head = tensors[i].role == Role::OutputHead;
    set_shape(tensors[i], m);
  }
  return modules;
}

HfParameter hf_parameter(std::string_view stored) {
  for (const std::string_view prefix : kPrefixes) {
    if (!stored.starts_with(prefix)) continue;
    stored.remove_prefix(prefix.size());
    break;
  }
  HfParameter p{std::string(stored), ""};
  const std::size_t expert = p.module.find("experts.");
  if (expert != std::string::npos) {
    const std::size_t first = expert + 8;
    std::size_t end = first;
    while (end < p.module.size() && p.module[end] >= '0' && p.module[end] <= '9') ++end;
    if (end > first) p.module.replace(first, end - first, "#");
  }
  for (const std::string_view parameter : kParameters) {
    if (!p.module.ends_with(parameter) || p.module.size() <= parameter.size()) continue;
    const std::size_t at = p.module.size() - parameter.size() - 1;
    if (p.module[at] != '.' && p.module[at] != '_') continue;
    p.module.resize(at);
    p.parameter = parameter;
    return p;
  }
  // Experts in one tensor have their bias beside it: gate_up_proj_bias.
  if (p.module.ends_with("_proj_bias")) p.module[p.module.size() - 5] = '.';
  if (p.module.ends_with(".bias")) p.parameter = "bias";
  return p;
}

std::vector<std::string> hf_other_names(const std::string& module) {
  std::vector<std::string> names;
  const auto replaced = [&](std::string_view from, std::string_view to) {
    const std::size_t at = module.find(from);
    if (at == std::string::npos) return;
    std::string name = module;
    names.push_back(name.replace(at, from.size(), to));
  };
  replaced("experts.#.gate_proj", "experts.gate_up_proj");
  replaced("experts.#.up_proj", "experts.gate_up_proj");
  replaced("experts.#.down_proj", "experts.down_proj");
  replaced("experts.gate_up_proj", "experts.#.gate_proj");
  replaced("experts.gate_up_proj", "experts.#.up_proj");
  replaced("experts.gate_up_proj", "experts.#.gate_up_proj");
  replaced("experts.down_proj", "experts.#.down_proj");
  return names;
}

std::vector<std::string> hf_spellings(const std::string& module) {
  std::vector<std::string> all{module};
  for (const std::string_view prefix : kPrefixes)
    all.push_back(fmt::format("{}{}", prefix, module));
  return all;
}

}  // namespace bandwall
