// What would make it fit, and how fast that would be: the same configuration with one thing
// changed, each with bytes of its own, ranked: those that fit first, then by decode tokens per
// second, then by how little is given up.
//   for (const Remedy& r : remedies(machine, backend, model, &shape, options, fit(...))) ...
// Tried: the largest lower mixes, q8_0 and q4_0 caches, a shorter context, a smaller micro-batch,
// fewer slots, experts or layers in host memory, two and four machines. Pure: no I/O.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "analysis/fit.h"
#include "hwmodel/machine.h"

namespace bandwall {

struct Remedy {
  std::string what;                 // "mix IQ4_XS", "K and V cache in q8_0"
  std::string option;               // as one would type it: "-ctk q8_0 -ctv q8_0"
  FitReport fit;                    // without lines
  std::optional<double> decode_ts;  // tokens per second; nullopt: it does not fit, or not known
};

// shape: of a shipped model, so that its published mixes are tried too; nullptr: rules alone.
// now: the fit of these options. At most three mixes and one of each other kind; only those that
// need less than now.
std::vector<Remedy> remedies(const Machine& machine, const Backend& backend, const ModelSpec& model,
                             const ModelShape* shape, const FitOptions& options,
                             const FitReport& now);

// One decode step of one sequence with a short context: the same on every machine.
struct DecodeStep {
  Plan plan;
  Routing routing;
};
DecodeStep decode_step(const ModelSpec& model, const KvConfig& kv);

// Decode tokens per second of that step. Layers split over devices work one after the other, at the
// bandwidth of one; what lies in host memory is computed there (offload_speed.h). nullopt when a
// bandwidth that counts is not known, such as the CPU's where it shares the device's memory.
std::optional<double> decode_speed(const Machine& machine, const Backend& backend,
                                   const ModelSpec& model, const FitOptions& options,
                                   const Placement& placement, const DecodeStep& step);

// `times` of this machine joined by its device link; nullopt when it names none.
std::optional<Machine> joined(const Machine& machine, int times);

}  // namespace bandwall
