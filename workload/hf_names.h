// Module names of Hugging Face checkpoints beside the tensor names of GGUF, which specs use.
//   for (const HfModule& m : hf_modules(names, h, tensors)) m.name == "layers.0.self_attn.q_proj"
// Names are relative to the prefix of the text model ("model.", "model.language_model.").
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "workload/model_spec.h"

namespace bandwall {

struct HfName {
  std::string_view part;    // of the GGUF name: "attn_q" in "blk.3.attn_q.weight"
  std::string_view module;  // "self_attn.q_proj"; # stands for the number of an expert
};
// Rows of a family come before the common ones. ".bias" of a part is that of the module.
struct HfNames {
  std::span<const HfName> rows;
  bool mtp_apart = false;  // "mtp.layers.0" instead of the next "layers.61"
};

// One matrix (or vector) of the checkpoint, or one of each expert, and the tensors it holds.
struct HfModule {
  std::string name;                 // "layers.0.mlp.experts.#.gate_proj", "layers.0.mlp.gate.bias"
  std::int64_t rows = 1, cols = 1;  // of one copy
  std::int64_t copies = 1;          // experts
  bool linear = false;              // may be quantized
  bool head = false;                // quantized only when it is named
  std::vector<std::size_t> tensors;
  std::int64_t values() const { return rows * cols * copies; }
};

// Every tensor is in exactly one module.
std::vector<HfModule> hf_modules(const HfNames& names, const Hyper& hyper,
                                 std::span<const TensorSpec> tensors);

// A stored name without prefix, number of expert and parameter: the module it belongs to.
struct HfParameter {
  std::string module;     // "layers.3.mlp.experts.#.down_proj"
  std::string parameter;  // "weight", "weight_scale_2", "bias" (then module ends in .bias)
};
HfParameter hf_parameter(std::string_view stored_name);

// Other names of a module, which some checkpoints give it: experts in one tensor or apart.
std::vector<std::string> hf_other_names(const std::string& module);

// Full spellings for patterns of quantization configs.
std::vector<std::string> hf_spellings(const std::string& module);

}  // namespace bandwall
