// The report of one run: prediction beside measurement, per op kind, as text, markdown or JSON.
// Pure rendering of a RunResult; the last text line sums the run up in one line.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "analysis/compare.h"
#include "analysis/fit.h"
#include "analysis/predict.h"

namespace bandwall {

// One phase (prefill or decode): what was predicted before, what was measured.
struct Phase {
  std::string name;  // "prefill", "decode"
  std::int64_t tokens = 0, steps = 0;
  Ledger predicted, measured;  // predicted: written before the run, expected routing
  Comparison comparison;       // predicted vs measured; bytes after replaying the routing
  std::map<OpKind, Bound> bounds;
  Seconds speed_of_light;
  BytesPerSecond ceiling;  // measured read bandwidth at this phase's working set
  double ts_predicted() const;
  double ts_measured() const;
  double ts_speed_of_light() const;
  BytesPerSecond achieved() const;  // bytes from memory / wall
};

// The same run on another machine, by prediction.
struct ElsewhereRow {
  std::string machine, backend;
  Throughput prefill, decode;
  FitReport fit;
};

struct RunResult {
  std::string model, quantization, profile_note;
  std::string prompt, text;
  std::int64_t file_bytes = 0, n_prompt = 0, n_gen = 0, context = 0;
  int threads = 0;
  std::string isa, k_type, v_type;
  std::vector<Phase> phases;
  std::vector<ElsewhereRow> elsewhere;
  bool bytes_equal = false;  // metered == predicted after replay, every op
  Basis basis = Basis::MeasuredHere;
  std::uint64_t seed = 0, logits_hash = 0;
  std::vector<std::string> notes;
};

// Predicted and metered bytes must agree exactly. Otherwise throws Error (Running) that names the
// first op that differs: the report has been printed, but its bytes are not to be trusted.
void require_equal_bytes(const RunResult& run);

std::string prediction_line(const RunResult& run);  // before the first timed token
std::string run_text(const RunResult& run);         // tables and the last line
std::string run_markdown(const RunResult& run);
std::string run_json(const RunResult& run);         // one object, indented
std::string run_json_line(const RunResult& run);    // the same on one line
std::string prediction_json(const RunResult& run);  // what --predicted saves

}  // namespace bandwall
