// Measured speeds from CSV files: the shipped ones (configs/measurements/) and the user's own.
//   MeasurementFile f = load_measurements("gb10-llama.cpp");   f.rows, f.skipped
// Columns, in any order: device, engine, backend, model, model_file_gib, quant, phase (pp or tg),
// n_tokens, depth, batch, ubatch, kv_type ("f16" or "q8_0/q4_0"), flash_attn (0 or 1), tok_s,
// source. A blank cell is "not stated"; device, engine, model, phase and tok_s must be stated.
// A row that cannot be read is skipped with line and reason, never guessed. Quoted fields may hold
// commas and doubled quotes, not line ends.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "configs/library.h"
#include "workload/measurement.h"

namespace bandwall {

struct SkippedRow {
  int line = 0;
  std::string reason;  // "tok_s: \"-3\" is no number above 0 and up to 1e9"
};

struct MeasurementFile {
  std::string name;
  std::vector<Measurement> rows;
  std::vector<SkippedRow> skipped;
  std::vector<std::string> notes;  // unknown columns, each once
};

// Throws Error (Input): no such file or shipped name, more than 64 MB, no heading with the columns
// that must be there, a column twice.
MeasurementFile load_measurements(std::string_view name_or_path);
MeasurementFile parse_measurements(std::string_view text, std::string file_name);

std::vector<std::string> measurement_names();
const std::vector<ConfigText>& shipped_measurements();

// parse_measurements(write_measurements(rows)) gives the same rows; their lines count from 2.
std::string write_measurements(const std::vector<Measurement>& rows);

}  // namespace bandwall
