#include "runtime/kernels/unpack.h"

#include <bit>
#include <cstring>

#include "hwmodel/error.h"
#include "runtime/kernels/kernels.h"

namespace bandwall {
namespace {

using Byte = std::uint8_t;

// E2M1 values times 2, plus 12: the scale carries the factor 1/2.
constexpr Byte kE2m1[16] = {12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0};
// The non-linear 4-bit codebook of IQ4_NL and IQ4_XS (-127 .. 113), plus 128.
constexpr Byte kIq4[16] = {1, 24, 45, 63, 79, 93, 106, 118, 129, 141, 153, 166, 181, 197, 217, 241};

float half_at(const Byte* p) {
  return half_to_float(static_cast<std::uint16_t>(p[0] | (p[1] << 8)));
}

// 2^(e - 128): half of the E8M0 value, with the two subnormal results spelled out.
float half_e8m0(Byte e) {
  const std::uint32_t bits = e < 2 ? 0x00200000u << e : static_cast<std::uint32_t>(e - 1) << 23;
  return std::bit_cast<float>(bits);
}

// Half of an unsigned E4M3 value; 0 and the NaN code count as 0.
float half_ue4m3(Byte v) {
  if (v == 0 || v == 0x7f) return 0.0f;
  const int exponent = (v >> 3) & 0xf;
  const int mantissa = v & 7;
  const float value = exponent == 0 ? static_cast<float>(mantissa) * 0x1p-9f
                                    : std::bit_cast<float>(static_cast<std::uint32_t>(
                                          ((exponent + 120) << 23) | (mantissa << 20)));
  return value * 0.5f;
}

void fill_scale(UnpackedChunk& out, std::int64_t block, float scale, float min) {
  out.scale[2 * block] = out.scale[2 * block + 1] = scale;
  out.min[2 * block] = out.min[2 * block + 1] = min;
}

// 16 bytes to 32 nibbles, low ones first.
void nibbles_32(const Byte* in, Byte* q) {
  for (int i = 0; i < 16; ++i) {
    q[i] = in[i] & 15;
    q[i + 16] = in[i] >> 4;
  }
}

void nibbles_table(const Byte* in, int half, const Byte* table, Byte* q) {
  for (int i = 0; i < half; ++i) {
    q[i] = table[in[i] & 15];
    q[i + half] = table[in[i] >> 4];
  }
}

void fifth_bits(const Byte* high, Byte* q) {
  std::uint32_t bits = 0;
  std::memcpy(&bits, high, 4);
  for (int i = 0; i < 32; ++i) q[i] = static_cast<Byte>(q[i] | (((bits >> i) & 1u) << 4));
}

void unpack_block_32(Format format, const Byte* in, std::int64_t block, UnpackedChunk& out) {
  Byte* q = out.q + 32 * block;
  switch (format) {
    case Format::Q8_0:
      fill_scale(out, block, half_at(in), 0.0f);
      for (int i = 0; i < 32; ++i) q[i] = in[2 + i] ^ 0x80;
      break;
    case Format::Q4_0:
      fill_scale(out, block, half_at(in), 0.0f);
      nibbles_32(in + 2, q);
      break;
    case Format::Q4_1:
      fill_scale(out, block, half_at(in), -half_at(in + 2));
      nibbles_32(in + 4, q);
      break;
    case Format::Q5_0:
      fill_scale(out, block, half_at(in), 0.0f);
      nibbles_32(in + 6, q);
      fifth_bits(in + 2, q);
      break;
    case Format::Q5_1:
      fill_scale(out, block, half_at(in), -half_at(in + 2));
      nibbles_32(in + 8, q);
      fifth_bits(in + 4, q);
      break;
    case Format::IQ4_NL:
      fill_scale(out, block, half_at(in), 0.0f);
      nibbles_table(in + 2, 16, kIq4, q);
      break;
    default:  // MXFP4
      fill_scale(out, block, half_e8m0(in[0]), 0.0f);
      nibbles_table(in + 1, 16, kE2m1, q);
      break;
  }
}

void unpack_nvfp4(const Byte* in, std::int64_t block, UnpackedChunk& out) {
  for (int s = 0; s < 4; ++s) {
    out.scale[4 * block + s] = half_ue4m3(in[s]);
    out.min[4 * block + s] = 0.0f;
    nibbles_table(in + 4 + 8 * s, 8, kE2m1, out.q + 64 * block + 16 * s);
  }
}

void unpack_q2_k(const Byte* in, UnpackedChunk& out) {
  const float d = half_at(in + 80), dmin = half_at(in + 82);
  for (int g = 0; g < 16; ++g) {
    out.scale[g] = d * static_cast<float>(in[g] & 15);
    out.min[g] = dmin * static_cast<float>(in[g] >> 4);
  }
  for (int i = 0; i < 256; ++i) {
    out.q[i] = (in[16 + (i / 128) * 32 + i % 32] >> (2 * ((i / 32) % 4))) & 3;
  }
}

void unpack_q3_k(const Byte* in, UnpackedChunk& out) {
  const Byte *high = in, *low = in + 32;
  Byte scales[16];
  unpack_scales_q3(in + 96, scales);
  const float d = half_at(in + 108);
  for (int g = 0; g < 16; ++g) {
    out.scale[g] = d * static_cast<float>(scales[g] - 32);
    out.min[g] = 0.0f;
  }
  for (int i = 0; i < 256; ++i) {
    const int q2 = (low[(i / 128) * 32 + i % 32] >> (2 * ((i / 32) % 4))) & 3;
    const int q3 = (high[i % 32] >> (i / 32)) & 1;
    out.q[i] = static_cast<Byte>(q2 | (q3 << 2));
  }
}

void unpack_q4_q5_k(const Byte* in, const Byte* fifth, const Byte* low, UnpackedChunk& out) {
  const float d = half_at(in), dmin = half_at(in + 2);
  Byte scales[16];
  unpack_scales_6bit(in + 4, scales);
  for (int g = 0; g < 8; ++g) {
    fill_scale(out, g, d * static_cast<float>(scales[g]), dmin * static_cast<float>(scales[8 + g]));
  }
  for (int i = 0; i < 256; ++i) {
    const int nibble = (low[(i / 64) * 32 + i % 32] >> (4 * ((i / 32) % 2))) & 15;
    const int bit = fifth == nullptr ? 0 : (fifth[i % 32] >> (i / 32)) & 1;
    out.q[i] = static_cast<Byte>(nibble | (bit << 4));
  }
}

void unpack_q6_k(const Byte* in, UnpackedChunk& out) {
  const float d = half_at(in + 208);
  for (int g = 0; g < 16; ++g) {
    out.scale[g] = d * static_cast<float>(static_cast<std::int8_t>(in[192 + g]));
    out.min[g] = 0.0f;
  }
  for (int i = 0; i < 256; ++i) {
    const int low = (in[(i / 128) * 64 + i % 64] >> (4 * ((i / 64) % 2))) & 15;
    const int high = (in[128 + (i / 128) * 32 + i % 32] >> (2 * ((i / 32) % 4))) & 3;
    out.q[i] = static_cast<Byte>(low | (high << 4));
  }
}

void unpack_iq4_xs(const Byte* in, UnpackedChunk& out) {
  const float d = half_at(in);
  const int high = in[2] | (in[3] << 8);
  for (int g = 0; g < 8; ++g) {
    const int scale = ((in[4 + g / 2] >> (4 * (g % 2))) & 15) | (((high >> (2 * g)) & 3) << 4);
    fill_scale(out, g, d * static_cast<float>(scale - 32), 0.0f);
    nibbles_table(in + 8 + 16 * g, 16, kIq4, out.q + 32 * g);
  }
}

// `n` bytes of five base-3 digits each, read as the fraction byte / 256: times 3^k, the digit is
// what stands above the point after one more factor of 3. Digit k of all bytes, then digit k + 1.
void base3_digits(const Byte* in, int n, int digits, Byte* q) {
  int power = 1;
  for (int k = 0; k < digits; ++k, power *= 3) {
    for (int i = 0; i < n; ++i) q[n * k + i] = static_cast<Byte>((in[i] * power % 256 * 3) >> 8);
  }
}

void fill_all_scales(float scale, UnpackedChunk& out) {
  for (int g = 0; g < 8; ++g) fill_scale(out, g, scale, 0.0f);
}

void unpack_tq1(const Byte* in, UnpackedChunk& out) {
  fill_all_scales(half_at(in + 52), out);
  base3_digits(in, 32, 5, out.q);
  base3_digits(in + 32, 16, 5, out.q + 160);
  base3_digits(in + 48, 4, 4, out.q + 240);
}

void unpack_tq2(const Byte* in, UnpackedChunk& out) {
  fill_all_scales(half_at(in + 64), out);
  for (int i = 0; i < 256; ++i) {
    out.q[i] = (in[(i / 128) * 32 + i % 32] >> (2 * ((i / 32) % 4))) & 3;
  }
}

// One bit per value: minus or plus the scale, here 0 or 2 with an offset of 1.
void unpack_q1_0(const Byte* in, std::int64_t block, UnpackedChunk& out) {
  for (int g = 0; g < 4; ++g) fill_scale(out, 4 * block + g, half_at(in), 0.0f);
  for (int i = 0; i < 128; ++i) {
    out.q[128 * block + i] = static_cast<Byte>(((in[2 + i / 8] >> (i % 8)) & 1) << 1);
  }
}

void unpack_q2_0(const Byte* in, std::int64_t block, UnpackedChunk& out) {
  for (int g = 0; g < 2; ++g) fill_scale(out, 2 * block + g, half_at(in), 0.0f);
  for (int i = 0; i < 64; ++i) out.q[64 * block + i] = (in[2 + i / 4] >> (2 * (i % 4))) & 3;
}

}  // namespace

bool can_unpack(Format format) {
  switch (format) {
    case Format::Q4_0:
    case Format::Q4_1:
    case Format::Q5_0:
    case Format::Q5_1:
    case Format::Q8_0:
    case Format::Q2_K:
    case Format::Q3_K:
    case Format::Q4_K:
    case Format::Q5_K:
    case Format::Q6_K:
    case Format::IQ4_NL:
    case Format::IQ4_XS:
    case Format::MXFP4:
    case Format::NVFP4:
    case Format::TQ1_0:
    case Format::TQ2_0:
    case Format::Q1_0:
    case Format::Q2_0:
      return true;
    default:
      return false;
  }
}

int quant_offset(Format format) {
  switch (format) {
    case Format::Q8_0:
    case Format::IQ4_NL:
    case Format::IQ4_XS:
      return 128;
    case Format::Q6_K:
      return 32;
    case Format::Q5_0:
      return 16;
    case Format::MXFP4:
    case Format::NVFP4:
      return 12;
    case Format::Q4_0:
      return 8;
    case Format::Q3_K:
      return 4;
    case Format::TQ1_0:
    case Format::TQ2_0:
    case Format::Q1_0:
    case Format::Q2_0:
      return 1;
    default:
      return 0;
  }
}

void unpack_scales_6bit(const std::uint8_t* p, std::uint8_t* out) {
  for (int i = 0; i < 4; ++i) {
    out[i] = p[i] & 63;
    out[8 + i] = p[4 + i] & 63;
    out[4 + i] = static_cast<Byte>((p[8 + i] & 15) | ((p[i] >> 6) << 4));
    out[12 + i] = static_cast<Byte>((p[8 + i] >> 4) | ((p[4 + i] >> 6) << 4));
  }
}

void unpack_scales_q3(const std::uint8_t* p, std::uint8_t* out) {
  for (int i = 0; i < 16; ++i) {
    const int low = (p[i % 8] >> (4 * (i / 8))) & 15;
    const int high = (p[8 + i % 4] >> (2 * (i / 4))) & 3;
    out[i] = static_cast<Byte>(low | (high << 4));
  }
}

void unpack(Format format, const std::byte* blocks, std::int64_t count, UnpackedChunk& out) {
  const Byte* in = reinterpret_cast<const Byte*>(blocks);
  switch (format) {
    case Format::Q2_K:
      return unpack_q2_k(in, out);
    case Format::Q3_K:
      return unpack_q3_k(in, out);
    case Format::Q4_K:
      return unpack_q4_q5_k(in, nullptr, in + 16, out);
    case Format::Q5_K:
      return unpack_q4_q5_k(in, in + 16, in + 48, out);
    case Format::Q6_K:
      return unpack_q6_k(in, out);
    case Format::IQ4_XS:
      return unpack_iq4_xs(in, out);
    case Format::TQ1_0:
      return unpack_tq1(in, out);
    case Format::TQ2_0:
      return unpack_tq2(in, out);
    case Format::NVFP4:
      for (std::int64_t b = 0; b < count / 64; ++b) unpack_nvfp4(in + 36 * b, b, out);
      return;
    case Format::Q1_0:
      for (std::int64_t b = 0; b < count / 128; ++b) unpack_q1_0(in + 18 * b, b, out);
      return;
    case Format::Q2_0:
      for (std::int64_t b = 0; b < count / 64; ++b) unpack_q2_0(in + 18 * b, b, out);
      return;
    default: {
      BANDWALL_CHECK(can_unpack(format));
      const std::int64_t bytes = info(format).bytes_per_block;
      for (std::int64_t b = 0; b < count / 32; ++b) unpack_block_32(format, in + bytes * b, b, out);
    }
  }
}

}  // namespace bandwall
