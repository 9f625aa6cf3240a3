#if defined(__x86_64__)
#if defined(__GNUC__) && !defined(__clang__)
// gcc 12 warns inside its own intrinsics.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif

#include "runtime/kernels/matmul_avx512.h"
#include "runtime/kernels/detail.h"
#include "runtime/kernels/stream_avx512.h"
#include "runtime/kernels/unpack_more_avx512.h"

// Few rows of x: one pass over the weights at memory speed. Weights are unpacked in registers and
// multiplied at once; integer sums stay in lanes and are scaled there, so one row of W costs one
// horizontal sum. Many rows of x: gemm_avx512.cpp.

namespace bandwall::avx512 {
namespace {

// 256 activations in the order of U: values, scales per lane of U's scales, and minus their
// products with the sums (for minima). Integer sums start at `start`, minus what the offset of the
// weights adds to them.
struct ActivationChunk {
  __m512i x[4], start[4];
  __m512 scale, sum, lane_scale[4];
};

struct ActivationPointers {
  const std::int8_t* q;
  const float* scale;
  const std::int16_t* sums;
};

template <Order order>
BANDWALL_INLINE void load_x(const std::int8_t* q, __m512i* x) {
  const Byte* b = reinterpret_cast<const Byte*>(q);
  if constexpr (order == Order::Halves) {
    for (int j = 0; j < 4; ++j) x[j] = two_halves(b + 32 * j, b + 128 + 32 * j);
    return;
  }
  for (int j = 0; j < 4; ++j) x[j] = _mm512_loadu_si512(b + 64 * j);
  for (int j = 0; j < 4; j += 2) {
    const __m512i first = x[j], second = x[j + 1];
    if constexpr (order == Order::Pairs) {
      x[j] = _mm512_shuffle_i64x2(first, second, 0x44);
      x[j + 1] = _mm512_shuffle_i64x2(first, second, 0xee);
    }
    if constexpr (order == Order::Nibbles) {
      x[j] = _mm512_shuffle_i64x2(first, second, 0x88);
      x[j + 1] = _mm512_shuffle_i64x2(first, second, 0xdd);
    }
    if constexpr (order == Order::Eights) {
      const __m512i even = _mm512_setr_epi64(0, 2, 4, 6, 8, 10, 12, 14);
      const __m512i odd = _mm512_setr_epi64(1, 3, 5, 7, 9, 11, 13, 15);
      x[j] = _mm512_permutex2var_epi64(first, even, second);
      x[j + 1] = _mm512_permutex2var_epi64(first, odd, second);
    }
  }
}

// Lanes of the scales that belong to the 16 sums of w[j].
template <class U>
BANDWALL_INLINE __m512i scale_lanes(int j) {
  const __m512i by_4 = _mm512_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3);
  if constexpr (U::kOrder == Order::Nibbles) {  // w[2 p] and w[2 p + 1] share their sums
    return _mm512_add_epi32(by_4, _mm512_set1_epi32(4 * (j / 2)));
  }
  if constexpr (U::kOrder == Order::Eights) {  // so do these
    const __m512i by_2 = _mm512_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7);
    return _mm512_add_epi32(by_2, _mm512_set1_epi32(8 * (j / 2)));
  }
  if constexpr (U::kOrder == Order::Pairs) {
    const __m512i by_8 = _mm512_setr_epi32(0, 0, 0, 0, 0, 0, 0, 0, 2, 2, 2, 2, 2, 2, 2, 2);
    return _mm512_add_epi32(by_8, _mm512_set1_epi32(4 * (j / 2) + j % 2));
  }
  if constexpr (U::kOrder == Order::Halves) {
    const __m512i by_4_far = _mm512_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1, 8, 8, 8, 8, 9, 9, 9, 9);
    return _mm512_add_epi32(by_4_far, _mm512_set1_epi32(2 * j));
  }
  if constexpr (U::kGroup == 32) {
    const __m512i by_8 = _mm512_setr_epi32(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1);
    return _mm512_add_epi32(by_8, _mm512_set1_epi32(2 * j));
  }
  return _mm512_add_epi32(by_4, _mm512_set1_epi32(4 * j));
}

// w[2 p] and w[2 p + 1] hold the two parts of the same groups: one sum, one scale.
template <class U>
constexpr bool pairs_share_sums() {
  return U::kOrder == Order::Nibbles || U::kOrder == Order::Eights;
}

// Registers of weights that one load_lanes() fills.
template <class U>
constexpr int lane_registers() {
  return pairs_share_sums<U>() ? 2 : 1;
}

template <class U>
BANDWALL_INLINE void load_activations(const U& u, const ActivationPointers& p, ActivationChunk& c) {
  load_x<U::kOrder>(p.q, c.x);
  const __m256 scale = _mm256_loadu_ps(p.scale);
  const __m256i sums = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p.sums));
  const __m512i zero = _mm512_setzero_si512();
  for (int j = 0; j < 4; ++j) {
    const __m512i sum = _mm512_dpbusd_epi32(zero, bytes(u.offset(j)), c.x[j]);
    c.start[j] = _mm512_sub_epi32(zero, sum);
  }
  if constexpr (U::kGroup == 32) {
    const __m256 sum32 = _mm256_cvtepi32_ps(_mm256_madd_epi16(sums, _mm256_set1_epi16(1)));
    const __m256 product = _mm256_mul_ps(sum32, _mm256_xor_ps(scale, _mm256_set1_ps(-0.0f)));
    c.scale = _mm512_insertf32x8(_mm512_castps256_ps512(scale), product, 1);
  } else {
    const __m512i twice = _mm512_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7);
    c.scale = _mm512_permutexvar_ps(twice, _mm512_castps256_ps512(scale));
    const __m512 sum16 = _mm512_cvtepi32_ps(_mm512_cvtepi16_epi32(sums));
    c.sum = _mm512_mul_ps(sum16, _mm512_xor_ps(c.scale, _mm512_set1_ps(-0.0f)));
  }
  if constexpr (U::kScaled) c.scale = _mm512_mul_ps(c.scale, u.lane_factor());
  if constexpr (U::kLaneScales) {
    constexpr int kStep = lane_registers<U>();
    for (int h = 0; h < 4 / kStep; ++h) {
      c.lane_scale[h] = _mm512_permutexvar_ps(scale_lanes<U>(kStep * h), c.scale);
    }
  }
  if constexpr (pairs_share_sums<U>()) {
    for (int h = 0; h < 2; ++h) {
      c.start[h] = _mm512_add_epi32(c.start[2 * h], c.start[2 * h + 1]);
    }
  }
}

// One load_lanes() of `size` bytes, the h-th of its chunk.
template <class U>
BANDWALL_INLINE __m512 dot_lanes(const U& u, const Byte* b, std::int64_t size, int h,
                                 const ActivationChunk& x, __m512 sum) {
  constexpr int kStep = lane_registers<U>();
  __m512i w[2];
  const __m512 s = u.load_lanes(b, size, w);
  __m512i dot = _mm512_dpbusd_epi32(x.start[h], w[0], x.x[kStep * h]);
  if constexpr (kStep == 2) dot = _mm512_dpbusd_epi32(dot, w[1], x.x[kStep * h + 1]);
  return _mm512_fmadd_ps(_mm512_cvtepi32_ps(dot), _mm512_mul_ps(s, x.lane_scale[h]), sum);
}

template <class U>
BANDWALL_INLINE __m512 dot_chunk(const U& u, const Byte* block, const ActivationChunk& x,
                                 __m512 sum) {
  if constexpr (U::kLaneScales) {
    constexpr int kSteps = 4 / lane_registers<U>(), kSize = U::kBytes / kSteps;
    for (int h = 0; h < kSteps; ++h) sum = dot_lanes(u, block + h * kSize, kSize, h, x, sum);
    return sum;
  }
  __m512i w[4];
  __m512 s, c;
  u.load(block, w, s, c);
  const __m512 scale = _mm512_mul_ps(s, x.scale);
  constexpr int step = pairs_share_sums<U>() ? 2 : 1;
  for (int j = 0; j < 4; j += step) {
    const __m512 lanes = _mm512_permutexvar_ps(scale_lanes<U>(j), scale);
    __m512i dot = _mm512_dpbusd_epi32(x.start[j / step], w[j], x.x[j]);
    if constexpr (step == 2) dot = _mm512_dpbusd_epi32(dot, w[j + 1], x.x[j + 1]);
    sum = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dot), lanes, sum);
  }
  if constexpr (!U::kMin) return sum;
  if constexpr (U::kGroup == 32) return _mm512_mask_add_ps(sum, 0xff00, sum, scale);
  return _mm512_fmadd_ps(c, x.sum, sum);
}

// Lane sums in a fixed order.
BANDWALL_INLINE float horizontal_sum(__m512 v) {
  const __m256 a = _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
  const __m128 b = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
  const __m128 c = _mm_add_ps(b, _mm_movehl_ps(b, b));
  return _mm_cvtss_f32(_mm_add_ss(c, _mm_movehdup_ps(c)));
}

// The last columns when they are no whole chunk: both sides filled up with zeros.
struct PaddedTail {
  alignas(64) std::int8_t q[256];
  alignas(64) float scale[8];
  alignas(64) std::int16_t sums[16];
};

void copy_bytes(void* to, const void* from, std::int64_t n) {
  __builtin_memcpy(to, from, static_cast<std::size_t>(n));
}

void pad_activations(const ActivationPointers& p, std::int64_t count, PaddedTail& tail) {
  tail = PaddedTail{};
  copy_bytes(tail.q, p.q, count);
  copy_bytes(tail.scale, p.scale, count / 32 * 4);
  copy_bytes(tail.sums, p.sums, count / 16 * 2);
}

struct Shape {
  std::int64_t chunks, chunk_bytes, row_bytes, tail, tail_bytes;
};

// Of the last columns of one row, `bytes` of weights.
template <class U>
BANDWALL_INLINE __m512 dot_tail(const U& u, const Byte* block, std::int64_t bytes,
                                const ActivationChunk& x, __m512 sum) {
  if constexpr (U::kLaneScales) {
    constexpr int kSteps = 4 / lane_registers<U>(), kSize = U::kBytes / kSteps;
    BANDWALL_UNROLL
    for (int h = 0; h < kSteps; ++h) {
      const std::int64_t left = bytes - h * kSize;
      if (left <= 0) break;
      sum = left >= kSize ? dot_lanes(u, block + h * kSize, kSize, h, x, sum)
                          : dot_lanes(u, block + h * kSize, left, h, x, sum);
    }
    return sum;
  }
  alignas(64) Byte padded[kMaxChunkBytes] = {};
  copy_bytes(padded, block, bytes);
  return dot_chunk(u, padded, x, sum);
}

// R rows of W times one row of x. `stream`: also fetch what comes later.
template <int R, class U>
BANDWALL_INLINE void dot_rows(const U& u, const Byte* w, const Shape& shape,
                              const ActivationPointers& x, const PaddedTail& tail,
                              const Stream* stream, float* out) {
  __m512 sums[R];
  for (int r = 0; r < R; ++r) sums[r] = _mm512_setzero_ps();
  ActivationChunk chunk;
  for (std::int64_t k = 0; k < shape.chunks; ++k) {
    if (stream != nullptr) stream->fetch(w + k * R * shape.chunk_bytes, R * shape.chunk_bytes);
    load_activations(u, {x.q + 256 * k, x.scale + 8 * k, x.sums + 16 * k}, chunk);
    for (int r = 0; r < R; ++r) {
      const Byte* block = w + r * shape.row_bytes + k * shape.chunk_bytes;
      sums[r] = dot_chunk(u, block, chunk, sums[r]);
    }
  }
  if (shape.tail > 0) {
    const std::int64_t done = shape.chunks * shape.chunk_bytes;
    if (stream != nullptr) stream->fetch(w + R * done, R * shape.tail_bytes);
    load_activations(u, {tail.q, tail.scale, tail.sums}, chunk);
    for (int r = 0; r < R; ++r) {
      const Byte* block = w + r * shape.row_bytes + done;
      sums[r] = dot_tail(u, block, shape.tail_bytes, chunk, sums[r]);
    }
  }
  for (int r = 0; r < R; ++r) out[r] = horizontal_sum(sums[r]);
}

template <class U>
void few_rows(const MatmulArgs& a, const U& u, std::int64_t chunk_bytes) {
  const Shape shape = {a.cols / 256, chunk_bytes, a.row_bytes, a.cols % 256,
                       chunk_bytes * (a.cols % 256) / 256};
  const Byte* w = reinterpret_cast<const Byte*>(a.w);
  const Stream stream(a);
  for (std::int64_t i0 = 0; i0 < a.n_used; i0 += kFewRows) {
    const int n = static_cast<int>(a.n_used - i0 < kFewRows ? a.n_used - i0 : kFewRows);
    ActivationPointers x[kFewRows];
    PaddedTail tails[kFewRows];
    for (int i = 0; i < n; ++i) {
      const std::int64_t row = a.x_rows == nullptr ? i0 + i : a.x_rows[i0 + i];
      x[i] = {a.x.q8 + row * a.cols, a.x.scale + row * (a.cols / 32),
              a.x.sums16 + row * (a.cols / 16)};
      const std::int64_t done = a.cols - shape.tail;
      if (shape.tail > 0) {
        pad_activations({x[i].q + done, x[i].scale + done / 32, x[i].sums + done / 16}, shape.tail,
                        tails[i]);
      }
    }
    float* y = a.y + i0 * a.y_stride;
    std::int64_t r = a.row_begin;
    for (; r + U::kRows <= a.row_end; r += U::kRows) {
      for (int i = 0; i < n; ++i) {
        dot_rows<U::kRows>(u, w + r * a.row_bytes, shape, x[i], tails[i],
                           i == 0 ? &stream : nullptr, y + i * a.y_stride + r);
      }
    }
    for (; r < a.row_end; ++r) {
      for (int i = 0; i < n; ++i) {
        dot_rows<1>(u, w + r * a.row_bytes, shape, x[i], tails[i], nullptr, y + i * a.y_stride + r);
      }
    }
  }
}

template <class U>
void multiply(const MatmulArgs& a) {
  few_rows(a, U{}, U::kBytes);
}

}  // namespace

void quant_matmul(const MatmulArgs& a) {
  if (a.n_used >= kManyRows) return many_rows_matmul(a);
  if (kquant_matmul(a)) return;
  switch (a.format) {
    case Format::Q8_0:
      return multiply<Q8_0>(a);
    case Format::Q4_0:
      return multiply<Q4_0>(a);
    case Format::MXFP4:
      return multiply<Mxfp4>(a);
    case Format::Q4_K:
      return multiply<Q4K>(a);
    case Format::Q5_K:
      return multiply<Q5K>(a);
    case Format::Q6_K:
      return multiply<Q6K>(a);
    case Format::Q3_K:
      return multiply<Q3K>(a);
    case Format::Q2_K:
      return multiply<Q2K>(a);
    case Format::Q4_1:
      return multiply<Q4_1>(a);
    case Format::Q5_0:
      return multiply<Q5_0>(a);
    case Format::Q5_1:
      return multiply<Q5_1>(a);
    case Format::IQ4_NL:
      return multiply<Iq4Nl>(a);
    case Format::IQ4_XS:
      return multiply<Iq4Xs>(a);
    case Format::TQ1_0:
      return multiply<Tq1>(a);
    case Format::TQ2_0:
      return multiply<Tq2>(a);
    case Format::Q1_0:
      return multiply<Q1_0>(a);
    case Format::Q2_0:
      return multiply<Q2_0>(a);
    default:
      return multiply<Nvfp4>(a);
  }
}

void quantize_rows(const float* x, std::int64_t n, std::int64_t cols, std::int8_t* q8, float* scale,
                   std::int16_t* sums16) {
  avx2::quantize_rows(x, n, cols, q8, scale, sums16);
}

void quantize_chunks(const float* x, std::int64_t n, std::int64_t cols, std::int8_t* q8,
                     float* scale, std::int16_t* sums16) {
  const __m512i ones = bytes(1);
  for (std::int64_t i = 0; i < n * cols; i += 256) {
    __m512i top = _mm512_setzero_si512();  // magnitudes order like their bits, NaN on top
    for (int j = 0; j < 256; j += 16) {
      const __m512 v = _mm512_abs_ps(_mm512_loadu_ps(x + i + j));
      top = _mm512_max_epi32(top, _mm512_castps_si512(v));
    }
    const int bits = _mm512_reduce_max_epi32(top);
    float largest;
    __builtin_memcpy(&largest, &bits, 4);
    const bool finite = bits < 0x7f800000;
    const bool used = finite && !(largest < 1e-30f);
    const float step = used ? largest / 127.0f : finite ? 0.0f : __builtin_nanf("");
    _mm256_storeu_ps(scale + i / 32, _mm256_set1_ps(step));
    const __m512 inverse = _mm512_set1_ps(used ? 127.0f / largest : 0.0f);
    for (int j = 0; j < 256; j += 64) {
      __m512i q[4];
      for (int k = 0; k < 4; ++k) {
        const __m512 v = _mm512_loadu_ps(x + i + j + 16 * k);
        q[k] = used ? _mm512_cvtps_epi32(_mm512_mul_ps(v, inverse)) : _mm512_setzero_si512();
      }
      const __m512i mixed =
          _mm512_packs_epi16(_mm512_packs_epi32(q[0], q[1]), _mm512_packs_epi32(q[2], q[3]));
      const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
      const __m512i packed = _mm512_permutexvar_epi32(order, mixed);
      _mm512_storeu_si512(q8 + i + j, packed);
      const __m512i fours = _mm512_dpbusd_epi32(_mm512_setzero_si512(), ones, packed);
      const __m512i twos = _mm512_add_epi32(fours, _mm512_shuffle_epi32(fours, _MM_PERM_CDAB));
      const __m512i sums = _mm512_add_epi32(twos, _mm512_shuffle_epi32(twos, _MM_PERM_BADC));
      const __m512i first = _mm512_maskz_compress_epi32(0x1111, sums);
      _mm_storel_epi64(reinterpret_cast<__m128i*>(sums16 + (i + j) / 16),
                       _mm256_castsi256_si128(_mm512_cvtepi32_epi16(first)));
    }
  }
}

}  // namespace bandwall::avx512

#endif
