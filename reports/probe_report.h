// What probe found, as text, markdown, JSON (llama-bench's field names, and more) or the CSV of
// measurements that validate reads; and the likely reading of a row. Pure.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "analysis/gap_causes.h"
#include "reports/probe_stats.h"

namespace bandwall {

struct ProbeSubject {
  std::string url, endpoint, server, model, test_time;  // server: "llama.cpp", "vLLM", "" unknown
  std::int64_t model_bytes = 0;                         // as the server says; 0 unknown
  std::string backend, shape;                           // of the prediction; empty without one
  std::string predicted_for;                            // one line of text
  std::vector<std::string> notes;
};

struct ProbeRow {
  Measurement row;              // tok_s: of all streams, median of the samples; 0: not measurable
  std::vector<double> samples;  // tokens per second
  ProbeMeasures measures;
  std::optional<RowResult> result;  // the prediction beside it
  std::vector<GapCause> causes;     // likely_causes of it
  bool prefill() const { return row.phase == MeasuredPhase::Prefill; }
};

// One sentence: what the tokens' own times show, else as predicted, or the likeliest cause.
std::string likely_reading(const ProbeRow& row);

std::string probe_text(const ProbeSubject& subject, const std::vector<ProbeRow>& rows,
                       bool markdown);
std::string probe_json(const ProbeSubject& subject, const std::vector<ProbeRow>& rows);
std::string probe_csv(const std::vector<ProbeRow>& rows);

}  // namespace bandwall
