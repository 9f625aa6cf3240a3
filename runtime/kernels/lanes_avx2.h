// Eight float lanes with AVX2, FMA and F16C: the vocabulary of the kernel templates (*_lanes.h).
//   Lanes::store(y, Lanes::fma(Lanes::load(x), Lanes::set(2.0f), Lanes::load(y)));   // y += 2 x
// Included by *_avx2.cpp only: these are the sole places with the flags for it.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

namespace bandwall::avx2 {

struct Lanes {
  using Vec = __m256;
  static constexpr int kWidth = 8;
  static constexpr int kBlocks = 1;     // reduction blocks of kWidth accumulators held at once
  static constexpr int kMaxRows = 8;    // query heads that share one pass over values
  static constexpr int kChunkRows = 4;  // query heads whose keys share a vector
  static constexpr bool kValueBlocks = false;

  static Vec zero() { return _mm256_setzero_ps(); }
  static Vec set(float x) { return _mm256_set1_ps(x); }
  static Vec broadcast(const float* p) { return _mm256_broadcast_ss(p); }
  static Vec load(const float* p) { return _mm256_loadu_ps(p); }
  static void store(float* p, Vec v) { _mm256_storeu_ps(p, v); }
  static Vec add(Vec a, Vec b) { return _mm256_add_ps(a, b); }
  static Vec sub(Vec a, Vec b) { return _mm256_sub_ps(a, b); }
  static Vec mul(Vec a, Vec b) { return _mm256_mul_ps(a, b); }
  static Vec div(Vec a, Vec b) { return _mm256_div_ps(a, b); }
  static Vec fma(Vec a, Vec b, Vec c) { return _mm256_fmadd_ps(a, b, c); }
  // A NaN in the second operand wins.
  static Vec max(Vec a, Vec b) { return _mm256_max_ps(a, b); }
  static Vec min(Vec a, Vec b) { return _mm256_min_ps(a, b); }
  static Vec round(Vec a) {
    return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  }
  // In two steps, so that results beyond the range of one exponent field come out right.
  static Vec times_power_of_2(Vec a, Vec n) {
    const __m256i k = _mm256_cvtps_epi32(n), half = _mm256_srai_epi32(k, 1);
    return mul(mul(a, power_of_2(half)), power_of_2(_mm256_sub_epi32(k, half)));
  }
  __attribute__((always_inline)) static void keep_in_register(Vec& v) { asm("" : "+x"(v)); }
  __attribute__((always_inline)) static void prefetch(const std::byte* p) {
    _mm_prefetch(reinterpret_cast<const char*>(p), _MM_HINT_T0);
  }
  // To the second level only: what is used a while later.
  __attribute__((always_inline)) static void prefetch_far(const std::byte* p) {
    _mm_prefetch(reinterpret_cast<const char*>(p), _MM_HINT_T1);
  }

  static Vec load_partial(const float* p, std::int64_t n) { return _mm256_maskload_ps(p, mask(n)); }
  static void store_partial(float* p, Vec v, std::int64_t n) { _mm256_maskstore_ps(p, mask(n), v); }
  static Vec load_f16(const std::byte* p) {
    return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  }
  static Vec load_f16_partial(const std::byte* p, std::int64_t n) {
    return _mm256_cvtph_ps(load_16_bit(p, n));
  }
  static Vec load_bf16(const std::byte* p) {
    return widen_bf16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  }
  static Vec load_bf16_partial(const std::byte* p, std::int64_t n) {
    return widen_bf16(load_16_bit(p, n));
  }
  static void store_f16(std::uint16_t* p, Vec v) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), to_half(v));
  }
  static void store_f16_partial(std::uint16_t* p, Vec v, std::int64_t n) {
    std::uint16_t half[8];
    store_f16(half, v);
    for (std::int64_t i = 0; i < n; ++i) p[i] = half[i];
  }

  // Lane j = sum of the lanes of a[j]; the same order of additions for every j.
  static Vec reduce_block(const Vec* a) {
    Vec b[4], c[2];
    for (int i = 0; i < 4; ++i) b[i] = _mm256_hadd_ps(a[2 * i], a[2 * i + 1]);
    for (int i = 0; i < 2; ++i) c[i] = _mm256_hadd_ps(b[2 * i], b[2 * i + 1]);
    // Low halves hold the first four lanes' sums of a[0..3] and a[4..7], high halves the rest.
    return add(_mm256_permute2f128_ps(c[0], c[1], 0x20), _mm256_permute2f128_ps(c[0], c[1], 0x31));
  }
  static float sum(Vec v) { return _mm256_cvtss_f32(add_groups<1>(v)); }

  // kRun neighbouring floats, over and over.
  template <int kRun>
  static Vec load_repeated(const float* p) {
    if constexpr (kRun == 2) {
      double pair;
      __builtin_memcpy(&pair, p, sizeof pair);
      return _mm256_castpd_ps(_mm256_set1_pd(pair));
    }
    if constexpr (kRun == 4) return _mm256_broadcast_ps(reinterpret_cast<const __m128*>(p));
    return _mm256_loadu_ps(p);
  }
  // Each a[c], c < kRun, holds kWidth / kRun runs of kRun lanes; lane c * (kWidth / kRun) + r of
  // the result = sum of run r of a[c].
  template <int kRun>
  static Vec add_runs(const Vec* a) {
    if constexpr (kRun == 2) {
      const Vec e = add(_mm256_shuffle_ps(a[0], a[1], 0x88), _mm256_shuffle_ps(a[0], a[1], 0xdd));
      return _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(e), 0xd8));
    }
    if constexpr (kRun == 4) {
      const Vec e = _mm256_hadd_ps(_mm256_hadd_ps(a[0], a[1]), _mm256_hadd_ps(a[2], a[3]));
      return _mm256_permutevar8x32_ps(e, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
    }
    return reduce_block(a);
  }

  // Every lane becomes the maximum (sum) of the lanes at the same place modulo kRows.
  template <int kRows>
  static Vec max_groups(Vec v) {
    if constexpr (kRows <= 4) v = max(v, _mm256_permute2f128_ps(v, v, 0x01));
    if constexpr (kRows <= 2) v = max(v, _mm256_permute_ps(v, 0x4e));
    if constexpr (kRows <= 1) v = max(v, _mm256_permute_ps(v, 0xb1));
    return v;
  }
  template <int kRows>
  static Vec add_groups(Vec v) {
    if constexpr (kRows <= 4) v = add(v, _mm256_permute2f128_ps(v, v, 0x01));
    if constexpr (kRows <= 2) v = add(v, _mm256_permute_ps(v, 0x4e));
    if constexpr (kRows <= 1) v = add(v, _mm256_permute_ps(v, 0xb1));
    return v;
  }

 private:
  static __m256i mask(std::int64_t n) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(n)),
                              _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
  }
  static __m128i load_16_bit(const std::byte* p, std::int64_t n) {
    alignas(16) std::byte bytes[16] = {};
    for (std::int64_t i = 0; i < 2 * n; ++i) bytes[i] = p[i];
    return _mm_load_si128(reinterpret_cast<const __m128i*>(bytes));
  }
  static Vec power_of_2(__m256i k) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(k, _mm256_set1_epi32(127)), 23));
  }
  static __m128i to_half(Vec v) {
    return _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  }
  static Vec widen_bf16(__m128i bits) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
  }
};

}  // namespace bandwall::avx2
