// The arithmetic behind a prediction: ops of one kind and one price together, each with the amounts
// it was priced by and the seconds they cost. amount / seconds is the rate that was used.
//   for (const ExplainedOps& e : explain(machine, backend, model, kv, step, routing, 0)) ...
// The seconds of all groups and of the step's own host time sum to predict()'s step.
#pragma once

#include <string>
#include <vector>

#include "analysis/predict.h"
#include "analysis/pricing.h"

namespace bandwall {

struct ExplainedOps {
  OpKind kind;
  std::int64_t count = 0;                              // ops in this group
  std::vector<std::pair<std::string, Bytes>> weights;  // by format, bytes of all ops
  Traffic traffic;                                     // sums of all ops
  Flops flops;
  OpCost cost;       // sums; its parts are a serial sum
  Seconds expected;  // cost.total(), or the speed of light where that is longer
  Seconds speed_of_light;
};

std::vector<ExplainedOps> explain(const Machine& machine, const Backend& backend,
                                  const ModelSpec& model, const KvConfig& kv, const Step& step,
                                  const Routing& routing, int threads);

}  // namespace bandwall
