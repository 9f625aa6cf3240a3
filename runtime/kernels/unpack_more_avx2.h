// Further weight formats through AVX2 into memory, and the choice among all (matmul_avx2.cpp only).
//   load<Format::Q5_0>(block, chunk): as in unpack_avx2.h
#pragma once

#include "runtime/kernels/unpack_avx2.h"

namespace bandwall::avx2 {
namespace {

BANDWALL_INLINE __m128i load_16(const void* p) {
  return _mm_loadu_si128(static_cast<const __m128i*>(p));
}

BANDWALL_INLINE __m256i two_16(__m128i low, __m128i high) {
  return _mm256_inserti128_si256(_mm256_castsi128_si256(low), high, 1);
}

BANDWALL_INLINE void store_everywhere(float v, float* to, int n) {
  for (int i = 0; i < n; ++i) to[i] = v;
}

// 32 bits to 32 bytes: all bits where the bit is set.
BANDWALL_INLINE __m256i spread_bits(const Byte* p) {
  int bits;
  __builtin_memcpy(&bits, p, 4);
  const __m256i by_8 =
      _mm256_setr_epi64x(0, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303);
  const __m256i each = _mm256_shuffle_epi8(_mm256_set1_epi32(bits), by_8);
  const __m256i one = _mm256_set1_epi64x(static_cast<long long>(0x8040201008040201u));
  return _mm256_cmpeq_epi8(_mm256_and_si256(each, one), one);
}

// Q5_0 (no minimum, 16 too large) and Q5_1.
template <bool minimum>
BANDWALL_INLINE void load_5bit(const Byte* b, SignedChunk& c) {
  constexpr int high = minimum ? 4 : 2, size = high + 20;
  for (int g = 0; g < 8; ++g) {
    const Byte* block = b + size * g;
    const __m256i fifth = _mm256_and_si256(spread_bits(block + high), bytes(16));
    const __m256i q = _mm256_or_si256(nibbles(block + high + 4), fifth);
    store_32(c.q + 32 * g, minimum ? q : _mm256_sub_epi8(q, bytes(16)));
    store_everywhere(half_at(block), c.scale + 2 * g, 2);
    if (minimum) store_everywhere(-half_at(block + 2), c.min + 2 * g, 2);
  }
}

BANDWALL_INLINE void load_iq4_xs(const Byte* b, SignedChunk& c) {
  for (int g = 0; g < 8; ++g) {
    store_32(c.q + 32 * g, _mm256_shuffle_epi8(iq4_table(), nibbles(b + 8 + 16 * g)));
  }
  std::uint32_t low;
  std::uint16_t high;
  __builtin_memcpy(&high, b + 2, 2);
  __builtin_memcpy(&low, b + 4, 4);
  const __m256i four =
      _mm256_and_si256(_mm256_srlv_epi32(_mm256_set1_epi32(static_cast<int>(low)),
                                         _mm256_setr_epi32(0, 4, 8, 12, 16, 20, 24, 28)),
                       _mm256_set1_epi32(15));
  const __m256i two = _mm256_and_si256(
      _mm256_srlv_epi32(_mm256_set1_epi32(high << 4), _mm256_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14)),
      _mm256_set1_epi32(0x30));
  const __m256i scales = _mm256_sub_epi32(_mm256_or_si256(four, two), _mm256_set1_epi32(32));
  const __m256 f = _mm256_mul_ps(_mm256_cvtepi32_ps(scales), _mm256_set1_ps(half_at(b)));
  _mm256_store_ps(c.scale, _mm256_permutevar8x32_ps(f, _mm256_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3)));
  _mm256_store_ps(c.scale + 8,
                  _mm256_permutevar8x32_ps(f, _mm256_setr_epi32(4, 4, 5, 5, 6, 6, 7, 7)));
}

// Half of eight unsigned E4M3 values, in the lower bytes of words: the bits of a half-precision
// number 2^8 too small (its subnormals too); the NaN code counts as 0.
BANDWALL_INLINE __m256 half_ue4m3(__m128i v) {
  const __m128i is_nan = _mm_cmpeq_epi16(v, _mm_set1_epi16(0x7f));
  const __m128i half = _mm_and_si128(_mm_slli_epi16(v, 7), _mm_set1_epi16(0x3f80));
  return _mm256_mul_ps(_mm256_cvtph_ps(_mm_andnot_si128(is_nan, half)), _mm256_set1_ps(128.0f));
}

BANDWALL_INLINE void load_nvfp4(const Byte* b, SignedChunk& c) {
  std::uint32_t codes[4];
  for (int i = 0; i < 4; ++i) {
    const Byte* block = b + 36 * i;
    __builtin_memcpy(codes + i, block, 4);
    const __m256i v = load_32(block + 4);  // per 8 bytes: low nibbles 0 .. 7, high nibbles 8 .. 15
    const __m256i low = _mm256_and_si256(v, bytes(15));
    const __m256i high = _mm256_and_si256(_mm256_srli_epi16(v, 4), bytes(15));
    const __m256i even = _mm256_shuffle_epi8(e2m1_table(), _mm256_unpacklo_epi64(low, high));
    const __m256i odd = _mm256_shuffle_epi8(e2m1_table(), _mm256_unpackhi_epi64(low, high));
    store_32(c.q + 64 * i, _mm256_permute2x128_si256(even, odd, 0x20));
    store_32(c.q + 64 * i + 32, _mm256_permute2x128_si256(even, odd, 0x31));
  }
  const __m128i all = load_16(codes);
  _mm256_store_ps(c.scale, half_ue4m3(_mm_cvtepu8_epi16(all)));
  _mm256_store_ps(c.scale + 8, half_ue4m3(_mm_cvtepu8_epi16(_mm_srli_si128(all, 8))));
}

// Base-3 digits, each minus 1: the integer part of 3 frac(power v / 256), with 16-bit products of
// the upper bytes in place and of the lower ones moved up.
BANDWALL_INLINE __m256i digits(__m256i v, __m256i power) {
  const __m256i three = _mm256_set1_epi16(3);
  const __m256i odd = _mm256_and_si256(v, _mm256_set1_epi16(static_cast<short>(0xff00)));
  const __m256i even = _mm256_slli_epi16(v, 8);
  const __m256i high = _mm256_mulhi_epu16(_mm256_mullo_epi16(odd, power), three);
  const __m256i low = _mm256_mulhi_epu16(_mm256_mullo_epi16(even, power), three);
  return _mm256_sub_epi8(_mm256_or_si256(low, _mm256_slli_epi16(high, 8)), bytes(1));
}

BANDWALL_INLINE void load_tq1(const Byte* b, SignedChunk& c) {
  const __m256i first = load_32(b);
  const __m128i second = load_16(b + 32);
  const __m256i twice = two_16(second, second);
  int last;
  __builtin_memcpy(&last, b + 48, 4);
  short power = 1;
  for (int k = 0; k < 5; ++k, power = static_cast<short>(3 * power)) {
    store_32(c.q + 32 * k, digits(first, _mm256_set1_epi16(power)));
  }
  store_32(c.q + 160, digits(twice, two_16(_mm_set1_epi16(1), _mm_set1_epi16(3))));
  store_32(c.q + 192, digits(twice, two_16(_mm_set1_epi16(9), _mm_set1_epi16(27))));
  store_32(c.q + 224, digits(two_16(second, _mm_set1_epi32(last)),
                             two_16(_mm_set1_epi16(81), _mm_setr_epi16(1, 1, 3, 3, 9, 9, 27, 27))));
  store_everywhere(half_at(b + 52), c.scale, 16);
}

BANDWALL_INLINE void load_tq2(const Byte* b, SignedChunk& c) {
  for (int g = 0; g < 8; ++g) {
    store_32(c.q + 32 * g, _mm256_sub_epi8(two_bits(b, g), bytes(1)));
  }
  store_everywhere(half_at(b + 64), c.scale, 16);
}

BANDWALL_INLINE void load_q1_0(const Byte* b, SignedChunk& c) {
  for (int g = 0; g < 8; ++g) {  // all bits set = -1: minus one where clear
    const __m256i set = spread_bits(b + 18 * (g / 4) + 2 + 4 * (g % 4));
    const __m256i twice = _mm256_and_si256(set, bytes(2));
    store_32(c.q + 32 * g, _mm256_sub_epi8(twice, bytes(1)));
  }
  for (int i = 0; i < 2; ++i) store_everywhere(half_at(b + 18 * i), c.scale + 8 * i, 8);
}

BANDWALL_INLINE void load_q2_0(const Byte* b, SignedChunk& c) {
  const __m256i fours = _mm256_setr_epi8(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4,
                                         5, 5, 5, 5, 6, 6, 6, 6, 7, 7, 7, 7);
  const __m256i place = _mm256_set1_epi32(static_cast<int>(0xc0300c03u));
  for (int g = 0; g < 8; ++g) {
    std::int64_t packed;
    __builtin_memcpy(&packed, b + 18 * (g / 2) + 2 + 8 * (g % 2), 8);
    const __m256i v =
        _mm256_and_si256(_mm256_shuffle_epi8(_mm256_set1_epi64x(packed), fours), place);
    // Bytes 0 .. 3 hold two bits at places 0, 2, 4, 6.
    const __m256i low = _mm256_or_si256(v, _mm256_srli_epi16(v, 2));
    const __m256i high = _mm256_srli_epi32(low, 4);
    const __m256i q = _mm256_and_si256(_mm256_blend_epi16(low, high, 0xaa), bytes(3));
    store_32(c.q + 32 * g, _mm256_sub_epi8(q, bytes(1)));
  }
  for (int i = 0; i < 4; ++i) store_everywhere(half_at(b + 18 * i), c.scale + 4 * i, 4);
}

template <Format format>
BANDWALL_INLINE void load(const Byte* b, SignedChunk& c) {
  switch (format) {
    case Format::Q4_K:
      return load_q4_q5(b, nullptr, b + 16, c);
    case Format::Q5_K:
      return load_q4_q5(b, b + 16, b + 48, c);
    case Format::Q6_K:
      return load_q6(b, c);
    case Format::Q3_K:
      return load_q3(b, c);
    case Format::Q2_K:
      return load_q2(b, c);
    case Format::Q5_0:
      return load_5bit<false>(b, c);
    case Format::Q5_1:
      return load_5bit<true>(b, c);
    case Format::IQ4_XS:
      return load_iq4_xs(b, c);
    case Format::NVFP4:
      return load_nvfp4(b, c);
    case Format::TQ1_0:
      return load_tq1(b, c);
    case Format::TQ2_0:
      return load_tq2(b, c);
    case Format::Q1_0:
      return load_q1_0(b, c);
    case Format::Q2_0:
      return load_q2_0(b, c);
    default:
      return load_8_blocks(format, b, c);
  }
}

}  // namespace
}  // namespace bandwall::avx2
