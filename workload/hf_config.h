// Hyper-parameters from config.json of Hugging Face: one row per model_type (table in
// hf_config.cpp), which names the architecture and what differs from the common keys.
//   HfConfig c = read_hf_config(json, "config.json");   c.row->architecture == "minimax-m2"
// Throws Error (Input) with all problems: unknown model_type (with the known ones), a model_type
// whose shape Hyper cannot express (with the reason), missing keys, keys that contradict each
// other.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "workload/architectures.h"
#include "workload/hf_names.h"
#include "workload/json_text.h"

namespace bandwall {

struct HfRow {
  std::string_view model_type;
  std::string_view architecture = {};  // GGUF spelling; empty: not expressible, see why
  HfNames names = {};
  bool expert_ffn_is_ffn = false;     // intermediate_size is the width of an expert
  bool tied = false;                  // tie_word_embeddings unless the file says otherwise
  std::int64_t shared_of = 0;         // shared width is this many expert widths; 0: as stated
  Format router_bias = Format::BF16;  // as checkpoints store the selection bias
  // What the class of this model_type has where the file is silent; 0: the key must be there.
  struct Defaults {
    std::int64_t heads = 0, kv_heads = 0, head_dim = 0, vocab = 0, context = 0;
  };
  Defaults defaults = {};
  std::string_view why = {};
};

struct HfConfig {
  const HfRow* row = nullptr;
  const Architecture* architecture = nullptr;
  Hyper hyper;
  bool attention_bias = false;
  bool other_parts = false;     // a vision tower or the like
  Format dtype = Format::BF16;  // of what is not quantized
  std::string model_type;
};

HfConfig read_hf_config(const nlohmann::json& config, const std::string& file);
std::vector<std::string> known_model_types();

}  // namespace bandwall
