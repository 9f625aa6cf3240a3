// Kernels over one row after another: norms, activations, sums, conversions.
//   KERNEL/ISA/SIZE    operands and results together have SIZE; rows of at most 4096 values
#include "bench/bench.h"

namespace bandwall::bench {
namespace {

struct Row {
  const float *a, *b;
  std::byte* out;
  std::int64_t n;
  float* y() const { return reinterpret_cast<float*>(out); }
};

struct Kernel {
  const char* name;
  int inputs;           // float32 rows read besides the result
  double result_bytes;  // per value, read (where it is) and written
  void (*run)(const KernelTable&, const Row&);
};

void quantize(const KernelTable& table, const Row& r) {
  auto* scale = reinterpret_cast<float*>(r.out + r.n);
  auto* sums = reinterpret_cast<std::int16_t*>(r.out + r.n + r.n / 8);
  table.quantize_rows(r.a, 1, r.n, reinterpret_cast<std::int8_t*>(r.out), scale, sums);
}

const Kernel kKernels[] = {
    {"rms_norm", 2, 4,
     [](const KernelTable& t, const Row& r) { t.rms_norm(r.a, r.b, 1e-6f, r.n, r.y()); }},
    {"silu_mul", 2, 4,
     [](const KernelTable& t, const Row& r) { t.silu_mul(r.a, r.b, r.n, r.y()); }},
    {"clamped_swiglu", 2, 4,
     [](const KernelTable& t, const Row& r) { t.clamped_swiglu(r.a, r.b, r.n, r.y()); }},
    {"add", 1, 8, [](const KernelTable& t, const Row& r) { t.add(r.y(), r.a, r.n); }},
    {"add_scaled", 1, 8,
     [](const KernelTable& t, const Row& r) { t.add_scaled(r.y(), r.a, 0.5f, r.n); }},
    {"f32_to_f16", 1, 2,
     [](const KernelTable& t, const Row& r) {
       t.f32_to_f16(r.a, r.n, reinterpret_cast<std::uint16_t*>(r.out));
     }},
    {"quantize_rows", 1, 1.25, quantize},
};

void run(benchmark::State& state, const KernelTable* table, const Kernel* kernel,
         const Size& size) {
  const std::int64_t streams = kernel->inputs + 1;
  const std::int64_t share = size.bytes / streams / 64 * 64;  // per stream
  const std::int64_t n = std::min<std::int64_t>(4096, share / 4 / 32 * 32);
  const std::int64_t rows = std::max<std::int64_t>(1, std::min(share, Walk::kLongest) / (4 * n));
  Walk walk(share, rows * 4 * n);
  const std::byte* in = input();
  std::byte* out = output();
  for (auto _ : state) {
    const std::int64_t start = walk.next();
    for (std::int64_t r = 0; r < rows; ++r) {
      const std::int64_t at = start + r * 4 * n;
      const auto* a = reinterpret_cast<const float*>(in + at);
      const auto* b = reinterpret_cast<const float*>(in + share + at);
      kernel->run(*table, {a, b, out + at, n});
    }
    benchmark::ClobberMemory();
  }
  const double per_value = 4.0 * kernel->inputs + kernel->result_bytes;
  report_bytes(state, static_cast<double>(rows * n) * per_value, size.name);
}

const int registered = [] {
  for (const KernelTable* table : tables()) {
    for (const Kernel& kernel : kKernels) {
      for (const Size& size : sizes()) {
        const std::string name =
            std::string(kernel.name) + "/" + std::string(table->isa) + "/" + size.name;
        benchmark::RegisterBenchmark(name.c_str(), run, table, &kernel, size);
      }
    }
  }
  return 0;
}();

}  // namespace
}  // namespace bandwall::bench
