// Tiles of weights for the AVX-512 products with many rows of x (gemm_avx512.cpp only).
// A tile holds 256 columns of 32 rows; a register 4 columns of 16 rows, so that one broadcast of 4
// activations feeds 16 dot products. The packed bits are brought into this order before they are
// expanded to bytes: that moves a half or a quarter as much data. Layouts of the blocks: unpack.h.
#pragma once

#include "runtime/kernels/unpack_avx512.h"

namespace bandwall::avx512 {
namespace {

constexpr int kTileRows = 32;

struct Tile {
  alignas(64) Byte q[64][2][64];                    // [4 columns][16 rows][row, column]
  alignas(64) float scale[16][kTileRows];           // per group of columns
  alignas(64) float min[16][kTileRows];             // Minima::Real
  alignas(64) std::int32_t min_pair[8][kTileRows];  // Minima::Integer, 16 bits per group
  alignas(64) float min_scale[kTileRows];
};

// Integer: of formats whose minima are integers times a factor, where all groups of x share a
// scale.
enum class Minima { None, Real, Integer };

// 16 rows of W from one chunk on. Rows are reached from four of them by multiples of the stride
// that an address can hold: sixteen addresses would not fit into registers.
struct RowBlock {
  RowBlock(const Byte* first, std::int64_t row_bytes)
      : row_0(first), fours{4 * row_bytes, 8 * row_bytes, 12 * row_bytes}, stride(row_bytes) {}
  const Byte* row(int r) const { return row_0 + r * stride; }
  const Byte* row_0;
  std::int64_t fours[3];
  std::int64_t stride;
};

// out[d], lane r: bytes at + 4 d .. of row r.
BANDWALL_INLINE void load_columns(const RowBlock& rows, int at, __m512i* out) {
  __m512i a[4];
  std::int64_t stride = rows.stride;
  __asm__("" : "+r"(stride));
  for (int z = 0; z < 4; ++z) {  // 128-bit lane l: row 4 l + z
    const auto lane = [&](int l) {
      const Byte* four = l == 0 ? rows.row_0 : rows.row_0 + rows.fours[l - 1];
      return _mm_loadu_si128(reinterpret_cast<const __m128i*>(four + z * stride + at));
    };
    a[z] = _mm512_castsi128_si512(lane(0));
    a[z] = _mm512_inserti32x4(a[z], lane(1), 1);
    a[z] = _mm512_inserti32x4(a[z], lane(2), 2);
    a[z] = _mm512_inserti32x4(a[z], lane(3), 3);
  }
  const __m512i low01 = _mm512_unpacklo_epi32(a[0], a[1]);
  const __m512i low23 = _mm512_unpacklo_epi32(a[2], a[3]);
  const __m512i high01 = _mm512_unpackhi_epi32(a[0], a[1]);
  const __m512i high23 = _mm512_unpackhi_epi32(a[2], a[3]);
  out[0] = _mm512_unpacklo_epi64(low01, low23);
  out[1] = _mm512_unpackhi_epi64(low01, low23);
  out[2] = _mm512_unpacklo_epi64(high01, high23);
  out[3] = _mm512_unpackhi_epi64(high01, high23);
}

BANDWALL_INLINE void put(Tile& tile, int half, int step, __m512i v) {
  _mm512_store_si512(tile.q[step][half], v);
}

BANDWALL_INLINE __m512 low_halves(__m512i v) { return _mm512_cvtph_ps(_mm512_cvtepi32_epi16(v)); }

// Scales of four groups, one byte each in every lane, times d.
enum class Bytes8 { Unsigned, Signed };
template <Bytes8 kind>
BANDWALL_INLINE void put_scales(Tile& tile, int half, int group, __m512i four, const __m512* d) {
  for (int b = 0; b < 4; ++b) {
    __m512i v = kind == Bytes8::Signed ? _mm512_slli_epi32(four, 24 - 8 * b)
                                       : _mm512_srli_epi32(four, 8 * b);
    v = kind == Bytes8::Signed ? _mm512_srai_epi32(v, 24)
                               : _mm512_and_si512(v, _mm512_set1_epi32(0xff));
    _mm512_store_ps(tile.scale[group + b] + 16 * half, _mm512_mul_ps(_mm512_cvtepi32_ps(v), d[b]));
  }
}

// Minima of four groups, one byte each in every lane; d: what all of them are multiplied with.
template <Minima kind>
BANDWALL_INLINE void put_minima(Tile& tile, int half, int group, __m512i four, __m512 d) {
  if constexpr (kind == Minima::Real) {
    for (int b = 0; b < 4; ++b) {
      const __m512i v = _mm512_and_si512(_mm512_srli_epi32(four, static_cast<unsigned>(8 * b)),
                                         _mm512_set1_epi32(0xff));
      _mm512_store_ps(tile.min[group + b] + 16 * half, _mm512_mul_ps(_mm512_cvtepi32_ps(v), d));
    }
    return;
  }
  const auto words = [&](int low) {
    const int z = -1, a = low, b = low + 1;
    const auto byte = [](int v) { return static_cast<char>(v); };
    return _mm512_shuffle_epi8(four, _mm512_broadcast_i32x4(_mm_setr_epi8(
                                         byte(a), byte(z), byte(b), byte(z), byte(a + 4), byte(z),
                                         byte(b + 4), byte(z), byte(a + 8), byte(z), byte(b + 8),
                                         byte(z), byte(a + 12), byte(z), byte(b + 12), byte(z))));
  };
  _mm512_store_si512(tile.min_pair[group / 2] + 16 * half, words(0));
  _mm512_store_si512(tile.min_pair[group / 2 + 1] + 16 * half, words(2));
  _mm512_store_ps(tile.min_scale + 16 * half, d);
}

// The header of Q4_K and Q5_K; groups 1, 3, .. are `odd` times too large.
template <Minima kind>
BANDWALL_INLINE void put_6bit(const RowBlock& rows, Tile& tile, int half, float odd) {
  __m512i h[4];
  load_columns(rows, 0, h);
  const __m512i six = bytes(0x3f), four = bytes(0x0f), two = bytes(0x30);
  const __m512i scales = blend_bits(four, h[3], _mm512_and_si512(_mm512_srli_epi32(h[1], 2), two));
  const __m512i minima = blend_bits(four, _mm512_srli_epi32(h[3], 4),
                                    _mm512_and_si512(_mm512_srli_epi32(h[2], 2), two));
  const __m512 d = low_halves(h[0]);
  const __m512 less = _mm512_mul_ps(d, _mm512_set1_ps(odd));
  const __m512 factors[4] = {d, less, d, less};
  put_scales<Bytes8::Unsigned>(tile, half, 0, _mm512_and_si512(h[1], six), factors);
  put_scales<Bytes8::Unsigned>(tile, half, 4, scales, factors);
  const __m512 dmin = low_halves(_mm512_srli_epi32(h[0], 16));
  put_minima<kind>(tile, half, 0, _mm512_and_si512(h[2], six), dmin);
  put_minima<kind>(tile, half, 4, minima, dmin);
}

struct TileQ4K {
  static constexpr int kBytes = 144, kGroup = 32;
  static constexpr Minima kMinima = Minima::Integer;
  static int offset(int) { return 0; }
  template <Minima kind>
  BANDWALL_INLINE void unpack(const RowBlock& rows, Tile& tile, int half) {
    put_6bit<kind>(rows, tile, half, 0.0625f);  // high nibbles stay where they are
    for (int c = 0; c < 8; ++c) {
      __m512i v[4];
      load_columns(rows, 16 + 16 * c, v);
      for (int d = 0; d < 4; ++d) {
        const int step = 16 * (c / 2) + 4 * (c % 2) + d;
        put(tile, half, step, _mm512_and_si512(v[d], bytes(0x0f)));
        put(tile, half, step + 8, _mm512_and_si512(v[d], bytes(0xf0)));
      }
    }
  }
};

// Bit `from` of every byte to bit `to`; the others are to be masked.
BANDWALL_INLINE __m512i move_bit(__m512i v, int from, int to) {
  return from < to ? _mm512_slli_epi32(v, static_cast<unsigned>(to - from))
                   : _mm512_srli_epi32(v, static_cast<unsigned>(from - to));
}

struct TileQ5K {
  static constexpr int kBytes = 176, kGroup = 32;
  static constexpr Minima kMinima = Minima::Integer;
  static int offset(int) { return 0; }
  template <Minima kind>
  BANDWALL_INLINE void unpack(const RowBlock& rows, Tile& tile, int half) {
    put_6bit<kind>(rows, tile, half, 1.0f);
    __m512i fifth[8];
    load_columns(rows, 16, fifth);
    load_columns(rows, 32, fifth + 4);
    const __m512i bit = bytes(16), nibble = bytes(15);
    BANDWALL_UNROLL
    for (int c = 0; c < 8; ++c) {
      __m512i v[4];
      load_columns(rows, 48 + 16 * c, v);
      for (int d = 0; d < 4; ++d) {
        const __m512i f = fifth[4 * (c % 2) + d];
        const int p = c / 2, step = 16 * p + 4 * (c % 2) + d;
        const __m512i high = _mm512_and_si512(_mm512_srli_epi32(v[d], 4), nibble);
        put(tile, half, step,
            blend_bits(bit, move_bit(f, 2 * p, 4), _mm512_and_si512(v[d], nibble)));
        put(tile, half, step + 8, blend_bits(bit, move_bit(f, 2 * p + 1, 4), high));
      }
    }
  }
};

struct TileQ6K {
  static constexpr int kBytes = 210, kGroup = 16;
  static constexpr Minima kMinima = Minima::None;
  static int offset(int) { return 32; }
  template <Minima kind>
  BANDWALL_INLINE void unpack(const RowBlock& rows, Tile& tile, int half) {
    __m512i scales[4], end[4];
    load_columns(rows, 192, scales);
    load_columns(rows, 194, end);
    const __m512 d = low_halves(_mm512_srli_epi32(end[3], 16));
    const __m512 factors[4] = {d, d, d, d};
    for (int k = 0; k < 4; ++k) {
      put_scales<Bytes8::Signed>(tile, half, 4 * k, scales[k], factors);
    }
    const __m512i nibble = bytes(15), two = bytes(0x30);
    for (int part = 0; part < 4; ++part) {
      const int h = part / 2, c = part % 2;
      __m512i first[4], second[4], top[4];
      load_columns(rows, 64 * h + 16 * c, first);
      load_columns(rows, 64 * h + 32 + 16 * c, second);
      load_columns(rows, 128 + 32 * h + 16 * c, top);
      for (int d4 = 0; d4 < 4; ++d4) {
        const int step = 32 * h + 4 * c + d4;
        const __m512i a = first[d4], b = second[d4], t = top[d4];
        const auto join = [&](__m512i low, __m512i high) {
          return blend_bits(nibble, low, _mm512_and_si512(high, two));
        };
        put(tile, half, step, join(a, _mm512_slli_epi32(t, 4)));
        put(tile, half, step + 8, join(b, _mm512_slli_epi32(t, 2)));
        put(tile, half, step + 16, join(_mm512_srli_epi32(a, 4), t));
        put(tile, half, step + 24, join(_mm512_srli_epi32(b, 4), _mm512_srli_epi32(t, 2)));
      }
    }
  }
};

// Values 32 j .. of a half chunk are bits 2 j, 2 j + 1 of its bytes and stay there where a third
// bit fits above them: `scaled` times too large.
struct TileQ3K {
  static constexpr int kBytes = 110, kGroup = 16;
  static constexpr Minima kMinima = Minima::None;
  static int place(int j) { return j < 3 ? 2 * j : 4; }
  static int offset(int group) { return 4 << place(group / 2 % 4); }
  template <Minima kind>
  BANDWALL_INLINE void unpack(const RowBlock& rows, Tile& tile, int half) {
    put_all_scales(rows, tile, half);
    __m512i third[8];
    load_columns(rows, 0, third);
    load_columns(rows, 16, third + 4);
    BANDWALL_UNROLL
    for (int part = 0; part < 4; ++part) {
      const int h = part / 2, c = part % 2;
      __m512i v[4];
      load_columns(rows, 32 + 32 * h + 16 * c, v);
      for (int d = 0; d < 4; ++d) {
        BANDWALL_UNROLL
        for (int j = 0; j < 4; ++j) {
          const int to = place(j);
          const __m512i low = j < 3 ? v[d] : _mm512_srli_epi32(v[d], 2);
          const __m512i high = move_bit(third[4 * c + d], 4 * h + j, to + 2);
          put(tile, half, 32 * h + 8 * j + 4 * c + d,
              _mm512_and_si512(blend_bits(bytes(3 << to), low, high), bytes(7 << to)));
        }
      }
    }
  }

 private:
  BANDWALL_INLINE void put_all_scales(const RowBlock& rows, Tile& tile, int half) {
    __m512i s[4], end[4];
    load_columns(rows, 92, s);
    load_columns(rows, 94, end);
    const __m512i nibble = bytes(15), two = bytes(0x30);
    const __m512 d = low_halves(_mm512_srli_epi32(end[3], 16));
    for (int k = 0; k < 4; ++k) {
      const __m512i low = k < 2 ? s[1 + k] : _mm512_srli_epi32(s[k - 1], 4);
      const __m512i high = move_bit(s[3], 2 * k, 4);
      const __m512i six = blend_bits(nibble, low, _mm512_and_si512(high, two));
      for (int b = 0; b < 4; ++b) {
        const int group = 4 * k + b;
        __m512i v = _mm512_and_si512(_mm512_srli_epi32(six, static_cast<unsigned>(8 * b)),
                                     _mm512_set1_epi32(0xff));
        v = _mm512_sub_epi32(v, _mm512_set1_epi32(32));
        const float less = 1.0f / static_cast<float>(1 << place(group / 2 % 4));
        const __m512 factor = _mm512_mul_ps(d, _mm512_set1_ps(less));
        _mm512_store_ps(tile.scale[group] + 16 * half,
                        _mm512_mul_ps(_mm512_cvtepi32_ps(v), factor));
      }
    }
  }
};

struct TileQ2K {
  static constexpr int kBytes = 84, kGroup = 16;
  static constexpr Minima kMinima = Minima::Integer;
  static int offset(int) { return 0; }
  template <Minima kind>
  BANDWALL_INLINE void unpack(const RowBlock& rows, Tile& tile, int half) {
    __m512i s[4], end[4];
    load_columns(rows, 0, s);
    load_columns(rows, 68, end);
    const __m512 d = low_halves(end[3]), dmin = low_halves(_mm512_srli_epi32(end[3], 16));
    const __m512i nibble = bytes(15);
    for (int k = 0; k < 4; ++k) {  // groups 4 k ..: values times 1, 4 or 16, 64
      const __m512 first = _mm512_mul_ps(d, _mm512_set1_ps(k % 2 == 0 ? 1.0f : 0.0625f));
      const __m512 second = _mm512_mul_ps(first, _mm512_set1_ps(0.25f));
      const __m512 factors[4] = {first, first, second, second};
      put_scales<Bytes8::Unsigned>(tile, half, 4 * k, _mm512_and_si512(s[k], nibble), factors);
      put_minima<kind>(tile, half, 4 * k, _mm512_and_si512(_mm512_srli_epi32(s[k], 4), nibble),
                       dmin);
    }
    for (int part = 0; part < 4; ++part) {
      const int h = part / 2, c = part % 2;
      __m512i v[4];
      load_columns(rows, 16 + 32 * h + 16 * c, v);
      for (int d4 = 0; d4 < 4; ++d4) {
        for (int j = 0; j < 4; ++j) {
          put(tile, half, 32 * h + 8 * j + 4 * c + d4,
              _mm512_and_si512(v[d4], bytes(3 << (2 * j))));
        }
      }
    }
  }
};

// One half-precision scale per block of 32, `stride` bytes apart.
BANDWALL_INLINE void put_half_scales(const RowBlock& rows, Tile& tile, int half, int stride) {
  alignas(32) std::uint16_t d[8][16];
  for (int r = 0; r < 16; ++r) {
    for (int g = 0; g < 8; ++g) {
      __builtin_memcpy(&d[g][r], rows.row(r) + g * stride, 2);
    }
  }
  for (int g = 0; g < 8; ++g) {
    const __m256i v = _mm256_load_si256(reinterpret_cast<const __m256i*>(d[g]));
    _mm512_store_ps(tile.scale[g] + 16 * half, _mm512_cvtph_ps(v));
  }
}

struct TileQ8_0 {
  static constexpr int kBytes = 272, kGroup = 32;
  static constexpr Minima kMinima = Minima::None;
  static int offset(int) { return 128; }
  template <Minima kind>
  BANDWALL_INLINE void unpack(const RowBlock& rows, Tile& tile, int half) {
    put_half_scales(rows, tile, half, 34);
    for (int c = 0; c < 16; ++c) {
      __m512i v[4];
      load_columns(rows, 34 * (c / 2) + 2 + 16 * (c % 2), v);
      for (int d = 0; d < 4; ++d) {
        put(tile, half, 4 * c + d, _mm512_xor_si512(v[d], bytes(0x80)));
      }
    }
  }
};

struct TileQ4_0 {
  static constexpr int kBytes = 144, kGroup = 32;
  static constexpr Minima kMinima = Minima::None;
  static int offset(int) { return 8; }
  template <Minima kind>
  BANDWALL_INLINE void unpack(const RowBlock& rows, Tile& tile, int half) {
    put_half_scales(rows, tile, half, 18);
    for (int g = 0; g < 8; ++g) {
      __m512i v[4];
      load_columns(rows, 18 * g + 2, v);
      for (int d = 0; d < 4; ++d) {
        __m512i low, high;
        split_nibbles(v[d], low, high);
        put(tile, half, 8 * g + d, low);
        put(tile, half, 8 * g + 4 + d, high);
      }
    }
  }
};

struct TileMxfp4 {
  static constexpr int kBytes = 136, kGroup = 32;
  static constexpr Minima kMinima = Minima::None;
  static int offset(int) { return 12; }
  template <Minima kind>
  BANDWALL_INLINE void unpack(const RowBlock& rows, Tile& tile, int half) {
    alignas(16) Byte e[8][16];
    for (int r = 0; r < 16; ++r) {
      for (int g = 0; g < 8; ++g) e[g][r] = rows.row(r)[17 * g];
    }
    for (int g = 0; g < 8; ++g) {
      __m512i v[4];
      load_columns(rows, 17 * g + 1, v);
      for (int d = 0; d < 4; ++d) {
        __m512i low, high;
        split_nibbles(v[d], low, high);
        put(tile, half, 8 * g + d, Mxfp4{}.values(low));
        put(tile, half, 8 * g + 4 + d, Mxfp4{}.values(high));
      }
    }
    for (int g = 0; g < 8; ++g) {  // as Mxfp4::load
      const __m128i v = _mm_load_si128(reinterpret_cast<const __m128i*>(e[g]));
      const __m512i less = _mm512_cvtepu8_epi32(_mm_subs_epu8(v, _mm_set1_epi8(1)));
      _mm512_store_ps(tile.scale[g] + 16 * half, _mm512_castsi512_ps(_mm512_slli_epi32(less, 23)));
    }
  }
};

}  // namespace
}  // namespace bandwall::avx512
