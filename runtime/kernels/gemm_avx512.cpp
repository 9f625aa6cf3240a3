#if defined(__x86_64__)
#if defined(__GNUC__) && !defined(__clang__)
// gcc 12 warns inside its own intrinsics.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif

#include "runtime/kernels/detail.h"
#include "runtime/kernels/gemm_tile_avx512.h"
#include "runtime/kernels/matmul_avx512.h"
#include "runtime/kernels/unpack_more_avx512.h"

// Many rows of x. A tile of 32 rows x 256 columns of W is unpacked once and multiplied by all of
// them. Tile, activations of the pass and sums stay in the first two cache levels. Integer sums of
// a group of columns are scaled in float32; where all groups of a chunk share the scale of x
// (chunk_scales), minima are an integer product of their own and x is scaled once per chunk.

namespace bandwall::avx512 {
namespace {

constexpr int kBlock = 8;                        // rows of x per register block
constexpr std::int64_t kPass = 128;              // rows of x per pass, a bound
constexpr std::int64_t kAhead = 256;             // columns of W asked for ahead of time
constexpr std::int64_t kPackBytes = 256 * 1024;  // activations of one pass

// Activations of a pass, chunk after chunk, row after row, so that they stream through the first
// cache level; per chunk and row 256 values, 8 scales, and per group the start of the integer sum,
// minus scale times sum, and the sum in 16 bits. And the tile and the sums of 32 rows of W.
struct Work {
  alignas(64) std::int8_t q[kPackBytes];
  alignas(64) float scale[kPackBytes / 32];
  alignas(64) std::int32_t start[kPackBytes / 16];
  alignas(64) float sum[kPackBytes / 16];
  alignas(64) std::int32_t pair[kPackBytes / 32];
  alignas(64) float sums[kPass * kTileRows];
  Tile tile;
};

thread_local Work thread_work;

BANDWALL_INLINE void transpose(const Byte* in, std::int64_t in_stride, Byte* out,
                               std::int64_t out_stride) {
  __m512i a[16], b[16];
  for (int i = 0; i < 16; ++i) a[i] = _mm512_load_si512(in + i * in_stride);
  for (int i = 0; i < 16; i += 2) {
    b[i] = _mm512_unpacklo_epi32(a[i], a[i + 1]);
    b[i + 1] = _mm512_unpackhi_epi32(a[i], a[i + 1]);
  }
  for (int i = 0; i < 16; i += 4) {
    a[i] = _mm512_unpacklo_epi64(b[i], b[i + 2]);
    a[i + 1] = _mm512_unpackhi_epi64(b[i], b[i + 2]);
    a[i + 2] = _mm512_unpacklo_epi64(b[i + 1], b[i + 3]);
    a[i + 3] = _mm512_unpackhi_epi64(b[i + 1], b[i + 3]);
  }
  for (int i = 0; i < 4; ++i) {
    b[i] = _mm512_shuffle_i32x4(a[i], a[i + 4], 0x88);
    b[i + 4] = _mm512_shuffle_i32x4(a[i], a[i + 4], 0xdd);
    b[i + 8] = _mm512_shuffle_i32x4(a[i + 8], a[i + 12], 0x88);
    b[i + 12] = _mm512_shuffle_i32x4(a[i + 8], a[i + 12], 0xdd);
  }
  for (int i = 0; i < 8; ++i) {
    _mm512_store_si512(out + i * out_stride, _mm512_shuffle_i32x4(b[i], b[i + 8], 0x88));
    _mm512_store_si512(out + (i + 8) * out_stride, _mm512_shuffle_i32x4(b[i], b[i + 8], 0xdd));
  }
}

BANDWALL_INLINE void store_parts(Byte* low, Byte* high, __m512i v) {
  _mm256_store_si256(reinterpret_cast<__m256i*>(low), _mm512_castsi512_si256(v));
  _mm256_store_si256(reinterpret_cast<__m256i*>(high), _mm512_extracti64x4_epi64(v, 1));
}

// One row of a chunk in natural order.
template <Order order>
BANDWALL_INLINE void store_row(const __m512i* w, Byte* q) {
  if constexpr (order == Order::Natural) {
    for (int j = 0; j < 4; ++j) _mm512_store_si512(q + 64 * j, w[j]);
  } else if constexpr (order == Order::Halves) {
    for (int j = 0; j < 4; ++j) store_parts(q + 32 * j, q + 128 + 32 * j, w[j]);
  } else if constexpr (order == Order::Pairs) {
    for (int j = 0; j < 4; ++j) {
      Byte* at = q + 128 * (j / 2) + 32 * (j % 2);
      store_parts(at, at + 64, w[j]);
    }
  } else {
    constexpr bool eights = order == Order::Eights;
    const __m512i first = eights ? _mm512_setr_epi64(0, 8, 1, 9, 2, 10, 3, 11)
                                 : _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11);
    const __m512i second = eights ? _mm512_setr_epi64(4, 12, 5, 13, 6, 14, 7, 15)
                                  : _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15);
    for (int j = 0; j < 4; j += 2) {
      _mm512_store_si512(q + 64 * j, _mm512_permutex2var_epi64(w[j], first, w[j + 1]));
      _mm512_store_si512(q + 64 * j + 64, _mm512_permutex2var_epi64(w[j], second, w[j + 1]));
    }
  }
}

// Where the halves of a tile come from. Rows one by one, for any format:
template <class U>
struct ByRow {
  static constexpr int kGroup = U::kGroup;
  static constexpr Minima kMinima = U::kMin ? Minima::Real : Minima::None;
  static constexpr bool kChunkScales = false;
  static constexpr std::int64_t kBytes = U::kBytes;

  static __m512i offsets() {
    __m512i offset = _mm512_set1_epi32(U::offset(0));
    if constexpr (U::kScaled) {
      offset = _mm512_cvtps_epi32(_mm512_div_ps(_mm512_cvtepi32_ps(offset), U::lane_factor()));
    }
    return offset;
  }
  static void load(const RowBlock& block, Tile& tile, int half) {
    alignas(64) Byte q[16][256];
    alignas(64) float s[16][16], c[16][16];
    for (int r = 0; r < 16; ++r) {
      __m512i v[4];
      __m512 scale = _mm512_setzero_ps(), min = _mm512_setzero_ps();
      U::load(block.row(r), v, scale, min);
      store_row<U::kOrder>(v, q[r]);
      if constexpr (U::kScaled) scale = _mm512_mul_ps(scale, U::lane_factor());
      _mm512_store_ps(s[r], scale);
      if constexpr (U::kGroup == 16 && U::kMin) _mm512_store_ps(c[r], min);
    }
    for (int p = 0; p < 4; ++p) transpose(q[0] + 64 * p, 256, tile.q[16 * p][half], 128);
    constexpr std::int64_t stride = kTileRows * sizeof(float);
    Byte* scales = reinterpret_cast<Byte*>(&tile.scale[0][16 * half]);
    Byte* minima = reinterpret_cast<Byte*>(&tile.min[0][16 * half]);
    if constexpr (U::kGroup == 32) {
      alignas(64) float both[16][16];
      transpose(reinterpret_cast<Byte*>(s), 64, reinterpret_cast<Byte*>(both), 64);
      for (int g = 0; g < 8; ++g) {
        _mm512_store_ps(scales + g * stride, _mm512_load_ps(both[g]));
        if constexpr (U::kMin) _mm512_store_ps(minima + g * stride, _mm512_load_ps(both[g + 8]));
      }
    } else {
      transpose(reinterpret_cast<Byte*>(s), 64, scales, stride);
      if constexpr (U::kMin) transpose(reinterpret_cast<Byte*>(c), 64, minima, stride);
    }
  }
};

// 16 rows at a time.
template <class T, bool chunk_scales>
struct ByBlock {
  static constexpr int kGroup = T::kGroup;
  static constexpr Minima kMinima =
      T::kMinima == Minima::Integer && !chunk_scales ? Minima::Real : T::kMinima;
  static constexpr bool kChunkScales = chunk_scales;
  static constexpr std::int64_t kBytes = T::kBytes;

  static __m512i offsets() {
    alignas(64) std::int32_t offset[16];
    for (int g = 0; g < 16; ++g) offset[g] = T::offset(g);
    return _mm512_load_si512(offset);
  }
  static void load(const RowBlock& block, Tile& tile, int half) {
    T::template unpack<kMinima>(block, tile, half);
  }
};

// Up to 16 rows of one chunk into half a tile. `left` < chunk_bytes: the last, partial chunk.
template <class S>
void load_half(const Byte* w, std::int64_t row_bytes, int rows, std::int64_t left, Tile& tile,
               int half) {
  if (rows >= 16 && left >= S::kBytes) {
    S::load({w, row_bytes}, tile, half);
    return;
  }
  alignas(64) Byte padded[16][kMaxChunkBytes] = {};
  const std::int64_t size = left < S::kBytes ? left : S::kBytes;
  for (std::int64_t r = 0; r < rows && r < 16; ++r) {
    __builtin_memcpy(padded[r], w + r * row_bytes, static_cast<std::size_t>(size));
  }
  S::load({padded[0], kMaxChunkBytes}, tile, half);
}

// Integer dot products of one group: sums of 32 rows of W for N rows of x. 2 N of them hide the
// latency of the instruction; 16 is the best.
template <class S, int N>
BANDWALL_INLINE void dot_group(const Tile& tile, int g, const std::int8_t* q,
                               const std::int32_t* start, __m512i (&dot)[2][N]) {
  constexpr int steps = S::kGroup / 4;
  BANDWALL_UNROLL
  for (int i = 0; i < N; ++i) {
    for (int z = 0; z < 2; ++z) {
      dot[z][i] = S::kMinima == Minima::Integer ? _mm512_setzero_si512()
                                                : _mm512_set1_epi32(start[16 * i + g]);
    }
  }
  BANDWALL_UNROLL
  for (int k = 0; k < steps; ++k) {
    const int step = g * steps + k;
    const __m512i first = _mm512_load_si512(tile.q[step][0]);
    const __m512i second = _mm512_load_si512(tile.q[step][1]);
    BANDWALL_UNROLL
    for (int i = 0; i < N; ++i) {
      std::int32_t four;
      __builtin_memcpy(&four, q + 256 * i + 4 * step, 4);
      const __m512i x = _mm512_set1_epi32(four);
      dot[0][i] = _mm512_dpbusd_epi32(dot[0][i], first, x);
      dot[1][i] = _mm512_dpbusd_epi32(dot[1][i], second, x);
    }
  }
}

// A chunk of columns: where its first row of x lies in Work, how many groups it has, and whether
// sums begin with it.
struct Columns {
  std::int64_t at;
  int groups;
  bool fresh;
};

// A tile times N rows of x, one chunk; adds to `sums` (kTileRows floats per row of x). Every group
// of x has a scale.
template <class S, int N>
BANDWALL_INLINE void multiply_groups(const Work& p, const Tile& tile, const Columns& c,
                                     std::int64_t at, float* sums) {
  const float* x_scale = p.scale + 8 * at;
  const float* x_sum = p.sum + 16 * at;
  __m512 total[2][N];
  for (int i = 0; i < N; ++i) {
    for (int z = 0; z < 2; ++z) {
      total[z][i] = c.fresh ? _mm512_setzero_ps() : _mm512_load_ps(sums + kTileRows * i + 16 * z);
    }
  }
  for (int g = 0; g < c.groups; ++g) {
    __m512i dot[2][N];
    dot_group<S>(tile, g, p.q + 256 * at, p.start + 16 * at, dot);
    BANDWALL_UNROLL
    for (int z = 0; z < 2; ++z) {
      const __m512 scale = _mm512_load_ps(tile.scale[g] + 16 * z);
      const __m512 min = _mm512_load_ps(tile.min[g] + 16 * z);
      BANDWALL_UNROLL
      for (int i = 0; i < N; ++i) {
        const __m512 factor = _mm512_set1_ps(x_scale[8 * i + g * S::kGroup / 32]);
        const __m512 value = _mm512_cvtepi32_ps(dot[z][i]);
        total[z][i] = _mm512_fmadd_ps(_mm512_mul_ps(value, scale), factor, total[z][i]);
        if constexpr (S::kMinima == Minima::Real) {
          const __m512 sum = _mm512_set1_ps(x_sum[16 * i + g]);
          total[z][i] = _mm512_fmadd_ps(min, sum, total[z][i]);
        }
      }
    }
  }
  for (int i = 0; i < N; ++i) {
    for (int z = 0; z < 2; ++z) _mm512_store_ps(sums + kTileRows * i + 16 * z, total[z][i]);
  }
}

// The same where all groups of x share a scale: minima are an integer product of their own, and x
// is scaled once.
template <class S, int N>
BANDWALL_INLINE void multiply_chunk(const Work& p, const Tile& tile, const Columns& c,
                                    std::int64_t at, float* sums) {
  __m512i dot[2][N];
  __m512 total[2][N];
  for (int i = 0; i < N; ++i) {
    for (int z = 0; z < 2; ++z) total[z][i] = _mm512_setzero_ps();
  }
  for (int g = 0; g < 256 / S::kGroup; ++g) {
    dot_group<S>(tile, g, p.q + 256 * at, p.start + 16 * at, dot);
    BANDWALL_UNROLL
    for (int z = 0; z < 2; ++z) {
      const __m512 scale = _mm512_load_ps(tile.scale[g] + 16 * z);
      BANDWALL_UNROLL
      for (int i = 0; i < N; ++i) {
        total[z][i] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dot[z][i]), scale, total[z][i]);
      }
    }
  }
  if constexpr (S::kMinima == Minima::Integer) {
    const std::int32_t* x_pair = p.pair + 8 * at;
    for (int i = 0; i < N; ++i) {
      for (int z = 0; z < 2; ++z) dot[z][i] = _mm512_setzero_si512();
    }
    BANDWALL_UNROLL
    for (int pair = 0; pair < 128 / S::kGroup; ++pair) {
      BANDWALL_UNROLL
      for (int z = 0; z < 2; ++z) {
        const __m512i min = _mm512_load_si512(tile.min_pair[pair] + 16 * z);
        BANDWALL_UNROLL
        for (int i = 0; i < N; ++i) {
          const __m512i sums16 = _mm512_set1_epi32(x_pair[8 * i + pair]);
          dot[z][i] = _mm512_dpwssd_epi32(dot[z][i], min, sums16);
        }
      }
    }
    for (int z = 0; z < 2; ++z) {
      const __m512 scale = _mm512_load_ps(tile.min_scale + 16 * z);
      for (int i = 0; i < N; ++i) {
        total[z][i] = _mm512_fnmadd_ps(_mm512_cvtepi32_ps(dot[z][i]), scale, total[z][i]);
      }
    }
  }
  const float* x_scale = p.scale + 8 * at;
  for (int i = 0; i < N; ++i) {
    const __m512 factor = _mm512_set1_ps(x_scale[8 * i]);
    for (int z = 0; z < 2; ++z) {
      float* to = sums + kTileRows * i + 16 * z;
      const __m512 before = c.fresh ? _mm512_setzero_ps() : _mm512_load_ps(to);
      _mm512_store_ps(to, _mm512_fmadd_ps(total[z][i], factor, before));
    }
  }
}

template <class S, int N>
void multiply_block(const Work& p, const Tile& tile, const Columns& c, std::int64_t i,
                    float* sums) {
  if constexpr (S::kChunkScales) {
    multiply_chunk<S, N>(p, tile, c, c.at + i, sums);
  } else {
    multiply_groups<S, N>(p, tile, c, c.at + i, sums);
  }
}

// One chunk of each row of the tile that comes next; nullptr: none.
struct Coming {
  const Byte* w;
  std::int64_t row_bytes;
  std::int64_t rows;
};

// A part of its rows at a time: more lines than a core can wait for at once would stop it.
template <class S>
BANDWALL_INLINE void fetch(const Coming& next, std::int64_t part, std::int64_t parts) {
  if (next.w == nullptr) return;
  for (std::int64_t r = next.rows * part / parts; r < next.rows * (part + 1) / parts; ++r) {
    for (std::int64_t line = 0; line < S::kBytes; line += 64) {
      _mm_prefetch(reinterpret_cast<const char*>(next.w + r * next.row_bytes + line), _MM_HINT_T0);
    }
  }
}

// Register blocks of nearly equal size: a short last one would wait on its own sums.
template <class S>
void multiply_tile(const Work& p, const Tile& tile, const Columns& c, const Coming& next,
                   std::int64_t n, float* sums) {
  const std::int64_t parts = (n + kBlock - 1) / kBlock;
  std::int64_t blocks = parts;
  for (std::int64_t i = 0; i < n; --blocks) {
    fetch<S>(next, parts - blocks, parts);
    const std::int64_t size = (n - i + blocks - 1) / blocks;
    float* to = sums + kTileRows * i;
    switch (size) {
      case 8:
        multiply_block<S, 8>(p, tile, c, i, to);
        break;
      case 7:
        multiply_block<S, 7>(p, tile, c, i, to);
        break;
      case 6:
        multiply_block<S, 6>(p, tile, c, i, to);
        break;
      case 5:
        multiply_block<S, 5>(p, tile, c, i, to);
        break;
      case 4:
        multiply_block<S, 4>(p, tile, c, i, to);
        break;
      case 3:
        multiply_block<S, 3>(p, tile, c, i, to);
        break;
      case 2:
        multiply_block<S, 2>(p, tile, c, i, to);
        break;
      default:
        multiply_block<S, 1>(p, tile, c, i, to);
        break;
    }
    i += size;
  }
}

// Columns [from, from + count) of the rows of x lie one after the other in ActivationRows.
template <class S>
BANDWALL_INLINE void prepare_chunk(const ActivationRows& x, std::int64_t from, std::int64_t count,
                                   __m512i negative_offsets, std::int64_t at, Work& work) {
  const auto groups = static_cast<__mmask16>((1u << (count / 16)) - 1);
  const auto scales = static_cast<__mmask16>((1u << (count / 32)) - 1);
  for (std::int64_t j = 0; j < count; j += 64) {
    const __mmask64 there = count - j < 64 ? (__mmask64{1} << (count - j)) - 1 : ~__mmask64{0};
    _mm512_store_si512(work.q + 256 * at + j, _mm512_maskz_loadu_epi8(there, x.q8 + from + j));
  }
  const __m512 scale = _mm512_maskz_loadu_ps(scales, x.scale + from / 32);
  const __m256i sums = _mm256_maskz_loadu_epi16(groups, x.sums16 + from / 16);
  __m512i wide = _mm512_cvtepi16_epi32(sums);
  __m512 group_scale = scale;
  if constexpr (S::kGroup == 32) {
    wide = _mm512_zextsi256_si512(_mm256_madd_epi16(sums, _mm256_set1_epi16(1)));
  } else {
    group_scale = _mm512_permutexvar_ps(
        _mm512_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7), scale);
  }
  _mm256_store_ps(work.scale + 8 * at, _mm512_castps512_ps256(scale));
  if constexpr (S::kMinima == Minima::Integer) {
    _mm256_store_si256(reinterpret_cast<__m256i*>(work.pair + 8 * at), _mm512_cvtepi32_epi16(wide));
    return;
  }
  _mm512_store_si512(work.start + 16 * at, _mm512_mullo_epi32(wide, negative_offsets));
  if constexpr (S::kMinima == Minima::Real) {
    const __m512 negative = _mm512_xor_ps(group_scale, _mm512_set1_ps(-0.0f));
    _mm512_store_ps(work.sum + 16 * at, _mm512_mul_ps(_mm512_cvtepi32_ps(wide), negative));
  }
}

// Rows i0 .. of x, columns k0 .. (a whole number of groups).
template <class S>
void prepare(const MatmulArgs& a, std::int64_t i0, std::int64_t n, std::int64_t k0,
             std::int64_t width, Work& work) {
  const __m512i negative_offsets = _mm512_sub_epi32(_mm512_setzero_si512(), S::offsets());
  for (std::int64_t i = 0; i < n; ++i) {
    const std::int64_t row = a.x_rows == nullptr ? i0 + i : a.x_rows[i0 + i];
    const std::int64_t from = row * a.cols + k0;
    std::int64_t k = 0;
    for (; k + 256 <= width; k += 256) {
      prepare_chunk<S>(a.x, from + k, 256, negative_offsets, k / 256 * n + i, work);
    }
    if (k < width) {
      prepare_chunk<S>(a.x, from + k, width - k, negative_offsets, k / 256 * n + i, work);
    }
  }
}

BANDWALL_INLINE __mmask16 first_lanes(int n) {
  return static_cast<__mmask16>(n >= 16 ? 0xffff : n <= 0 ? 0 : (1 << n) - 1);
}

// Sums of earlier columns back from y.
void load_sums(const float* y, std::int64_t y_stride, int rows, std::int64_t n, float* sums) {
  const __mmask16 low = first_lanes(rows), high = first_lanes(rows - 16);
  for (std::int64_t i = 0; i < n; ++i) {
    _mm512_store_ps(sums + kTileRows * i, _mm512_maskz_loadu_ps(low, y + i * y_stride));
    if (high != 0) {  // a masked load far outside the array is correct, but takes an age
      _mm512_store_ps(sums + kTileRows * i + 16,
                      _mm512_maskz_loadu_ps(high, y + i * y_stride + 16));
    }
  }
}

void store_sums(const float* sums, std::int64_t n, int rows, float* y, std::int64_t y_stride) {
  const __mmask16 low = first_lanes(rows), high = first_lanes(rows - 16);
  for (std::int64_t i = 0; i < n; ++i) {
    const float* from = sums + kTileRows * i;
    _mm512_mask_storeu_ps(y + i * y_stride, low, _mm512_load_ps(from));
    if (high != 0) {
      _mm512_mask_storeu_ps(y + i * y_stride + 16, high, _mm512_load_ps(from + 16));
    }
  }
}

// kTileRows rows of W times columns k0 .. of the prepared rows of x.
template <class S>
void multiply_rows(const MatmulArgs& a, std::int64_t r, std::int64_t n, std::int64_t k0,
                   std::int64_t width, Work& work, float* y) {
  const int rows = static_cast<int>(a.row_end - r < kTileRows ? a.row_end - r : kTileRows);
  const Byte* first = reinterpret_cast<const Byte*>(a.w) + r * a.row_bytes + k0 / 256 * S::kBytes;
  const Byte* next = r + kTileRows < a.row_end ? first + kTileRows * a.row_bytes
                                               : reinterpret_cast<const Byte*>(a.next);
  if (k0 > 0) load_sums(y, a.y_stride, rows, n, work.sums);
  for (std::int64_t k = 0; k < width; k += 256) {
    const Byte* w = first + k / 256 * S::kBytes;
    const std::int64_t count = width - k < 256 ? width - k : 256;
    const std::int64_t left = S::kBytes * count / 256;
    load_half<S>(w, a.row_bytes, rows, left, work.tile, 0);
    if (rows > 16) {  // else the other half is multiplied for nothing
      load_half<S>(w + 16 * a.row_bytes, a.row_bytes, rows - 16, left, work.tile, 1);
    }
    const std::int64_t beyond = k + kAhead - width;
    const Byte* after = beyond < 0 ? w + kAhead / 256 * S::kBytes : next;
    if (beyond > 0 && after != nullptr) after += beyond / 256 * S::kBytes;
    const Columns columns = {k / 256 * n, static_cast<int>(count / S::kGroup), k0 + k == 0};
    multiply_tile<S>(work, work.tile, columns, {after, a.row_bytes, rows}, n, work.sums);
  }
  store_sums(work.sums, n, rows, y, a.y_stride);
}

template <class S>
void many_rows(const MatmulArgs& a) {
  Work* work = &thread_work;
  __asm__("" : "+r"(work));  // its address is not looked up again for every block
  for (std::int64_t i0 = 0; i0 < a.n_used; i0 += kPass) {
    const std::int64_t n = a.n_used - i0 < kPass ? a.n_used - i0 : kPass;
    const std::int64_t pass_width = kPackBytes / n / 256 * 256;
    for (std::int64_t k0 = 0; k0 < a.cols; k0 += pass_width) {
      const std::int64_t width = a.cols - k0 < pass_width ? a.cols - k0 : pass_width;
      prepare<S>(a, i0, n, k0, width, *work);
      for (std::int64_t r = a.row_begin; r < a.row_end; r += kTileRows) {
        multiply_rows<S>(a, r, n, k0, width, *work, a.y + i0 * a.y_stride + r);
      }
    }
  }
}

// K-quants: two ways, by the scales of x.
template <class T>
void by_scales(const MatmulArgs& a) {
  if (a.x.chunk_scales) return many_rows<ByBlock<T, true>>(a);
  many_rows<ByBlock<T, false>>(a);
}

}  // namespace

void many_rows_matmul(const MatmulArgs& a) {
  switch (a.format) {
    case Format::Q8_0:
      return many_rows<ByBlock<TileQ8_0, false>>(a);
    case Format::Q4_0:
      return many_rows<ByBlock<TileQ4_0, false>>(a);
    case Format::MXFP4:
      return many_rows<ByBlock<TileMxfp4, false>>(a);
    case Format::Q4_K:
      return by_scales<TileQ4K>(a);
    case Format::Q5_K:
      return by_scales<TileQ5K>(a);
    case Format::Q6_K:
      return by_scales<TileQ6K>(a);
    case Format::Q3_K:
      return by_scales<TileQ3K>(a);
    case Format::Q2_K:
      return by_scales<TileQ2K>(a);
    case Format::Q4_1:
      return many_rows<ByRow<Q4_1>>(a);
    case Format::Q5_0:
      return many_rows<ByRow<Q5_0>>(a);
    case Format::Q5_1:
      return many_rows<ByRow<Q5_1>>(a);
    case Format::IQ4_NL:
      return many_rows<ByRow<Iq4Nl>>(a);
    case Format::IQ4_XS:
      return many_rows<ByRow<Iq4Xs>>(a);
    case Format::TQ1_0:
      return many_rows<ByRow<Tq1>>(a);
    case Format::TQ2_0:
      return many_rows<ByRow<Tq2>>(a);
    case Format::Q1_0:
      return many_rows<ByRow<Q1_0>>(a);
    case Format::Q2_0:
      return many_rows<ByRow<Q2_0>>(a);
    default:
      return many_rows<ByRow<Nvfp4>>(a);
  }
}

}  // namespace bandwall::avx512

#endif
