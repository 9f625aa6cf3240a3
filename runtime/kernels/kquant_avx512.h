// K-quant blocks of four rows at once, for kquant_avx512.cpp only.
//   Header h = F::header(blocks): integer scales of four rows side by side, and their factors
//   F::values(block, w): 256 unsigned values of one row in the order F::kOrder
// Words of Header::scale, eight per row and register: groups of 32: 0-7 in scale[0]. Groups of 16:
// 0-7 and 8-15, or in Order::Halves 0-3, 8-11 and 4-7, 12-15. Layouts: unpack.h.
#pragma once

#include "runtime/kernels/unpack_avx512.h"

namespace bandwall::avx512 {
namespace {

struct Header {
  __m512i scale[2], min[2];  // 16-bit, row r in lane r of 128 bits
  __m512 d, dmin;            // of row r in lanes 4 r .. 4 r + 3
};

// Matrix of _mm512_gf2p8affine_epi64_epi8 that moves bits of a byte: to[i] becomes from[i].
struct BitMove {
  int to, from;
};
constexpr long long bit_matrix(BitMove a, BitMove b = {-1, 0}) {
  std::uint64_t m = 0;
  for (const BitMove move : {a, b}) {
    if (move.to >= 0) m |= std::uint64_t{1} << (8 * (7 - move.to) + move.from);
  }
  return static_cast<long long>(m);
}

// One matrix for the lower 256 bits, one for the upper.
BANDWALL_INLINE __m512i move_bits(__m512i v, long long lower, long long upper) {
  const __m512i matrix = _mm512_setr_epi64(lower, lower, lower, lower, upper, upper, upper, upper);
  return _mm512_gf2p8affine_epi64_epi8(v, matrix, 0);
}

BANDWALL_INLINE __m512i twice(const Byte* p) {
  return keep(_mm512_broadcast_i64x4(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))));
}

// 16 bytes of each of four blocks.
BANDWALL_INLINE __m512i of_four(const Byte* const* b, int at) {
  const auto load = [&](int r) {
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(b[r] + at));
  };
  __m512i v = _mm512_castsi128_si512(load(0));
  v = _mm512_inserti32x4(v, load(1), 1);
  v = _mm512_inserti32x4(v, load(2), 2);
  return _mm512_inserti32x4(v, load(3), 3);
}

// Word `at` of each lane of 128 bits as four floats.
BANDWALL_INLINE __m512 half_of_lanes(__m512i v, int at) {
  const __m512i by_row = _mm512_castsi256_si512(
      _mm256_setr_epi16(0, 0, 0, 0, 8, 8, 8, 8, 16, 16, 16, 16, 24, 24, 24, 24));
  const __m512i index = _mm512_add_epi16(by_row, _mm512_set1_epi16(static_cast<short>(at)));
  return _mm512_cvtph_ps(_mm512_castsi512_si256(_mm512_permutexvar_epi16(index, v)));
}

// A half at `at` of each of four blocks.
BANDWALL_INLINE __m512 half_of_four(const Byte* const* b, int at) {
  std::uint64_t all = 0;
  for (int r = 0; r < 4; ++r) {
    std::uint16_t h;
    __builtin_memcpy(&h, b[r] + at, 2);
    all |= static_cast<std::uint64_t>(h) << (16 * r);
  }
  const __m128i halves = _mm_cvtsi64_si128(static_cast<long long>(all));
  const __m256i spread = _mm256_setr_epi8(0, 1, 0, 1, 0, 1, 0, 1, 2, 3, 2, 3, 2, 3, 2, 3, 4, 5, 4,
                                          5, 4, 5, 4, 5, 6, 7, 6, 7, 6, 7, 6, 7);
  return _mm512_cvtph_ps(_mm256_shuffle_epi8(_mm256_broadcastq_epi64(halves), spread));
}

BANDWALL_INLINE __m512i lanes_of_bytes(__m128i v) { return _mm512_broadcast_i32x4(v); }

// Signed bytes to words: the low and the high eight of each lane.
BANDWALL_INLINE void widen_signed(__m512i v, __m512i* to) {
  const __m512i zero = _mm512_setzero_si512();
  to[0] = _mm512_srai_epi16(_mm512_unpacklo_epi8(zero, v), 8);
  to[1] = _mm512_srai_epi16(_mm512_unpackhi_epi8(zero, v), 8);
}

// Where the scales of row r lie among 4 x 8 words, for packed sums of two w[]: at first in the
// lower half of each lane of 128 bits, at second in the upper.
struct SpreadTable {
  alignas(64) std::uint16_t at[4][32];
};

constexpr SpreadTable spread_table(const int (&first)[4], const int (&second)[4]) {
  SpreadTable t = {};
  for (int row = 0; row < 4; ++row) {
    for (int i = 0; i < 32; ++i) {
      t.at[row][i] =
          static_cast<std::uint16_t>(8 * row + (i % 8 < 4 ? first[i / 8] : second[i / 8]));
    }
  }
  return t;
}

using Words = std::int16_t[2][8];

BANDWALL_INLINE void store_words(std::int16_t* to, __m128i v) {
  _mm_store_si128(reinterpret_cast<__m128i*>(to), v);
}

BANDWALL_INLINE __m128i load_words(const std::int16_t* p) {
  return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
}

// Q4_K and Q5_K: eight 6-bit scales and minima in 12 bytes behind d and dmin.
BANDWALL_INLINE Header header_6bit(const Byte* const* b) {
  const __m512i v = of_four(b, 0);
  const __m512i low = _mm512_shuffle_epi8(
      v, lanes_of_bytes(_mm_setr_epi8(4, 5, 6, 7, 12, 13, 14, 15, 8, 9, 10, 11, 12, 13, 14, 15)));
  const __m512i high = _mm512_shuffle_epi8(
      v, lanes_of_bytes(_mm_setr_epi8(-1, -1, -1, -1, 4, 5, 6, 7, -1, -1, -1, -1, 8, 9, 10, 11)));
  const __m512i low_bits = _mm512_and_si512(
      _mm512_srlv_epi32(low, lanes_of_bytes(_mm_setr_epi32(0, 0, 0, 4))),
      lanes_of_bytes(_mm_setr_epi32(0x3f3f3f3f, 0x0f0f0f0f, 0x3f3f3f3f, 0x0f0f0f0f)));
  // low | (high >> 2 & 0x30)
  const __m512i all =
      _mm512_ternarylogic_epi64(low_bits, _mm512_srli_epi32(high, 2), bytes(0x30), 0xf8);
  const __m512i zero = _mm512_setzero_si512();
  Header h;
  h.scale[0] = _mm512_unpacklo_epi8(all, zero);
  h.min[0] = _mm512_unpackhi_epi8(all, zero);
  h.d = half_of_lanes(v, 0);
  h.dmin = half_of_lanes(v, 1);
  return h;
}

struct BlocksQ4K {
  static constexpr int kBytes = 144, kGroup = 32;
  static constexpr bool kMin = true;
  static constexpr Order kOrder = Order::Pairs;
  static constexpr SpreadTable kSpread[2] = {spread_table({0, 0, 2, 2}, {1, 1, 3, 3}),
                                             spread_table({4, 4, 6, 6}, {5, 5, 7, 7})};
  BANDWALL_INLINE void arrange_words(__m256i multiple, const std::int16_t* sums16, Words& multiples,
                                     Words& sums) {
    store_words(multiples[0], _mm256_cvtepi32_epi16(multiple));
    store_words(sums[0], _mm_hadd_epi16(load_words(sums16), load_words(sums16 + 8)));
  }
  BANDWALL_INLINE Header header(const Byte* const* b) { return header_6bit(b); }
  BANDWALL_INLINE void values(const Byte* b, __m512i* w) {
    split_nibbles(keep(_mm512_loadu_si512(b + 16)), w[0], w[1]);
    split_nibbles(keep(_mm512_loadu_si512(b + 80)), w[2], w[3]);
  }
};

struct BlocksQ5K : BlocksQ4K {
  static constexpr int kBytes = 176;
  BANDWALL_INLINE void values(const Byte* b, __m512i* w) {
    const __m512i fifth = twice(b + 16), nibble = bytes(15);
    for (int h = 0; h < 2; ++h) {
      const __m512i v = keep(_mm512_loadu_si512(b + 48 + 64 * h));
      const int g = 4 * h;
      w[2 * h] =
          blend_bits(nibble, v, move_bits(fifth, bit_matrix({4, g}), bit_matrix({4, g + 2})));
      w[2 * h + 1] = blend_bits(nibble, _mm512_srli_epi16(v, 4),
                                move_bits(fifth, bit_matrix({4, g + 1}), bit_matrix({4, g + 3})));
    }
  }
};

struct BlocksQ6K {
  static constexpr int kBytes = 210, kGroup = 16, kOffsetShift = 5;
  static constexpr bool kMin = false;
  static constexpr Order kOrder = Order::Natural;
  static constexpr SpreadTable kSpread[1] = {spread_table({0, 1, 2, 3}, {4, 5, 6, 7})};
  BANDWALL_INLINE void arrange_words(__m256i multiple, const std::int16_t* sums16, Words& multiples,
                                     Words& sums) {
    const __m128i m = _mm256_cvtepi32_epi16(multiple);
    store_words(multiples[0], _mm_unpacklo_epi16(m, m));
    store_words(multiples[1], _mm_unpackhi_epi16(m, m));
    store_words(sums[0], load_words(sums16));
    store_words(sums[1], load_words(sums16 + 8));
  }
  BANDWALL_INLINE Header header(const Byte* const* b) {
    Header h;
    widen_signed(of_four(b, 192), h.scale);
    h.d = half_of_four(b, 208);
    return h;
  }
  BANDWALL_INLINE void values(const Byte* b, __m512i* w) {
    for (int h = 0; h < 2; ++h) {
      const __m512i low = keep(_mm512_loadu_si512(b + 64 * h));
      const __m512i high = twice(b + 128 + 32 * h);
      const auto two = [&](int first) {
        return move_bits(high, bit_matrix({4, first}, {5, first + 1}),
                         bit_matrix({4, first + 2}, {5, first + 3}));
      };
      w[2 * h] = blend_bits(bytes(15), low, two(0));
      w[2 * h + 1] = blend_bits(bytes(15), _mm512_srli_epi16(low, 4), two(4));
    }
  }
};

// What Q2_K and Q3_K share: two low bits of w[1] and w[3] stay in place, four times too large; the
// scales of the others and d make up for it.
struct BlocksOf2Bits {
  static constexpr int kGroup = 16, kOffsetShift = 0;
  static constexpr Order kOrder = Order::Halves;
  static constexpr SpreadTable kSpread[1] = {spread_table({0, 1, 4, 5}, {2, 3, 6, 7})};
  // Sums are shifted where the multiple counts four times, and elsewhere.
  BANDWALL_INLINE void arrange_halves(__m256i multiple, const std::int16_t* sums16, int by_4,
                                      int by_1, Words& multiples, Words& sums) {
    const __m128i m = _mm256_cvtepi32_epi16(multiple);
    const __m128i low = _mm_unpacklo_epi16(m, m), high = _mm_unpackhi_epi16(m, m);
    const __m128i factor = _mm_setr_epi16(2, 2, 0, 0, 2, 2, 0, 0);
    store_words(multiples[0], _mm_sllv_epi16(_mm_unpacklo_epi64(low, high), factor));
    store_words(multiples[1], _mm_sllv_epi16(_mm_unpackhi_epi64(low, high), factor));
    const __m128i s = load_words(sums16), t = load_words(sums16 + 8);
    const auto word = [](int v) { return static_cast<short>(v); };
    const __m128i shift = _mm_setr_epi16(word(by_4), word(by_4), word(by_1), word(by_1), word(by_4),
                                         word(by_4), word(by_1), word(by_1));
    store_words(sums[0], _mm_sllv_epi16(_mm_unpacklo_epi64(s, t), shift));
    store_words(sums[1], _mm_sllv_epi16(_mm_unpackhi_epi64(s, t), shift));
  }
};

struct BlocksQ3K : BlocksOf2Bits {
  static constexpr int kBytes = 110;
  static constexpr bool kMin = false;
  // Values minus 4, in units of a quarter.
  BANDWALL_INLINE void arrange_words(__m256i multiple, const std::int16_t* sums16, Words& multiples,
                                     Words& sums) {
    arrange_halves(multiple, sums16, 2, 4, multiples, sums);
  }
  // Sixteen 6-bit scales plus 32: low nibbles in bytes 0-7, two high bits each in bytes 8-11.
  BANDWALL_INLINE Header header(const Byte* const* b) {
    const __m512i v = of_four(b, 94);
    const __m512i low = _mm512_shuffle_epi8(
        v, lanes_of_bytes(_mm_setr_epi8(2, 3, 4, 5, 2, 3, 4, 5, 6, 7, 8, 9, 6, 7, 8, 9)));
    const __m512i high =
        _mm512_shuffle_epi8(v, lanes_of_bytes(_mm_setr_epi8(10, 11, 12, 13, 10, 11, 12, 13, 10, 11,
                                                            12, 13, 10, 11, 12, 13)));
    const __m512i low_bits = _mm512_srlv_epi32(low, lanes_of_bytes(_mm_setr_epi32(0, 4, 0, 4)));
    const __m512i high_bits = _mm512_rolv_epi32(high, lanes_of_bytes(_mm_setr_epi32(4, 0, 2, 30)));
    const __m512i all = blend_bits(bytes(15), low_bits, high_bits);
    Header h;
    widen_signed(_mm512_sub_epi8(_mm512_and_si512(all, bytes(63)), bytes(32)), h.scale);
    h.d = _mm512_mul_ps(half_of_four(b, 108), _mm512_set1_ps(0.25f));
    return h;
  }
  BANDWALL_INLINE void values(const Byte* b, __m512i* w) {
    const __m512i low = keep(_mm512_loadu_si512(b + 32));
    const __m512i next = _mm512_srli_epi16(low, 4);
    const __m512i third = twice(b);
    const auto bit = [&](int to, int j) {
      return move_bits(third, bit_matrix({to, j}), bit_matrix({to, j + 4}));
    };
    w[0] = blend_bits(bytes(3), low, bit(2, 0));
    w[1] = blend_bits(bytes(12), low, bit(4, 1));
    w[2] = blend_bits(bytes(3), next, bit(2, 2));
    w[3] = blend_bits(bytes(12), next, bit(4, 3));
  }
};

struct BlocksQ2K : BlocksOf2Bits {
  static constexpr int kBytes = 84;
  static constexpr bool kMin = true;
  BANDWALL_INLINE void arrange_words(__m256i multiple, const std::int16_t* sums16, Words& multiples,
                                     Words& sums) {
    arrange_halves(multiple, sums16, 0, 2, multiples, sums);
  }
  BANDWALL_INLINE Header header(const Byte* const* b) {
    const __m512i v = _mm512_shuffle_epi8(
        of_four(b, 0),
        lanes_of_bytes(_mm_setr_epi8(0, 1, 2, 3, 8, 9, 10, 11, 4, 5, 6, 7, 12, 13, 14, 15)));
    const __m512i zero = _mm512_setzero_si512();
    __m512i scale, min;
    split_nibbles(v, scale, min);
    Header h;
    h.scale[0] = _mm512_unpacklo_epi8(scale, zero);
    h.scale[1] = _mm512_unpackhi_epi8(scale, zero);
    h.min[0] = _mm512_unpacklo_epi8(min, zero);
    h.min[1] = _mm512_unpackhi_epi8(min, zero);
    h.d = _mm512_mul_ps(half_of_four(b, 80), _mm512_set1_ps(0.25f));
    h.dmin = _mm512_mul_ps(half_of_four(b, 82), _mm512_set1_ps(0.25f));
    return h;
  }
  BANDWALL_INLINE void values(const Byte* b, __m512i* w) {
    const __m512i low = keep(_mm512_loadu_si512(b + 16));
    const __m512i next = _mm512_srli_epi16(low, 4);
    w[0] = _mm512_and_si512(low, bytes(3));
    w[1] = _mm512_and_si512(low, bytes(12));
    w[2] = _mm512_and_si512(next, bytes(3));
    w[3] = _mm512_and_si512(next, bytes(12));
  }
};

}  // namespace
}  // namespace bandwall::avx512
