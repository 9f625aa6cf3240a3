#if defined(__GNUC__) && !defined(__clang__)
// gcc 12 warns inside its own intrinsics.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif

// The ceilings of the same run.
//   read/SIZE       one pass after another over the region, nothing done with the bytes but a sum
//   peak/int8/..    products of bytes with their sums, operands in registers
//   peak/float/..   float32 multiply-adds, operands in registers
// Portable kernels have no peak of their own: the compiler chooses their instructions.
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "bench/bench.h"
#include "runtime/probes.h"

namespace bandwall::bench {
namespace {

void read(benchmark::State& state, const Size& size) {
  Walk walk(size.bytes, std::min<std::int64_t>(size.bytes, Walk::kLongest));
  const std::int64_t bytes = std::min<std::int64_t>(size.bytes, Walk::kLongest);
  const std::byte* data = input();
  for (auto _ : state) {
    benchmark::DoNotOptimize(read_once(data + walk.next(), static_cast<std::size_t>(bytes)));
  }
  state.SetBytesProcessed(state.iterations() * bytes);
}

#if defined(__x86_64__)
#if defined(__clang__)
#define BANDWALL_UNROLL _Pragma("unroll")
#else
#define BANDWALL_UNROLL _Pragma("GCC unroll 12")
#endif

constexpr int kRounds = 1024;
constexpr int kSums = 12;  // independent sums: latency times units of every processor of interest

// Each body does kRounds * kSums instructions and returns something that depends on all of them.
__attribute__((target("avx512f,avx512bw,avx512vnni"))) int int8_avx512() {
  __m512i a = _mm512_set1_epi8(3), b = _mm512_set1_epi8(-5), sums[kSums] = {};
  for (int r = 0; r < kRounds; ++r) {
    __asm__ volatile("" : "+v"(a), "+v"(b));
    BANDWALL_UNROLL
    for (auto& s : sums) s = _mm512_dpbusd_epi32(s, a, b);
  }
  BANDWALL_UNROLL
  for (int i = 1; i < kSums; ++i) sums[0] = _mm512_add_epi32(sums[0], sums[i]);
  return _mm_cvtsi128_si32(_mm512_castsi512_si128(sums[0]));
}

__attribute__((target("avx512f"))) float float_avx512() {
  __m512 a = _mm512_set1_ps(1e-3f), b = _mm512_set1_ps(0.5f), sums[kSums] = {};
  for (int r = 0; r < kRounds; ++r) {
    __asm__ volatile("" : "+v"(a), "+v"(b));
    BANDWALL_UNROLL
    for (auto& s : sums) s = _mm512_fmadd_ps(a, b, s);
  }
  BANDWALL_UNROLL
  for (int i = 1; i < kSums; ++i) sums[0] = _mm512_add_ps(sums[0], sums[i]);
  return _mm512_cvtss_f32(sums[0]);
}

__attribute__((target("avx2"))) int int8_avx2() {
  __m256i a = _mm256_set1_epi8(3), b = _mm256_set1_epi8(-5), ones = _mm256_set1_epi16(1);
  __m256i sums[kSums] = {};
  for (int r = 0; r < kRounds; ++r) {
    __asm__ volatile("" : "+x"(a), "+x"(b), "+x"(ones));
    BANDWALL_UNROLL
    for (auto& s : sums) {
      __m256i left = a;  // its own copy: else one product would serve all sums
      __asm__ volatile("" : "+x"(left));
      s = _mm256_add_epi32(s, _mm256_madd_epi16(_mm256_maddubs_epi16(left, b), ones));
    }
  }
  BANDWALL_UNROLL
  for (int i = 1; i < kSums; ++i) sums[0] = _mm256_add_epi32(sums[0], sums[i]);
  return _mm256_cvtsi256_si32(sums[0]);
}

__attribute__((target("avx2,fma"))) float float_avx2() {
  __m256 a = _mm256_set1_ps(1e-3f), b = _mm256_set1_ps(0.5f), sums[kSums] = {};
  for (int r = 0; r < kRounds; ++r) {
    __asm__ volatile("" : "+x"(a), "+x"(b));
    BANDWALL_UNROLL
    for (auto& s : sums) s = _mm256_fmadd_ps(a, b, s);
  }
  BANDWALL_UNROLL
  for (int i = 1; i < kSums; ++i) sums[0] = _mm256_add_ps(sums[0], sums[i]);
  return _mm256_cvtss_f32(sums[0]);
}

template <class Body>
void add_peak(const std::string& name, Body body, double lanes) {
  benchmark::RegisterBenchmark(("peak/" + name).c_str(), [=](benchmark::State& state) {
    for (auto _ : state) benchmark::DoNotOptimize(body());
    state.counters["op/s"] =
        benchmark::Counter(2.0 * kRounds * kSums * lanes * static_cast<double>(state.iterations()),
                           benchmark::Counter::kIsRate);
  });
}
#endif

const int registered = [] {
  for (const Size& size : sizes()) {
    benchmark::RegisterBenchmark(("read/" + size.name).c_str(), read, size);
  }
#if defined(__x86_64__)
  if (avx2_kernels() != nullptr) {
    add_peak("int8/avx2", int8_avx2, 32);
    add_peak("float/avx2", float_avx2, 8);
  }
  if (avx512_kernels() != nullptr) {
    add_peak("int8/avx512", int8_avx512, 64);
    add_peak("float/avx512", float_avx512, 16);
  }
#endif
  return 0;
}();

}  // namespace
}  // namespace bandwall::bench
