// What probe found, as text, markdown, JSON (llama-bench's field names, and more) or the CSV of
// measurements that validate reads; and the likely reading of a row. Pure.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "analysis/predict.h"
#include "reports/probe_stats.h"

namespace bandwall {

struct ProbeSubject {
  std::string url, endpoint, server, model, test_time;  // server: "llama.cpp", "vLLM", "" unknown
  std::int64_t model_bytes = 0;                         // as the server says; 0 unknown
  std::string machine, backend, shape, quant, kv_type;  // of the prediction; empty without one
  std::string predicted_for;                            // one line of text
  std::int64_t n_ubatch = 0;
  std::vector<std::string> notes;
};

struct ProbeRow {
  bool prefill = false;
  std::int64_t n_tokens = 0, depth = 0, concurrency = 1;
  std::vector<double> samples;  // tokens per second of all streams; empty: not measurable
  ProbeMeasures measures;
  std::optional<Throughput> predicted;
  std::string test() const;  // "pp512 x4 @ d4096"
  double ts() const { return median(samples); }
};

// One sentence: as predicted, or the likeliest cause of what was measured.
std::string likely_reading(const ProbeRow& row);

std::string probe_text(const ProbeSubject& subject, const std::vector<ProbeRow>& rows,
                       bool markdown);
std::string probe_json(const ProbeSubject& subject, const std::vector<ProbeRow>& rows);
std::string probe_csv(const ProbeSubject& subject, const std::vector<ProbeRow>& rows);

}  // namespace bandwall
