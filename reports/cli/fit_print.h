// What `bandwall fit` prints: one configuration (text, markdown, JSON, CSV, llama.cpp's columns), a
// ranking of many, and a placement of several models.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "analysis/fit_remedies.h"
#include "analysis/fit_together.h"

namespace bandwall {

struct FitAnswer {
  std::string model;
  std::int64_t weight_bytes = 0;
  Machine machine;
  FitOptions options;
  FitReport fit;
  std::optional<double> decode_ts;
  std::vector<Remedy> remedies;
};
// form: "text", "md", "json", "csv"
std::string fit_answer(const FitAnswer& answer, const std::string& form);
// The columns of llama-fit-params --fit-print (ggml-org/llama.cpp PR 22171).
std::string fit_print_columns(const FitReport& fit, int devices);

struct RankRow {
  std::string model, mix, machine;
  std::int64_t weight_bytes = 0;
  Verdict verdict = Verdict::DoesNotFit;
  Bytes needed, usable, headroom;
  std::optional<double> decode_ts;
};
std::string rank_table(const std::vector<RankRow>& rows, const std::string& form);

std::string together_table(const Together& together, const std::vector<Resident>& residents,
                           const std::string& form);

std::string verdict_sentence(const FitReport& fit, const std::string& machine);

}  // namespace bandwall
