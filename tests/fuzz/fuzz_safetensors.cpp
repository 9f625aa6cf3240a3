// Any bytes: parse_safetensors either gives tensors that lie inside the file, follow each other and
// fill it, or throws Error; an index is read from the same bytes.
#include <cstdint>
#include <span>

#include "hwmodel/error.h"
#include "workload/hf_model.h"
#include "workload/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace bandwall;
  const auto bytes = std::as_bytes(std::span(data, size));
  // The header may claim a file much longer than what was read, as a real one is.
  for (const std::int64_t more : {std::int64_t{0}, std::int64_t{1} << 40}) {
    const std::int64_t file = static_cast<std::int64_t>(size) + more;
    try {
      if (safetensors_header_bytes(bytes, file, "fuzz") > static_cast<std::int64_t>(size)) continue;
      const SafetensorsHeader h = parse_safetensors(bytes, file, "fuzz");
      std::int64_t at = 0;
      for (const StoredTensor& t : h.tensors) {
        if (t.begin != at || t.bytes < 0 || t.values() < 0) __builtin_trap();
        at += t.bytes;
      }
      if (h.header_bytes + at != file) __builtin_trap();
    } catch (const Error&) {
    }
  }
  try {
    parse_safetensors_index({reinterpret_cast<const char*>(data), size}, "fuzz");
  } catch (const Error&) {
  }
  return 0;
}
