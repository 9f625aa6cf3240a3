// What would move the wall: machines and backends with a figure changed, and how much each figure
// counts. Pure.
//   set_memory_bandwidth(m, b, BytesPerSecond(546e9));       // the streams follow the memory
//   elasticities(m, b, [&](auto& m, auto& b) { return step_time(m, b); });
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "hwmodel/machine.h"

namespace bandwall {

// The first pool's peak becomes `peak`; what a plain read reaches, the streams of weights and KV,
// and curves beyond the last cache keep their share of it.
void set_memory_bandwidth(Machine& machine, Backend& backend, BytesPerSecond peak);
// Peaks, reached rates of matrix products and attention, and unpacking, times `factor`.
void scale_compute(Machine& machine, Backend& backend, double factor);
// Fixed seconds per op, layer and step, times `factor`.
void scale_overhead(Machine& machine, Backend& backend, double factor);

// d ln(speed) / d ln(figure): +0.7 means that 10 % more of a rate gives 7 % more speed; seconds of
// fixed costs count negative. In a serial sum an elasticity is the share of the time that the
// figure stands for, so their absolute values sum to 1 as long as no op is held by the speed of
// light (Amdahl 1967). By central differences of `time`, which is called twice per figure that the
// machine and the backend have; figures below 0.0005 are left out; the largest first.
struct Elasticity {
  std::string figure;  // as --set names it: "stream.MXFP4", "layer_seconds", "memory.achievable"
  double value = 0;
};
using StepTime = std::function<Seconds(const Machine&, const Backend&)>;
std::vector<Elasticity> elasticities(const Machine& machine, const Backend& backend,
                                     const StepTime& time);

}  // namespace bandwall
