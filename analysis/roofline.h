// Roofline points of a machine and of the ops of a plan: attainable = min(peak, intensity *
// bandwidth).
//   Roofline r = roofline(machine, plan_prediction);
// Intensity is flops per byte from memory (weights + KV + state), Williams et al. 2009.
#pragma once

#include <string>
#include <vector>

#include "analysis/predict.h"

namespace bandwall {

struct RooflineCeiling {
  std::string name;  // "bf16 107 TFLOP/s"
  FlopsPerSecond rate;
  FlopsPerByte ridge;  // rate / bandwidth
};
struct RooflinePoint {
  std::string name;  // "experts decode"
  FlopsPerByte intensity;
  FlopsPerSecond expected;  // flops / expected time
  FlopsPerSecond attainable;
  Bound bound;
};
struct Roofline {
  std::string machine;
  BytesPerSecond peak_bandwidth, achievable_bandwidth;
  std::vector<RooflineCeiling> ceilings;  // descending
  std::vector<RooflinePoint> points;
};

// One point per op kind of the prediction, plus the whole step.
Roofline roofline(const Machine& machine, const Prediction& prediction, const std::string& label);

}  // namespace bandwall
