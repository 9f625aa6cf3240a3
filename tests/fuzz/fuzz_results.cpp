// Any text as results of another program: rows are read, or the text is refused as input. Rows that
// were read are within the ranges of a measurement.
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "hwmodel/error.h"
#include "reports/import_results.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  try {
    for (const bandwall::Measurement& m : bandwall::import_results(text, "file").file.rows) {
      const bool good = std::isfinite(m.tok_s) && m.tok_s > 0 && m.tok_s <= 1e12 && m.batch >= 1 &&
                        m.n_tokens.value_or(1) >= 1 && m.depth.value_or(0) >= 0 &&
                        m.ubatch.value_or(1) >= 1 && m.file_gib >= 0 &&
                        m.type_k.empty() == m.type_v.empty();
      if (!good) std::abort();
    }
  } catch (const bandwall::Error& error) {
    if (error.kind() != bandwall::Error::Kind::Input) std::abort();
  }
  return 0;
}
