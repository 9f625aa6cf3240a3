#if defined(__x86_64__)
#if defined(__GNUC__) && !defined(__clang__)
// gcc 12 warns inside its own intrinsics.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif

#include "runtime/kernels/kquant_avx512.h"
#include "runtime/kernels/matmul_avx512.h"
#include "runtime/kernels/stream_avx512.h"

// Four rows of W meet a block of 256 activations at once: the scales of the four are unpacked
// together, and sums stay integers over the whole block, because the scales of its activations are
// multiples of one step (kernels.h). 8-bit products, 16-bit sums of four, 32-bit sums times scale.
// Bounds: a sum of four is at most 63 * 127 * 4 < 2^15; a scale times a multiple (and a factor of
// at most 4) below 2^13; 64 products of a lane at most 2^31 together (Q6_K, all at their largest).

namespace bandwall::avx512 {
namespace {

constexpr int kMostRows = 2;      // rows of x that share one pass
constexpr int kMostBlocks = 128;  // of 256 columns; wider matrices take the general way

// 256 activations as the blocks of one format meet them, made once for all rows of W. Words: per
// packed sum (Header) the multiple of the step, and the sum of the activations that its minimum or
// offset is multiplied with.
struct Block {
  std::int8_t x[256];
  std::int16_t multiple[2][8], sum[2][8];
};

struct Row {
  alignas(64) Block block[kMostBlocks];
  alignas(64) float step[kMostBlocks];
};

template <class F>
BANDWALL_INLINE void arrange(const std::int8_t* q, Block& to) {
  const Byte* b = reinterpret_cast<const Byte*>(q);
  for (int j = 0; j < 4; ++j) {
    const __m512i v =
        F::kOrder == Order::Halves ? two_halves(b + 32 * j, b + 128 + 32 * j)
        : F::kOrder == Order::Pairs
            ? two_halves(b + 128 * (j / 2) + 32 * (j % 2), b + 128 * (j / 2) + 32 * (j % 2) + 64)
            : _mm512_loadu_si512(b + 64 * j);
    _mm512_store_si512(to.x + 64 * j, v);
  }
}

// Scales back into steps and multiples; false when they are no multiples (not finite).
template <class F>
bool prepare(const std::int8_t* q, const float* scale, const std::int16_t* sums16,
             std::int64_t blocks, Row& to) {
  __mmask8 good = 0xff;
  for (std::int64_t k = 0; k < blocks; ++k) {
    const __m256 s = _mm256_loadu_ps(scale + 8 * k);
    __m256 top = _mm256_max_ps(s, _mm256_permute2f128_ps(s, s, 1));
    top = _mm256_max_ps(top, _mm256_permute_ps(top, 0x4e));
    top = _mm256_max_ps(top, _mm256_permute_ps(top, 0xb1));
    const __mmask8 used = _mm256_cmp_ps_mask(top, _mm256_setzero_ps(), _CMP_NEQ_UQ);
    const __m256 exact = _mm256_mul_ps(_mm256_maskz_div_ps(used, s, top), _mm256_set1_ps(63.0f));
    const __m256i multiple = _mm256_cvtps_epi32(exact);
    const __m256 error = _mm256_sub_ps(exact, _mm256_cvtepi32_ps(multiple));
    const __m256 size = _mm256_andnot_ps(_mm256_set1_ps(-0.0f), error);
    good &= _mm256_cmp_ps_mask(size, _mm256_set1_ps(1e-3f), _CMP_LT_OQ);
    to.step[k] = _mm256_cvtss_f32(top) * (1.0f / 63.0f);
    Block& block = to.block[k];
    arrange<F>(q + 256 * k, block);
    F::arrange_words(multiple, sums16 + 16 * k, block.multiple, block.sum);
  }
  return good == 0xff;
}

// Four int32 registers to one: the lanes of 128 bits of `a` added up in lane 0, of b in lane 1, ..
BANDWALL_INLINE __m512i add_lanes(__m512i a, __m512i b, __m512i c, __m512i d) {
  const __m512i upper = _mm512_setr_epi64(0, 0, 0, 0, -1, -1, -1, -1);
  const __m512i odd = _mm512_setr_epi64(0, 0, -1, -1, 0, 0, -1, -1);
  const __m512i ac = _mm512_add_epi32(blend_bits(upper, c, a), _mm512_shuffle_i64x2(a, c, 0x4e));
  const __m512i bd = _mm512_add_epi32(blend_bits(upper, d, b), _mm512_shuffle_i64x2(b, d, 0x4e));
  const __m512i other = blend_bits(odd, ac, bd);
  return _mm512_add_epi32(blend_bits(odd, bd, ac), _mm512_shuffle_i64x2(other, other, 0xb1));
}

// One block of x against one block of each of four rows: scales of the weights times multiples of
// the activations, and what is added for all rows at once.
struct Meeting {
  __m512i x[4], scale[2], sum;
  __m512i acc[4];
};

BANDWALL_INLINE __m512i words_of(const std::int16_t* p) {
  return _mm512_broadcast_i32x4(_mm_load_si128(reinterpret_cast<const __m128i*>(p)));
}

template <class F>
BANDWALL_INLINE void meet(const Header& h, const Block& b, Meeting& m) {
  for (int j = 0; j < 4; ++j) m.x[j] = _mm512_load_si512(b.x + 64 * j);
  constexpr int kParts = F::kGroup == 32 ? 1 : 2;
  m.sum = _mm512_setzero_si512();
  for (int i = 0; i < kParts; ++i) {
    const __m512i multiple = words_of(b.multiple[i]), sum = words_of(b.sum[i]);
    m.scale[i] = _mm512_mullo_epi16(h.scale[i], multiple);
    const __m512i with_sum = F::kMin ? _mm512_mullo_epi16(h.min[i], multiple) : m.scale[i];
    m.sum = _mm512_dpwssd_epi32(m.sum, with_sum, sum);
  }
  if constexpr (kParts == 1) m.scale[1] = m.scale[0];
}

template <class F>
BANDWALL_INLINE void multiply_row(const __m512i* w, int row, Meeting& m) {
  const __m512i zero = _mm512_setzero_si512();
  const __m512i first = _mm512_packs_epi32(_mm512_dpbusd_epi32(zero, w[0], m.x[0]),
                                           _mm512_dpbusd_epi32(zero, w[1], m.x[1]));
  const __m512i second = _mm512_packs_epi32(_mm512_dpbusd_epi32(zero, w[2], m.x[2]),
                                            _mm512_dpbusd_epi32(zero, w[3], m.x[3]));
  const __m512i low =
      _mm512_permutexvar_epi16(_mm512_load_si512(F::kSpread[0].at[row]), m.scale[0]);
  const __m512i high = _mm512_permutexvar_epi16(
      _mm512_load_si512(F::kSpread[F::kGroup == 32 ? 1 : 0].at[row]), m.scale[1]);
  m.acc[row] = _mm512_dpwssd_epi32(_mm512_dpwssd_epi32(zero, first, low), second, high);
}

template <class F>
BANDWALL_INLINE __m512 finish(const Header& h, float step, const Meeting& m, __m512 sum) {
  const __m512 steps = _mm512_set1_ps(step);
  const __m512i dots = add_lanes(m.acc[0], m.acc[1], m.acc[2], m.acc[3]);
  if constexpr (!F::kMin) {
    const __m512i offset = _mm512_slli_epi32(m.sum, F::kOffsetShift);
    const __m512 value = _mm512_cvtepi32_ps(_mm512_sub_epi32(dots, offset));
    return _mm512_fmadd_ps(value, _mm512_mul_ps(h.d, steps), sum);
  }
  sum = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dots), _mm512_mul_ps(h.d, steps), sum);
  return _mm512_fnmadd_ps(_mm512_cvtepi32_ps(m.sum), _mm512_mul_ps(h.dmin, steps), sum);
}

// Four rows of W times N rows of x.
template <class F, int N>
BANDWALL_INLINE void four_rows(const Byte* const* rows, std::int64_t blocks, const Row* x,
                               const Stream& stream, const Byte* start, __m512* sums) {
  for (int i = 0; i < N; ++i) sums[i] = _mm512_setzero_ps();
  for (std::int64_t k = 0; k < blocks; ++k) {
    const Byte* b[4];
    for (int r = 0; r < 4; ++r) b[r] = rows[r] + k * F::kBytes;
    stream.fetch(start + k * 4 * F::kBytes, 4 * F::kBytes);
    const Header h = F::header(b);
    Meeting m[N];
    for (int i = 0; i < N; ++i) meet<F>(h, x[i].block[k], m[i]);
    BANDWALL_UNROLL
    for (int r = 0; r < 4; ++r) {
      __m512i w[4];
      F::values(b[r], w);
      for (int i = 0; i < N; ++i) multiply_row<F>(w, r, m[i]);
    }
    for (int i = 0; i < N; ++i) sums[i] = finish<F>(h, x[i].step[k], m[i], sums[i]);
  }
}

template <class F, int N>
void multiply(const MatmulArgs& a, const Row* x, float* y) {
  const Stream stream(a);
  const Byte* w = reinterpret_cast<const Byte*>(a.w);
  for (std::int64_t r = a.row_begin; r < a.row_end; r += 4) {
    const int count = static_cast<int>(a.row_end - r < 4 ? a.row_end - r : 4);
    const Byte* rows[4];
    for (int i = 0; i < 4; ++i) rows[i] = w + (r + (i < count ? i : 0)) * a.row_bytes;
    __m512 sums[N];
    four_rows<F, N>(rows, a.cols / 256, x, stream, rows[0], sums);
    for (int i = 0; i < N; ++i) {
      const __m512 twos = _mm512_add_ps(sums[i], _mm512_permute_ps(sums[i], 0x4e));
      const __m512 ones = _mm512_add_ps(twos, _mm512_permute_ps(twos, 0xb1));
      _mm512_mask_compressstoreu_ps(y + i * a.y_stride + r,
                                    static_cast<__mmask16>(0x1111 & ((1 << 4 * count) - 1)), ones);
    }
  }
}

template <class F>
bool multiply(const MatmulArgs& a) {
  const std::int64_t blocks = a.cols / 256;
  if (blocks > kMostBlocks) return false;
  Row x[kMostRows];
  for (std::int64_t i0 = 0; i0 < a.n_used; i0 += kMostRows) {
    const std::int64_t n = a.n_used - i0 < kMostRows ? a.n_used - i0 : kMostRows;
    for (std::int64_t i = 0; i < n; ++i) {
      const std::int64_t row = a.x_rows == nullptr ? i0 + i : a.x_rows[i0 + i];
      if (!prepare<F>(a.x.q8 + row * a.cols, a.x.scale + row * (a.cols / 32),
                      a.x.sums16 + row * (a.cols / 16), blocks, x[i])) {
        return false;
      }
    }
    float* y = a.y + i0 * a.y_stride;
    if (n == 1)
      multiply<F, 1>(a, x, y);
    else
      multiply<F, 2>(a, x, y);
  }
  return true;
}

}  // namespace

bool kquant_matmul(const MatmulArgs& a) {
  switch (a.format) {
    case Format::Q2_K:
      return multiply<BlocksQ2K>(a);
    case Format::Q3_K:
      return multiply<BlocksQ3K>(a);
    case Format::Q4_K:
      return multiply<BlocksQ4K>(a);
    case Format::Q5_K:
      return multiply<BlocksQ5K>(a);
    case Format::Q6_K:
      return multiply<BlocksQ6K>(a);
    default:
      return false;
  }
}

}  // namespace bandwall::avx512

#endif
