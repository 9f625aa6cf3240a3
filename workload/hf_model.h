// A ModelSpec from the files of a Hugging Face checkpoint: config.json, the quantization config of
// ModelOpt, and the headers of its safetensors files where they are there.
//   HfFiles f = read_hf_folder("models/MiniMax-M2.5-NVFP4");      // configs/hf_folder.h does the
//   I/O ModelSpec m = model_from_hf(f);                               // tensors under their GGUF
//   names
// With headers the bytes are those stored; tensors of other parts (vision towers, blocks that a
// step does not run) are Role::Other under their own names. Without, they follow from the rules of
// the quantization config; single values per matrix (tensor scales) are not counted, as hubs count.
#pragma once

#include <string>
#include <vector>

#include "workload/model_spec.h"
#include "workload/safetensors.h"

namespace bandwall {

struct HfFiles {
  std::string name;                       // of the model: the folder's
  std::string config_name, config;        // path for messages, text
  std::string modelopt_name, modelopt;    // hf_quant_config.json; empty: none
  std::vector<SafetensorsHeader> shards;  // empty: none
};

// Throws Error (Input): all problems of the config, or all tensors that are missing from the
// headers or differ from what the config says.
ModelSpec model_from_hf(const HfFiles& files);

// Names of the shards that an index (model.safetensors.index.json) lists, in order.
struct SafetensorsIndex {
  std::vector<std::string> shards;
  std::vector<std::pair<std::string, std::size_t>> tensors;  // name, place in shards
};
SafetensorsIndex parse_safetensors_index(std::string_view text, const std::string& file_name);

}  // namespace bandwall
