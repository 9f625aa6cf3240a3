// Products of weights and activations.
//   decode/ISA/FORMAT/SIZE       one row of x, weights from SIZE
//   prefill/ISA/FORMAT/N/SIZE    N rows of x
#include <memory>
#include <random>

#include "bench/bench.h"

namespace bandwall::bench {
namespace {

constexpr std::int64_t kColumns = 2048;
constexpr std::int64_t kPrefillWeights = 1 << 20;  // of one product, at most

struct Activations {
  std::vector<float> x, scale, y;
  std::vector<std::int16_t> sums;
  std::vector<std::int8_t> storage;
  MatmulArgs args;
};

std::unique_ptr<Activations> activations(const KernelTable& table, Format format, std::int64_t n,
                                         std::int64_t rows) {
  auto in = std::make_unique<Activations>();
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  in->x.resize(static_cast<std::size_t>(n * kColumns));
  for (float& v : in->x) v = normal(random);
  in->y.resize(static_cast<std::size_t>(n * rows));
  MatmulArgs& a = in->args;
  a.format = format;
  a.row_bytes = row_bytes(format, kColumns);
  a.cols = kColumns;
  a.row_end = rows;
  a.x.n = n;
  a.x.cols = kColumns;
  a.x.f32 = in->x.data();
  a.n_used = n;
  a.y = in->y.data();
  a.y_stride = rows;
  if (!wants_q8(table, format, kColumns)) return in;
  in->scale.resize(in->x.size() / 32);
  in->sums.resize(in->x.size() / 16);
  in->storage.resize(in->x.size() + 64);
  auto* q8 = reinterpret_cast<std::int8_t*>(
      (reinterpret_cast<std::uintptr_t>(in->storage.data()) + 63) / 64 * 64);
  table.quantize_rows(in->x.data(), n, kColumns, q8, in->scale.data(), in->sums.data());
  a.x.q8 = q8;
  a.x.scale = in->scale.data();
  a.x.sums16 = in->sums.data();
  return in;
}

std::int64_t rows_of(Format format, std::int64_t bytes) {
  return std::max<std::int64_t>(1, bytes / row_bytes(format, kColumns));
}

void multiply_all(benchmark::State& state, const KernelTable& table, MatmulArgs a,
                  std::int64_t region) {
  const std::byte* data = input();
  Walk walk(region, a.row_end * a.row_bytes);
  for (auto _ : state) {
    a.w = data + walk.next();
    table.matmul(a);
    benchmark::ClobberMemory();
  }
}

void decode(benchmark::State& state, const KernelTable* table, Format format, const Size& size) {
  const std::int64_t rows = rows_of(format, std::min(size.bytes, Walk::kLongest));
  const auto in = activations(*table, format, 1, rows);
  multiply_all(state, *table, in->args, size.bytes);
  report_bytes(state, static_cast<double>(rows * in->args.row_bytes), size.name);
}

void prefill(benchmark::State& state, const KernelTable* table, Format format, std::int64_t n,
             const Size& size) {
  const std::int64_t rows = rows_of(format, std::min(size.bytes, kPrefillWeights));
  const auto in = activations(*table, format, n, rows);
  multiply_all(state, *table, in->args, size.bytes);
  const bool integers = in->args.x.q8 != nullptr;
  report_operations(state, 2.0 * static_cast<double>(n * rows * kColumns),
                    integers ? "int8" : "float", *table);
}

const int registered = [] {
  for (const KernelTable* table : tables()) {
    for (const FormatInfo& f : all_formats()) {
      if (!has_kernels(f.format)) continue;
      const std::string tail = "/" + std::string(table->isa) + "/" + std::string(f.name) + "/";
      for (const Size& size : sizes()) {
        benchmark::RegisterBenchmark(("decode" + tail + size.name).c_str(), decode, table, f.format,
                                     size);
      }
      for (const auto& [n, size] : {std::pair{4, "L2"}, {64, "L2"}, {512, "L2"}, {64, "memory"}}) {
        benchmark::RegisterBenchmark(("prefill" + tail + std::to_string(n) + "/" + size).c_str(),
                                     prefill, table, f.format, n, size_named(size));
      }
    }
  }
  return 0;
}();

}  // namespace
}  // namespace bandwall::bench
