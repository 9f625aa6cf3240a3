// Any text as machine, backend, model and profile file: it loads, or it is refused as input. What
// loads must survive writing and reading back.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "configs/library.h"
#include "hwmodel/error.h"

namespace {

// An Error that is not the input's fault is a finding.
template <class Act>
void refuse_or_accept(Act act) {
  try {
    act();
  } catch (const bandwall::Error& error) {
    if (error.kind() != bandwall::Error::Kind::Input) std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  refuse_or_accept([&] {
    const bandwall::Machine m = bandwall::parse_machine(text, "m.yaml");
    if (bandwall::parse_machine(bandwall::write_machine(m), "again") != m) std::abort();
  });
  refuse_or_accept([&] {
    const bandwall::Backend b = bandwall::parse_backend(text, "b.yaml");
    if (bandwall::parse_backend(bandwall::write_backend(b), "again") != b) std::abort();
  });
  refuse_or_accept([&] {
    const bandwall::ModelShape s = bandwall::parse_model_shape(text, "s.yaml");
    bandwall::model_from_shape(s, s.default_mix);
  });
  refuse_or_accept([&] { bandwall::parse_profile_file(text, "p.yaml"); });
  return 0;
}
