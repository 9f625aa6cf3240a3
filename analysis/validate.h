// Predictions beside measurements, row by row: each is predicted as its tool measured it.
//   RowResult r = check_row({&m, &gb10, &cuda, &model, kv, 2048});   r.error ==
//   predicted/measured-1
// Decode: the mean over positions depth .. depth + n. Requests that arrive together (staggered
// tools): those read first decode while the prompts of the others are read, so the window holds
// B - 1 prompts besides the steps. End-to-end: a short prompt is read inside the time. Rows that
// divide N tokens by N - 1 intervals are corrected by (N - 1) / N first.
// Baselines, tokens per second:
//   naive       decode: B x peak bandwidth / bytes of weights; prefill: peak rate / (2 x values)
//   naive_kv    decode: the bytes of the cache added
//   constant    0.55 x peak bandwidth / (file size x active share): llmfit's formula, one stream
#pragma once

#include <string>
#include <vector>

#include "analysis/predict.h"
#include "workload/measurement.h"
#include "workload/validation_rules.h"

namespace bandwall {

enum class Regime { Decode, Depth, BatchedDecode, Prefill };
std::string_view name(Regime regime);
inline constexpr std::int64_t kDepthFrom = 2048;  // deeper rows are of the regime Depth

// What rows that do not say so are taken for.
inline constexpr std::int64_t kUnstatedTokens = 128;  // llama-bench's tg128
inline constexpr std::int64_t kShortPrompt = 64;      // "a short prompt": a sentence or two

struct RowInputs {
  const Measurement* row = nullptr;
  const Machine* machine = nullptr;
  const Backend* backend = nullptr;  // backend_for(..., *machine)
  const ModelSpec* model = nullptr;
  KvConfig kv;
  std::int64_t n_ubatch = 512;  // where the row states none
};

struct RowResult {
  double measured = 0;  // as corrected
  double predicted = 0, low = 0, high = 0;
  double speed_of_light = 0;                     // of the step or prompt: every ceiling reached
  double naive = 0, naive_kv = 0, constant = 0;  // 0: no such figure
  double error = 0;                              // predicted / measured - 1
  bool inside = false;                           // measured in [low, high]
  bool faster_than_light =
      false;  // one stream beyond peak bandwidth over what the row says it reads
  Regime regime = Regime::Decode;
  Bound bound = Bound::WeightBandwidth;
  Basis basis = Basis::DatasheetOnly;
  bool known_limit = false;        // the backend lists the case among those it misses
  std::vector<std::string> notes;  // of the prediction
};

// Throws Error (Input) where a needed length is not stated (that of a prompt).
RowResult check_row(const RowInputs& in);

Regime regime_of(const Measurement& m);
std::string attention_kind(const Hyper& hyper);  // plain, window, latent, hybrid
RowAttributes attributes_of(const RowInputs& in, const RowResult& result,
                            const std::string& model_name);

// Of the rows with these places.
struct ErrorSummary {
  std::size_t n = 0, worst_row = 0;
  double median = 0, p90 = 0, worst = 0;         // absolute errors
  double bias = 0;                               // median of the signed errors
  double naive = 0, naive_kv = 0, constant = 0;  // median absolute errors of those that have one
  double coverage = 0;                           // share inside the band
  // 1 - error / error of the better naive baseline, by medians; 0 without one.
  double skill = 0;
};
ErrorSummary summarize(const std::vector<RowResult>& rows, const std::vector<std::size_t>& which);

// Which class each row counts for: index of a failing class, else of a bar, else none.
struct RowClass {
  int failing = -1, bar = -1;
};
RowClass classify(const RowAttributes& row, const ValidationRules& rules);

bool meets(const ErrorSummary& s, const Bar& bar);

}  // namespace bandwall
