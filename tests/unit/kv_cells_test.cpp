// Cells of the KV cache: the reference against formats known elsewhere, every table against the
// reference, codebooks against their definition, rotations, damage, and attention over packed
// cells.
#include "runtime/kernels/kv_cells.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "runtime/kernels/kernels.h"

namespace bandwall {
namespace {

using Bytes8 = std::vector<std::byte>;

std::vector<float> random_vector(std::size_t n, unsigned seed, float sigma = 1.0f) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0f, sigma);
  std::vector<float> x(n);
  for (float& v : x) v = normal(random);
  return x;
}

std::int64_t cell_bytes(const KvFormat& type, std::int64_t dim) {
  return dim / type.values_per_block * type.bytes_per_block;
}

Bytes8 pack(const KernelTable& table, const KvFormat& type, const std::vector<float>& x) {
  const auto dim = static_cast<std::int64_t>(x.size());
  Bytes8 cell(static_cast<std::size_t>(cell_bytes(type, dim)), std::byte{0xee});
  table.pack_cell(type, x.data(), dim, cell.data());
  return cell;
}

std::vector<float> expand(const KernelTable& table, const KvFormat& type, const Bytes8& cell,
                          std::int64_t dim) {
  std::vector<float> row(static_cast<std::size_t>(dim), 99.0f);
  table.expand_cells({&type, cell.data(), 0, 1, 0, dim}, row.data(), dim);
  return row;
}

double relative_mse(const std::vector<float>& a, const std::vector<float>& b) {
  double error = 0, size = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    error += std::pow(static_cast<double>(a[i]) - b[i], 2);
    size += std::pow(static_cast<double>(b[i]), 2);
  }
  return error / size;
}

// Mean squared error on normal data (a rotated vector looks so), over the variance. Codebooks: the
// error of Lloyd and Max, less up to 4 per cent by correcting the norm.
TEST(KvCells, ErrorOfEachFormatOnNormalData) {
  struct Row {
    const char* type;
    double error;
  };
  for (const Row& row : std::vector<Row>{{"f32", 0},
                                         {"f16", 3e-8},
                                         {"bf16", 2e-6},
                                         {"q8_0", 0.00003},
                                         {"q5_0", 0.00182},
                                         {"q5_1", 0.00143},
                                         {"q4_0", 0.00739},
                                         {"q4_1", 0.00611},
                                         {"iq4_nl", 0.0064},
                                         {"tbq4_0", 0.00941},
                                         {"tbq3_0", 0.03426},
                                         {"tbq4_1", 0.00932},
                                         {"tbq3_1", 0.03397},
                                         {"tbq4_2", 0.00913},
                                         {"tbq3_2", 0.03339}}) {
    const KvFormat& type = *kv_format_from_name(row.type);
    const std::vector<float> x = random_vector(1 << 18, 5);
    const auto back =
        expand(reference_kernels(), type, pack(reference_kernels(), type, x), 1 << 18);
    EXPECT_NEAR(relative_mse(back, x), row.error, 0.05 * row.error + 1e-6) << row.type;
  }
}

TEST(KvCells, CodebooksAreFixedPointsOfLloydsIteration) {
  for (const KvFormat& type : all_kv_formats()) {
    if (type.index_bits == 0) continue;
    const KvCodebook& book = kv_codebook(type);
    ASSERT_EQ(book.count, 1 << type.index_bits);
    const auto d = static_cast<double>(type.values_per_block);
    const auto density = [&](double t) {
      return t * t < d ? std::pow(1 - t * t / d, (d - 3) / 2) : 0.0;
    };
    for (int i = 0; i < book.count; ++i) {
      const double from = i == 0 ? -std::sqrt(d) : book.boundaries[i - 1];
      const double to = i + 1 == book.count ? std::sqrt(d) : book.boundaries[i];
      double mass = 0, moment = 0;
      constexpr int kSteps = 20000;
      for (int s = 0; s < kSteps; ++s) {
        const double t = from + (to - from) * (s + 0.5) / kSteps;
        mass += density(t);
        moment += density(t) * t;
      }
      EXPECT_NEAR(book.values[i], moment / mass, 2e-6) << type.name << " " << i;
    }
  }
}

// Layouts that GGUF files have: packed cells read back by dequantize(), which is proven elsewhere.
TEST(KvCells, BlocksAreThoseOfTheStorageFormats) {
  const std::vector<float> x = random_vector(256, 8);
  for (const KvFormat& type : all_kv_formats()) {
    if (type.index_bits > 0) continue;
    const Bytes8 cell = pack(reference_kernels(), type, x);
    std::vector<float> row(256);
    dequantize(type.storage, cell.data(), 256, row.data());
    EXPECT_EQ(expand(reference_kernels(), type, cell, 256), row) << type.name;
  }
}

TEST(KvCells, EveryTablePacksAndExpandsAsTheReference) {
  for (const KvFormat& type : all_kv_formats()) {
    for (const KernelTable* table : usable_kernels()) {
      for (unsigned seed = 0; seed < 40; ++seed) {
        std::vector<float> x = random_vector(256, seed, seed % 3 == 0 ? 1e-3f : 3.0f);
        if (seed % 5 == 4) std::fill(x.begin(), x.begin() + 64, 0.0f);
        if (seed == 7) std::fill(x.begin(), x.end(), -2.0f);
        const Bytes8 expected = pack(reference_kernels(), type, x);
        const Bytes8 cell = pack(*table, type, x);
        const auto row = expand(*table, type, expected, 256);
        EXPECT_EQ(row, expand(reference_kernels(), type, expected, 256))
            << table->isa << " " << type.name;
        if (type.index_bits == 0 && type.name != "iq4_nl") {
          EXPECT_EQ(cell, expected) << table->isa << " " << type.name << " seed " << seed;
        } else {  // sums are made in another order: a scale may differ in its last bit
          EXPECT_LT(relative_mse(expand(*table, type, cell, 256), row), 4e-6)
              << table->isa << " " << type.name << " seed " << seed;
        }
      }
    }
  }
}

TEST(KvCells, RunsOfCellsTakeStridesAndPartsOfAVector) {
  for (const KvFormat& type : all_kv_formats()) {
    const std::int64_t dim = 2 * std::max<std::int64_t>(32, type.values_per_block);
    const std::int64_t size = cell_bytes(type, dim), stride = size + 13;
    Bytes8 cells(static_cast<std::size_t>(5 * stride));
    std::vector<std::vector<float>> rows;
    for (std::int64_t c = 0; c < 5; ++c) {
      const auto x = random_vector(static_cast<std::size_t>(dim), static_cast<unsigned>(c));
      const Bytes8 cell = pack(reference_kernels(), type, x);
      std::memcpy(cells.data() + c * stride, cell.data(), cell.size());
      rows.push_back(expand(reference_kernels(), type, cell, dim));
    }
    for (const KernelTable* table : usable_kernels()) {
      std::vector<float> out(static_cast<std::size_t>(5 * (dim + 3)), 7.0f);
      table->expand_cells({&type, cells.data(), stride, 5, dim / 2, dim / 2}, out.data(), dim + 3);
      for (std::int64_t c = 0; c < 5; ++c) {
        for (std::int64_t d = 0; d < dim + 3; ++d) {
          const float expected =
              d < dim / 2 ? rows[static_cast<std::size_t>(c)][static_cast<std::size_t>(d + dim / 2)]
                          : 7.0f;
          ASSERT_EQ(out[static_cast<std::size_t>(c * (dim + 3) + d)], expected)
              << table->isa << " " << type.name << " cell " << c << " dim " << d;
        }
      }
    }
  }
}

TEST(KvCells, HeadsThatAreNoMultipleOfAVector) {
  for (const char* name : {"f32", "f16", "bf16"}) {
    const KvFormat& type = *kv_format_from_name(name);
    for (const std::size_t dim : {1, 5, 20, 80}) {
      const auto x = random_vector(dim, 2);
      const Bytes8 expected = pack(reference_kernels(), type, x);
      for (const KernelTable* table : usable_kernels()) {
        EXPECT_EQ(pack(*table, type, x), expected) << table->isa << " " << name << " " << dim;
        const auto n = static_cast<std::int64_t>(dim);
        EXPECT_EQ(expand(*table, type, expected, n),
                  expand(reference_kernels(), type, expected, n));
      }
    }
  }
}

TEST(KvCells, DamageIsNeverHidden) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float infinity = std::numeric_limits<float>::infinity();
  for (const KvFormat& type : all_kv_formats()) {
    for (const KernelTable* table : usable_kernels()) {
      for (const float bad : {nan, infinity, -infinity}) {
        for (const std::size_t at : {0, 17, 63}) {
          auto x = random_vector(256, 3);
          x[at] = bad;
          const auto row = expand(*table, type, pack(*table, type, x), 256);
          EXPECT_TRUE(
              std::any_of(row.begin(), row.end(), [](float v) { return !std::isfinite(v); }))
              << table->isa << " " << type.name << " " << bad << " at " << at;
        }
      }
      const std::vector<float> zeros(256, 0.0f);
      EXPECT_EQ(expand(*table, type, pack(*table, type, zeros), 256), zeros) << type.name;
      const std::vector<float> tiny(256, 1e-42f);
      for (const float v : expand(*table, type, pack(*table, type, tiny), 256)) {
        ASSERT_NEAR(v, 0.0f, 1e-41f) << table->isa << " " << type.name;
      }
    }
  }
}

TEST(KvRotation, IsAnIsometryThatSpreadsAndComesBack) {
  for (const std::int64_t size : {64, 128, 256}) {
    for (const bool signs : {false, true}) {
      std::vector<float> x = random_vector(512, 9);
      x[3] = 40.0f;
      std::vector<float> truth = x;
      reference_kernels().rotate({size, signs, false}, truth.data(), 512);
      double before = 0, after = 0;
      for (int i = 0; i < size; ++i) {
        before +=
            static_cast<double>(x[static_cast<std::size_t>(i)]) * x[static_cast<std::size_t>(i)];
        after += static_cast<double>(truth[static_cast<std::size_t>(i)]) *
                 truth[static_cast<std::size_t>(i)];
      }
      EXPECT_NEAR(after, before, 1e-3 * before);
      EXPECT_LT(*std::max_element(truth.begin(), truth.begin() + size), 15.0f) << "spread";
      for (const KernelTable* table : usable_kernels()) {
        std::vector<float> y = x;
        table->rotate({size, signs, false}, y.data(), 512);
        for (std::size_t i = 0; i < y.size(); ++i) ASSERT_NEAR(y[i], truth[i], 1e-5) << table->isa;
        table->rotate({size, signs, true}, y.data(), 512);
        for (std::size_t i = 0; i < y.size(); ++i) ASSERT_NEAR(y[i], x[i], 2e-5) << table->isa;
      }
    }
  }
}

TEST(KvRotation, SignsAreMixed) {
  const float* signs = kv_signs();
  for (const int size : {64, 128, 256}) {
    const auto minus = std::count(signs, signs + size, -1.0f);
    EXPECT_GT(minus, size / 3);
    EXPECT_LT(minus, size * 2 / 3);
  }
}

// Attention over packed cells = attention over the same cells expanded.
TEST(KvCells, AttentionReadsEveryPairOfTypes) {
  constexpr std::int64_t kDim = 256, kCells = 150, kGroup = 3;
  const std::vector<const char*> types = {"f32",  "f16",    "bf16",   "q8_0",   "q5_1",
                                          "q4_0", "iq4_nl", "tbq4_0", "tbq3_1", "tbq4_2"};
  for (std::size_t pair = 0; pair < types.size(); ++pair) {
    const KvFormat* types_of[2] = {kv_format_from_name(types[pair]),
                                   kv_format_from_name(types[(pair * 3 + 1) % types.size()])};
    Bytes8 cells[2];
    std::vector<float> plain[2];
    for (int i = 0; i < 2; ++i) {
      for (unsigned c = 0; c < kCells; ++c) {
        const auto cell = pack(reference_kernels(), *types_of[i], random_vector(kDim, c * 2 + i));
        const auto row = expand(reference_kernels(), *types_of[i], cell, kDim);
        cells[i].insert(cells[i].end(), cell.begin(), cell.end());
        plain[i].insert(plain[i].end(), row.begin(), row.end());
      }
    }
    for (const std::int64_t n : {1, 7}) {
      const auto q = random_vector(static_cast<std::size_t>(n * kGroup * kDim), 77, 0.1f);
      std::vector<std::int64_t> first(static_cast<std::size_t>(n), 3), last;
      for (std::int64_t i = 0; i < n; ++i) last.push_back(kCells - n + i + 1);
      AttentionArgs a;
      a.k_stride = a.v_stride = kDim * 4;
      a.k_type = a.v_type = kv_format_from_name("f32");
      a.k = reinterpret_cast<const std::byte*>(plain[0].data());
      a.v = reinterpret_cast<const std::byte*>(plain[1].data());
      a.head_dim_k = a.head_dim_v = kDim;
      a.group = kGroup;
      a.n = n;
      a.q = q.data();
      a.q_stride = a.out_stride = kGroup * kDim;
      a.first = first.data();
      a.last = last.data();
      std::vector<float> truth(q.size()), out(q.size());
      a.out = truth.data();
      reference_kernels().attention(a);
      a.k_type = types_of[0];
      a.v_type = types_of[1];
      a.k = cells[0].data();
      a.v = cells[1].data();
      a.k_stride = cell_bytes(*a.k_type, kDim);
      a.v_stride = cell_bytes(*a.v_type, kDim);
      a.out = out.data();
      for (const KernelTable* table : usable_kernels()) {
        table->attention(a);
        for (std::size_t i = 0; i < out.size(); ++i) {
          ASSERT_NEAR(out[i], truth[i], 3e-6) << table->isa << " " << a.k_type->name << " "
                                              << a.v_type->name << " n " << n << " at " << i;
        }
      }
    }
  }
}

// One query reads values of some types where they lie, several share a copy in floats.
TEST(KvCells, ABatchOfQueriesEqualsOneByOne) {
  constexpr std::int64_t kDim = 96, kCells = 150, kQueries = 5;
  for (const char* name : {"q8_0", "q4_0", "q5_1", "iq4_nl"}) {
    const KvFormat& type = *kv_format_from_name(name);
    Bytes8 cells;
    for (unsigned c = 0; c < kCells; ++c) {
      const auto cell = pack(reference_kernels(), type, random_vector(kDim, c));
      cells.insert(cells.end(), cell.begin(), cell.end());
    }
    for (const std::int64_t group : {1, 2, 4, 5, 8}) {
      const auto q = random_vector(static_cast<std::size_t>(kQueries * group * kDim), 5, 0.1f);
      const std::vector<std::int64_t> first(kQueries, 3), last = {100, 101, 128, 129, 150};
      std::vector<float> batch(q.size()), single(q.size());
      AttentionArgs a;
      a.k_type = a.v_type = &type;
      a.k = a.v = reinterpret_cast<const std::byte*>(cells.data());
      a.k_stride = a.v_stride = cell_bytes(type, kDim);
      a.head_dim_k = a.head_dim_v = kDim;
      a.group = group;
      a.q_stride = a.out_stride = group * kDim;
      for (const KernelTable* table : usable_kernels()) {
        AttentionArgs all = a;
        all.n = kQueries;
        all.q = q.data();
        all.first = first.data();
        all.last = last.data();
        all.out = batch.data();
        table->attention(all);
        for (std::int64_t i = 0; i < kQueries; ++i) {
          AttentionArgs one = a;
          one.q = q.data() + i * a.q_stride;
          one.first = first.data() + i;
          one.last = last.data() + i;
          one.out = single.data() + i * a.out_stride;
          table->attention(one);
        }
        EXPECT_EQ(batch, single) << table->isa << " " << name << " group " << group;
      }
    }
  }
}

}  // namespace
}  // namespace bandwall
