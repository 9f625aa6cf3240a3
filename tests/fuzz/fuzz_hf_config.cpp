// Any text as config.json, alone and with itself as hf_quant_config.json: model_from_hf gives a
// model whose tensors have bytes, or throws Error.
#include <cstdint>

#include "hwmodel/error.h"
#include "workload/hf_model.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace bandwall;
  HfFiles files;
  files.name = "fuzz";
  files.config_name = "config.json";
  files.modelopt_name = "hf_quant_config.json";
  files.config.assign(reinterpret_cast<const char*>(data), size);
  for (int twice = 0; twice < 2; ++twice) {
    try {
      const ModelSpec m = model_from_hf(files);
      std::int64_t sum = 0;
      for (const TensorSpec& t : m.tensors) {
        if (t.bytes <= 0 || t.bytes > std::int64_t{1} << 58) __builtin_trap();
        sum += t.bytes;
      }
      if (sum != m.weight_bytes() || m.parameters() <= 0) __builtin_trap();
    } catch (const Error&) {
    }
    files.modelopt = files.config;
  }
  return 0;
}
