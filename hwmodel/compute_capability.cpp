#include "hwmodel/compute_capability.h"

namespace bandwall {
namespace {

constexpr int kVolta[] = {0, 8, 16, 32, 64, 96};
constexpr int kTuring[] = {32, 64};
constexpr int kSmall[] = {0, 8, 16, 32, 64, 100};
constexpr int kAmpere[] = {0, 8, 16, 32, 64, 100, 132, 164};
constexpr int kLarge[] = {0, 8, 16, 32, 64, 100, 132, 164, 196, 228};

constexpr std::uint32_t bit(Instruction i) { return 1u << static_cast<int>(i); }
constexpr std::uint32_t kOf70 = bit(Instruction::MmaFp16);
constexpr std::uint32_t kOf80 = kOf70 | bit(Instruction::MmaBf16);
constexpr std::uint32_t kOf89 = kOf80 | bit(Instruction::MmaFp8);
constexpr std::uint32_t kOf90 =
    kOf89 | bit(Instruction::Wgmma) | bit(Instruction::Tma) | bit(Instruction::Multicast);
constexpr std::uint32_t kOf100 =
    kOf89 | bit(Instruction::Tcgen05) | bit(Instruction::Tma) | bit(Instruction::Multicast);
// Multicast assembles for 12.x, but the assembler advises against it and CUTLASS fixes the cluster
// at one block there.
constexpr std::uint32_t kOf120 =
    kOf89 | bit(Instruction::MmaF8f6f4) | bit(Instruction::MmaNvfp4) | bit(Instruction::Tma);

constexpr std::string_view kRules =
    "CUDA 13.0 occupancy rules (cuda_occupancy.h) and CUDA C++ programming guide; instructions: "
    "what ptxas 13.0.88 accepts for the target";
constexpr std::string_view kRulesAndArch =
    "CUDA 13.0 occupancy rules (cuda_occupancy.h); shared memory per block also in NVIDIA/cutlass "
    "include/cutlass/arch/arch.h; instructions: what ptxas 13.0.88 accepts for the target";

// name, example, target, shared per SM, per block, reserved, granularity, warps, blocks, barriers
const ComputeCapability kRows[] = {
    {"7.0", "V100", "sm_70", 98304, 98304, 0, 256, 64, 32, 2, kVolta, kOf70, kRules},
    {"7.5", "T4", "sm_75", 65536, 65536, 0, 256, 32, 16, 2, kTuring, kOf70, kRules},
    {"8.0", "A100", "sm_80", 167936, 166912, 1024, 128, 64, 32, 2, kAmpere, kOf80, kRules},
    {"8.6", "RTX 3090", "sm_86", 102400, 101376, 1024, 128, 48, 16, 1, kSmall, kOf80, kRules},
    {"8.7", "Jetson AGX Orin", "sm_87", 167936, 166912, 1024, 128, 48, 16, 1, kAmpere, kOf80,
     kRules},
    {"8.9", "RTX 4090", "sm_89", 102400, 101376, 1024, 128, 48, 24, 1, kSmall, kOf89, kRules},
    {"9.0", "H100, H200", "sm_90a", 233472, 232448, 1024, 128, 64, 32, 2, kLarge, kOf90,
     kRulesAndArch},
    {"10.0", "B200", "sm_100a", 233472, 232448, 1024, 128, 64, 32, 2, kLarge, kOf100,
     kRulesAndArch},
    {"10.3", "B300", "sm_103a", 233472, 232448, 1024, 128, 64, 32, 2, kLarge, kOf100,
     kRulesAndArch},
    {"11.0", "Jetson AGX Thor", "sm_110a", 233472, 232448, 1024, 128, 48, 24, 1, kLarge, kOf100,
     kRules},
    {"12.0", "RTX 5090", "sm_120a", 102400, 101376, 1024, 128, 48, 24, 1, kSmall, kOf120,
     kRulesAndArch},
    {"12.1", "GB10", "sm_121a", 102400, 101376, 1024, 128, 48, 24, 1, kSmall, kOf120,
     kRulesAndArch},
};

}  // namespace

std::string_view name(Instruction instruction) {
  switch (instruction) {
    case Instruction::MmaFp16:
      return "mma.sync on fp16";
    case Instruction::MmaBf16:
      return "mma.sync on bf16 and tf32";
    case Instruction::MmaFp8:
      return "mma.sync on fp8";
    case Instruction::MmaF8f6f4:
      return "mma.sync kind::f8f6f4";
    case Instruction::MmaNvfp4:
      return "mma.sync kind::mxf4nvf4 (block-scaled FP4)";
    case Instruction::Wgmma:
      return "wgmma";
    case Instruction::Tcgen05:
      return "tcgen05 (tensor memory)";
    case Instruction::Tma:
      return "bulk tensor copies (TMA)";
    case Instruction::Multicast:
      return "TMA multicast to a cluster";
  }
  return "";
}

std::span<const ComputeCapability> compute_capabilities() { return kRows; }

const ComputeCapability* find_compute_capability(std::string_view wanted) {
  for (const ComputeCapability& row : kRows) {
    if (row.name == wanted) return &row;
  }
  return nullptr;
}

std::vector<std::string> compute_capability_names() {
  std::vector<std::string> names;
  for (const ComputeCapability& row : kRows) names.emplace_back(row.name);
  return names;
}

bool has(const ComputeCapability& capability, Instruction instruction) {
  return (capability.instructions & bit(instruction)) != 0;
}

std::string where_available(Instruction instruction) {
  std::string list;
  for (const ComputeCapability& row : kRows) {
    if (!has(row, instruction)) continue;
    list += list.empty() ? "" : ", ";
    list += row.name;
  }
  return list;
}

}  // namespace bandwall
