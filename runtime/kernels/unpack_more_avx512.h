// Further weight formats into registers, for the AVX-512 kernels (*_avx512.cpp only); the form is
// that of unpack_avx512.h: load(block, w, s, c), and load_lanes where scales come per lane of sums.
#pragma once

#include "runtime/kernels/unpack_avx512.h"

namespace bandwall::avx512 {
namespace {

// Words of eight blocks of `stride` bytes: those at byte `first` of each block, those at `second`,
// and two from byte `pair` of each (a negative place: anything). Three loads hold all blocks.
template <int stride, int first, int second, int pair>
struct BlockWords {
  static constexpr int kThird = 8 * stride - 64;
  struct Table {
    alignas(64) std::uint16_t at[32];
    std::uint32_t beyond;  // those of the third load
  };
  static constexpr int byte_of(int i) {
    const int field = i < 8 ? first : i < 16 ? second : pair;
    const int block = i < 16 ? i % 8 : (i - 16) / 2, odd = i < 16 ? 0 : i % 2;
    return field < 0 ? 0 : stride * block + field + 2 * odd;
  }
  static constexpr Table table(bool third) {
    Table t = {};
    for (int i = 0; i < 32; ++i) {
      const bool beyond = byte_of(i) >= 128;
      if (beyond) t.beyond |= 1u << i;
      if (beyond == third) {
        t.at[i] = static_cast<std::uint16_t>((byte_of(i) - (third ? kThird : 0)) / 2);
      }
    }
    return t;
  }
};

template <int stride, int first, int second, int pair>
BANDWALL_INLINE __m512i block_words(const Byte* b) {
  using Words = BlockWords<stride, first, second, pair>;
  static constexpr auto near = Words::table(false), far = Words::table(true);
  const __m512i words = _mm512_permutex2var_epi16(_mm512_loadu_si512(b), _mm512_load_si512(near.at),
                                                  _mm512_loadu_si512(b + 64));
  if constexpr (near.beyond == 0) return words;
  return _mm512_mask_permutexvar_epi16(words, near.beyond, _mm512_load_si512(far.at),
                                       _mm512_loadu_si512(b + Words::kThird));
}

// Scales in lanes 0-7, the negative of the second field in lanes 8-15: ggml adds this minimum.
BANDWALL_INLINE __m512 scales_and_minima(__m512i words) {
  const __m512 v = _mm512_cvtph_ps(_mm512_castsi512_si256(words));
  return _mm512_mask_xor_ps(v, 0xff00, v, _mm512_set1_ps(-0.0f));
}

struct Q4_1 : Plain {
  static constexpr int kBytes = 160, kGroup = 32;
  static constexpr bool kMin = true;
  static constexpr Order kOrder = Order::Nibbles;
  BANDWALL_INLINE int offset(int) { return 0; }
  BANDWALL_INLINE void load(const Byte* b, __m512i* w, __m512& s, __m512&) {
    split_nibbles(four_quarters(b + 4, 20), w[0], w[1]);
    split_nibbles(four_quarters(b + 84, 20), w[2], w[3]);
    s = scales_and_minima(block_words<20, 0, 2, -1>(b));
  }
};

// Bit 4 of every byte of w[j] from the 32 bits of each block, in bytes 32 .. 63 of `words`.
BANDWALL_INLINE __m512i with_fifth_bits(__m512i w, int j, __m512i words) {
  const __m512i eights = _mm512_setr_epi64(0, 1, 4, 5, 8, 9, 12, 13);
  const __m512i each = _mm512_set1_epi64(0x0101010101010101);
  const __m512i start = bytes(32 + 16 * (j / 2) + 2 * (j % 2));
  // A byte of bits for 8 values, eight times, turned so that the bit of each arrives at place 4.
  const __m512i at = _mm512_add_epi8(_mm512_mullo_epi64(eights, each), start);
  const __m512i turns = _mm512_set1_epi64(0x030201003f3e3d3c);
  const __m512i bits = _mm512_multishift_epi64_epi8(turns, _mm512_permutexvar_epi8(at, words));
  return blend_bits(bytes(16), bits, w);
}

template <int stride, int quants, int minimum>
BANDWALL_INLINE __m512i load_5bit(const Byte* b, __m512i* w) {
  const __m512i words = block_words<stride, 0, minimum, quants - 4>(b);
  split_nibbles(four_quarters(b + quants, stride), w[0], w[1]);
  split_nibbles(four_quarters(b + 4 * stride + quants, stride), w[2], w[3]);
  for (int j = 0; j < 4; ++j) w[j] = with_fifth_bits(w[j], j, words);
  return words;
}

struct Q5_0 : Plain {
  static constexpr int kBytes = 176, kGroup = 32;
  static constexpr Order kOrder = Order::Nibbles;
  BANDWALL_INLINE int offset(int) { return 16; }
  BANDWALL_INLINE void load(const Byte* b, __m512i* w, __m512& s, __m512&) {
    s = _mm512_cvtph_ps(_mm512_castsi512_si256(load_5bit<22, 6, -1>(b, w)));
  }
};

struct Q5_1 : Plain {
  static constexpr int kBytes = 192, kGroup = 32;
  static constexpr bool kMin = true;
  static constexpr Order kOrder = Order::Nibbles;
  BANDWALL_INLINE int offset(int) { return 0; }
  BANDWALL_INLINE void load(const Byte* b, __m512i* w, __m512& s, __m512&) {
    s = scales_and_minima(load_5bit<24, 8, 2>(b, w));
  }
};

// Values of the low nibbles by a table of 16, whatever the high ones are; then of the high ones.
BANDWALL_INLINE void table_values(__m128i table, __m512i v, __m512i& low, __m512i& high) {
  const __m512i four_times = _mm512_broadcast_i32x4(table);
  low = _mm512_permutexvar_epi8(v, four_times);
  high = _mm512_permutexvar_epi8(_mm512_srli_epi16(v, 4), four_times);
}

// The codebook of IQ4_NL and IQ4_XS, 128 too large.
BANDWALL_INLINE void iq4_values(__m512i v, __m512i& low, __m512i& high) {
  const __m128i table =
      _mm_setr_epi8(1, 24, 45, 63, 79, 93, 106, 118, static_cast<char>(129), static_cast<char>(141),
                    static_cast<char>(153), static_cast<char>(166), static_cast<char>(181),
                    static_cast<char>(197), static_cast<char>(217), static_cast<char>(241));
  table_values(table, v, low, high);
}

struct Iq4Nl : Plain {
  static constexpr int kBytes = 144, kGroup = 32;
  static constexpr Order kOrder = Order::Nibbles;
  static constexpr bool kLaneScales = true;
  BANDWALL_INLINE int offset(int) { return 128; }
  BANDWALL_INLINE void load(const Byte* b, __m512i* w, __m512& s, __m512&) {
    iq4_values(four_quarters(b + 2, 18), w[0], w[1]);
    iq4_values(four_quarters(b + 74, 18), w[2], w[3]);
    s = _mm512_cvtph_ps(_mm512_castsi512_si256(block_words<18, 0, -1, -1>(b)));
  }
  BANDWALL_INLINE __m512 load_lanes(const Byte* b, std::int64_t size, __m512i* w) {
    const __m512i words = _mm512_castsi256_si512(
        _mm256_setr_epi16(0, 0, 0, 0, 9, 9, 9, 9, 18, 18, 18, 18, 27, 27, 27, 27));
    __m512i first;
    iq4_values(four_blocks<18>(b, size, first), w[0], w[1]);
    return _mm512_cvtph_ps(_mm512_castsi512_si256(_mm512_permutexvar_epi16(words, first)));
  }
};

struct Iq4Xs : Plain {
  static constexpr int kBytes = 136, kGroup = 32;
  static constexpr Order kOrder = Order::Nibbles;
  BANDWALL_INLINE int offset(int) { return 128; }
  BANDWALL_INLINE void load(const Byte* b, __m512i* w, __m512& s, __m512&) {
    iq4_values(keep(_mm512_loadu_si512(b + 8)), w[0], w[1]);
    iq4_values(keep(_mm512_loadu_si512(b + 72)), w[2], w[3]);
    std::uint32_t d_and_high, low;
    __builtin_memcpy(&d_and_high, b, 4);
    __builtin_memcpy(&low, b + 4, 4);
    const __m256i four =
        _mm256_and_si256(_mm256_srlv_epi32(_mm256_set1_epi32(static_cast<int>(low)),
                                           _mm256_setr_epi32(0, 4, 8, 12, 16, 20, 24, 28)),
                         _mm256_set1_epi32(15));
    const __m256i two = _mm256_and_si256(  // from bit 16 on, moved to bits 4 and 5
        _mm256_srlv_epi32(_mm256_set1_epi32(static_cast<int>(d_and_high)),
                          _mm256_setr_epi32(12, 14, 16, 18, 20, 22, 24, 26)),
        _mm256_set1_epi32(0x30));
    const __m256i scales = _mm256_sub_epi32(_mm256_or_si256(four, two), _mm256_set1_epi32(32));
    const __m512 wide = _mm512_cvtepi32_ps(_mm512_castsi256_si512(scales));
    s = _mm512_mul_ps(wide, half_everywhere(b));
  }
};

struct Nvfp4 : Plain {
  static constexpr int kBytes = 144, kGroup = 16;
  static constexpr Order kOrder = Order::Eights;
  static constexpr bool kLaneScales = true;
  BANDWALL_INLINE int offset(int) { return 12; }
  // Half of each unsigned E4M3 value, in the upper byte of a word: the bits of a half-precision
  // number 2^8 too small (its subnormals too); the NaN code counts as 0.
  BANDWALL_INLINE __m512 scales(__m256i v) {
    const __m256i half = _mm256_and_si256(_mm256_srli_epi16(v, 1), _mm256_set1_epi16(0x3f80));
    const __mmask16 number = _mm256_cmpneq_epi16_mask(v, _mm256_set1_epi16(0x7f00));
    return _mm512_maskz_mul_ps(number, _mm512_cvtph_ps(half), _mm512_set1_ps(128.0f));
  }
  BANDWALL_INLINE void values(const Byte* b, const Byte* second, __m512i* w) {
    const __m128i table =  // E2M1 values times 2, plus 12
        _mm_setr_epi8(12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0);
    table_values(table, two_halves(b + 4, second + 4), w[0], w[1]);
  }
  BANDWALL_INLINE void load(const Byte* b, __m512i* w, __m512& s, __m512&) {
    values(b, b + 36, w);
    values(b + 72, b + 108, w + 2);
    std::uint32_t four[4];
    for (int i = 0; i < 4; ++i) __builtin_memcpy(four + i, b + 36 * i, 4);
    const __m128i codes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(four));
    s = scales(_mm256_slli_epi16(_mm256_cvtepu8_epi16(codes), 8));
  }
  BANDWALL_INLINE __m512 load_lanes(const Byte* b, std::int64_t size, __m512i* w) {
    values(b, size >= 72 ? b + 36 : b, w);
    const __m256i at = _mm256_setr_epi8(0, 0, 0, 0, 0, 1, 0, 1, 0, 2, 0, 2, 0, 3, 0, 3, 0, 36, 0,
                                        36, 0, 37, 0, 37, 0, 38, 0, 38, 0, 39, 0, 39);
    const __m512i codes = _mm512_maskz_permutexvar_epi8(0xaaaaaaaau, _mm512_castsi256_si512(at),
                                                        first_bytes(b, size));
    return scales(_mm512_castsi512_si256(codes));
  }
};

// Five base-3 digits per byte (unpack.cpp): digit k of byte v is the integer part of
// 3 frac(3^k v / 256). 16-bit products: the upper bytes in place, the lower ones moved up.
struct Tq1 : Plain {
  static constexpr int kBytes = 54, kGroup = 32;
  static constexpr Order kOrder = Order::Natural;
  BANDWALL_INLINE int offset(int) { return 1; }
  BANDWALL_INLINE __m512i digits(__m512i v, __m512i power) {
    const __m512i three = _mm512_set1_epi16(3);
    const __m512i odd = _mm512_and_si512(v, _mm512_set1_epi16(static_cast<short>(0xff00)));
    const __m512i even = _mm512_slli_epi16(v, 8);
    const __m512i high = _mm512_mulhi_epu16(_mm512_mullo_epi16(odd, power), three);
    const __m512i low = _mm512_mulhi_epu16(_mm512_mullo_epi16(even, power), three);
    return _mm512_or_si512(low, _mm512_slli_epi16(high, 8));
  }
  // Powers of 3 for quarters of a register.
  BANDWALL_INLINE __m512i powers(short a, short b, short c, __m128i d) {
    __m512i v = _mm512_castsi128_si512(_mm_set1_epi16(a));
    v = _mm512_inserti32x4(v, _mm_set1_epi16(b), 1);
    v = _mm512_inserti32x4(v, _mm_set1_epi16(c), 2);
    return _mm512_inserti32x4(v, d, 3);
  }
  BANDWALL_INLINE void load(const Byte* b, __m512i* w, __m512& s, __m512&) {
    const __m512i first =
        _mm512_broadcast_i64x4(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(b)));
    const __m512i second =
        _mm512_broadcast_i32x4(_mm_loadu_si128(reinterpret_cast<const __m128i*>(b + 32)));
    int last;
    __builtin_memcpy(&last, b + 48, 4);
    w[0] = digits(first, powers(1, 1, 3, _mm_set1_epi16(3)));
    w[1] = digits(first, powers(9, 9, 27, _mm_set1_epi16(27)));
    w[2] =
        digits(_mm512_mask_blend_epi64(0xf0, first, second), powers(81, 81, 1, _mm_set1_epi16(3)));
    w[3] = digits(_mm512_mask_set1_epi32(second, 0xf000, last),
                  powers(9, 27, 81, _mm_setr_epi16(1, 1, 3, 3, 9, 9, 27, 27)));
    s = half_everywhere(b + 52);
  }
};

struct Tq2 : Plain {
  static constexpr int kBytes = 66, kGroup = 16;
  static constexpr bool kScaled = true;
  static constexpr Order kOrder = Order::Halves;
  BANDWALL_INLINE int offset(int j) { return 1 << (2 * j); }
  BANDWALL_INLINE __m512 lane_factor() { return Q2K{}.lane_factor(); }
  // All bits stay in place: times 1, 4, 16, 64.
  BANDWALL_INLINE void load(const Byte* b, __m512i* w, __m512& s, __m512&) {
    const __m512i v = keep(_mm512_loadu_si512(b));
    for (int j = 0; j < 4; ++j) w[j] = _mm512_and_si512(v, bytes(3 << (2 * j)));
    s = half_everywhere(b + 64);
  }
};

struct Q1_0 : Plain {
  static constexpr int kBytes = 36, kGroup = 32;
  static constexpr Order kOrder = Order::Natural;
  BANDWALL_INLINE int offset(int) { return 1; }
  BANDWALL_INLINE void load(const Byte* b, __m512i* w, __m512& s, __m512&) {
    for (int j = 0; j < 4; ++j) {
      std::uint64_t bits;
      __builtin_memcpy(&bits, b + 18 * (j / 2) + 2 + 8 * (j % 2), 8);
      w[j] = _mm512_maskz_set1_epi8(_cvtu64_mask64(bits), 2);
    }
    s = _mm512_mask_mov_ps(half_everywhere(b), 0x00f0, half_everywhere(b + 18));
  }
};

struct Q2_0 : Plain {
  static constexpr int kBytes = 72, kGroup = 32;
  static constexpr Order kOrder = Order::Natural;
  BANDWALL_INLINE int offset(int) { return 1; }
  BANDWALL_INLINE void load(const Byte* b, __m512i* w, __m512& s, __m512&) {
    const __m512i turns = _mm512_set1_epi64(0x0e0c0a0806040200);
    for (int j = 0; j < 4; ++j) {
      const __m512i v =
          _mm512_cvtepu16_epi64(_mm_loadu_si128(reinterpret_cast<const __m128i*>(b + 18 * j + 2)));
      w[j] = _mm512_and_si512(_mm512_multishift_epi64_epi8(turns, v), bytes(3));
    }
    const __m512i at = _mm512_castsi256_si512(
        _mm256_setr_epi16(0, 0, 9, 9, 18, 18, 27, 27, 0, 0, 9, 9, 18, 18, 27, 27));
    s = _mm512_cvtph_ps(
        _mm512_castsi512_si256(_mm512_permutexvar_epi16(at, _mm512_loadu_si512(b))));
  }
};

}  // namespace
}  // namespace bandwall::avx512
