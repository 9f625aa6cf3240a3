// Products of weights and activations, one thread.
//   read        a plain sum over as many bytes as decode streams: the speed to compare with
//   decode/..   one row of x, weights from memory (128 MiB, far beyond the caches)
//   prefill/..  n rows of x, 768 rows of W from cache
// Run with random interleaving (bench/run does), so that probe and kernel see the same minutes.
#include <benchmark/benchmark.h>

#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "runtime/kernels/kernels.h"

namespace bandwall {
namespace {

constexpr std::int64_t kColumns = 2048;
constexpr std::int64_t kStreamBytes = 128 << 20;

// Random quants; scales near one hundredth, as real ones: special values would cost extra time.
const std::vector<std::byte>& weights(Format format) {
  static Format current = Format::F64;
  static std::vector<std::byte> bytes;
  if (current == format) return bytes;
  current = format;
  bytes.resize(static_cast<std::size_t>(kStreamBytes));
  std::uint64_t state = 1;
  for (std::size_t i = 0; i < bytes.size(); i += 8) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    // Bytes of 32 to 63: halves from 0.008 to 1.9, exponents that leave products normal.
    const std::uint64_t v = ((state >> 7) & 0x1f1f1f1f1f1f1f1fu) | 0x2020202020202020u;
    std::memcpy(&bytes[i], &v, 8);
  }
  return bytes;
}

struct Input {
  std::vector<float> x, scale, y;
  std::vector<std::int16_t> sums;
  std::vector<std::int8_t> storage;
  MatmulArgs args;
};

std::unique_ptr<Input> make_input(const KernelTable& table, Format format, std::int64_t n,
                                  std::int64_t rows) {
  auto in = std::make_unique<Input>();
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  in->x.resize(static_cast<std::size_t>(n * kColumns));
  for (float& v : in->x) v = normal(random);
  in->scale.resize(in->x.size() / 32);
  in->sums.resize(in->x.size() / 16);
  in->storage.resize(in->x.size() + 64);
  in->y.resize(static_cast<std::size_t>(n * rows));
  auto* q8 = reinterpret_cast<std::int8_t*>(
      (reinterpret_cast<std::uintptr_t>(in->storage.data()) + 63) / 64 * 64);
  table.quantize_rows(in->x.data(), n, kColumns, q8, in->scale.data(), in->sums.data());
  MatmulArgs& a = in->args;
  a.format = format;
  a.w = weights(format).data();
  a.row_bytes = row_bytes(format, kColumns);
  a.cols = kColumns;
  a.row_end = rows;
  a.x = {n, kColumns, in->x.data(), q8, in->scale.data(), in->sums.data()};
  a.n_used = n;
  a.y = in->y.data();
  a.y_stride = rows;
  return in;
}

void decode(benchmark::State& state, const KernelTable* table, Format format) {
  const std::int64_t bytes = row_bytes(format, kColumns);
  const auto in = make_input(*table, format, 1, kStreamBytes / bytes);
  for (auto _ : state) {
    table->matmul(in->args);
    benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(state.iterations() * (kStreamBytes / bytes * bytes));
}

void prefill(benchmark::State& state, const KernelTable* table, Format format) {
  const std::int64_t n = state.range(0), rows = 768;
  const auto in = make_input(*table, format, n, rows);
  for (auto _ : state) {
    table->matmul(in->args);
    benchmark::ClobberMemory();
  }
  const double work = 2.0 * static_cast<double>(n * rows * kColumns);
  state.counters["op/s"] = benchmark::Counter(work * static_cast<double>(state.iterations()),
                                              benchmark::Counter::kIsRate);
}

void read(benchmark::State& state) {
  const std::vector<std::byte>& bytes = weights(Format::Q8_0);
  for (auto _ : state) {
    std::uint64_t sums[8] = {};
    for (std::size_t i = 0; i < bytes.size(); i += 64) {
      std::uint64_t v[8];
      std::memcpy(v, &bytes[i], 64);
      for (int j = 0; j < 8; ++j) sums[j] += v[j];
    }
    benchmark::DoNotOptimize(sums);
  }
  state.SetBytesProcessed(state.iterations() * kStreamBytes);
}

const int registered = [] {
  benchmark::AddCustomContext("bandwall_flags", BANDWALL_BENCH_FLAGS);
  benchmark::AddCustomContext("bandwall_best_isa", std::string(best_kernels().isa));
  benchmark::RegisterBenchmark("read", read)->UseRealTime();
  const Format formats[] = {Format::Q8_0, Format::Q4_0, Format::MXFP4, Format::Q4_K,
                            Format::Q5_K, Format::Q6_K, Format::Q3_K,  Format::Q2_K};
  for (const KernelTable* table : usable_kernels()) {
    if (table->isa == "reference") continue;
    for (const Format format : formats) {
      const std::string tail = "/" + std::string(table->isa) + "/" + std::string(name(format));
      benchmark::RegisterBenchmark(("decode" + tail).c_str(), decode, table, format)
          ->UseRealTime();
      benchmark::RegisterBenchmark(("prefill" + tail).c_str(), prefill, table, format)
          ->Arg(16)->Arg(64)->Arg(512)->UseRealTime();
    }
  }
  return 0;
}();

}  // namespace
}  // namespace bandwall
