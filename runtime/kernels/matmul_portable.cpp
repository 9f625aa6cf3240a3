#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "hwmodel/error.h"
#include "runtime/kernels/detail.h"
#include "runtime/kernels/unpack.h"

namespace bandwall::portable {
namespace {

// Largest magnitude of 32 values; NaN when one of them is not a number.
float largest_magnitude(const float* x) {
  std::uint32_t bits = 0;  // magnitudes order like their bit patterns, infinities and NaN on top
  for (int i = 0; i < 32; ++i) {
    const std::uint32_t b = std::bit_cast<std::uint32_t>(x[i]) & 0x7fffffffu;
    bits = b > bits ? b : bits;
  }
  return std::bit_cast<float>(bits);
}

// Adding and subtracting 1.5 * 2^23 rounds to the nearest integer, ties to even.
std::int8_t round_to_int8(float v) {
  constexpr float kMagic = 12582912.0f;
  return static_cast<std::int8_t>(static_cast<int>((v + kMagic) - kMagic));
}

// `step`: the scale is a multiple of it (kernels.h).
void quantize_group(const float* x, float largest, float step, std::int8_t* q, float* scale,
                    std::int16_t* sums) {
  sums[0] = sums[1] = 0;
  if (!(largest <= std::numeric_limits<float>::max())) {
    *scale = std::numeric_limits<float>::quiet_NaN();  // every product of this group is NaN
    for (int i = 0; i < 32; ++i) q[i] = 0;
    return;
  }
  // Steps needed, rounded up; a hair less, so that rounding does not add one.
  const float steps = std::ceil(largest / (127.0f * step) - 1e-4f);
  const bool tiny = largest < kTiny;
  *scale = tiny ? 0.0f : std::clamp(steps, 1.0f, kScaleSteps) * step;
  const float inverse = tiny ? 0.0f : 1.0f / *scale;
  for (int i = 0; i < 32; ++i) {
    q[i] = round_to_int8(x[i] * inverse);
    sums[i / 16] = static_cast<std::int16_t>(sums[i / 16] + q[i]);
  }
}

// Up to eight groups that share a step.
void quantize_block(const float* x, std::int64_t groups, std::int8_t* q, float* scale,
                    std::int16_t* sums) {
  float largest[8], top = kTiny;
  for (std::int64_t g = 0; g < groups; ++g) {
    largest[g] = largest_magnitude(x + 32 * g);
    if (largest[g] <= std::numeric_limits<float>::max()) top = std::max(top, largest[g]);
  }
  const float step = top / (127.0f * kScaleSteps);
  for (std::int64_t g = 0; g < groups; ++g) {
    quantize_group(x + 32 * g, largest[g], step, q + 32 * g, scale + g, sums + 2 * g);
  }
}

// One weight chunk times one activation chunk. Integer sums per 16 values, scaled in float.
float dot_chunk(const UnpackedChunk& w, int offset, const std::int8_t* q, const float* scale,
                const std::int16_t* sums, std::int64_t count) {
  float total = 0.0f;
  for (std::int64_t g = 0; g < count / 16; ++g) {
    int dot = 0;
    for (int i = 0; i < 16; ++i) dot += w.q[16 * g + i] * q[16 * g + i];
    dot -= offset * sums[g];
    const float sum = static_cast<float>(sums[g]);
    total += scale[g / 2] * (w.scale[g] * static_cast<float>(dot) - w.min[g] * sum);
  }
  return total;
}

}  // namespace

void quantize_rows(const float* x, std::int64_t n, std::int64_t cols, std::int8_t* q8, float* scale,
                   std::int16_t* sums16) {
  BANDWALL_CHECK(cols % 32 == 0);
  const std::int64_t groups = cols / 32;
  for (std::int64_t row = 0; row < n; ++row) {
    for (std::int64_t g = 0; g < groups; g += 8) {
      const std::int64_t at = row * groups + g;
      quantize_block(x + 32 * at, std::min<std::int64_t>(8, groups - g), q8 + 32 * at, scale + at,
                     sums16 + 2 * at);
    }
  }
}

void quant_matmul(const MatmulArgs& a) {
  const FormatInfo& f = info(a.format);
  const int offset = quant_offset(a.format);
  constexpr std::int64_t kBatch = 32;  // rows of x that share one unpacked chunk
  UnpackedChunk w;
  for (std::int64_t i0 = 0; i0 < a.n_used; i0 += kBatch) {
    const std::int64_t batch = a.n_used - i0 < kBatch ? a.n_used - i0 : kBatch;
    for (std::int64_t r = a.row_begin; r < a.row_end; ++r) {
      float sums[kBatch] = {};
      for (std::int64_t k = 0; k < a.cols; k += kChunk) {
        const std::int64_t count = a.cols - k < kChunk ? a.cols - k : kChunk;
        unpack(a.format, a.w + r * a.row_bytes + k / f.values_per_block * f.bytes_per_block, count,
               w);
        for (std::int64_t i = 0; i < batch; ++i) {
          const std::int64_t row = a.x_rows == nullptr ? i0 + i : a.x_rows[i0 + i];
          const std::int64_t at = row * a.cols + k;
          sums[i] +=
              dot_chunk(w, offset, a.x.q8 + at, a.x.scale + at / 32, a.x.sums16 + at / 16, count);
        }
      }
      for (std::int64_t i = 0; i < batch; ++i) a.y[(i0 + i) * a.y_stride + r] = sums[i];
    }
  }
}

}  // namespace bandwall::portable
