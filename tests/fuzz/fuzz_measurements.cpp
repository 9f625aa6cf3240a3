// Any text as a file of measured rows: it is read, row by row, or refused as input. Rows that were
// read are within their ranges and survive writing and reading back.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "configs/measurements.h"
#include "hwmodel/error.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  try {
    bandwall::MeasurementFile f = bandwall::parse_measurements(text, "rows.csv");
    for (std::size_t i = 0; i < f.rows.size(); ++i) {
      bandwall::Measurement& m = f.rows[i];
      if (!(m.tok_s > 0 && m.tok_s <= 1e9) || m.batch < 1 || m.model.empty()) std::abort();
      m.line = static_cast<int>(i) + 2;
    }
    if (bandwall::parse_measurements(bandwall::write_measurements(f.rows), "again").rows !=
        f.rows) {
      std::abort();
    }
  } catch (const bandwall::Error& error) {
    if (error.kind() != bandwall::Error::Kind::Input) std::abort();
  }
  return 0;
}
