// Shared memory of matrix-product kernels by tile, operand formats and stage count. Formulas follow
// the storage structures and stage rules of NVIDIA/cutlass at 7107b05 (collective builders and
// kernels for SM90, SM100 with one SM per product, SM120) and the classic multistage kernel of
// CUTLASS 2.x and Triton.
//   GemmTile t{.m = 128, .n = 128, .k = 128, .a = nvfp4, .b = nvfp4};
//   gemm_kernel(t, GemmStyle::Sm120, 101376).shared_bytes == 88064   (4 stages, chosen)
// Edges in values, capacity in bytes per block. Values of mixed 8-bit and 4-bit operands take one
// byte each in shared memory.
#pragma once

#include "analysis/tile_kernel.h"

namespace bandwall {

enum class GemmStyle { Multistage, Sm90, Sm100, Sm120 };
std::string_view name(GemmStyle style);  // "multistage", "sm90", ...
std::optional<GemmStyle> gemm_style_from_name(std::string_view name);

enum class Schedule { Automatic, Cooperative, Pingpong };  // Automatic: the builder's choice
std::string_view name(Schedule schedule);

struct GemmTile {
  std::int64_t m = 0, n = 0, k = 0;
  const TileFormat* a = nullptr;
  const TileFormat* b = nullptr;
  const TileFormat* c = nullptr;  // source of the epilogue; nullptr: none
  const TileFormat* d = nullptr;  // result; nullptr: bf16
  std::optional<int> stages;      // nullopt: as many as the builder finds room for
  bool grouped = false;           // grouped product (mixture of experts)
  bool fused_gate_up = false;     // two B operands per tile
  Schedule schedule = Schedule::Automatic;
};

// The style that the field uses for these operands on this capability.
GemmStyle usual_style(const ComputeCapability& capability, const GemmTile& tile);

// Throws Error (Input) for edges or stages out of range and for formats the style has no formula
// for.
TileKernel gemm_kernel(const GemmTile& tile, GemmStyle style, std::int64_t capacity);

// Largest stage count whose kernel fits the capacity, 0 when not even the least legal one does.
int largest_stage_count(const GemmTile& tile, GemmStyle style, std::int64_t capacity);

}  // namespace bandwall
