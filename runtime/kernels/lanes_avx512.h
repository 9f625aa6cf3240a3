// Sixteen float lanes with AVX-512: the vocabulary of the kernel templates (*_lanes.h).
//   Lanes::store(y, Lanes::fma(Lanes::load(x), Lanes::set(2.0f), Lanes::load(y)));   // y += 2 x
// Included by *_avx512.cpp only: these are the sole places with the flags for it.
#pragma once

// GCC 12 warns of its own headers' undefined vectors (gcc.gnu.org PR 105593).
#if !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>
#if !defined(__clang__)
#pragma GCC diagnostic pop
#endif

#include <cstddef>
#include <cstdint>

namespace bandwall::avx512 {

struct Lanes {
  using Vec = __m512;
  static constexpr int kWidth = 16;
  static constexpr int kBlocks = 1;     // reduction blocks of kWidth accumulators held at once
  static constexpr int kMaxRows = 8;    // query heads that share one pass over values
  static constexpr int kChunkRows = 4;  // query heads whose keys share a vector
  static constexpr bool kValueBlocks = true;  // values of q8_0 and q4_0 are read in place

  static Vec zero() { return _mm512_setzero_ps(); }
  static Vec set(float x) { return _mm512_set1_ps(x); }
  static Vec broadcast(const float* p) { return _mm512_set1_ps(*p); }
  static Vec load(const float* p) { return _mm512_loadu_ps(p); }
  static void store(float* p, Vec v) { _mm512_storeu_ps(p, v); }
  static Vec add(Vec a, Vec b) { return _mm512_add_ps(a, b); }
  static Vec sub(Vec a, Vec b) { return _mm512_sub_ps(a, b); }
  static Vec mul(Vec a, Vec b) { return _mm512_mul_ps(a, b); }
  static Vec div(Vec a, Vec b) { return _mm512_div_ps(a, b); }
  static Vec fma(Vec a, Vec b, Vec c) { return _mm512_fmadd_ps(a, b, c); }
  // A NaN in the second operand wins.
  static Vec max(Vec a, Vec b) { return _mm512_max_ps(a, b); }
  static Vec min(Vec a, Vec b) { return _mm512_min_ps(a, b); }
  static Vec round(Vec a) { return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT); }
  static Vec times_power_of_2(Vec a, Vec n) { return _mm512_scalef_ps(a, n); }
  __attribute__((always_inline)) static void keep_in_register(Vec& v) { asm("" : "+v"(v)); }
  __attribute__((always_inline)) static void prefetch(const std::byte* p) {
    _mm_prefetch(reinterpret_cast<const char*>(p), _MM_HINT_T0);
  }
  // To the second level only: what is used a while later.
  __attribute__((always_inline)) static void prefetch_far(const std::byte* p) {
    _mm_prefetch(reinterpret_cast<const char*>(p), _MM_HINT_T1);
  }

  static Vec load_partial(const float* p, std::int64_t n) {
    return _mm512_maskz_loadu_ps(mask(n), p);
  }
  static void store_partial(float* p, Vec v, std::int64_t n) {
    _mm512_mask_storeu_ps(p, mask(n), v);
  }
  static Vec load_f16(const std::byte* p) {
    return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  }
  static Vec load_f16_partial(const std::byte* p, std::int64_t n) {
    return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(mask(n), p));
  }
  static Vec broadcast_f16(const std::byte* p) {
    short bits;
    __builtin_memcpy(&bits, p, 2);
    return _mm512_cvtph_ps(_mm256_set1_epi16(bits));
  }
  static Vec load_i8(const std::byte* p) {
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(load_16_bytes(p)));
  }
  // table[low nibble] of sixteen bytes, and table[high nibble].
  static void look_up_nibbles(const std::byte* p, Vec table, Vec* low, Vec* high) {
    const __m512i q = _mm512_cvtepu8_epi32(load_16_bytes(p));
    *low = _mm512_permutexvar_ps(q, table);  // ignores the bits above the nibble
    *high = _mm512_permutexvar_ps(_mm512_srli_epi32(q, 4), table);
  }
  static __m128i load_16_bytes(const std::byte* p) {
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  }
  static Vec load_bf16(const std::byte* p) {
    return widen_bf16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  }
  static Vec load_bf16_partial(const std::byte* p, std::int64_t n) {
    return widen_bf16(_mm256_maskz_loadu_epi16(mask(n), p));
  }
  static void store_f16(std::uint16_t* p, Vec v) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), to_half(v));
  }
  static void store_f16_partial(std::uint16_t* p, Vec v, std::int64_t n) {
    _mm256_mask_storeu_epi16(p, mask(n), to_half(v));
  }

  // Lane j = sum of the lanes of a[j]; the same order of additions for every j.
  static Vec reduce_block(const Vec* a) {
    Vec b[8], c[4], d[2];
    for (int i = 0; i < 8; ++i) {
      b[i] = add(_mm512_unpacklo_ps(a[i], a[i + 8]), _mm512_unpackhi_ps(a[i], a[i + 8]));
    }
    for (int i = 0; i < 4; ++i) {
      c[i] = add(_mm512_unpacklo_ps(b[i], b[i + 4]), _mm512_unpackhi_ps(b[i], b[i + 4]));
    }
    // Each 128-bit quarter of c[i] now holds a[i], a[i + 4], a[i + 8], a[i + 12].
    for (int i = 0; i < 2; ++i) {
      d[i] = add(_mm512_shuffle_f32x4(c[2 * i], c[2 * i + 1], 0x44),
                 _mm512_shuffle_f32x4(c[2 * i], c[2 * i + 1], 0xee));
    }
    const Vec e =
        add(_mm512_shuffle_f32x4(d[0], d[1], 0x88), _mm512_shuffle_f32x4(d[0], d[1], 0xdd));
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    return _mm512_permutexvar_ps(order, e);
  }
  static float sum(Vec v) { return _mm512_reduce_add_ps(v); }

  // kRun neighbouring floats, over and over.
  template <int kRun>
  static Vec load_repeated(const float* p) {
    if constexpr (kRun == 2) {
      double pair;
      __builtin_memcpy(&pair, p, sizeof pair);
      return _mm512_castpd_ps(_mm512_set1_pd(pair));
    }
    if constexpr (kRun == 4) return _mm512_broadcast_f32x4(_mm_loadu_ps(p));
    if constexpr (kRun == 8) return _mm512_broadcast_f32x8(_mm256_loadu_ps(p));
    return _mm512_loadu_ps(p);
  }
  // Each a[c], c < kRun, holds kWidth / kRun runs of kRun lanes; lane c * (kWidth / kRun) + r of
  // the result = sum of run r of a[c].
  template <int kRun>
  static Vec add_runs(const Vec* a) {
    if constexpr (kRun == 2) {
      const Vec e = add(_mm512_shuffle_ps(a[0], a[1], 0x88), _mm512_shuffle_ps(a[0], a[1], 0xdd));
      const __m512i order = _mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7);
      return _mm512_castpd_ps(_mm512_permutexvar_pd(order, _mm512_castps_pd(e)));
    }
    if constexpr (kRun == 4) {
      const Vec b = add(_mm512_unpacklo_ps(a[0], a[1]), _mm512_unpackhi_ps(a[0], a[1]));
      const Vec c = add(_mm512_unpacklo_ps(a[2], a[3]), _mm512_unpackhi_ps(a[2], a[3]));
      const Vec e = add(_mm512_shuffle_ps(b, c, 0x44), _mm512_shuffle_ps(b, c, 0xee));
      const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
      return _mm512_permutexvar_ps(order, e);
    }
    if constexpr (kRun == 8) {
      Vec b[4], c[2];
      for (int i = 0; i < 4; ++i) {
        b[i] = add(_mm512_unpacklo_ps(a[i], a[i + 4]), _mm512_unpackhi_ps(a[i], a[i + 4]));
      }
      for (int i = 0; i < 2; ++i) {
        c[i] = add(_mm512_unpacklo_ps(b[i], b[i + 2]), _mm512_unpackhi_ps(b[i], b[i + 2]));
      }
      // Each quarter of c[i] now holds a[i], a[i + 2], a[i + 4], a[i + 6].
      const Vec e =
          add(_mm512_shuffle_f32x4(c[0], c[1], 0x88), _mm512_shuffle_f32x4(c[0], c[1], 0xdd));
      const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
      return _mm512_permutexvar_ps(order, e);
    }
    return reduce_block(a);
  }

  // Every lane becomes the maximum (sum) of the lanes at the same place modulo kRows.
  template <int kRows>
  static Vec max_groups(Vec v) {
    if constexpr (kRows <= 8) v = max(v, _mm512_shuffle_f32x4(v, v, 0x4e));
    if constexpr (kRows <= 4) v = max(v, _mm512_shuffle_f32x4(v, v, 0xb1));
    if constexpr (kRows <= 2) v = max(v, _mm512_permute_ps(v, 0x4e));
    if constexpr (kRows <= 1) v = max(v, _mm512_permute_ps(v, 0xb1));
    return v;
  }
  template <int kRows>
  static Vec add_groups(Vec v) {
    if constexpr (kRows <= 8) v = add(v, _mm512_shuffle_f32x4(v, v, 0x4e));
    if constexpr (kRows <= 4) v = add(v, _mm512_shuffle_f32x4(v, v, 0xb1));
    if constexpr (kRows <= 2) v = add(v, _mm512_permute_ps(v, 0x4e));
    if constexpr (kRows <= 1) v = add(v, _mm512_permute_ps(v, 0xb1));
    return v;
  }

 private:
  static __mmask16 mask(std::int64_t n) { return static_cast<__mmask16>((1u << n) - 1u); }
  static __m256i to_half(Vec v) {
    return _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  }
  static Vec widen_bf16(__m256i bits) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
  }
};

}  // namespace bandwall::avx512
