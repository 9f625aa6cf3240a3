// What the block functions of the architecture table share. Included by architectures*.cpp only.
//   add(list, layer, "attn_norm.weight", Role::AttnNorm, {h.hidden});
#pragma once

#include <initializer_list>
#include <string_view>
#include <vector>

#include "workload/architectures.h"

namespace bandwall::architectures {

using List = std::vector<ExpectedTensor>;
using Dims = std::initializer_list<std::int64_t>;

// A tensor of block `layer` (-1: outside the blocks); Need::Never adds nothing.
void add(List& list, int layer, std::string_view name, Role role, Dims dims,
         Need need = Need::Always);
void add_attention(const Architecture& a, const Hyper& h, int layer, List& list);
void add_experts(const Architecture& a, const Hyper& h, int layer, List& list);
void add_shared_expert(const Hyper& h, int layer, List& list);
void add_dense_ffn(const Hyper& h, int layer, List& list);

// nemotron_h_moe: one mixer per block, by the letter of the pattern.
void mixer_block(const Architecture& a, const Hyper& h, int layer, List& list);
// qwen3next: gated delta net or gated attention, then experts.
void delta_block(const Architecture& a, const Hyper& h, int layer, List& list);
// lfm2: short convolution or attention, then dense feed-forward or experts.
void convolution_block(const Architecture& a, const Hyper& h, int layer, List& list);
// gemma4: heads by kind of layer, experts beside the dense part, a second table of embeddings.
void gemma4_block(const Architecture& a, const Hyper& h, int layer, List& list);
void gemma4_tables(const Architecture& a, const Hyper& h, List& list);
// deepseek2: latent attention, then dense feed-forward or experts.
void latent_block(const Architecture& a, const Hyper& h, int layer, List& list);

}  // namespace bandwall::architectures
