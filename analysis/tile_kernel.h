// A GPU kernel as far as its launch goes: shared memory of one block with the arithmetic, threads,
// registers, and the instructions it is built on. gemm_tile.h and attention_tile.h make them.
//   TileKernel k = kernel_of_bytes(102400, 0, 384);
// Bytes are of shared memory, static and dynamic, without the 1 KiB the driver reserves.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "hwmodel/compute_capability.h"

namespace bandwall {

struct TilePart {
  std::string what;
  std::int64_t bytes = 0;
  std::string how;  // the arithmetic, with its numbers
};

struct TileKernel {
  std::string title;            // "CUTLASS SM120 block-scaled GEMM 128x128x128, 4 stages"
  std::string source;           // where the formula comes from
  std::vector<TilePart> parts;  // sum: shared_bytes
  std::int64_t shared_bytes = 0;
  std::int64_t threads = 0;    // per block; 0: not known
  std::int64_t registers = 0;  // per thread; 0: not known
  int stages = 0;              // buffers of the main loop; 0: none
  bool automatic = false;      // the stage count is the builder's own choice
  std::vector<Instruction> needs;
  std::string refused;  // why no such kernel can be built; empty: it can
  std::vector<std::string> notes;

  void add(std::string what, std::int64_t bytes, std::string how);
};

// Values of a tile in shared memory. Scaled formats keep a scale per `vector` values along K.
struct TileFormat {
  std::string_view name;
  int bits = 0;    // of one value at its packed width
  int vector = 0;  // values that share a block scale; 0: no block scale
  enum class Scale { None, Tile, Row } scale = Scale::None;  // float32 scales: of FP8 block formats
};
const TileFormat* find_tile_format(std::string_view name);  // nullptr: unknown
std::vector<std::string> tile_format_names();

TileKernel kernel_of_bytes(std::int64_t bytes, std::int64_t registers, std::int64_t threads);

// Largest edge of a tile and most stages that the formulas take; beyond lies only a typing error.
inline constexpr std::int64_t kLargestEdge = 4096;
inline constexpr int kMostStages = 64;

}  // namespace bandwall
