#include <bit>
#include <cstring>
#include <string>

#include "hwmodel/error.h"
#include "runtime/kernels/kernels.h"
#include "runtime/kernels/unpack.h"

namespace bandwall {
namespace {

void expand_16bit(Format format, const std::byte* in, std::int64_t n, float* out) {
  for (std::int64_t i = 0; i < n; ++i) {
    std::uint16_t bits = 0;
    std::memcpy(&bits, in + 2 * i, 2);
    out[i] = format == Format::F16 ? half_to_float(bits)
                                   : std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
  }
}

}  // namespace

bool has_kernels(Format format) {
  return format == Format::F32 || format == Format::F16 || format == Format::BF16 ||
         can_unpack(format);
}

void dequantize(Format format, const std::byte* blocks, std::int64_t n, float* out) {
  if (!has_kernels(format)) {
    throw Error::input(std::string(name(format)),
                       "no kernel expands this format; use a file quantized to one of F32, F16, "
                       "BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q2_K, Q3_K, Q4_K, Q5_K, Q6_K, IQ4_NL, "
                       "IQ4_XS, MXFP4, NVFP4, TQ1_0, TQ2_0, Q1_0, Q2_0");
  }
  const FormatInfo& f = info(format);
  BANDWALL_CHECK(n >= 0 && n % f.values_per_block == 0);
  if (format == Format::F32) {
    std::memcpy(out, blocks, static_cast<std::size_t>(n) * sizeof(float));
    return;
  }
  if (!can_unpack(format)) return expand_16bit(format, blocks, n, out);
  const int offset = quant_offset(format);
  UnpackedChunk chunk;
  for (std::int64_t k = 0; k < n; k += kChunk) {
    const std::int64_t count = n - k < kChunk ? n - k : kChunk;
    unpack(format, blocks + k / f.values_per_block * f.bytes_per_block, count, chunk);
    for (std::int64_t i = 0; i < count; ++i) {
      const std::int64_t g = i / 16;
      out[k + i] = chunk.scale[g] * static_cast<float>(chunk.q[i] - offset) - chunk.min[g];
    }
  }
}

}  // namespace bandwall
