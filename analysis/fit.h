// Does it fit? Exact bytes of one configuration against what a machine really has.
//   FitReport r = fit(machine, model, {.context = 96000, .kv = {tbq4_0, tbq3_0}});
//   r.needed + r.headroom == r.usable   (exact; headroom may be negative)
// Lines by memory_ledger.h; every line says how. Each device has its pool; host memory belongs to
// the first pool where the machine has one kind of memory, else to the pool named "host"; where
// that is not described, host lines are listed but not judged (and not part of `needed`).
// A verdict within `close_margin` of a pool's limit is "too close to call".
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "analysis/memory_ledger.h"
#include "hwmodel/machine.h"

namespace bandwall {

enum class Verdict { Fits, TooClose, DoesNotFit };
std::string_view name(Verdict verdict);  // "fits", "too_close", "does_not_fit"

struct PoolReport {
  std::string name;  // "unified", "vram", "host"; with a number where several
  Bytes installed, visible, reserve;
  Bytes usable;  // visible - reserve, or the engine's own limit if lower
  Bytes needed, headroom;
  Verdict verdict = Verdict::DoesNotFit;
};

struct FitReport {
  Verdict verdict = Verdict::DoesNotFit;  // of the worst pool
  std::vector<MemoryLine> lines;
  Bytes needed, usable, headroom;  // of all pools together
  std::vector<PoolReport> pools;
  std::size_t tightest = 0;                 // the pool that decides
  std::optional<std::int64_t> max_context;  // largest that fits, multiple of 256; nullopt: none
  std::optional<std::int64_t> max_slots;    // most sequences of this length each; nullopt: none
  LoadPeak loading;
  std::vector<std::string> notes;  // e.g. where a wrong figure that people quote comes from
};

// Of the devices together, or of host memory where that is the tightest: what a table of one line
// shows. needed + headroom == usable.
struct Deciding {
  Bytes needed, usable, headroom;
};
Deciding deciding(const FitReport& report);

FitReport fit(const Machine& machine, const ModelSpec& model, const FitOptions& options);

// The verdict, needs and pools alone: no text, no searches.
FitReport fit_quick(const Machine& machine, const ModelSpec& model, const Placement& placement,
                    const FitOptions& options);

// Judges each pool by its needs and fills in the verdict and the sums.
void judge_pools(FitReport& report);

// Where the options put the model on the machine's devices.
Placement placed(const Machine& machine, const ModelSpec& model, const FitOptions& options);

// True when host and device take from the same memory.
bool has_one_pool(const Machine& machine);
// Host memory beside devices; nullptr: not described.
const MemoryPool* host_pool(const Machine& machine);

}  // namespace bandwall
