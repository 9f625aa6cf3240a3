// What one multiprocessor of each CUDA compute capability offers a kernel: shared memory,
// registers, warps, blocks, and which instructions exist. One row per capability, with its source.
//   const ComputeCapability* gb10 = find_compute_capability("12.1");   gb10->shared_per_block
//   has(*gb10, Instruction::Wgmma) == false
// Bytes are bytes, registers are 32 bits wide. Only data: occupancy.h computes with it.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace bandwall {

enum class Instruction {
  MmaFp16,    // mma.sync on fp16
  MmaBf16,    // mma.sync on bf16 and tf32, cp.async
  MmaFp8,     // mma.sync on e4m3 and e5m2
  MmaF8f6f4,  // mma.sync kind::f8f6f4 and its block-scaled form kind::mxf8f6f4
  MmaNvfp4,   // mma.sync kind::mxf4nvf4 with block scales (NVFP4, MXFP4)
  Wgmma,      // warp-group matrix products of Hopper
  Tcgen05,    // tensor memory and its matrix products of data-centre Blackwell
  Tma,        // bulk tensor copies
  Multicast,  // bulk tensor copies to every block of a cluster
};
std::string_view name(Instruction instruction);

struct ComputeCapability {
  std::string_view name;     // "12.1"
  std::string_view example;  // "GB10"
  std::string_view target;   // compiler target that reaches all of its instructions: "sm_121a"
  std::int64_t shared_per_sm = 0, shared_per_block = 0;  // bytes; per block: opt-in maximum
  std::int64_t reserved_per_block = 0;                   // bytes the driver adds to every block
  std::int64_t shared_granularity = 0;                   // bytes
  std::int64_t warps_per_sm = 0, blocks_per_sm = 0;
  std::int64_t barriers_per_slot = 1;  // block barriers of an SM: so many times blocks_per_sm
  std::span<const int> carveouts;      // shares of the L1 that shared memory may take, KiB
  std::uint32_t instructions = 0;      // bit of each Instruction
  std::string_view source;
};

// The same on all of them.
inline constexpr std::int64_t kRegistersPerSm = 65536, kRegistersPerBlock = 65536,
                              kRegistersPerThread = 255, kRegisterGranularity = 256,
                              kSubPartitions = 4, kThreadsPerBlock = 1024, kThreadsPerWarp = 32,
                              kSharedWithoutOptIn = 49152;

// The hardware gives out memory and registers in steps.
constexpr std::int64_t round_up(std::int64_t n, std::int64_t step) {
  return (n + step - 1) / step * step;
}

std::span<const ComputeCapability> compute_capabilities();
const ComputeCapability* find_compute_capability(std::string_view name);  // nullptr: unknown
std::vector<std::string> compute_capability_names();
bool has(const ComputeCapability& capability, Instruction instruction);
// "9.0": the capabilities that have it, for messages.
std::string where_available(Instruction instruction);

}  // namespace bandwall
