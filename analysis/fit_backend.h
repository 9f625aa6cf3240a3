// Fits the few figures of a backend to measured rows, as factors on those of a starting backend.
//   BackendFit f = fit_backend(gb10, start, rows);   f.backend, f.in_sample.median, f.left_out
// The time of a step is a sum in which each group of figures has a share, so with factors x >= 0
//   T(row) = rest + sum_j share_j x_j,   share_j = what the price says at the start
// and the factors are the non-negative least squares of T(row) / measured = 1 (relative errors),
// repeated from the new backend until shares that bend (roofs) have settled.
// A factor is kept at 1, "not identified", when its bootstrap interval (5 to 95 %, over models from
// three on, else over rows) is wider than 30 %, or it is correlated by more than 0.95 with another.
// Pure and deterministic: no I/O, no clock, no chance but a fixed sequence.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "hwmodel/machine.h"
#include "workload/plan.h"

namespace bandwall {

// What one factor stands for: all weight streams, all KV streams and element rates, op_seconds with
// layer_seconds and step_seconds, batch_op_seconds, all gemm rates, the attention rate.
enum class Fitted { Weights, Kv, FixedCosts, BatchCosts, Gemm, Attention };
inline constexpr int kFitted = 6;
std::string_view name(Fitted what);  // "weight stream", ...

struct FitRow {
  std::string model_name;  // rows of one name are left out together
  const ModelSpec* model = nullptr;
  KvConfig kv;
  std::vector<Step> steps;  // what the measured time holds
  Seconds measured;
};

struct FittedFactor {
  Fitted what = Fitted::Weights;
  double factor = 1;         // on times: 1.1 is a rate 1/1.1 of the start
  double low = 1, high = 1;  // bootstrap interval
  bool identified = false;
  std::string why;  // not identified: the reason
};

struct FitErrors {  // of |predicted time / measured - 1|
  std::size_t n = 0;
  double median = 0, mean = 0, worst = 0;
};

struct BackendFit {
  Backend backend;  // calibrated on that machine; sources name the fit
  std::vector<FittedFactor> factors;
  FitErrors before, in_sample, left_out;  // left_out: each model by a fit to the others
  std::vector<double> errors;             // in-sample, signed, by row
  std::size_t models = 0;
};

// Throws Error (Input): no rows, or fewer rows than twice the figures they could tell of (shares of
// 2 % or more in some row), as a fit to them would be over-parameterised.
BackendFit fit_backend(const Machine& machine, const Backend& start, std::span<const FitRow> rows);

}  // namespace bandwall
