// How many blocks of a kernel run on one multiprocessor at once, by NVIDIA's occupancy rules
// (cuda_occupancy.h of CUDA 13.0): the least of what warps, shared memory, registers, block slots
// and barriers allow. Zero: the kernel does not launch.
//   Occupancy o = occupancy(sm_limits(*find_compute_capability("12.1")),
//                           {.shared_bytes = 50176, .registers = 128, .threads = 256});  // 2
//                           blocks
// Shared memory is rounded up to 128 B with the driver's 1 KiB reserve in it.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "hwmodel/compute_capability.h"
#include "hwmodel/machine.h"

namespace bandwall {

struct SmLimits {  // of one multiprocessor; bytes, registers, counts
  const ComputeCapability* capability = nullptr;
  std::int64_t shared_per_sm = 0, shared_per_block = 0, reserved_per_block = 0;
  std::int64_t registers_per_sm = 0, warps_per_sm = 0, blocks_per_sm = 0;
};
SmLimits sm_limits(const ComputeCapability& capability);
// A machine's own figures over those of its capability. Throws Error (Input) when the machine names
// no compute capability or an unknown one.
SmLimits sm_limits(const Machine& machine);

struct Launch {
  std::int64_t shared_bytes = 0;  // static and dynamic, without the reserve
  std::int64_t registers = 0;     // per thread; 0: not known, no limit from them
  std::int64_t threads = 0;       // per block, 1 to 1024
  int carveout_percent = 100;     // preferred share of shared memory, rounded up to a carve-out
};

struct Occupancy {
  std::int64_t blocks = 0;  // resident per SM
  std::int64_t by_warps = 0, by_shared = 0, by_registers = 0, by_blocks = 0, by_barriers = 0;
  std::int64_t shared_allocated = 0;  // bytes per block with reserve, rounded
  std::int64_t warps = 0;             // resident per SM
  double share = 0;                   // of the warps an SM can hold
  std::string_view limited_by;        // "shared memory", "registers", "warps", "blocks", "barriers"
};
inline constexpr std::int64_t kNoLimit = INT64_MAX;
Occupancy occupancy(const SmLimits& limits, const Launch& launch);

// Largest shared memory per block with which `blocks` of them are resident; 0 when impossible.
std::int64_t largest_shared(const SmLimits& limits, std::int64_t blocks);

}  // namespace bandwall
