#if defined(__x86_64__)

#include "runtime/kernels/detail.h"
#include "runtime/kernels/unpack_more_avx2.h"

// Four rows of W, 256 columns at a time, become signed bytes in the first cache level and meet all
// rows of x (up to kBatch) from there. Bytes times bytes by maddubs on |w| and x with w's sign: two
// products are at most 2 * 128 * 127, which 16 bits hold. Each result adds in the order of the
// columns, whatever the number of rows on either side.

namespace bandwall::avx2 {
namespace {

constexpr int kTogether = 4;
constexpr int kBatch = 64;

struct Activations {
  const std::int8_t* q;
  const float* scale;
  const std::int16_t* sums;
};

// The last columns when they are no whole chunk, filled up with zeros.
struct PaddedTail {
  alignas(32) std::int8_t q[256];
  alignas(32) float scale[8];
  alignas(32) std::int16_t sums[16];
};

void copy_bytes(void* to, const void* from, std::int64_t n) {
  __builtin_memcpy(to, from, static_cast<std::size_t>(n));
}

// Scales of the two halves of group g over the 8 lanes of its sums.
BANDWALL_INLINE __m256 lane_scales(const float* scale, int g) {
  const __m128 low = _mm_broadcast_ss(scale + 2 * g), high = _mm_broadcast_ss(scale + 2 * g + 1);
  return _mm256_insertf128_ps(_mm256_castps128_ps256(low), high, 1);
}

BANDWALL_INLINE __m256 dot_chunk(const SignedChunk& w, const Activations& x, __m256 sum) {
  const __m256i ones = _mm256_set1_epi16(1);
  for (int g = 0; g < 8; ++g) {
    const __m256i q = load_32(w.q + 32 * g);
    const __m256i signed_x = _mm256_sign_epi8(load_32(x.q + 32 * g), q);
    const __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(q), signed_x);
    const __m256 dot = _mm256_cvtepi32_ps(_mm256_madd_epi16(pairs, ones));
    const __m256 scale = _mm256_mul_ps(lane_scales(w.scale, g), _mm256_broadcast_ss(x.scale + g));
    sum = _mm256_fmadd_ps(dot, scale, sum);
  }
  return sum;
}

// Minus what the minima take: min * scale * sum, per 16 values.
BANDWALL_INLINE __m256 subtract_minima(const SignedChunk& w, const Activations& x, __m256 sum) {
  const __m256 scale = _mm256_loadu_ps(x.scale);
  const __m256i lanes[2] = {_mm256_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3),
                            _mm256_setr_epi32(4, 4, 5, 5, 6, 6, 7, 7)};
  for (int h = 0; h < 2; ++h) {
    const __m128i sums = _mm_loadu_si128(reinterpret_cast<const __m128i*>(x.sums + 8 * h));
    const __m256 values = _mm256_cvtepi32_ps(_mm256_cvtepi16_epi32(sums));
    const __m256 product = _mm256_mul_ps(values, _mm256_permutevar8x32_ps(scale, lanes[h]));
    sum = _mm256_fnmadd_ps(_mm256_load_ps(w.min + 8 * h), product, sum);
  }
  return sum;
}

BANDWALL_INLINE float horizontal_sum(__m256 v) {
  const __m128 a = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  const __m128 b = _mm_add_ps(a, _mm_movehl_ps(a, a));
  return _mm_cvtss_f32(_mm_add_ss(b, _mm_movehdup_ps(b)));
}

// One chunk of up to kTogether rows of W times n rows of x.
template <Format format>
void multiply_chunk(const Byte* w, std::int64_t row_bytes, int rows, std::int64_t bytes_left,
                    std::int64_t chunk_bytes, const Activations* x, std::int64_t n,
                    __m256 (*sums)[kTogether]) {
  SignedChunk chunks[kTogether];
  for (int r = 0; r < rows; ++r) {
    const Byte* block = w + r * row_bytes;
    if (bytes_left >= chunk_bytes) {
      _mm_prefetch(reinterpret_cast<const char*>(block + 1024), _MM_HINT_T0);
      _mm_prefetch(reinterpret_cast<const char*>(block + 1088), _MM_HINT_T0);
      load<format>(block, chunks[r]);
      continue;
    }
    Byte padded[288] = {};  // 256 values of the formats with blocks of 32 or 64
    copy_bytes(padded, block, bytes_left);
    load<format>(padded, chunks[r]);
  }
  for (std::int64_t i = 0; i < n; ++i) {
    for (int r = 0; r < rows; ++r) {
      __m256 sum = dot_chunk(chunks[r], x[i], sums[i][r]);
      if constexpr (has_minimum(format)) sum = subtract_minima(chunks[r], x[i], sum);
      sums[i][r] = sum;
    }
  }
}

template <Format format>
void multiply_batch(const MatmulArgs& a, std::int64_t chunk_bytes, std::int64_t i0,
                    std::int64_t n) {
  const std::int64_t tail = a.cols % 256, whole = a.cols - tail;
  Activations x[kBatch];
  PaddedTail tails[kBatch];
  for (std::int64_t i = 0; i < n; ++i) {
    const std::int64_t row = a.x_rows == nullptr ? i0 + i : a.x_rows[i0 + i];
    x[i] = {a.x.q8 + row * a.cols, a.x.scale + row * (a.cols / 32),
            a.x.sums16 + row * (a.cols / 16)};
    if (tail == 0) continue;
    tails[i] = PaddedTail{};
    copy_bytes(tails[i].q, x[i].q + whole, tail);
    copy_bytes(tails[i].scale, x[i].scale + whole / 32, tail / 32 * 4);
    copy_bytes(tails[i].sums, x[i].sums + whole / 16, tail / 16 * 2);
  }
  for (std::int64_t r = a.row_begin; r < a.row_end; r += kTogether) {
    const int rows = static_cast<int>(a.row_end - r < kTogether ? a.row_end - r : kTogether);
    const Byte* w = reinterpret_cast<const Byte*>(a.w) + r * a.row_bytes;
    __m256 sums[kBatch][kTogether];
    for (std::int64_t i = 0; i < n; ++i) {
      for (int j = 0; j < kTogether; ++j) sums[i][j] = _mm256_setzero_ps();
    }
    Activations at[kBatch];
    for (std::int64_t k = 0; k < a.cols; k += 256) {
      for (std::int64_t i = 0; i < n; ++i) {
        at[i] = k < whole ? Activations{x[i].q + k, x[i].scale + k / 32, x[i].sums + k / 16}
                          : Activations{tails[i].q, tails[i].scale, tails[i].sums};
      }
      const std::int64_t left = k < whole ? chunk_bytes : chunk_bytes * tail / 256;
      multiply_chunk<format>(w + k / 256 * chunk_bytes, a.row_bytes, rows, left, chunk_bytes, at, n,
                             sums);
    }
    for (std::int64_t i = 0; i < n; ++i) {
      for (int j = 0; j < rows; ++j) {
        a.y[(i0 + i) * a.y_stride + r + j] = horizontal_sum(sums[i][j]);
      }
    }
  }
}

template <Format format>
void multiply(const MatmulArgs& a) {
  const FormatInfo& f = info(format);
  const std::int64_t chunk_bytes = kChunk / f.values_per_block * f.bytes_per_block;
  for (std::int64_t i0 = 0; i0 < a.n_used; i0 += kBatch) {
    multiply_batch<format>(a, chunk_bytes, i0, a.n_used - i0 < kBatch ? a.n_used - i0 : kBatch);
  }
}

// Bits of the largest magnitude of 32 values; they order like the magnitudes, NaN on top.
int largest_bits(const float* x) {
  const __m256i magnitude = _mm256_set1_epi32(0x7fffffff);
  __m256i top = _mm256_setzero_si256();
  for (int i = 0; i < 4; ++i) {
    const __m256i v = _mm256_castps_si256(_mm256_loadu_ps(x + 8 * i));
    top = _mm256_max_epi32(top, _mm256_and_si256(v, magnitude));
  }
  __m128i m = _mm_max_epi32(_mm256_castsi256_si128(top), _mm256_extracti128_si256(top, 1));
  m = _mm_max_epi32(m, _mm_shuffle_epi32(m, 0x4e));
  m = _mm_max_epi32(m, _mm_shuffle_epi32(m, 0xb1));
  return _mm_cvtsi128_si32(m);
}

// As portable::quantize_group, bit for bit.
void quantize_group(const float* x, float inverse, std::int8_t* q8, std::int16_t* sums) {
  __m256i rounded[4];
  for (int i = 0; i < 4; ++i) {
    const __m256 v = _mm256_mul_ps(_mm256_loadu_ps(x + 8 * i), _mm256_set1_ps(inverse));
    rounded[i] = _mm256_cvtps_epi32(v);
  }
  const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
  const __m256i bytes_mixed = _mm256_packs_epi16(_mm256_packs_epi32(rounded[0], rounded[1]),
                                                 _mm256_packs_epi32(rounded[2], rounded[3]));
  const __m256i q = _mm256_permutevar8x32_epi32(bytes_mixed, order);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(q8), q);
  const __m256i fours = _mm256_madd_epi16(_mm256_maddubs_epi16(bytes(1), q), _mm256_set1_epi16(1));
  const __m256i eights = _mm256_add_epi32(fours, _mm256_shuffle_epi32(fours, 0xb1));
  const __m256i halves = _mm256_add_epi32(eights, _mm256_shuffle_epi32(eights, 0x4e));
  sums[0] = static_cast<std::int16_t>(_mm_cvtsi128_si32(_mm256_castsi256_si128(halves)));
  sums[1] = static_cast<std::int16_t>(_mm_cvtsi128_si32(_mm256_extracti128_si256(halves, 1)));
}

void quantize_block(const float* x, std::int64_t groups, std::int8_t* q8, float* scale,
                    std::int16_t* sums) {
  constexpr int kInfinity = 0x7f800000;
  alignas(32) float largest[8] = {};
  alignas(32) int bits[8] = {};
  float top = kTiny;
  for (std::int64_t g = 0; g < groups; ++g) {
    bits[g] = largest_bits(x + 32 * g);
    __builtin_memcpy(&largest[g], &bits[g], 4);
    if (bits[g] < kInfinity && largest[g] > top) top = largest[g];
  }
  const float step = top / (127.0f * kScaleSteps);
  const __m256 values = _mm256_load_ps(largest);
  const __m256 exact = _mm256_div_ps(values, _mm256_set1_ps(127.0f * step));
  const __m256 steps = _mm256_ceil_ps(_mm256_sub_ps(exact, _mm256_set1_ps(1e-4f)));
  const __m256 bounded =
      _mm256_min_ps(_mm256_max_ps(steps, _mm256_set1_ps(1.0f)), _mm256_set1_ps(kScaleSteps));
  const __m256 scales = _mm256_mul_ps(bounded, _mm256_set1_ps(step));
  alignas(32) float scale_of[8], inverse[8];
  _mm256_store_ps(scale_of, scales);
  _mm256_store_ps(inverse, _mm256_div_ps(_mm256_set1_ps(1.0f), scales));
  for (std::int64_t g = 0; g < groups; ++g) {
    const bool finite = bits[g] < kInfinity;
    if (finite && !(largest[g] < kTiny)) {
      scale[g] = scale_of[g];
      quantize_group(x + 32 * g, inverse[g], q8 + 32 * g, sums + 2 * g);
      continue;
    }
    scale[g] = finite ? 0.0f : __builtin_nanf("");
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(q8 + 32 * g), _mm256_setzero_si256());
    sums[2 * g] = sums[2 * g + 1] = 0;
  }
}

}  // namespace

void quantize_rows(const float* x, std::int64_t n, std::int64_t cols, std::int8_t* q8, float* scale,
                   std::int16_t* sums16) {
  const std::int64_t groups = cols / 32;
  for (std::int64_t row = 0; row < n; ++row) {
    for (std::int64_t g = 0; g < groups; g += 8) {
      const std::int64_t at = row * groups + g;
      quantize_block(x + 32 * at, groups - g < 8 ? groups - g : 8, q8 + 32 * at, scale + at,
                     sums16 + 2 * at);
    }
  }
}

void quant_matmul(const MatmulArgs& a) {
  switch (a.format) {
    case Format::Q8_0:
      return multiply<Format::Q8_0>(a);
    case Format::Q4_0:
      return multiply<Format::Q4_0>(a);
    case Format::Q4_1:
      return multiply<Format::Q4_1>(a);
    case Format::Q5_0:
      return multiply<Format::Q5_0>(a);
    case Format::Q5_1:
      return multiply<Format::Q5_1>(a);
    case Format::Q4_K:
      return multiply<Format::Q4_K>(a);
    case Format::Q5_K:
      return multiply<Format::Q5_K>(a);
    case Format::Q6_K:
      return multiply<Format::Q6_K>(a);
    case Format::Q3_K:
      return multiply<Format::Q3_K>(a);
    case Format::Q2_K:
      return multiply<Format::Q2_K>(a);
    case Format::MXFP4:
      return multiply<Format::MXFP4>(a);
    case Format::IQ4_NL:
      return multiply<Format::IQ4_NL>(a);
    case Format::IQ4_XS:
      return multiply<Format::IQ4_XS>(a);
    case Format::TQ1_0:
      return multiply<Format::TQ1_0>(a);
    case Format::TQ2_0:
      return multiply<Format::TQ2_0>(a);
    case Format::Q1_0:
      return multiply<Format::Q1_0>(a);
    case Format::Q2_0:
      return multiply<Format::Q2_0>(a);
    default:
      return multiply<Format::NVFP4>(a);
  }
}

}  // namespace bandwall::avx2

#endif
