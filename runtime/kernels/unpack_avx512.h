// Weight blocks of 256 values into registers, for the AVX-512 kernels (*_avx512.cpp only).
//   Q4K::load(block, w, s, c): four registers of unsigned 8-bit values, and their scales
// The bytes of w[] come in the order that costs least to unpack (Order); load_x brings activations
// into the same order. Scales of groups of 32: lanes 0-7 of s, minima in lanes 8-15. Groups of 16:
// s the scales, c the minima (kMin). offset() is subtracted from the bytes. Layouts: unpack.h.
#pragma once

#include <immintrin.h>

#include "runtime/kernels/unpack.h"

namespace bandwall::avx512 {
namespace {

enum class Order {
  Natural,  // w[j] = values 64 j ..
  Pairs,    // groups of 32: w[0] = 0, 2; w[1] = 1, 3; w[2] = 4, 6; w[3] = 5, 7
  Halves,   // groups of 32: w[j] = j, j + 4
  Nibbles,  // half-groups of 16: w[0] = 0, 2, 4, 6; w[1] = 1, 3, 5, 7; then 8 .. 15
  Eights,   // eights: w[0] = 0, 2, 4 .. 14; w[1] = 1, 3, 5 .. 15; then 16 .. 31
};

using Byte = std::uint8_t;

#define BANDWALL_INLINE static inline __attribute__((always_inline))

#if defined(__clang__)
#define BANDWALL_UNROLL _Pragma("unroll")
#else
#define BANDWALL_UNROLL _Pragma("GCC unroll 8")
#endif

constexpr std::int64_t kMaxChunkBytes = 288;  // 256 values of the formats with blocks of 32 or 64

BANDWALL_INLINE __m512i bytes(int v) { return _mm512_set1_epi8(static_cast<char>(v)); }

BANDWALL_INLINE __m512 half_everywhere(const Byte* p) {
  std::uint16_t h;
  __builtin_memcpy(&h, p, 2);
  return _mm512_cvtph_ps(_mm256_set1_epi16(static_cast<short>(h)));
}

BANDWALL_INLINE __m512i two_halves(const Byte* low, const Byte* high) {
  const __m256i a = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(low));
  const __m256i b = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(high));
  return _mm512_inserti64x4(_mm512_castsi256_si512(a), b, 1);
}

BANDWALL_INLINE __m512i four_quarters(const Byte* p, int stride) {
  const auto at = [&](int i) {
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p + i * stride));
  };
  __m512i v = _mm512_castsi128_si512(at(0));
  v = _mm512_inserti32x4(v, at(1), 1);
  v = _mm512_inserti32x4(v, at(2), 2);
  return _mm512_inserti32x4(v, at(3), 3);
}

// Eight halves, `stride` bytes apart, twice.
BANDWALL_INLINE __m512 eight_halves(const Byte* p, int stride) {
  std::uint16_t h[8];
  for (int i = 0; i < 8; ++i) __builtin_memcpy(&h[i], p + i * stride, 2);
  __m128i v = _mm_cvtsi32_si128(h[0]);
  v = _mm_insert_epi16(v, h[1], 1);
  v = _mm_insert_epi16(v, h[2], 2);
  v = _mm_insert_epi16(v, h[3], 3);
  v = _mm_insert_epi16(v, h[4], 4);
  v = _mm_insert_epi16(v, h[5], 5);
  v = _mm_insert_epi16(v, h[6], 6);
  v = _mm_insert_epi16(v, h[7], 7);
  return _mm512_cvtph_ps(_mm256_broadcastsi128_si256(v));
}

// Keeps a value in its register: a folded second load of unaligned bytes costs more.
BANDWALL_INLINE __m512i keep(__m512i v) {
  __asm__("" : "+v"(v));
  return v;
}

// 64 bytes, zero from `size` on.
BANDWALL_INLINE __m512i first_bytes(const Byte* p, std::int64_t size) {
  if (size >= 64) return _mm512_loadu_si512(p);
  return _mm512_maskz_loadu_epi8((std::uint64_t{1} << size) - 1, p);
}

// What most formats have in common.
struct Plain {
  static constexpr int kRows = 4;         // rows of W at a time when x has few rows
  static constexpr bool kMin = false;     // scales come with minima
  static constexpr bool kScaled = false;  // some w[j] are multiples: lane_factor() undoes it
  // load_lanes() gives 64 (Order::Natural) or 128 values and scales per lane of their sums; `size`
  // bytes are read, and of what is missing to all of them the scales are finite.
  static constexpr bool kLaneScales = false;
};

struct Q8_0 : Plain {
  static constexpr int kBytes = 272, kGroup = 32, kRows = 4;
  static constexpr Order kOrder = Order::Natural;
  static constexpr bool kLaneScales = true;
  BANDWALL_INLINE int offset(int) { return 128; }
  BANDWALL_INLINE __m512 load_lanes(const Byte* b, std::int64_t size, __m512i* w) {
    const __m512i words = _mm512_castsi256_si512(
        _mm256_setr_epi16(0, 0, 0, 0, 0, 0, 0, 0, 17, 17, 17, 17, 17, 17, 17, 17));
    const bool whole = size >= 68;
    w[0] = _mm512_xor_si512(two_halves(b + 2, whole ? b + 36 : b + 2), bytes(0x80));
    const __m512i first = _mm512_permutexvar_epi16(words, first_bytes(b, size));
    return _mm512_cvtph_ps(_mm512_castsi512_si256(first));
  }
  BANDWALL_INLINE void load(const Byte* b, __m512i* w, __m512& s, __m512&) {
    for (int j = 0; j < 4; ++j) {
      const Byte* at = b + 68 * j;
      w[j] = _mm512_xor_si512(two_halves(at + 2, at + 36), bytes(0x80));
    }
    s = eight_halves(b, 34);
  }
};

BANDWALL_INLINE void split_nibbles(__m512i v, __m512i& low, __m512i& high) {
  low = _mm512_and_si512(v, bytes(15));
  high = _mm512_and_si512(_mm512_srli_epi16(v, 4), bytes(15));
}

// The 16 quant bytes of 4 blocks of `stride` bytes (17 or 18), or of the fewer that `size` bytes
// hold; `first` is the first load, 64 bytes.
template <int stride>
BANDWALL_INLINE __m512i four_blocks(const Byte* b, std::int64_t size, __m512i& first) {
  constexpr int skip = stride - 16;
  alignas(64) static constexpr auto table = [] {
    struct {
      Byte at[64];
    } t = {};
    for (int i = 0; i < 48; ++i) t.at[i] = static_cast<Byte>(stride * (i / 16) + skip + i % 16);
    return t;
  }();
  first = keep(first_bytes(b, size));
  const Byte* fourth = size < 4 * stride ? b : b + 3 * stride + skip;
  const __m128i last = _mm_loadu_si128(reinterpret_cast<const __m128i*>(fourth));
  return _mm512_mask_broadcast_i32x4(_mm512_permutexvar_epi8(_mm512_load_si512(table.at), first),
                                     0xf000, last);
}

struct Q4_0 : Plain {
  static constexpr int kBytes = 144, kGroup = 32, kRows = 4;
  static constexpr Order kOrder = Order::Nibbles;
  static constexpr bool kLaneScales = true;
  BANDWALL_INLINE int offset(int) { return 8; }
  BANDWALL_INLINE void load(const Byte* b, __m512i* w, __m512& s, __m512&) {
    split_nibbles(four_quarters(b + 2, 18), w[0], w[1]);
    split_nibbles(four_quarters(b + 74, 18), w[2], w[3]);
    s = eight_halves(b, 18);
  }
  BANDWALL_INLINE __m512 load_lanes(const Byte* b, std::int64_t size, __m512i* w) {
    const __m512i words = _mm512_castsi256_si512(
        _mm256_setr_epi16(0, 0, 0, 0, 9, 9, 9, 9, 18, 18, 18, 18, 27, 27, 27, 27));
    __m512i first;
    split_nibbles(four_blocks<18>(b, size, first), w[0], w[1]);
    return _mm512_cvtph_ps(_mm512_castsi512_si256(_mm512_permutexvar_epi16(words, first)));
  }
};

struct Mxfp4 : Plain {
  static constexpr int kBytes = 136, kGroup = 32, kRows = 4;
  static constexpr Order kOrder = Order::Nibbles;
  static constexpr bool kLaneScales = true;
  BANDWALL_INLINE int offset(int) { return 12; }
  BANDWALL_INLINE __m512i values(__m512i nibbles) {
    const __m512i table = _mm512_broadcast_i32x4(
        _mm_setr_epi8(12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0));
    return _mm512_shuffle_epi8(table, nibbles);
  }
  // Of the low nibbles, whatever the high ones are.
  BANDWALL_INLINE __m512i any_values(__m512i v) {
    const __m512i table = _mm512_broadcast_i32x4(
        _mm_setr_epi8(12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0));
    return _mm512_permutexvar_epi8(v, table);
  }
  // Scales are half of 2^(e - 127); the two subnormal results (below 1e-38) count as 0 here.
  BANDWALL_INLINE void load(const Byte* b, __m512i* w, __m512& s, __m512&) {
    split_nibbles(four_quarters(b + 1, 17), w[0], w[1]);
    split_nibbles(four_quarters(b + 69, 17), w[2], w[3]);
    for (int j = 0; j < 4; ++j) w[j] = values(w[j]);
    std::uint64_t e = 0;
    for (int i = 0; i < 8; ++i) e |= static_cast<std::uint64_t>(b[17 * i]) << (8 * i);
    const __m128i less =
        _mm_subs_epu8(_mm_set1_epi64x(static_cast<long long>(e)), _mm_set1_epi8(1));
    s = _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu8_epi32(less), 23));
  }
  BANDWALL_INLINE __m512 load_lanes(const Byte* b, std::int64_t size, __m512i* w) {
    __m512i first;
    const __m512i v = four_blocks<17>(b, size, first);
    w[0] = any_values(v);
    w[1] = any_values(_mm512_srli_epi16(v, 4));
    const __m512i top =
        _mm512_setr_epi32(0, 0, 0, 0, 17 << 24, 17 << 24, 17 << 24, 17 << 24, 34 << 24, 34 << 24,
                          34 << 24, 34 << 24, 51 << 24, 51 << 24, 51 << 24, 51 << 24);
    const __m512i e = _mm512_maskz_permutexvar_epi8(0x8888888888888888u, top, first);
    const __m512i less = _mm512_subs_epu8(e, _mm512_set1_epi32(1 << 24));
    return _mm512_castsi512_ps(_mm512_srli_epi32(less, 1));
  }
};

// Header of Q4_K and Q5_K: d, dmin, then eight 6-bit scales and eight 6-bit minima in 12 bytes.
BANDWALL_INLINE __m512 scales_6bit(const Byte* b) {
  const __m128i v = _mm_loadu_si128(reinterpret_cast<const __m128i*>(b));
  const __m128i low =
      _mm_shuffle_epi8(v, _mm_setr_epi8(4, 5, 6, 7, 12, 13, 14, 15, 8, 9, 10, 11, 12, 13, 14, 15));
  const __m128i high =
      _mm_shuffle_epi8(v, _mm_setr_epi8(-1, -1, -1, -1, 4, 5, 6, 7, -1, -1, -1, -1, 8, 9, 10, 11));
  const __m128i low_bits =
      _mm_and_si128(_mm_srlv_epi32(low, _mm_setr_epi32(0, 0, 0, 4)),
                    _mm_setr_epi32(0x3f3f3f3f, 0x0f0f0f0f, 0x3f3f3f3f, 0x0f0f0f0f));
  const __m128i high_bits = _mm_and_si128(_mm_srli_epi32(high, 2), _mm_set1_epi8(0x30));
  const __m512 integers =
      _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_or_si128(low_bits, high_bits)));
  const __m256i d =
      _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(v),
                          _mm256_setr_epi8(0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 2, 3, 2,
                                           3, 2, 3, 2, 3, 2, 3, 2, 3, 2, 3, 2, 3));
  return _mm512_mul_ps(integers, _mm512_cvtph_ps(d));
}

struct Q4K : Plain {
  static constexpr int kBytes = 144, kGroup = 32;
  static constexpr bool kMin = true, kScaled = true;
  static constexpr Order kOrder = Order::Pairs;
  BANDWALL_INLINE int offset(int) { return 0; }
  // High nibbles stay where they are, 16 times too large.
  BANDWALL_INLINE __m512 lane_factor() {
    const float h = 0.0625f;
    return _mm512_setr_ps(1, h, 1, h, 1, h, 1, h, 1, 1, 1, 1, 1, 1, 1, 1);
  }
  BANDWALL_INLINE void load(const Byte* b, __m512i* w, __m512& s, __m512&) {
    for (int h = 0; h < 2; ++h) {
      const __m512i v = keep(_mm512_loadu_si512(b + 16 + 64 * h));
      w[2 * h] = _mm512_and_si512(v, bytes(0x0f));
      w[2 * h + 1] = _mm512_and_si512(v, bytes(0xf0));
    }
    s = scales_6bit(b);
  }
};

// Lower 256 bits shifted by one count, upper by another, within 16-bit units.
BANDWALL_INLINE __m512i counts(int low, int high) {
  return _mm512_inserti64x4(_mm512_set1_epi16(static_cast<short>(low)),
                            _mm256_set1_epi16(static_cast<short>(high)), 1);
}

// (a & ~mask) | (b & mask)
BANDWALL_INLINE __m512i blend_bits(__m512i mask, __m512i b, __m512i a) {
  return _mm512_ternarylogic_epi64(mask, b, a, 0xca);
}

struct Q5K : Plain {
  static constexpr int kBytes = 176, kGroup = 32;
  static constexpr bool kMin = true;
  static constexpr Order kOrder = Order::Pairs;
  BANDWALL_INLINE int offset(int) { return 0; }
  BANDWALL_INLINE void load(const Byte* b, __m512i* w, __m512& s, __m512&) {
    split_nibbles(keep(_mm512_loadu_si512(b + 48)), w[0], w[1]);
    split_nibbles(keep(_mm512_loadu_si512(b + 112)), w[2], w[3]);
    const __m512i fifth = two_halves(b + 16, b + 16);
    const __m512i bit = bytes(16);
    w[0] = blend_bits(bit, _mm512_sllv_epi16(fifth, counts(4, 2)), w[0]);
    w[1] = blend_bits(bit, _mm512_sllv_epi16(fifth, counts(3, 1)), w[1]);
    w[2] = blend_bits(bit, _mm512_srlv_epi16(fifth, counts(0, 2)), w[2]);
    w[3] = blend_bits(bit, _mm512_srlv_epi16(fifth, counts(1, 3)), w[3]);
    s = scales_6bit(b);
  }
};

struct Q6K : Plain {
  static constexpr int kBytes = 210, kGroup = 16, kRows = 1;
  static constexpr Order kOrder = Order::Natural;
  BANDWALL_INLINE int offset(int) { return 32; }
  BANDWALL_INLINE void load(const Byte* b, __m512i* w, __m512& s, __m512&) {
    for (int h = 0; h < 2; ++h) {
      const __m512i low = keep(_mm512_loadu_si512(b + 64 * h));
      const __m512i high = two_halves(b + 128 + 32 * h, b + 128 + 32 * h);
      const __m512i bits = bytes(0x30);
      w[2 * h] = blend_bits(bytes(0x0f), low,
                            _mm512_and_si512(_mm512_sllv_epi16(high, counts(4, 2)), bits));
      w[2 * h + 1] = blend_bits(bytes(0x0f), _mm512_srli_epi16(low, 4),
                                _mm512_and_si512(_mm512_srlv_epi16(high, counts(0, 2)), bits));
    }
    const __m128i scales = _mm_loadu_si128(reinterpret_cast<const __m128i*>(b + 192));
    s = _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(scales)), half_everywhere(b + 208));
  }
};

struct Q3K : Plain {
  static constexpr int kBytes = 110, kGroup = 16;
  static constexpr bool kScaled = true;
  static constexpr Order kOrder = Order::Halves;
  BANDWALL_INLINE int offset(int j) { return j == 0 ? 4 : j == 1 ? 16 : 64; }
  BANDWALL_INLINE __m512 lane_factor() {
    const float a = 0.25f, b = 0.0625f;
    return _mm512_setr_ps(1, 1, a, a, b, b, b, b, 1, 1, a, a, b, b, b, b);
  }
  // The two low bits stay in place where the third fits above them: times 1, 4, 16, 16.
  BANDWALL_INLINE void load(const Byte* b, __m512i* w, __m512& s, __m512&) {
    const __m512i low = keep(_mm512_loadu_si512(b + 32));
    const __m512i third = keep(two_halves(b, b));
    const auto at = [&](int first, int second) {  // bit g of the mask to its place
      const __m512i by = _mm512_inserti64x4(_mm512_set1_epi32(first), _mm256_set1_epi32(second), 1);
      return _mm512_rolv_epi32(third, by);
    };
    const auto join = [](__m512i two, __m512i one, int shift) {
      return _mm512_and_si512(blend_bits(bytes(3 << shift), two, one), bytes(7 << shift));
    };
    const __m512i middle = at(3, 31);
    w[0] = join(low, at(2, 30), 0);
    w[1] = join(low, middle, 2);
    w[2] = join(low, at(4, 0), 4);
    w[3] = join(_mm512_srli_epi16(low, 2), middle, 4);
    const __m128i v = _mm_loadu_si128(reinterpret_cast<const __m128i*>(b + 94));
    const __m128i low_bits = _mm_and_si128(
        _mm_srlv_epi64(
            _mm_shuffle_epi8(v, _mm_setr_epi8(2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5, 6, 7, 8, 9)),
            _mm_set_epi64x(4, 0)),
        _mm_set1_epi8(15));
    const __m128i high_bits = _mm_and_si128(
        _mm_rolv_epi32(_mm_shuffle_epi8(v, _mm_setr_epi8(10, 11, 12, 13, 10, 11, 12, 13, 10, 11, 12,
                                                         13, 10, 11, 12, 13)),
                       _mm_setr_epi32(4, 2, 0, 30)),
        _mm_set1_epi8(0x30));
    const __m128i scales = _mm_sub_epi8(_mm_or_si128(low_bits, high_bits), _mm_set1_epi8(32));
    s = _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(scales)), half_everywhere(b + 108));
  }
};

struct Q2K : Plain {
  static constexpr int kBytes = 84, kGroup = 16;
  static constexpr bool kMin = true, kScaled = true;
  static constexpr Order kOrder = Order::Halves;
  BANDWALL_INLINE int offset(int) { return 0; }
  BANDWALL_INLINE __m512 lane_factor() {
    const float a = 0.25f, b = 0.0625f, c = 0.015625f;
    return _mm512_setr_ps(1, 1, a, a, b, b, c, c, 1, 1, a, a, b, b, c, c);
  }
  // All bits stay in place: times 1, 4, 16, 64.
  BANDWALL_INLINE void load(const Byte* b, __m512i* w, __m512& s, __m512& c) {
    const __m512i low = keep(_mm512_loadu_si512(b + 16));
    for (int j = 0; j < 4; ++j) w[j] = _mm512_and_si512(low, bytes(3 << (2 * j)));
    const __m128i v = _mm_loadu_si128(reinterpret_cast<const __m128i*>(b));
    const __m128i nibble = _mm_set1_epi8(15);
    const __m512i scales = _mm512_cvtepu8_epi32(_mm_and_si128(v, nibble));
    const __m512i minima = _mm512_cvtepu8_epi32(_mm_and_si128(_mm_srli_epi16(v, 4), nibble));
    s = _mm512_mul_ps(_mm512_cvtepi32_ps(scales), half_everywhere(b + 80));
    c = _mm512_mul_ps(_mm512_cvtepi32_ps(minima), half_everywhere(b + 82));
  }
};

}  // namespace
}  // namespace bandwall::avx512
