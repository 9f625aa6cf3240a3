// Attention of every usable table against the reference: head sizes with tails, odd numbers of
// queries, windows, sinks, empty ranges, splits and extreme scores.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "runtime/kernels/kernels.h"

namespace bandwall {
namespace {

struct Shape {
  std::int64_t dim_k = 64, dim_v = 64, group = 4, n = 1, cells = 100;
  std::int64_t window = 0;  // 0 = all before
  std::string_view type = "f16";
  float range = 1.0f;  // of queries
};

struct Problem {
  Shape shape;
  std::vector<std::byte> k, v;  // cell after cell with a gap
  std::vector<float> q, sinks;
  std::vector<std::int64_t> first, last;
};

std::vector<std::byte> make_cells(std::mt19937& random, std::int64_t cells, std::int64_t dim,
                                  std::string_view type) {
  std::uniform_real_distribution<float> uniform(-1.0f, 1.0f);
  const std::int64_t size = type == "f16" ? 2 : 4, stride = dim * size + 32;
  std::vector<std::byte> bytes(static_cast<std::size_t>(cells * stride), std::byte{0xff});
  for (std::int64_t c = 0; c < cells; ++c) {
    for (std::int64_t d = 0; d < dim; ++d) {
      const float value = uniform(random);
      const std::uint16_t half = float_to_half(value);
      std::byte* to = bytes.data() + c * stride + d * size;
      std::memcpy(to, type == "f16" ? static_cast<const void*>(&half) : &value,
                  static_cast<std::size_t>(size));
    }
  }
  return bytes;
}

// The last query sees the last cell, each earlier one a cell less, as in a prompt.
Problem make_problem(const Shape& shape) {
  Problem p;
  p.shape = shape;
  std::mt19937 random(static_cast<unsigned>(shape.dim_k * 7 + shape.group * 3 + shape.cells));
  std::uniform_real_distribution<float> uniform(-shape.range, shape.range);
  p.k = make_cells(random, shape.cells, shape.dim_k, shape.type);
  p.v = make_cells(random, shape.cells, shape.dim_v, shape.type);
  for (std::int64_t i = 0; i < shape.n * shape.group * shape.dim_k; ++i) {
    p.q.push_back(uniform(random));
  }
  for (std::int64_t i = 0; i < shape.group; ++i) p.sinks.push_back(uniform(random));
  for (std::int64_t i = 0; i < shape.n; ++i) {
    const std::int64_t last = std::max<std::int64_t>(0, shape.cells - shape.n + i + 1);
    p.last.push_back(last);
    p.first.push_back(shape.window > 0 ? std::max<std::int64_t>(0, last - shape.window) : 0);
  }
  return p;
}

AttentionArgs arguments(const Problem& p, std::vector<float>& out) {
  const std::int64_t size = p.shape.type == "f16" ? 2 : 4;
  AttentionArgs a;
  a.k_type = a.v_type = kv_format_from_name(p.shape.type);
  a.k = p.k.data();
  a.v = p.v.data();
  a.k_stride = p.shape.dim_k * size + 32;
  a.v_stride = p.shape.dim_v * size + 32;
  a.head_dim_k = p.shape.dim_k;
  a.head_dim_v = p.shape.dim_v;
  a.group = p.shape.group;
  a.n = p.shape.n;
  a.q = p.q.data();
  a.q_stride = p.shape.group * p.shape.dim_k;
  a.first = p.first.data();
  a.last = p.last.data();
  a.scale = 1.0f / std::sqrt(static_cast<float>(p.shape.dim_k));
  a.out_stride = p.shape.group * p.shape.dim_v;
  out.assign(static_cast<std::size_t>(a.n * a.out_stride), 99.0f);
  a.out = out.data();
  return a;
}

std::string describe(const KernelTable& table, const Shape& s) {
  return std::string(table.isa) + " " + std::string(s.type) + " dims " + std::to_string(s.dim_k) +
         "/" + std::to_string(s.dim_v) + " group " + std::to_string(s.group) + " n " +
         std::to_string(s.n) + " cells " + std::to_string(s.cells) + " window " +
         std::to_string(s.window);
}

void expect_near(const std::vector<float>& actual, const std::vector<float>& expected, double limit,
                 const std::string& what) {
  ASSERT_EQ(actual.size(), expected.size());
  for (std::size_t i = 0; i < actual.size(); ++i) {
    ASSERT_NEAR(actual[i], expected[i], limit) << what << " at " << i;
  }
}

void compare(const Shape& shape, double limit = 1e-6) {
  const Problem p = make_problem(shape);
  for (const bool with_sinks : {false, true}) {
    std::vector<float> truth;
    AttentionArgs a = arguments(p, truth);
    a.sinks = with_sinks ? p.sinks.data() : nullptr;
    reference_kernels().attention(a);
    for (const KernelTable* table : usable_kernels()) {
      std::vector<float> out;
      AttentionArgs b = arguments(p, out);
      b.sinks = a.sinks;
      table->attention(b);
      expect_near(out, truth, limit, describe(*table, shape));
    }
  }
}

// A second opinion on the reference itself: two cells, by hand.
TEST(Attention, TwoCellsByHand) {
  const std::vector<float> k = {1, 0, 0, 0, 0, 0, 0, 0, /**/ 0, 1, 0, 0, 0, 0, 0, 0};
  const std::vector<float> v = {10, 20, 0, 0, 0, 0, 0, 0, /**/ 30, 40, 0, 0, 0, 0, 0, 8};
  const std::vector<float> q = {std::log(3.0f), 0, 5, 5, 5, 5, 5, 5};  // weights 3 : 1
  const std::int64_t first = 0, last = 2;
  for (const KernelTable* table : usable_kernels()) {
    std::vector<float> out(8);
    AttentionArgs a;
    a.k_type = a.v_type = kv_format_from_name("f32");
    a.k = reinterpret_cast<const std::byte*>(k.data());
    a.v = reinterpret_cast<const std::byte*>(v.data());
    a.k_stride = a.v_stride = 32;
    a.head_dim_k = a.head_dim_v = 8;
    a.q = q.data();
    a.q_stride = a.out_stride = 8;
    a.first = &first;
    a.last = &last;
    a.out = out.data();
    table->attention(a);
    EXPECT_NEAR(out[0], 15.0f, 1e-5) << table->isa;
    EXPECT_NEAR(out[1], 25.0f, 1e-5) << table->isa;
    EXPECT_NEAR(out[7], 2.0f, 1e-5) << table->isa;
    const float sink = std::log(4.0f);  // as much as both cells together
    a.sinks = &sink;
    table->attention(a);
    EXPECT_NEAR(out[0], 7.5f, 1e-5) << table->isa;
  }
}

TEST(Attention, MatchesTheReferenceForHeadSizes) {
  for (const std::string_view type : {"f16", "f32"}) {
    for (const std::int64_t dim : {4, 8, 20, 32, 64, 80, 96, 128, 192, 256, 576}) {
      compare({dim, dim == 192 ? 128 : dim == 576 ? 512 : dim, 4, 1, 150, 0, type});
      compare({dim, dim == 192 ? 128 : dim == 576 ? 512 : dim, 2, 7, 150, 0, type});
    }
  }
}

TEST(Attention, MatchesTheReferenceForGroups) {
  for (const std::int64_t group : {1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 16, 33, 64}) {
    compare({64, 64, group, 1, 131});
    compare({64, 64, group, 5, 131});
  }
}

TEST(Attention, MatchesTheReferenceForNumbersOfCellsAndQueries) {
  for (const std::int64_t cells : {1, 2, 15, 16, 17, 63, 64, 65, 128, 300}) {
    for (const std::int64_t n : {1, 3, 33, 65}) compare({32, 32, 3, n, std::max(cells, n)});
  }
}

TEST(Attention, MatchesTheReferenceForWindows) {
  for (const std::int64_t window : {1, 5, 64, 128}) {
    compare({64, 64, 8, 1, 400, window});
    compare({64, 64, 8, 70, 400, window});
    compare({64, 64, 1, 70, 400, window, "f32"});
  }
}

TEST(Attention, QueriesWithoutCellsGiveZero) {
  Problem p = make_problem({64, 64, 3, 6, 100});
  p.first = {0, 50, 70, 100, 0, 5};
  p.last = {0, 50, 60, 100, 100, 4};
  for (const KernelTable* table : usable_kernels()) {
    std::vector<float> out;
    AttentionArgs a = arguments(p, out);
    for (const float* sinks : std::vector<const float*>{nullptr, p.sinks.data()}) {
      a.sinks = sinks;
      table->attention(a);
      for (std::size_t i = 0; i < out.size(); ++i) {
        if (i / 192 == 4) continue;
        ASSERT_EQ(out[i], 0.0f) << table->isa << " at " << i;
      }
      ASSERT_NE(out[4 * 192], 0.0f);
    }
  }
}

TEST(Attention, CellsOutsideTheRangeAreNotRead) {
  Problem p = make_problem({64, 64, 3, 2, 100});  // not-a-number everywhere but [40, 60)
  const std::int64_t stride = 64 * 2 + 32;
  for (std::int64_t c = 0; c < 100; ++c) {
    if (c >= 40 && c < 60) continue;
    std::memset(p.k.data() + c * stride, 0xff, 128);
    std::memset(p.v.data() + c * stride, 0xff, 128);
  }
  p.first = {40, 41};
  p.last = {59, 60};
  for (const KernelTable* table : usable_kernels()) {
    std::vector<float> out;
    table->attention(arguments(p, out));
    for (const float value : out) ASSERT_TRUE(std::isfinite(value)) << table->isa;
  }
}

TEST(Attention, CellsOfARingGiveTheSameBits) {
  constexpr std::int64_t kRing = 192, kStride = 64 * 2 + 32;
  for (const std::int64_t n : {1, 3, 60}) {
    const Problem p = make_problem({64, 64, 4, n, 500, 100});
    std::vector<std::byte> k(kRing * kStride), v(kRing * kStride);
    for (std::int64_t c = 500 - kRing; c < 500; ++c) {
      std::memcpy(k.data() + c % kRing * kStride, p.k.data() + c * kStride, kStride);
      std::memcpy(v.data() + c % kRing * kStride, p.v.data() + c * kStride, kStride);
    }
    for (const KernelTable* table : usable_kernels()) {
      std::vector<float> whole, ring;
      table->attention(arguments(p, whole));
      AttentionArgs a = arguments(p, ring);
      a.k = k.data();
      a.v = v.data();
      a.ring = kRing;
      table->attention(a);
      EXPECT_EQ(ring, whole) << table->isa << " n " << n;
    }
  }
}

TEST(Attention, LargeScoresStayFinite) {
  for (const float range : {1e4f, 1e6f}) {
    for (const KernelTable* table : usable_kernels()) {
      Shape shape{64, 64, 4, 3, 200, 0, "f32", range};
      const Problem p = make_problem(shape);
      std::vector<float> out, truth;
      AttentionArgs a = arguments(p, out), b = arguments(p, truth);
      a.sinks = b.sinks = p.sinks.data();
      table->attention(a);
      reference_kernels().attention(b);
      // A score of 1e4 in float32 is known to 1e-3: so are the weights of near ties.
      expect_near(out, truth, range * 1e-6, describe(*table, shape));
    }
  }
}

TEST(Attention, ScoresOfMinusInfinityCarryNoWeight) {
  Problem p = make_problem({16, 16, 2, 1, 20, 0, "f32"});
  const float minus_infinity = -std::numeric_limits<float>::infinity();
  for (float& q : p.q) q = 1.0f;
  const auto hide = [&](std::int64_t cell) {
    std::memcpy(p.k.data() + cell * (16 * 4 + 32), &minus_infinity, 4);
  };
  for (std::int64_t c = 0; c < 19; ++c) hide(c);
  for (const KernelTable* table : usable_kernels()) {
    std::vector<float> out;
    table->attention(arguments(p, out));
    float expected;
    std::memcpy(&expected, p.v.data() + 19 * (16 * 4 + 32), 4);
    EXPECT_EQ(out[0], expected) << table->isa;
  }
  hide(19);
  for (const KernelTable* table : usable_kernels()) {
    std::vector<float> out;
    table->attention(arguments(p, out));
    for (const float value : out) ASSERT_EQ(value, 0.0f) << table->isa;
  }
}

// One query's result must be the same bits alone and in a batch: a prompt read in chunks of any
// size leaves the same cache and the same answer.
TEST(Attention, ABatchEqualsItsQueriesOneByOne) {
  for (const KernelTable* table : usable_kernels()) {
    for (const std::int64_t group : {1, 3, 8}) {
      const Problem p = make_problem({80, 64, group, 45, 200, 100});
      std::vector<float> batch, single;
      table->attention(arguments(p, batch));
      const AttentionArgs all = arguments(p, single);
      for (std::int64_t i = 0; i < 45; ++i) {
        AttentionArgs a = all;
        a.n = 1;
        a.q += i * a.q_stride;
        a.first += i;
        a.last += i;
        a.out += i * a.out_stride;
        table->attention(a);
      }
      EXPECT_EQ(batch, single) << table->isa << " group " << group;
    }
  }
}

std::vector<float> in_parts(const KernelTable& table, const Problem& p, std::int64_t part,
                            const float* sinks) {
  std::vector<std::vector<float>> outs, partials;
  for (std::int64_t begin = 0; begin < p.shape.cells; begin += part) {
    std::vector<float> out, partial(static_cast<std::size_t>(p.shape.n * p.shape.group * 2));
    AttentionArgs a = arguments(p, out);
    a.part_begin = begin;
    a.part_end = std::min(begin + part, p.shape.cells);
    a.partial = partial.data();
    a.sinks = sinks;
    table.attention(a);
    outs.push_back(out);
    partials.push_back(partial);
  }
  std::vector<const float*> out_at, partial_at;
  for (const auto& out : outs) out_at.push_back(out.data());
  for (const auto& partial : partials) partial_at.push_back(partial.data());
  std::vector<float> merged;
  const AttentionArgs a = arguments(p, merged);
  merge_attention_parts(out_at.data(), partial_at.data(), static_cast<int>(outs.size()), a.n,
                        a.group, a.head_dim_v, sinks, merged.data(), a.out_stride);
  return merged;
}

TEST(Attention, PartsMergeToTheWhole) {
  for (const KernelTable* table : usable_kernels()) {
    for (const std::int64_t window : {0, 37}) {
      const Problem p = make_problem({64, 64, 6, 5, 300, window});
      for (const float* sinks : std::vector<const float*>{nullptr, p.sinks.data()}) {
        std::vector<float> whole;
        AttentionArgs a = arguments(p, whole);
        a.sinks = sinks;
        table->attention(a);
        for (const std::int64_t part : {64, 100, 128, 1024}) {
          const std::vector<float> merged = in_parts(*table, p, part, sinks);
          expect_near(merged, whole, 1e-6, std::string(table->isa) + " part");
          EXPECT_EQ(merged, in_parts(*table, p, part, sinks)) << "bitwise stable";
        }
      }
    }
  }
}

TEST(Attention, MergingNothingVisibleGivesZero) {
  const float minus_infinity = -std::numeric_limits<float>::infinity();
  const std::vector<float> out(8, 0.0f), partial = {minus_infinity, 0.0f};
  const float* outs[] = {out.data(), out.data()};
  const float* partials[] = {partial.data(), partial.data()};
  std::vector<float> merged(8, 5.0f);
  merge_attention_parts(outs, partials, 2, 1, 1, 8, nullptr, merged.data(), 8);
  EXPECT_EQ(merged, out);
}

}  // namespace
}  // namespace bandwall
