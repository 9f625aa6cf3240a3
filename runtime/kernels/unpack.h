// Every quantized format as one common form, 256 values at a time: the base of dequantize and of
// the portable kernels, and the slow way into the wide ones for the rarer formats.
//   value[i] = scale[i / 16] * (q[i] - quant_offset(format)) - min[i / 16]
// evaluated in this order this is bit for bit what ggml computes. Layouts: ggml-org/ggml
// src/ggml-common.h and ggml-quants.c.
#pragma once

#include <cstddef>
#include <cstdint>

#include "workload/format.h"

namespace bandwall {

struct UnpackedChunk {
  alignas(64) std::uint8_t q[256];
  alignas(64) float scale[16];
  alignas(64) float min[16];  // zero for formats without a minimum
};

inline constexpr std::int64_t kChunk = 256;

// True for the quantized formats that unpack() knows.
bool can_unpack(Format format);

// Subtracted from q; the formats hold signed values or codebook entries in an unsigned byte.
int quant_offset(Format format);

// Unpacks `count` values (whole blocks, a multiple of 32, at most 256); the rest of the chunk is
// left as it is.
void unpack(Format format, const std::byte* blocks, std::int64_t count, UnpackedChunk& out);

// The 12 bytes of Q4_K and Q5_K: eight 6-bit scales in out[0..7], eight 6-bit minima in out[8..15].
void unpack_scales_6bit(const std::uint8_t* packed, std::uint8_t* out);

// The 12 bytes of Q3_K: sixteen 6-bit scales, 32 too large.
void unpack_scales_q3(const std::uint8_t* packed, std::uint8_t* out);

}  // namespace bandwall
