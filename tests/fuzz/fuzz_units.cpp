// Any text as a quantity: it is read, or it is refused as input. What is read must be finite, not
// negative, and equal after writing and reading back.
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "hwmodel/error.h"
#include "hwmodel/units.h"

namespace {

template <class Q>
void check(std::string_view text) {
  try {
    const Q q = bandwall::parse_quantity<Q>(text);
    if (!std::isfinite(q.value()) || q.value() < 0) std::abort();
    if (bandwall::parse_quantity<Q>(bandwall::to_text(q)) != q) std::abort();
  } catch (const bandwall::Error& error) {
    if (error.kind() != bandwall::Error::Kind::Input) std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  check<bandwall::Bytes>(text);
  check<bandwall::BytesPerSecond>(text);
  check<bandwall::FlopsPerSecond>(text);
  check<bandwall::Seconds>(text);
  check<bandwall::ElementsPerSecond>(text);
  check<bandwall::Hertz>(text);
  check<bandwall::Watts>(text);
  return 0;
}
