// How a Hugging Face checkpoint stores each matrix, from its quantization_config (config.json) or
// hf_quant_config.json of ModelOpt. Layouts: huggingface/transformers quantizers (fp8, mxfp4),
// vllm-project/compressed-tensors, NVIDIA/Model-Optimizer, AutoAWQ, AutoGPTQ.
//   HfQuant q = read_hf_quant(config_json, hf_quant_json, "config.json");
//   Scheme s = q.scheme_of({"model.layers.0.mlp.gate_proj"});   scheme_bytes(s, rows, cols)
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "hwmodel/error.h"
#include "workload/format.h"
#include "workload/json_text.h"
#include "workload/name_patterns.h"

namespace bandwall {

struct Scheme {
  Format format = Format::BF16;
  // Values that share one scale: rows by cols of the matrix. 0 rows: one scale per matrix, which
  // checkpoints keep as a single value and hubs do not count (single_values).
  std::int64_t scale_rows = 0, scale_cols = 0;  // cols 0: the whole row
  std::int64_t scale_bytes = 0;
  std::int64_t bits = 0;           // of packed integers, in words of 32 bits
  bool zeros = false;              // packed zero point per scale
  bool packs_rows = false;         // words run over rows (AWQ), not over the row length
  bool group_index = false;        // int32 per column (GPTQ)
  std::int64_t shape_bytes = 0;    // the unpacked shape (compressed-tensors)
  std::int64_t single_values = 0;  // float32 values per matrix
};

// Exact stored bytes of a matrix without its single values.
std::int64_t scheme_bytes(const Scheme& scheme, std::int64_t rows, std::int64_t cols);

struct HfQuant {
  struct Group {
    Scheme scheme;
    NameSet targets;
    bool all = false;  // every linear module
  };
  std::string method;         // "NVFP4", "FP8 128x128", "" when nothing is quantized
  std::vector<Group> groups;  // the first that holds a module decides
  NameSet ignored;

  // The scheme of a linear module that has one of these names (its spellings); nullopt: as it is.
  // `head` modules are quantized only when a group names them.
  std::optional<Scheme> scheme_of(const std::vector<std::string>& spellings, bool head) const;
  std::set<std::int64_t> experts() const;  // named by number in patterns
};

// Reads both; they must agree when both are there. Problems name key and value.
HfQuant read_hf_quant(const nlohmann::json& config, const nlohmann::json* modelopt,
                      const std::string& file, std::vector<Diagnostic>& problems);

}  // namespace bandwall
