#include "hwmodel/occupancy.h"

#include <algorithm>

#include "hwmodel/error.h"

namespace bandwall {
namespace {

// The smallest carve-out that holds `bytes`, or all of it when none of the list does.
std::int64_t carveout(const SmLimits& l, std::int64_t bytes) {
  for (const int kib : l.capability->carveouts) {
    if (bytes <= kib * std::int64_t{1024})
      return std::min(kib * std::int64_t{1024}, l.shared_per_sm);
  }
  return l.shared_per_sm;
}

std::int64_t by_shared(const SmLimits& l, const Launch& launch, std::int64_t allocated) {
  if (allocated > l.shared_per_block + l.reserved_per_block) return 0;
  if (allocated == 0) return kNoLimit;
  const std::int64_t preferred =
      carveout(l, l.shared_per_sm * std::clamp(launch.carveout_percent, 0, 100) / 100);
  const std::int64_t pool = preferred >= allocated ? preferred : carveout(l, allocated);
  return pool / allocated;
}

std::int64_t by_registers(const SmLimits& l, const Launch& launch, std::int64_t warps) {
  if (launch.registers <= 0) return kNoLimit;
  if (launch.registers > kRegistersPerThread) return 0;
  const std::int64_t per_warp = round_up(launch.registers * kThreadsPerWarp, kRegisterGranularity);
  // The hardware checks a block as if its warps filled all partitions evenly.
  if (per_warp * round_up(warps, kSubPartitions) > kRegistersPerBlock) return 0;
  const std::int64_t per_partition = l.registers_per_sm / kSubPartitions / per_warp;
  return per_partition * kSubPartitions / warps;
}

}  // namespace

SmLimits sm_limits(const ComputeCapability& c) {
  return {&c,
          c.shared_per_sm,
          c.shared_per_block,
          c.reserved_per_block,
          kRegistersPerSm,
          c.warps_per_sm,
          c.blocks_per_sm};
}

SmLimits sm_limits(const Machine& machine) {
  if (!machine.kernel_limits || machine.kernel_limits->compute_capability.empty()) {
    throw Error::input(machine.name,
                       "names no compute capability (kernel_limits.compute_capability), so no "
                       "limits of CUDA kernels are known; name one with --cc");
  }
  const KernelLimits& k = *machine.kernel_limits;
  const ComputeCapability* c = find_compute_capability(k.compute_capability);
  if (c == nullptr) {
    throw Error::input(machine.name, "compute capability " + k.compute_capability + " is unknown");
  }
  const auto in_range = [&](const char* field, double value, double high) {
    if (value >= 1 && value <= high) return;
    throw Error::input(machine.name, std::string("kernel_limits.") + field +
                                         " is outside what occupancy rules can use");
  };
  in_range("shared_per_sm", k.shared_per_sm.value.value(), 1e9);
  in_range("shared_per_block", k.shared_per_block.value.value(), 1e9);
  in_range("registers_per_sm", k.registers_per_sm.value, 1e9);
  in_range("warps_per_sm", k.warps_per_sm.value, 1e6);
  in_range("blocks_per_sm", k.blocks_per_sm.value, 1e6);
  if (!(k.reserved_per_block.value.value() <= 1e9)) in_range("reserved_per_block", 0, 0);
  return {c,
          k.shared_per_sm.value.count(),
          k.shared_per_block.value.count(),
          k.reserved_per_block.value.count(),
          static_cast<std::int64_t>(k.registers_per_sm.value),
          static_cast<std::int64_t>(k.warps_per_sm.value),
          static_cast<std::int64_t>(k.blocks_per_sm.value)};
}

Occupancy occupancy(const SmLimits& l, const Launch& launch) {
  BANDWALL_CHECK(l.capability != nullptr);
  BANDWALL_CHECK(launch.threads >= 1 && launch.threads <= kThreadsPerBlock);
  BANDWALL_CHECK(launch.shared_bytes >= 0 && launch.shared_bytes <= (std::int64_t{1} << 40));
  Occupancy o;
  const std::int64_t warps = (launch.threads + kThreadsPerWarp - 1) / kThreadsPerWarp;
  o.shared_allocated =
      round_up(launch.shared_bytes + l.reserved_per_block, l.capability->shared_granularity);
  o.by_warps = l.warps_per_sm / warps;
  o.by_shared = by_shared(l, launch, o.shared_allocated);
  o.by_registers = by_registers(l, launch, warps);
  o.by_blocks = l.blocks_per_sm;
  // A kernel that synchronizes its block uses one barrier.
  o.by_barriers = l.blocks_per_sm * l.capability->barriers_per_slot;
  const std::pair<std::int64_t, std::string_view> limits[] = {{o.by_shared, "shared memory"},
                                                              {o.by_registers, "registers"},
                                                              {o.by_warps, "warps"},
                                                              {o.by_blocks, "blocks"},
                                                              {o.by_barriers, "barriers"}};
  o.blocks = kNoLimit;
  for (const auto& [blocks, what] : limits) {
    if (blocks >= o.blocks) continue;
    o.blocks = blocks;
    o.limited_by = what;
  }
  o.warps = o.blocks * warps;
  o.share = static_cast<double>(o.warps) / static_cast<double>(l.warps_per_sm);
  return o;
}

std::int64_t largest_shared(const SmLimits& l, std::int64_t blocks) {
  if (blocks < 1 || blocks > l.blocks_per_sm) return 0;
  const std::int64_t step = l.capability->shared_granularity;
  const std::int64_t share = l.shared_per_sm / blocks / step * step - l.reserved_per_block;
  return std::clamp<std::int64_t>(share, 0, l.shared_per_block);
}

}  // namespace bandwall
