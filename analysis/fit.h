// Does it fit? Exact bytes of one configuration against what a machine really has.
//   FitReport r = fit(machine, model, {.context = 96000, .kv = {tbq4_0, tbq3_0}});
//   r.needed + r.headroom == r.usable   (exact; headroom may be negative)
// Lines follow llama.cpp's memory rules (weights on the device, KV cells rounded up to 256, compute
// buffer max(4*ub*(vocab + hidden), 6*ub*cells + 8*ub*ffn), output buffer); every line says how.
// A verdict within `close_margin` of the limit is "too close to call".
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "hwmodel/machine.h"
#include "workload/plan.h"

namespace bandwall {

enum class Verdict { Fits, TooClose, DoesNotFit };
std::string_view name(Verdict verdict);      // "fits", "too_close", "does_not_fit"

struct FitOptions {
  std::int64_t context = 4096;
  KvConfig kv;
  std::int64_t n_ubatch = 512;
  std::int64_t sequences = 1;
  std::optional<Bytes> runtime_bytes;   // per device: Backend::context_bytes; nullopt: not counted
};

struct FitLine {
  std::string what;
  Bytes bytes;
  std::string how;             // the arithmetic, with its numbers
};

struct FitReport {
  Verdict verdict = Verdict::DoesNotFit;
  std::vector<FitLine> lines;
  Bytes needed, usable, headroom;      // per whole machine (all devices)
  std::optional<std::int64_t> max_context;   // largest that fits, multiple of 256; nullopt: none
  std::vector<std::string> notes;      // e.g. where a wrong figure that people quote comes from
};

FitReport fit(const Machine& machine, const ModelSpec& model, const FitOptions& options);

}  // namespace bandwall
