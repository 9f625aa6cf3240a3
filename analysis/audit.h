// Judges figures that somebody stated: what computation gives, and how far the claim is from it.
//   Judgement j = audit(claim, {.machine = &gb10, .backend = &cuda, .model = &minimax});
//   j.verdict == ClaimVerdict::Mislabelled; j.arithmetic  // one step per line, with its numbers
// Impossible: above what peak bandwidth or peak compute allow. Mislabelled: off, but another
// format, unit or figure gives it. Implausible: possible, yet outside the band of the prediction.
// The band of speeds is the predictor's; other kinds have the tolerances below, a claim may set its
// own.
#pragma once

#include <string>
#include <vector>

#include "hwmodel/machine.h"
#include "workload/claim.h"
#include "workload/model_spec.h"

namespace bandwall {

enum class ClaimVerdict { Consistent, Implausible, Mislabelled, Impossible };
std::string_view name(ClaimVerdict verdict);

inline constexpr double kBytesTolerance = 0.03;  // also of limits and roofs
inline constexpr double kLabelTolerance = 0.02;  // how well another reading must match
inline constexpr double kCostTolerance = 0.25;   // prices move
inline constexpr double kPowerTolerance = 0.25;  // supply and board over the package
inline constexpr double kPowerRatioFactor = 1.5;
inline constexpr double kLoadFactor = 3;  // over the time the link alone needs

struct AuditInputs {  // what the claim names, looked up; null: the claim names none
  const Machine* machine = nullptr;
  const Machine* against = nullptr;
  const Backend* backend = nullptr;
  const ModelSpec* model = nullptr;
  std::vector<ModelSpec> others;  // the same model in other formats, to find a wrong label
};

struct Judgement {
  ClaimVerdict verdict = ClaimVerdict::Consistent;
  std::string computed;  // "139.86 GB (130.26 GiB)"
  std::vector<std::string> arithmetic;
};

// Throws Error (Input) when the machine lacks the figure that the claim is about.
Judgement audit(const Claim& claim, const AuditInputs& inputs);

}  // namespace bandwall
