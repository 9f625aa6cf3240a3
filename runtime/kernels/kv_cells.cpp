#include "runtime/kernels/kv_cells.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>

#include "hwmodel/error.h"
#include "runtime/kernels/detail.h"

namespace bandwall {
namespace {

using Byte = std::uint8_t;

// Positive halves: fixed points of Lloyd's iteration (centroid = mean of its interval) for the
// density (1 - t^2 / d)^((d - 3) / 2) of a coordinate times sqrt(d); tests/unit/kv_cells_test.cpp
// integrates them again.
constexpr float kThreeBits[3][4] = {{0.2437534f, 0.7506581f, 1.3293429f, 2.1113114f},
                                    {0.2444249f, 0.7533302f, 1.3365989f, 2.1314708f},
                                    {0.2447598f, 0.7546674f, 1.3402473f, 2.1416686f}};
constexpr float kFourBits[3][8] = {{0.1273522f, 0.3847183f, 0.6504941f, 0.9318940f, 1.2394042f,
                                    1.5908491f, 2.0233098f, 2.6463705f},
                                   {0.1278732f, 0.3863809f, 0.6536189f, 0.9370970f, 1.2477705f,
                                    1.6043427f, 2.0459254f, 2.6888593f},
                                   {0.1281340f, 0.3872140f, 0.6551872f, 0.9397137f, 1.2519890f,
                                    1.6111681f, 2.0574112f, 2.7105670f}};

KvCodebook with_boundaries(KvCodebook book) {
  for (int i = 0; i + 1 < book.count; ++i) {
    book.boundaries[i] = (book.values[i] + book.values[i + 1]) / 2;
  }
  for (int i = book.count; i < 16; ++i) book.values[i] = book.values[i - book.count];
  return book;
}

KvCodebook symmetric(const float* positive, int half) {
  KvCodebook book = {};
  book.count = 2 * half;
  for (int i = 0; i < half; ++i) {
    book.values[half + i] = positive[i];
    book.values[half - 1 - i] = -positive[i];
  }
  return with_boundaries(book);
}

// Keeps a NaN of the vector in its scale.
float damage(const float* x, int n) {
  float sum = 0.0f;
  for (int i = 0; i < n; ++i) sum += x[i] * 0.0f;
  return sum;
}

void put_half(float value, Byte* to) {
  const std::uint16_t bits = float_to_half(value);
  std::memcpy(to, &bits, 2);
}

// Rounded down into 0 .. most; a NaN counts as `most`.
Byte whole(float value, int most) {
  const auto limit = static_cast<float>(most);
  if (!(value < limit)) return static_cast<Byte>(most);
  return value > 0.0f ? static_cast<Byte>(value) : Byte{0};
}

struct Extent {
  float low, high;
  float farthest() const { return high > -low ? high : low; }  // from zero, with its sign
};

Extent extent_of(const float* x) {
  Extent e{x[0], x[0]};
  for (int i = 1; i < 32; ++i) {
    e.low = std::min(e.low, x[i]);
    e.high = std::max(e.high, x[i]);
  }
  return e;
}

void pack_q8(const float* x, Byte* to) {
  const Extent e = extent_of(x);
  const float d = std::max(std::fabs(e.low), std::fabs(e.high)) / 127.0f;
  const float inverse = d > 0.0f ? 1.0f / d : 0.0f;
  put_half(d + damage(x, 32), to);
  for (int i = 0; i < 32; ++i) {
    const float q = std::nearbyint(x[i] * inverse);
    to[2 + i] = static_cast<Byte>(static_cast<int>(q >= -127.0f && q <= 127.0f ? q : 0.0f));
  }
}

// 4 or 5 bits: with a scale of either sign around the middle code, or with a scale and a minimum.
void pack_linear(Format format, const float* x, Byte* to) {
  const bool five = format == Format::Q5_0 || format == Format::Q5_1;
  const bool minimum = format == Format::Q4_1 || format == Format::Q5_1;
  const int most = five ? 31 : 15, middle = (most + 1) / 2;
  const Extent e = extent_of(x);
  const float d = minimum ? (e.high - e.low) / static_cast<float>(most)
                          : e.farthest() / static_cast<float>(-middle);
  const float inverse = d != 0.0f ? 1.0f / d : 0.0f;
  const float base = minimum ? e.low : 0.0f;
  const float half = minimum ? 0.5f : static_cast<float>(middle) + 0.5f;
  put_half(d + damage(x, 32), to);
  if (minimum) put_half(e.low, to + 2);
  to += minimum ? 4 : 2;
  Byte q[32];
  std::uint32_t fifth = 0;
  for (int i = 0; i < 32; ++i) {
    q[i] = whole((x[i] - base) * inverse + half, most);
    fifth |= static_cast<std::uint32_t>(q[i] >> 4) << i;
  }
  if (five) {
    std::memcpy(to, &fifth, 4);
    to += 4;
  }
  for (int i = 0; i < 16; ++i) to[i] = static_cast<Byte>((q[i] & 15) | (q[16 + i] << 4));
}

int index_in(const KvCodebook& book, float value) {
  int index = 0;
  for (int i = 0; i + 1 < book.count; ++i) index += value > book.boundaries[i] ? 1 : 0;
  return index;
}

// The value farthest from zero meets code -127; then the scale of least squared error, weighted by
// the squares of the values.
void pack_iq4(const float* x, Byte* to) {
  const KvCodebook& book = iq4_codebook();
  const float d = extent_of(x).farthest() / -127.0f;
  const float inverse = d != 0.0f ? 1.0f / d : 0.0f;
  float products = 0.0f, squares = 0.0f;
  int q[32];
  for (int i = 0; i < 32; ++i) {
    q[i] = index_in(book, x[i] * inverse);
    const float c = book.values[q[i]];
    products += x[i] * x[i] * x[i] * c;
    squares += x[i] * x[i] * c * c;
  }
  put_half((squares > 0.0f ? products / squares : d) + damage(x, 32), to);
  for (int i = 0; i < 16; ++i) to[2 + i] = static_cast<Byte>(q[i] | (q[16 + i] << 4));
}

void pack_codebook(const KvFormat& type, const float* x, Byte* to) {
  const KvCodebook& book = kv_codebook(type);
  const auto n = static_cast<int>(type.values_per_block);
  double sum = 0;
  for (int i = 0; i < n; ++i) sum += static_cast<double>(x[i]) * x[i];
  const double root = std::sqrt(sum / n);
  const auto inverse = static_cast<float>(root > 0 ? 1.0 / root : 0.0);
  std::memset(to + 2, 0, static_cast<std::size_t>(n * type.index_bits / 8));
  double squares = 0;
  for (int i = 0; i < n; ++i) {
    const int q = index_in(book, x[i] * inverse), bit = i * type.index_bits;
    squares += static_cast<double>(book.values[q]) * book.values[q];
    const int shifted = q << (bit % 8);
    to[2 + bit / 8] = static_cast<Byte>(to[2 + bit / 8] | shifted);
    if (shifted > 255) to[3 + bit / 8] = static_cast<Byte>(to[3 + bit / 8] | (shifted >> 8));
  }
  put_half(codebook_scale(sum, squares), to);
}

void expand_codebook(const KvFormat& type, const Byte* in, float* out) {
  const KvCodebook& book = kv_codebook(type);
  const float scale = half_to_float(static_cast<std::uint16_t>(in[0] | (in[1] << 8)));
  for (int i = 0; i < type.values_per_block; ++i) {
    const int bit = i * type.index_bits, at = 2 + bit / 8;
    const int more = at + 1 < type.bytes_per_block ? in[at + 1] << 8 : 0;
    const int q = ((in[at] | more) >> (bit % 8)) & (book.count - 1);
    out[i] = scale * book.values[q];
  }
}

}  // namespace

const KvCodebook& kv_codebook(const KvFormat& type) {
  static const auto books = [] {
    std::array<std::array<KvCodebook, 3>, 2> all = {};
    for (std::size_t i = 0; i < 3; ++i) {
      all[0][i] = symmetric(kThreeBits[i], 4);
      all[1][i] = symmetric(kFourBits[i], 8);
    }
    return all;
  }();
  BANDWALL_CHECK(type.index_bits == 3 || type.index_bits == 4);
  const std::int64_t n = type.values_per_block;
  return books[type.index_bits == 3 ? 0 : 1][n == 64 ? 0 : n == 128 ? 1 : 2];
}

const KvCodebook& iq4_codebook() {
  static const KvCodebook book = with_boundaries(
      {{-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113}, {}, 16});
  return book;
}

const float* kv_signs() {
  static const auto signs = [] {
    std::array<float, 256> all = {};
    std::uint32_t state = 0x9e3779b9u;  // xorshift: Marsaglia 2003
    for (float& s : all) {
      state ^= state << 13;
      state ^= state >> 17;
      state ^= state << 5;
      s = (state >> 16) & 1 ? -1.0f : 1.0f;
    }
    return all;
  }();
  return signs.data();
}

float codebook_scale(double sum_x2, double sum_c2) {
  return static_cast<float>(sum_c2 > 0 ? std::sqrt(sum_x2 / sum_c2) : sum_x2 * 0.0);
}

namespace reference {

void pack_cell(const KvFormat& type, const float* x, std::int64_t dim, std::byte* cell) {
  if (type.storage == Format::F32 && type.index_bits == 0) {
    std::memcpy(cell, x, static_cast<std::size_t>(dim) * sizeof(float));
    return;
  }
  auto* to = reinterpret_cast<Byte*>(cell);
  for (std::int64_t i = 0; i < dim; i += type.values_per_block, to += type.bytes_per_block) {
    const float* from = x + i;
    if (type.index_bits > 0) {
      pack_codebook(type, from, to);
    } else if (type.storage == Format::F16) {
      put_half(*from, to);
    } else if (type.storage == Format::BF16) {
      const std::uint16_t bits = float_to_bfloat(*from);
      std::memcpy(to, &bits, 2);
    } else if (type.storage == Format::Q8_0) {
      pack_q8(from, to);
    } else if (type.storage == Format::IQ4_NL) {
      pack_iq4(from, to);
    } else {
      pack_linear(type.storage, from, to);
    }
  }
}

void expand_cells(const CellRun& run, float* rows, std::int64_t row_stride) {
  const KvFormat& type = *run.type;
  const std::int64_t first = run.first / type.values_per_block * type.bytes_per_block;
  for (std::int64_t c = 0; c < run.count; ++c) {
    const std::byte* cell = run.cells + c * run.stride + first;
    float* row = rows + c * row_stride;
    if (type.index_bits == 0) {
      dequantize(type.storage, cell, run.dims, row);
      continue;
    }
    for (std::int64_t d = 0; d < run.dims; d += type.values_per_block) {
      expand_codebook(type, reinterpret_cast<const Byte*>(cell), row + d);
      cell += type.bytes_per_block;
    }
  }
}

// In double, straight from the definition: y[i] = sum over j of (-1)^popcount(i & j) x[j] /
// sqrt(n).
void rotate(const KvRotation& rotation, float* x, std::int64_t n) {
  const auto size = static_cast<std::size_t>(rotation.size);
  std::array<double, 256> in = {};
  for (float* at = x; at < x + n; at += size) {
    for (std::size_t i = 0; i < size; ++i) {
      in[i] = static_cast<double>(at[i]) *
              (rotation.signs && !rotation.back ? static_cast<double>(kv_signs()[i]) : 1.0);
    }
    for (std::size_t i = 0; i < size; ++i) {
      double sum = 0;
      for (std::size_t j = 0; j < size; ++j) {
        sum += std::popcount(i & j) % 2 == 0 ? in[j] : -in[j];
      }
      sum *= rotation.signs && rotation.back ? static_cast<double>(kv_signs()[i]) : 1.0;
      at[i] = static_cast<float>(sum / std::sqrt(static_cast<double>(size)));
    }
  }
}

}  // namespace reference
}  // namespace bandwall
