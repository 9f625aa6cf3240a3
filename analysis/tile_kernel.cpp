#include "analysis/tile_kernel.h"

#include <fmt/format.h>

#include "hwmodel/error.h"

namespace bandwall {
namespace {

const TileFormat kFormats[] = {
    {"nvfp4", 4, 16},
    {"mxfp4", 4, 32},
    {"mxfp6", 6, 32},
    {"mxfp8", 8, 32},
    {"fp4", 4, 0},
    {"fp6", 6, 0},
    {"fp8", 8, 0},
    {"fp8_block", 8, 0, TileFormat::Scale::Tile},
    {"fp8_group", 8, 0, TileFormat::Scale::Row},
    {"int8", 8, 0},
    {"bf16", 16, 0},
    {"fp16", 16, 0},
    {"tf32", 32, 0},
    {"fp32", 32, 0},
};

}  // namespace

void TileKernel::add(std::string what, std::int64_t bytes, std::string how) {
  shared_bytes += bytes;
  parts.push_back({std::move(what), bytes, std::move(how)});
}

const TileFormat* find_tile_format(std::string_view wanted) {
  for (const TileFormat& f : kFormats) {
    if (f.name == wanted) return &f;
  }
  return nullptr;
}

std::vector<std::string> tile_format_names() {
  std::vector<std::string> names;
  for (const TileFormat& f : kFormats) names.emplace_back(f.name);
  return names;
}

TileKernel kernel_of_bytes(std::int64_t bytes, std::int64_t registers, std::int64_t threads) {
  constexpr std::int64_t most = std::int64_t{1} << 40;
  if (bytes < 0 || bytes > most || registers < 0 || registers > 1024 || threads < 0 ||
      threads > most) {
    throw Error::input("kernel", fmt::format("{} B, {} registers, {} threads: wanted are 0 to 2^40 "
                                             "bytes, 0 to 1024 registers per thread and a block of "
                                             "up to 1024 threads",
                                             bytes, registers, threads));
  }
  TileKernel k;
  k.title = "kernel";
  k.source = "as given";
  k.add("shared memory", bytes, "as given");
  k.registers = registers;
  k.threads = threads;
  if (threads > kThreadsPerBlock) {
    k.refused =
        fmt::format("{} threads are more than the {} a block may have", threads, kThreadsPerBlock);
  }
  return k;
}

}  // namespace bandwall
