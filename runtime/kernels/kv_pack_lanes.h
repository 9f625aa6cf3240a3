// Packing of KV cells for every instruction set, as kv_cells.cpp does it plainly: loops over a
// block that a compiler turns into vectors. L is only there to keep the copies apart.
//   pack_cell_lanes<Lanes>(type, key, 128, cell);
#pragma once

#include "runtime/kernels/detail.h"
#include "runtime/kernels/kv_cells.h"

namespace bandwall {

struct PackExtent {
  float low, high;
  float damage;  // 0, or NaN when a value is infinite or none
};

template <class L>
PackExtent pack_extent(const float* x) {
  float low[16], high[16], damage[16];
  for (int i = 0; i < 16; ++i) {
    low[i] = x[i] < x[i + 16] ? x[i] : x[i + 16];
    high[i] = x[i] > x[i + 16] ? x[i] : x[i + 16];
    damage[i] = x[i] * 0.0f + x[i + 16] * 0.0f;
  }
  for (int n = 8; n > 0; n /= 2) {
    for (int i = 0; i < n; ++i) {
      low[i] = low[i] < low[i + n] ? low[i] : low[i + n];
      high[i] = high[i] > high[i + n] ? high[i] : high[i + n];
      damage[i] += damage[i + n];
    }
  }
  return {low[0], high[0], damage[0]};
}

template <class L>
float pack_farthest(const PackExtent& e) {
  return e.high > -e.low ? e.high : e.low;
}

template <class L>
void pack_half(float value, std::uint8_t* to) {
  const std::uint16_t bits = float_to_half(value);
  __builtin_memcpy(to, &bits, 2);
}

template <class L>
void pack_q8_block(const float* x, std::uint8_t* to) {
  const PackExtent e = pack_extent<L>(x);
  const float d = (e.high > -e.low ? e.high : -e.low) / 127.0f;
  const float inverse = d > 0.0f ? 1.0f / d : 0.0f;
  pack_half<L>(d + e.damage, to);
  constexpr float kRounder = 12582912.0f;  // 1.5 * 2^23: adding it leaves no bits for a fraction
  std::int32_t q[32];
  for (int i = 0; i < 32; ++i) {
    const float value = (x[i] * inverse + kRounder) - kRounder;
    q[i] = static_cast<std::int32_t>(value >= -127.0f && value <= 127.0f ? value : 0.0f);
  }
  for (int i = 0; i < 32; ++i) to[2 + i] = static_cast<std::uint8_t>(q[i]);
}

template <class L>
void pack_nibbles(const std::int32_t* q, std::uint8_t* to) {
  for (int i = 0; i < 16; ++i) {
    to[i] = static_cast<std::uint8_t>((q[i] & 15) | ((q[16 + i] & 15) << 4));
  }
}

template <class L>
void pack_linear_block(Format format, const float* x, std::uint8_t* to) {
  const bool five = format == Format::Q5_0 || format == Format::Q5_1;
  const bool minimum = format == Format::Q4_1 || format == Format::Q5_1;
  const float most = five ? 31.0f : 15.0f, middle = five ? 16.0f : 8.0f;
  const PackExtent e = pack_extent<L>(x);
  const float d = minimum ? (e.high - e.low) / most : pack_farthest<L>(e) / -middle;
  const float inverse = d != 0.0f ? 1.0f / d : 0.0f;
  const float base = minimum ? e.low : 0.0f, half = minimum ? 0.5f : middle + 0.5f;
  pack_half<L>(d + e.damage, to);
  if (minimum) pack_half<L>(e.low, to + 2);
  to += minimum ? 4 : 2;
  std::int32_t q[32];
  for (int i = 0; i < 32; ++i) {
    float value = (x[i] - base) * inverse + half;
    value = value < most ? value : most;
    value = value > 0.0f ? value : 0.0f;
    q[i] = static_cast<std::int32_t>(value);
  }
  if (five) {
    std::uint32_t fifth = 0;
    for (int i = 0; i < 32; ++i) fifth |= static_cast<std::uint32_t>(q[i] >> 4) << i;
    __builtin_memcpy(to, &fifth, 4);
    to += 4;
  }
  pack_nibbles<L>(q, to);
}

// q[i] = how many boundaries lie below x[i] * factor, for 32 values.
template <class L>
void pack_indices(const KvCodebook& book, const float* x, float factor, std::int32_t* q) {
  float scaled[32];
  for (int i = 0; i < 32; ++i) {
    scaled[i] = x[i] * factor;
    q[i] = 0;
  }
  for (int j = 0; j + 1 < book.count; ++j) {
    const float boundary = book.boundaries[j];
    for (int i = 0; i < 32; ++i) q[i] += scaled[i] > boundary ? 1 : 0;
  }
}

template <class L>
void pack_iq4_block(const float* x, std::uint8_t* to) {
  const KvCodebook& book = iq4_codebook();
  const PackExtent e = pack_extent<L>(x);
  const float d = pack_farthest<L>(e) / -127.0f;
  std::int32_t q[32];
  pack_indices<L>(book, x, d != 0.0f ? 1.0f / d : 0.0f, q);
  float products = 0.0f, squares = 0.0f;
  for (int i = 0; i < 32; ++i) {
    const float c = book.values[q[i]];
    products += x[i] * x[i] * x[i] * c;
    squares += x[i] * x[i] * c * c;
  }
  pack_half<L>((squares > 0.0f ? products / squares : d) + e.damage, to);
  pack_nibbles<L>(q, to + 2);
}

template <class L>
void pack_codebook_block(const KvFormat& type, const float* x, std::uint8_t* to) {
  const KvCodebook& book = kv_codebook(type);
  const auto n = static_cast<int>(type.values_per_block);
  double sums[8] = {};
  for (int i = 0; i < n; i += 8) {
    for (int j = 0; j < 8; ++j) sums[j] += static_cast<double>(x[i + j]) * x[i + j];
  }
  double sum = 0, squares = 0;
  for (const double part : sums) sum += part;
  const double root = __builtin_sqrt(sum / n);
  const auto inverse = static_cast<float>(root > 0 ? 1.0 / root : 0.0);
  for (int i = 0; i < n; i += 32) {
    std::int32_t q[32];
    pack_indices<L>(book, x + i, inverse, q);
    for (int j = 0; j < 32; ++j) {
      squares += static_cast<double>(book.values[q[j]]) * book.values[q[j]];
    }
    std::uint8_t* at = to + 2 + i * type.index_bits / 8;
    for (int j = 0; j < 32; j += 8) {  // 8 codes fill 3 or 4 bytes
      std::uint32_t codes = 0;
      for (int k = 0; k < 8; ++k) {
        codes |= static_cast<std::uint32_t>(q[j + k]) << (k * type.index_bits);
      }
      for (int k = 0; k < type.index_bits; ++k) *at++ = static_cast<std::uint8_t>(codes >> (8 * k));
    }
  }
  pack_half<L>(codebook_scale(sum, squares), to);
}

template <class L>
void pack_plain(Format storage, const float* x, std::int64_t dim, std::byte* cell) {
  if (storage == Format::F32) {
    __builtin_memcpy(cell, x, static_cast<std::size_t>(dim) * sizeof(float));
    return;
  }
  auto* to = reinterpret_cast<std::uint16_t*>(cell);
  if (storage == Format::BF16) {
    for (std::int64_t i = 0; i < dim; ++i) {
      std::uint32_t bits;
      __builtin_memcpy(&bits, x + i, sizeof bits);
      const bool nan = (bits & 0x7fffffffu) > 0x7f800000u;
      bits = nan ? bits | 0x400000u : bits + 0x7fffu + ((bits >> 16) & 1u);
      to[i] = static_cast<std::uint16_t>(bits >> 16);
    }
    return;
  }
  std::int64_t i = 0;
  for (; i + L::kWidth <= dim; i += L::kWidth) L::store_f16(to + i, L::load(x + i));
  if (i < dim) L::store_f16_partial(to + i, L::load_partial(x + i, dim - i), dim - i);
}

template <class L>
void pack_cell_lanes(const KvFormat& type, const float* x, std::int64_t dim, std::byte* cell) {
  if (!type.quantized) return pack_plain<L>(type.storage, x, dim, cell);
  auto* to = reinterpret_cast<std::uint8_t*>(cell);
  for (std::int64_t i = 0; i < dim; i += type.values_per_block, to += type.bytes_per_block) {
    if (type.index_bits > 0) {
      pack_codebook_block<L>(type, x + i, to);
    } else if (type.storage == Format::Q8_0) {
      pack_q8_block<L>(x + i, to);
    } else if (type.storage == Format::IQ4_NL) {
      pack_iq4_block<L>(x + i, to);
    } else {
      pack_linear_block<L>(type.storage, x + i, to);
    }
  }
}

}  // namespace bandwall
