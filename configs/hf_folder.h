// Files of a Hugging Face checkpoint on disk: texts of its configs and headers of its shards.
//   HfFiles f = read_hf_folder("models/MiniMax-M2.5-NVFP4");  // or one config.json
// Of safetensors files only the headers are read. Throws Error (Input): no config.json (with what
// is there), unreadable files, missing shards (all of them), tensors that the index promises and
// the shards lack.
#pragma once

#include <string>

#include "workload/hf_model.h"

namespace bandwall {

// `path` is a folder, a .safetensors file in one (read with it), or a single config (*.json), which
// is read with the hf_quant_config.json beside it.
HfFiles read_hf_folder(const std::string& path);

}  // namespace bandwall
