#include "analysis/tiles.h"

#include <fmt/format.h>

#include "hwmodel/error.h"

namespace bandwall {
namespace {

std::string arithmetic(const TileKernel& k) {
  std::string sum;
  for (const TilePart& p : k.parts) {
    sum += sum.empty() ? "" : " + ";
    sum += fmt::format("{} {}", p.what, p.bytes);
  }
  return sum;
}

std::string missing_instruction(const TileReport& r) {
  const ComputeCapability& c = *r.limits.capability;
  for (const Instruction needed : r.kernel.needs) {
    if (has(c, needed)) continue;
    return fmt::format("compute capability {} has no {}; these have it: {}", c.name, name(needed),
                       where_available(needed));
  }
  return "";
}

std::string too_much_shared(const TileReport& r) {
  const SmLimits& l = r.limits;
  const std::int64_t bytes = r.kernel.shared_bytes;
  if (bytes <= l.shared_per_block) return "";
  return fmt::format(
      "needs {} B of shared memory ({}), {} B more than the {} B a block may have on {}", bytes,
      arithmetic(r.kernel), bytes - l.shared_per_block, l.shared_per_block, l.capability->name);
}

std::string no_block_fits(const TileReport& r) {
  if (!r.occupancy || r.occupancy->blocks > 0) return "";
  const Occupancy& o = *r.occupancy;
  const TileKernel& k = r.kernel;
  if (o.by_registers == 0) {
    const std::int64_t warps = (k.threads + kThreadsPerWarp - 1) / kThreadsPerWarp;
    const std::int64_t per_warp = round_up(k.registers * kThreadsPerWarp, kRegisterGranularity);
    const std::int64_t full = round_up(warps, kSubPartitions);
    if (k.registers > kRegistersPerThread) {
      return fmt::format("{} registers per thread; {} are the most", k.registers,
                         kRegistersPerThread);
    }
    return fmt::format("{} warps (counted as {}) x {} registers = {}, more than the {} of a block",
                       warps, full, per_warp, full * per_warp, kRegistersPerBlock);
  }
  if (k.shared_bytes > r.limits.shared_per_block) return "";  // said already
  return fmt::format("no block fits an SM: {}", o.limited_by);
}

void add_notes(TileReport& r) {
  const SmLimits& l = r.limits;
  const TileKernel& k = r.kernel;
  r.notes = k.notes;
  if (r.launches && k.automatic && r.spare < kSuspiciousSpare && k.stages > 1) {
    r.notes.push_back(fmt::format(
        "suspicious: the automatic stage count leaves {} B, and builders leave out up to {} B of "
        "alignment; another epilogue or version may not launch",
        r.spare, kSuspiciousSpare));
  }
  if (r.launches && k.shared_bytes > kSharedWithoutOptIn) {
    r.notes.push_back(
        fmt::format("above {} B the launch must opt in "
                    "(cudaFuncAttributeMaxDynamicSharedMemorySize)",
                    kSharedWithoutOptIn));
  }
  const std::int64_t two = largest_shared(l, 2);
  if (r.launches && r.blocks_by_shared == 1 && k.shared_bytes - two <= 8192) {
    r.notes.push_back(fmt::format("{} B less would let two blocks share an SM ({} B each)",
                                  k.shared_bytes - two, two));
  }
}

}  // namespace

TileReport judge_kernel(std::string target, const SmLimits& limits, TileKernel kernel,
                        int carveout_percent) {
  BANDWALL_CHECK(limits.capability != nullptr);
  TileReport r;
  r.target = std::move(target);
  r.limits = limits;
  r.kernel = std::move(kernel);
  r.spare = limits.shared_per_block - r.kernel.shared_bytes;
  Launch launch{r.kernel.shared_bytes, 0, kThreadsPerWarp, carveout_percent};
  r.blocks_by_shared = occupancy(limits, launch).by_shared;
  if (r.kernel.threads >= 1 && r.kernel.threads <= kThreadsPerBlock) {
    launch.threads = r.kernel.threads;
    launch.registers = r.kernel.registers;
    r.occupancy = occupancy(limits, launch);
  }
  for (const std::string& reason :
       {r.kernel.refused, missing_instruction(r), too_much_shared(r), no_block_fits(r)}) {
    if (reason.empty()) continue;
    r.reason += (r.reason.empty() ? "" : "; ") + reason;
  }
  r.launches = r.reason.empty();
  if (r.launches) {
    r.reason = fmt::format("{} B of {} B: {} B to spare", r.kernel.shared_bytes,
                           limits.shared_per_block, r.spare);
  }
  add_notes(r);
  return r;
}

}  // namespace bandwall
