// Matrix products with F32, F16 and BF16 weights of every usable table against a sum in double.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "runtime/kernels/kernels.h"

namespace bandwall {
namespace {

struct Problem {
  Format format = Format::F32;
  std::int64_t rows = 0, cols = 0, n = 0;
  std::vector<std::byte> w;
  std::vector<float> values;  // w as float32
  std::vector<float> x;
};

Problem make_problem(Format format, std::int64_t rows, std::int64_t cols, std::int64_t n) {
  Problem p{format, rows, cols, n, {}, {}, {}};
  std::mt19937 random(static_cast<unsigned>(rows * 131 + cols * 7 + n));
  std::uniform_real_distribution<float> uniform(-1.0f, 1.0f);
  const std::size_t bytes = format == Format::F32 ? 4 : 2;
  p.w.resize(static_cast<std::size_t>(rows * cols) * bytes);
  for (std::size_t i = 0; i < static_cast<std::size_t>(rows * cols); ++i) {
    float value = uniform(random);
    if (format == Format::F32) {
      std::memcpy(p.w.data() + i * 4, &value, 4);
    } else {
      const auto bits = format == Format::F16
                            ? float_to_half(value)
                            : static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(value) >> 16);
      std::memcpy(p.w.data() + i * 2, &bits, 2);
      value = format == Format::F16 ? half_to_float(bits)
                                    : std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
    }
    p.values.push_back(value);
  }
  for (std::int64_t i = 0; i < n * cols; ++i) p.x.push_back(uniform(random));
  return p;
}

MatmulArgs arguments(const Problem& p, std::vector<float>& y) {
  MatmulArgs a;
  a.format = p.format;
  a.w = p.w.data();
  a.row_bytes = row_bytes(p.format, p.cols);
  a.cols = p.cols;
  a.row_end = p.rows;
  a.x.n = p.n;
  a.x.cols = p.cols;
  a.x.f32 = p.x.data();
  a.n_used = p.n;
  a.y = y.data();
  a.y_stride = p.rows;
  return a;
}

double exact(const Problem& p, std::int64_t input, std::int64_t row) {
  double sum = 0.0;
  for (std::int64_t c = 0; c < p.cols; ++c) {
    sum += static_cast<double>(p.values[static_cast<std::size_t>(row * p.cols + c)]) *
           p.x[static_cast<std::size_t>(input * p.cols + c)];
  }
  return sum;
}

TEST(FloatMatmul, MatchesTheExactSum) {
  for (const KernelTable* table : usable_kernels()) {
    for (const Format format : {Format::F32, Format::F16, Format::BF16}) {
      for (const std::int64_t cols : {1, 5, 16, 31, 64, 257, 1024, 2063}) {
        for (const std::int64_t n : {1, 2, 3, 4, 5, 17, 70}) {
          const Problem p = make_problem(format, 19, cols, n);
          std::vector<float> y(static_cast<std::size_t>(p.rows * n), -1.0f);
          table->matmul(arguments(p, y));
          for (std::int64_t i = 0; i < n; ++i) {
            for (std::int64_t r = 0; r < p.rows; ++r) {
              // Relative to the size of the terms: sqrt(cols) of them of about 1/3.
              ASSERT_NEAR(y[static_cast<std::size_t>(i * p.rows + r)], exact(p, i, r),
                          2e-6 * (1.0 + std::sqrt(static_cast<double>(cols)) / 3.0))
                  << table->isa << " " << name(format) << " cols " << cols << " n " << n;
            }
          }
        }
      }
    }
  }
}

TEST(FloatMatmul, ResultsDoNotDependOnSplitsOrNeighbours) {
  for (const KernelTable* table : usable_kernels()) {
    for (const Format format : {Format::F32, Format::F16, Format::BF16}) {
      const Problem p = make_problem(format, 37, 1500, 13);
      std::vector<float> whole(static_cast<std::size_t>(p.rows * p.n)), split(whole), single(whole);
      table->matmul(arguments(p, whole));
      for (const std::int64_t begin : {0, 1, 6, 23}) {
        MatmulArgs a = arguments(p, split);
        a.row_begin = begin;
        a.row_end = begin == 0 ? 1 : begin == 1 ? 6 : begin == 6 ? 23 : 37;
        table->matmul(a);
      }
      EXPECT_EQ(whole, split) << table->isa << " " << name(format);
      for (std::int32_t i = 0; i < p.n; ++i) {
        MatmulArgs a = arguments(p, single);
        a.x_rows = &i;
        a.n_used = 1;
        a.y = single.data() + i * p.rows;
        table->matmul(a);
      }
      EXPECT_EQ(whole, single) << table->isa << " " << name(format);
    }
  }
}

TEST(FloatMatmul, UsesTheChosenRowsOnly) {
  const std::vector<std::int32_t> chosen = {7, 0, 7, 3, 11};
  for (const KernelTable* table : usable_kernels()) {
    const Problem p = make_problem(Format::F32, 9, 48, 12);
    std::vector<float> y(5 * 16, -7.0f);
    MatmulArgs a = arguments(p, y);
    a.x_rows = chosen.data();
    a.n_used = 5;
    a.y_stride = 16;
    a.row_begin = 2;
    table->matmul(a);
    for (std::size_t i = 0; i < chosen.size(); ++i) {
      for (std::size_t r = 0; r < 16; ++r) {
        if (r >= 2 && r < 9) {
          EXPECT_NEAR(y[i * 16 + r], exact(p, chosen[i], static_cast<std::int64_t>(r)), 1e-5);
        } else {
          EXPECT_EQ(y[i * 16 + r], -7.0f) << table->isa;
        }
      }
    }
  }
}

TEST(FloatMatmul, NothingToDoIsFine) {
  for (const KernelTable* table : usable_kernels()) {
    const Problem p = make_problem(Format::F32, 4, 16, 1);
    std::vector<float> y(4, 3.0f);
    MatmulArgs a = arguments(p, y);
    a.n_used = 0;
    table->matmul(a);
    a.n_used = 1;
    a.row_begin = a.row_end = 2;
    table->matmul(a);
    EXPECT_EQ(y, std::vector<float>(4, 3.0f)) << table->isa;
  }
}

}  // namespace
}  // namespace bandwall
