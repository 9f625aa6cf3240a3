// What the benchmarks share: sizes, memory and names.
//   NAME: kernel/instruction set/what/size, e.g. decode/avx512/Q4_K/memory
// Streams report bytes per second and name in their label the plain read to compare with
// (read/memory); products report operations per second and name a peak (peak/int8/avx512).
// One thread; rates count the processor time of this program, so that others' work beside it
// disturbs little. Bytes: all operands read plus results written, each once.
#pragma once

#include <benchmark/benchmark.h>

#include <string>
#include <vector>

#include "runtime/kernels/kernels.h"

namespace bandwall::bench {

// Half of the first and of the second cache level, a quarter of the last one, and four times it
// (at most 2 GiB): weights of a model come from there.
struct Size {
  std::string name;  // "L1", "L2", "L3", "memory"
  std::int64_t bytes = 0;
};
const std::vector<Size>& sizes();
const Size& size_named(std::string_view name);

// As many bytes as the largest size. Whatever a kernel takes them for (floats, halves, blocks of
// any format) they are ordinary numbers: special ones would cost extra time.
const std::byte* input();
// As many bytes again, for results.
std::byte* output();

// Positions of `step` bytes in a region, round and round: at most 8 MiB at a time, so that one
// iteration stays short while large regions leave the caches before they come again.
class Walk {
 public:
  Walk(std::int64_t region, std::int64_t step);
  std::int64_t next();
  static constexpr std::int64_t kLongest = 8 << 20;

 private:
  std::int64_t places_, step_, at_ = 0;
};

// The usable tables but the reference, which is slow on purpose.
std::vector<const KernelTable*> tables();

void report_bytes(benchmark::State& state, double per_iteration, const std::string& size);
// `peak`: "int8" or "float".
void report_operations(benchmark::State& state, double per_iteration, const std::string& peak,
                       const KernelTable& table);

}  // namespace bandwall::bench
