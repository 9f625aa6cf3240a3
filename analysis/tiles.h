// Does this kernel launch on that GPU? Shared memory, registers, threads and instructions of one
// kernel against one compute capability, with the reason when it does not.
//   TileReport r = judge_kernel("gb10", sm_limits(machine), kernel);
//   r.launches; r.reason == "needs 115712 B of shared memory, 14336 B more than ..."
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "analysis/tile_kernel.h"
#include "hwmodel/occupancy.h"

namespace bandwall {

// A stage count chosen by a builder leaves out alignment of up to so many bytes.
inline constexpr std::int64_t kSuspiciousSpare = 3072;

struct TileReport {
  std::string target;  // "gb10" or "12.1"
  SmLimits limits;
  TileKernel kernel;
  bool launches = false;
  std::string reason;                  // one sentence, with the arithmetic
  std::int64_t spare = 0;              // bytes; negative: so many too many
  std::optional<Occupancy> occupancy;  // known when the threads are
  std::int64_t blocks_by_shared = 0;   // what shared memory alone allows per SM
  std::optional<int> largest_stages;   // that fit; absent where stages mean nothing
  std::vector<std::string> notes;
};

TileReport judge_kernel(std::string target, const SmLimits& limits, TileKernel kernel,
                        int carveout_percent = 100);

}  // namespace bandwall
