// Weight blocks of 256 values through AVX2 into memory, for matmul_avx2.cpp only.
//   load<Format::Q4_K>(block, chunk): signed bytes in natural order, scales and minima per 16
// load() itself and the rarer formats: unpack_more_avx2.h. Layouts: unpack.h.
#pragma once

#include <immintrin.h>

#include "runtime/kernels/kernels.h"
#include "runtime/kernels/unpack.h"

namespace bandwall::avx2 {
namespace {

#define BANDWALL_INLINE static inline __attribute__((always_inline))

using Byte = std::uint8_t;

// value = scale * q - min, 16 values per scale. Only formats with a minimum set it.
struct SignedChunk {
  alignas(32) std::int8_t q[256];
  alignas(32) float scale[16];
  alignas(32) float min[16];
};

BANDWALL_INLINE constexpr bool has_minimum(Format f) {
  return f == Format::Q4_K || f == Format::Q5_K || f == Format::Q2_K || f == Format::Q4_1 ||
         f == Format::Q5_1;
}

BANDWALL_INLINE __m256i load_32(const void* p) {
  return _mm256_loadu_si256(static_cast<const __m256i*>(p));
}

BANDWALL_INLINE void store_32(void* p, __m256i v) {
  _mm256_store_si256(static_cast<__m256i*>(p), v);
}

BANDWALL_INLINE __m256i bytes(int v) { return _mm256_set1_epi8(static_cast<char>(v)); }

BANDWALL_INLINE float half_at(const Byte* p) {
  std::uint16_t h;
  __builtin_memcpy(&h, p, 2);
  return _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(h)));
}

// 16 bytes: low nibbles, then high nibbles.
BANDWALL_INLINE __m256i nibbles(const Byte* p) {
  const __m128i v = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  const __m256i both = _mm256_inserti128_si256(_mm256_castsi128_si256(v), _mm_srli_epi16(v, 4), 1);
  return _mm256_and_si256(both, bytes(15));
}

// E2M1 values times 2.
BANDWALL_INLINE __m256i e2m1_table() {
  return _mm256_broadcastsi128_si256(
      _mm_setr_epi8(0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12));
}

BANDWALL_INLINE __m256i iq4_table() {
  return _mm256_broadcastsi128_si256(
      _mm_setr_epi8(-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113));
}

BANDWALL_INLINE void load_8_blocks(Format format, const Byte* b, SignedChunk& c) {
  const __m256i e2m1 = e2m1_table(), iq4 = iq4_table();
  for (int g = 0; g < 8; ++g) {
    __m256i q;
    float scale, min = 0.0f;
    if (format == Format::MXFP4) {
      const int e = b[17 * g];  // half of 2^(e - 127); results below 1e-38 count as 0 here
      const std::uint32_t bits = e < 2 ? 0 : static_cast<std::uint32_t>(e - 1) << 23;
      __builtin_memcpy(&scale, &bits, 4);
      q = _mm256_shuffle_epi8(e2m1, nibbles(b + 17 * g + 1));
    } else if (format == Format::Q8_0) {
      scale = half_at(b + 34 * g);
      q = load_32(b + 34 * g + 2);
    } else if (format == Format::Q4_1) {
      scale = half_at(b + 20 * g);
      min = -half_at(b + 20 * g + 2);
      q = nibbles(b + 20 * g + 4);
    } else {
      scale = half_at(b + 18 * g);
      q = nibbles(b + 18 * g + 2);
      q = format == Format::Q4_0 ? _mm256_sub_epi8(q, bytes(8)) : _mm256_shuffle_epi8(iq4, q);
    }
    store_32(c.q + 32 * g, q);
    c.scale[2 * g] = c.scale[2 * g + 1] = scale;
    c.min[2 * g] = c.min[2 * g + 1] = min;
  }
}

// Eight 6-bit numbers of Q4_K or Q5_K times d, each twice.
BANDWALL_INLINE void store_twice(std::uint64_t numbers, float d, float* to) {
  const __m128i v = _mm_cvtsi64_si128(static_cast<long long>(numbers));
  const __m256 f = _mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(v)), _mm256_set1_ps(d));
  const __m256i low = _mm256_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3);
  const __m256i high = _mm256_setr_epi32(4, 4, 5, 5, 6, 6, 7, 7);
  _mm256_store_ps(to, _mm256_permutevar8x32_ps(f, low));
  _mm256_store_ps(to + 8, _mm256_permutevar8x32_ps(f, high));
}

BANDWALL_INLINE void load_scales_6bit(const Byte* b, SignedChunk& c) {
  std::uint32_t p[3];
  __builtin_memcpy(p, b + 4, 12);
  const std::uint64_t s_high = (p[2] & 0x0f0f0f0fu) | ((p[0] >> 2) & 0x30303030u);
  const std::uint64_t m_high = ((p[2] >> 4) & 0x0f0f0f0fu) | ((p[1] >> 2) & 0x30303030u);
  store_twice((p[0] & 0x3f3f3f3fu) | (s_high << 32), half_at(b), c.scale);
  store_twice((p[1] & 0x3f3f3f3fu) | (m_high << 32), half_at(b + 2), c.min);
}

BANDWALL_INLINE void load_q4_q5(const Byte* b, const Byte* fifth, const Byte* low, SignedChunk& c) {
  const __m256i bits = fifth == nullptr ? _mm256_setzero_si256() : load_32(fifth);
  for (int g = 0; g < 8; ++g) {
    const __m256i v = load_32(low + 32 * (g / 2));
    __m256i q = _mm256_and_si256(g % 2 == 0 ? v : _mm256_srli_epi16(v, 4), bytes(15));
    if (fifth != nullptr) {
      const __m256i bit = bytes(1 << g);
      const __m256i set = _mm256_cmpeq_epi8(_mm256_and_si256(bits, bit), bit);
      q = _mm256_or_si256(q, _mm256_and_si256(set, bytes(16)));
    }
    store_32(c.q + 32 * g, q);
  }
  load_scales_6bit(b, c);
}

// Sixteen signed bytes times d.
BANDWALL_INLINE void store_scales(__m128i v, float d, float* to) {
  const __m256 low = _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(v));
  const __m256 high = _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_srli_si128(v, 8)));
  _mm256_store_ps(to, _mm256_mul_ps(low, _mm256_set1_ps(d)));
  _mm256_store_ps(to + 8, _mm256_mul_ps(high, _mm256_set1_ps(d)));
}

BANDWALL_INLINE void load_q6(const Byte* b, SignedChunk& c) {
  for (int g = 0; g < 8; ++g) {
    const __m256i low = load_32(b + 64 * (g / 4) + 32 * (g % 2));
    const __m256i high = load_32(b + 128 + 32 * (g / 4));
    const __m256i four = g % 4 < 2 ? low : _mm256_srli_epi16(low, 4);
    const __m256i two = g % 4 == 0   ? _mm256_slli_epi16(high, 4)
                        : g % 4 == 1 ? _mm256_slli_epi16(high, 2)
                        : g % 4 == 2 ? high
                                     : _mm256_srli_epi16(high, 2);
    const __m256i q = _mm256_or_si256(_mm256_and_si256(four, bytes(15)),
                                      _mm256_and_si256(two, bytes(0x30)));
    store_32(c.q + 32 * g, _mm256_sub_epi8(q, bytes(32)));
  }
  store_scales(_mm_loadu_si128(reinterpret_cast<const __m128i*>(b + 192)), half_at(b + 208),
               c.scale);
}

BANDWALL_INLINE __m256i two_bits(const Byte* p, int g) {
  const __m256i v = load_32(p + 32 * (g / 4));
  return _mm256_and_si256(_mm256_srli_epi16(v, 2 * (g % 4)), bytes(3));
}

BANDWALL_INLINE void load_q3(const Byte* b, SignedChunk& c) {
  const __m256i third = load_32(b);
  for (int g = 0; g < 8; ++g) {
    const __m256i clear = _mm256_cmpeq_epi8(_mm256_and_si256(third, bytes(1 << g)),
                                            _mm256_setzero_si256());
    const __m256i four = _mm256_and_si256(clear, bytes(4));
    store_32(c.q + 32 * g, _mm256_sub_epi8(two_bits(b + 32, g), four));
  }
  std::uint32_t p[3];
  __builtin_memcpy(p, b + 96, 12);
  const std::uint32_t nibble = 0x0f0f0f0fu, high = 0x30303030u;
  const __m128i scales = _mm_setr_epi32(
      static_cast<int>((p[0] & nibble) | ((p[2] << 4) & high)),
      static_cast<int>((p[1] & nibble) | ((p[2] << 2) & high)),
      static_cast<int>(((p[0] >> 4) & nibble) | (p[2] & high)),
      static_cast<int>(((p[1] >> 4) & nibble) | ((p[2] >> 2) & high)));
  store_scales(_mm_sub_epi8(scales, _mm_set1_epi8(32)), half_at(b + 108), c.scale);
}

BANDWALL_INLINE void load_q2(const Byte* b, SignedChunk& c) {
  for (int g = 0; g < 8; ++g) store_32(c.q + 32 * g, two_bits(b + 16, g));
  const __m128i v = _mm_loadu_si128(reinterpret_cast<const __m128i*>(b));
  const __m128i nibble = _mm_set1_epi8(15);
  store_scales(_mm_and_si128(v, nibble), half_at(b + 80), c.scale);
  store_scales(_mm_and_si128(_mm_srli_epi16(v, 4), nibble), half_at(b + 82), c.min);
}

}  // namespace
}  // namespace bandwall::avx2
