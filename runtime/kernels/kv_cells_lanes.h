// Cells of the KV cache as templates over Lanes (lanes_*.h) and CellLanes (kv_cells_*.cpp): what
// kv_cells.cpp says plainly. Bit for bit the same for all formats but the codebooks, whose sums are
// made in another order.
//   expand_cells_lanes<Lanes, CellLanes>(run, rows, 128);
#pragma once

#include "runtime/kernels/detail.h"
#include "runtime/kernels/kv_cells.h"

namespace bandwall {

using CellByte = std::uint8_t;

// A block of 32 values; q8_0: 34 bytes and so on.
template <class C>
void expand_block_32(Format format, const CellByte* in, float* out) {
  const auto d = C::half(in);
  switch (format) {
    case Format::Q8_0:
      return C::bytes_32(in + 2, d, out);
    case Format::Q4_0:
      return C::nibbles_32(in + 2, C::scaled(C::steps(-8.0f), d), out);
    case Format::IQ4_NL:
      return C::nibbles_32(in + 2, C::scaled(C::table(iq4_codebook().values), d), out);
    case Format::Q4_1:
      return C::nibbles_32(in + 4, C::plus(C::scaled(C::steps(0.0f), d), C::half(in + 2)), out);
    case Format::Q5_0:
      return C::five_bits_32(in + 2, in + 6, d, -16, C::half_zero(), out);
    default:  // Q5_1
      return C::five_bits_32(in + 4, in + 8, d, 0, C::half(in + 2), out);
  }
}

template <class C>
void expand_codebook_block(const KvFormat& type, const CellByte* in, float* out) {
  const auto table = C::scaled(C::table(kv_codebook(type).values), C::half(in));
  const std::int64_t n = type.values_per_block;
  in += 2;
  if (type.index_bits == 4) {
    for (std::int64_t i = 0; i < n; i += 32) C::pairs_32(in + i / 2, table, out + i);
  } else {
    for (std::int64_t i = 0; i < n; i += 16) C::triples_16(in + i / 8 * 3, table, out + i);
  }
}

template <class L>
void expand_plain(Format storage, const std::byte* cell, std::int64_t dims, float* row) {
  std::int64_t d = 0;
  for (; d + L::kWidth <= dims; d += L::kWidth) {
    if (storage == Format::F32) {
      L::store(row + d, L::load(reinterpret_cast<const float*>(cell) + d));
    } else if (storage == Format::F16) {
      L::store(row + d, L::load_f16(cell + 2 * d));
    } else {
      L::store(row + d, L::load_bf16(cell + 2 * d));
    }
  }
  if (d == dims) return;
  const std::int64_t left = dims - d;
  const auto tail = storage == Format::F32
                        ? L::load_partial(reinterpret_cast<const float*>(cell) + d, left)
                    : storage == Format::F16 ? L::load_f16_partial(cell + 2 * d, left)
                                             : L::load_bf16_partial(cell + 2 * d, left);
  L::store_partial(row + d, tail, left);
}

template <class L, class C>
void expand_cells_lanes(const CellRun& run, float* rows, std::int64_t row_stride) {
  const KvFormat& type = *run.type;
  const std::int64_t n = type.values_per_block, size = type.bytes_per_block;
  const std::byte* cell = run.cells + run.first / n * size;
  for (std::int64_t c = 0; c < run.count; ++c, cell += run.stride, rows += row_stride) {
    const auto* in = reinterpret_cast<const CellByte*>(cell);
    if (type.index_bits > 0) {
      for (std::int64_t d = 0; d < run.dims; d += n, in += size) {
        expand_codebook_block<C>(type, in, rows + d);
      }
    } else if (!type.quantized) {
      expand_plain<L>(type.storage, cell, run.dims, rows);
    } else {
      for (std::int64_t d = 0; d < run.dims; d += n, in += size) {
        expand_block_32<C>(type.storage, in, rows + d);
      }
    }
  }
}

// The fast Walsh-Hadamard transform: within vectors first, then between them.
template <class L, class C>
void rotate_lanes(const KvRotation& rotation, float* x, std::int64_t n) {
  using Vec = typename L::Vec;
  constexpr int kMost = 256 / L::kWidth;
  const auto vecs = static_cast<int>(rotation.size / L::kWidth);
  const Vec factor = L::set(1.0f / __builtin_sqrtf(static_cast<float>(rotation.size)));
  const float* signs = kv_signs();
  for (float* at = x; at < x + n; at += rotation.size) {
    Vec v[kMost];
    for (int i = 0; i < vecs; ++i) {
      v[i] = L::mul(L::load(at + i * L::kWidth), factor);
      if (rotation.signs && !rotation.back) v[i] = L::mul(v[i], L::load(signs + i * L::kWidth));
      v[i] = C::butterflies(v[i]);
    }
    for (int half = 1; half < vecs; half *= 2) {
      for (int i = 0; i < vecs; i += 2 * half) {
        for (int j = i; j < i + half; ++j) {
          const Vec a = v[j], b = v[j + half];
          v[j] = L::add(a, b);
          v[j + half] = L::sub(a, b);
        }
      }
    }
    for (int i = 0; i < vecs; ++i) {
      if (rotation.signs && rotation.back) v[i] = L::mul(v[i], L::load(signs + i * L::kWidth));
      L::store(at + i * L::kWidth, v[i]);
    }
  }
}

}  // namespace bandwall
