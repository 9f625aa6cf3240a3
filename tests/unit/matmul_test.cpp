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

using Bytes8 = std::vector<std::uint8_t>;

const std::vector<Format>& quantized_formats() {
  static const std::vector<Format> formats = [] {
    std::vector<Format> list;
    for (const FormatInfo& f : all_formats()) {
      if (f.quantized && has_kernels(f.format)) list.push_back(f.format);
    }
    return list;
  }();
  return formats;
}

// Places of the half-precision scales in a block.
std::vector<std::size_t> half_fields(Format format) {
  switch (format) {
    case Format::Q4_1:
    case Format::Q5_1:
    case Format::Q4_K:
    case Format::Q5_K:
      return {0, 2};
    case Format::Q2_K:
      return {80, 82};
    case Format::Q3_K:
      return {108};
    case Format::Q6_K:
      return {208};
    case Format::TQ1_0:
      return {52};
    case Format::TQ2_0:
      return {64};
    case Format::MXFP4:
    case Format::NVFP4:
      return {};
    default:
      return {0};
  }
}

enum class Scales { Moderate, Extreme };

// Random blocks: any bits for the quants, scales that keep sums finite. Extreme: zero, subnormal,
// negative and very different scales side by side.
Bytes8 random_weights(Format format, std::int64_t values, Scales scales, std::mt19937& random) {
  const FormatInfo& f = info(format);
  Bytes8 bytes(static_cast<std::size_t>(row_bytes(format, values)));
  for (auto& b : bytes) b = static_cast<std::uint8_t>(random());
  const float choices[] = {0.0f, 3e-6f, -0.02f, 0.03f, 20.0f, -1e-3f};
  for (std::size_t at = 0; at < bytes.size(); at += static_cast<std::size_t>(f.bytes_per_block)) {
    for (const std::size_t field : half_fields(format)) {
      const float moderate = 0.01f + 0.02f * static_cast<float>(random() % 1000) / 1000.0f;
      const float value = scales == Scales::Extreme ? choices[random() % 6] : moderate;
      const std::uint16_t half = float_to_half(value);
      std::memcpy(&bytes[at + field], &half, 2);
    }
    if (format == Format::MXFP4) {
      const auto exponent = 118 + random() % 6;
      const std::uint8_t extremes[] = {0, 1, 2, 90, 127, 135};
      bytes[at] =
          scales == Scales::Extreme ? extremes[random() % 6] : static_cast<std::uint8_t>(exponent);
    }
    if (format == Format::NVFP4) {
      for (int s = 0; s < 4; ++s) bytes[at + s] &= 0x7f;
    }
  }
  return bytes;
}

struct Rows {
  std::vector<float> f32, scale;
  std::vector<std::int8_t> q8;
  std::vector<std::int16_t> sums;
  ActivationRows view;
};

Rows random_rows(const KernelTable& table, std::int64_t n, std::int64_t cols,
                 std::mt19937& random) {
  Rows rows;
  const auto count = static_cast<std::size_t>(n * cols);
  rows.f32.resize(count);
  std::normal_distribution<float> normal;
  for (auto& v : rows.f32) v = normal(random);
  // A group of zeros and a group with one large value.
  std::fill_n(rows.f32.begin(), 32, 0.0f);
  rows.f32[count - 5] = 1000.0f;
  rows.q8.resize(count + 64);
  rows.scale.resize(count / 32);
  rows.sums.resize(count / 16);
  auto* aligned = reinterpret_cast<std::int8_t*>(
      (reinterpret_cast<std::uintptr_t>(rows.q8.data()) + 63) / 64 * 64);
  table.quantize_rows(rows.f32.data(), n, cols, aligned, rows.scale.data(), rows.sums.data());
  rows.view = {n, cols, rows.f32.data(), aligned, rows.scale.data(), rows.sums.data()};
  return rows;
}

struct Case {
  Format format;
  std::int64_t rows, cols, x_n, n_used;
  Scales scales;
};

// y of one row of W and one row of x from the 8-bit values in double, with the error each path may
// make: `exact` against these values (float rounding only), `full` against float32 activations.
struct Expected {
  double from_q8 = 0, from_f32 = 0, exact_error = 0, full_error = 0;
};

Expected expect(const std::vector<float>& w, const Rows& x, std::int64_t row) {
  const std::int64_t cols = x.view.cols;
  Expected e;
  double magnitude = 0;
  for (std::int64_t k0 = 0; k0 < cols; k0 += 256) {
    const std::int64_t k1 = std::min(cols, k0 + 256);
    double largest = 0, sum_x = 0;
    for (std::int64_t k = k0; k < k1; ++k) {
      const std::int64_t at = row * cols + k;
      const double scale = x.scale[at / 32];
      const double v = scale * x.view.q8[at];
      e.from_q8 += w[k] * v;
      e.from_f32 += static_cast<double>(w[k]) * x.f32[at];
      e.full_error += std::abs(w[k]) * scale * 0.5001;
      largest = std::max(largest, std::abs(static_cast<double>(w[k])));
      sum_x += std::abs(v);
    }
    magnitude += largest * sum_x;
  }
  e.exact_error = 4e-6 * magnitude + 1e-30;
  e.full_error += e.exact_error;
  return e;
}

void check_case(const KernelTable& table, const Case& c, std::uint32_t seed) {
  std::mt19937 random(seed);
  const Bytes8 weights = random_weights(c.format, c.rows * c.cols, c.scales, random);
  const Rows x = random_rows(table, c.x_n, c.cols, random);
  std::vector<std::int32_t> picks;
  for (std::int64_t i = 0; i < c.n_used; ++i) {
    picks.push_back(static_cast<std::int32_t>(random() % static_cast<std::uint32_t>(c.x_n)));
  }
  const bool indirect = seed % 2 == 0 || c.n_used != c.x_n;
  const std::int64_t stride = c.rows + 3;
  const float untouched = -12345.0f;
  std::vector<float> y(static_cast<std::size_t>(c.n_used * stride), untouched);
  MatmulArgs a;
  a.format = c.format;
  a.w = reinterpret_cast<const std::byte*>(weights.data());
  a.row_bytes = row_bytes(c.format, c.cols);
  a.cols = c.cols;
  a.row_begin = c.rows > 4 ? 1 : 0;
  a.row_end = c.rows > 4 ? c.rows - 1 : c.rows;
  a.x = x.view;
  a.x_rows = indirect ? picks.data() : nullptr;
  a.n_used = c.n_used;
  a.y = y.data();
  a.y_stride = stride;
  table.matmul(a);

  std::vector<float> w(static_cast<std::size_t>(c.cols));
  for (std::int64_t r = 0; r < stride; ++r) {
    const bool inside = r >= a.row_begin && r < a.row_end;
    if (inside) dequantize(c.format, a.w + r * a.row_bytes, c.cols, w.data());
    for (std::int64_t i = 0; i < c.n_used; ++i) {
      const float got = y[static_cast<std::size_t>(i * stride + r)];
      if (!inside) {
        ASSERT_EQ(got, untouched) << "written outside the rows asked for: " << r;
        continue;
      }
      const Expected e = expect(w, x, indirect ? picks[static_cast<std::size_t>(i)] : i);
      if (table.isa == "reference") {
        ASSERT_NEAR(got, e.from_f32, 1e-6 * std::abs(e.from_f32) + e.exact_error);
        continue;
      }
      ASSERT_NEAR(got, e.from_q8, e.exact_error) << "row " << r << " of x row " << i;
      ASSERT_NEAR(got, e.from_f32, e.full_error) << "row " << r << " of x row " << i;
    }
  }

  // Divided among calls: the same bits.
  std::vector<float> parts(y.size(), untouched);
  a.y = parts.data();
  const std::int64_t end = a.row_end;
  for (std::int64_t r = a.row_begin; r < end;) {
    a.row_begin = r;
    a.row_end = std::min<std::int64_t>(end, r + 1 + random() % 21);
    table.matmul(a);
    r = a.row_end;
  }
  ASSERT_EQ(std::memcmp(y.data(), parts.data(), y.size() * sizeof(float)), 0);
}

TEST(Matmul, EveryTableAndFormatOverOddShapes) {
  const std::int64_t widths_32[] = {32, 96, 256, 288, 672, 1024, 4064};
  const std::int64_t widths_256[] = {256, 512, 1280};
  const std::int64_t row_counts[] = {1, 2, 3, 7, 17, 35, 50, 66};
  const std::int64_t uses[] = {1, 2, 3, 4, 5, 7, 8, 9, 13, 16, 31, 70};
  for (const KernelTable* table : usable_kernels()) {
    for (const Format format : quantized_formats()) {
      std::mt19937 random(7);
      for (int i = 0; i < 24; ++i) {
        Case c;
        c.format = format;
        const std::int64_t block = info(format).values_per_block;
        c.cols = block == 256 ? widths_256[random() % 3] : widths_32[random() % 7];
        c.cols = (c.cols + block - 1) / block * block;
        c.rows = row_counts[random() % 8];
        c.n_used = uses[i % 12];
        c.x_n = i % 3 == 0 ? c.n_used : 1 + random() % 20;
        c.scales = i % 4 == 3 ? Scales::Extreme : Scales::Moderate;
        SCOPED_TRACE(std::string(table->isa) + " " + std::string(name(format)) + " cols " +
                     std::to_string(c.cols) + " rows " + std::to_string(c.rows) + " n " +
                     std::to_string(c.n_used) + " case " + std::to_string(i));
        check_case(*table, c, static_cast<std::uint32_t>(i));
        if (testing::Test::HasFatalFailure()) return;
      }
    }
  }
}

TEST(Matmul, SaturatedWeightsAndActivationsDoNotOverflow) {
  // All bits set or none, against activations at both ends: the largest integer sums there are.
  for (const KernelTable* table : usable_kernels()) {
    for (const Format format : quantized_formats()) {
      for (const int fill : {0x00, 0x77, 0x80, 0x88, 0xff}) {
        for (const std::int64_t n : {1, 40}) {
          SCOPED_TRACE(std::string(table->isa) + " " + std::string(name(format)) + " fill " +
                       std::to_string(fill));
          const std::int64_t cols = 512, rows = 33;
          std::mt19937 random(3);
          Bytes8 weights = random_weights(format, rows * cols, Scales::Moderate, random);
          const Bytes8 scales = weights;
          std::fill(weights.begin(), weights.end(), static_cast<std::uint8_t>(fill));
          const auto block = static_cast<std::size_t>(info(format).bytes_per_block);
          for (std::size_t at = 0; at < weights.size(); at += block) {
            for (const std::size_t f : half_fields(format)) {
              std::memcpy(&weights[at + f], &scales[at + f], 2);
            }
            if (format == Format::MXFP4) weights[at] = scales[at];
            if (format == Format::NVFP4) std::memcpy(&weights[at], &scales[at], 4);
          }
          Rows x = random_rows(*table, n, cols, random);
          for (std::size_t i = 0; i < x.f32.size(); ++i) x.f32[i] = (i / 64) % 2 ? -3.0f : 3.0f;
          table->quantize_rows(x.f32.data(), n, cols, const_cast<std::int8_t*>(x.view.q8),
                               x.scale.data(), x.sums.data());
          std::vector<float> y(static_cast<std::size_t>(n * rows)), w(cols);
          MatmulArgs a;
          a.format = format;
          a.w = reinterpret_cast<const std::byte*>(weights.data());
          a.row_bytes = row_bytes(format, cols);
          a.cols = cols;
          a.row_end = rows;
          a.x = x.view;
          a.n_used = n;
          a.y = y.data();
          a.y_stride = rows;
          table->matmul(a);
          for (std::int64_t r = 0; r < rows; ++r) {
            dequantize(format, a.w + r * a.row_bytes, cols, w.data());
            const Expected e = expect(w, x, n - 1);
            ASSERT_NEAR(y[static_cast<std::size_t>((n - 1) * rows + r)], e.from_q8, e.full_error);
          }
        }
      }
    }
  }
}

TEST(Matmul, WithoutThe8BitFormWorksInFloat) {
  std::mt19937 random(11);
  const std::int64_t cols = 512, rows = 5, n = 3;
  const Bytes8 weights = random_weights(Format::Q4_K, rows * cols, Scales::Moderate, random);
  for (const KernelTable* table : usable_kernels()) {
    Rows x = random_rows(*table, n, cols, random);
    x.view.q8 = nullptr;
    std::vector<float> y(rows * n), truth(rows * n);
    MatmulArgs a;
    a.format = Format::Q4_K;
    a.w = reinterpret_cast<const std::byte*>(weights.data());
    a.row_bytes = row_bytes(Format::Q4_K, cols);
    a.cols = cols;
    a.row_end = rows;
    a.x = x.view;
    a.n_used = n;
    a.y = truth.data();
    a.y_stride = rows;
    reference_kernels().matmul(a);
    a.y = y.data();
    table->matmul(a);
    EXPECT_EQ(y, truth) << table->isa;
  }
}

// All scales, weights and activations at their largest and of one sign: integer sums over whole
// blocks must not overflow.
TEST(Matmul, LargestBlocksDoNotOverflow) {
  struct Fill {
    Format format;
    std::size_t quants_end;  // bytes from 0 (Q6_K) that hold quants, all `quant`
    std::uint8_t quant, scale;
  };
  const Fill fills[] = {{Format::Q6_K, 192, 0x00, 0x80}, {Format::Q6_K, 192, 0xff, 0x80},
                        {Format::Q6_K, 192, 0xff, 0x7f}, {Format::Q3_K, 96, 0x00, 0x00},
                        {Format::Q3_K, 96, 0xff, 0xff},  {Format::Q5_K, 0, 0xff, 0xff},
                        {Format::Q4_K, 0, 0xff, 0xff},   {Format::Q2_K, 0, 0xff, 0xff}};
  const std::int64_t cols = 512, rows = 5;
  for (const Fill& fill : fills) {
    const auto block = static_cast<std::size_t>(info(fill.format).bytes_per_block);
    Bytes8 weights(static_cast<std::size_t>(rows * row_bytes(fill.format, cols)), fill.scale);
    const std::uint16_t half = float_to_half(0.01f);
    for (std::size_t at = 0; at < weights.size(); at += block) {
      std::fill_n(weights.begin() + static_cast<std::ptrdiff_t>(at), fill.quants_end, fill.quant);
      for (const std::size_t f : half_fields(fill.format)) std::memcpy(&weights[at + f], &half, 2);
    }
    for (const KernelTable* table : usable_kernels()) {
      SCOPED_TRACE(std::string(table->isa) + " " + std::string(name(fill.format)));
      std::mt19937 random(1);
      Rows x = random_rows(*table, 1, cols, random);
      std::fill(x.f32.begin(), x.f32.end(), 5.0f);
      table->quantize_rows(x.f32.data(), 1, cols, const_cast<std::int8_t*>(x.view.q8),
                           x.scale.data(), x.sums.data());
      std::vector<float> y(rows), w(cols);
      MatmulArgs a;
      a.format = fill.format;
      a.w = reinterpret_cast<const std::byte*>(weights.data());
      a.row_bytes = row_bytes(fill.format, cols);
      a.cols = cols;
      a.row_end = rows;
      a.x = x.view;
      a.n_used = 1;
      a.y = y.data();
      a.y_stride = rows;
      table->matmul(a);
      dequantize(fill.format, a.w, cols, w.data());
      const Expected e = expect(w, x, 0);
      for (const float v : y) ASSERT_NEAR(v, e.from_q8, e.full_error);
    }
  }
}

TEST(QuantizeRows, ScalesOfABlockAreMultiplesOfAStep) {
  std::mt19937 random(8);
  std::normal_distribution<float> normal;
  const std::int64_t cols = 256 + 96;
  std::vector<float> x(cols);
  for (auto& v : x) v = normal(random);
  x[40] = 900.0f;
  std::vector<std::int8_t> q(x.size());
  std::vector<float> scale(x.size() / 32);
  std::vector<std::int16_t> sums(x.size() / 16);
  for (const KernelTable* table : usable_kernels()) {
    table->quantize_rows(x.data(), 1, cols, q.data(), scale.data(), sums.data());
    for (std::size_t g = 0; g < scale.size(); ++g) {
      const auto first = scale.begin() + static_cast<std::ptrdiff_t>(g / 8 * 8);
      const float top = *std::max_element(first, std::min(first + 8, scale.end()));
      const float multiple = scale[g] / top * 63.0f;
      EXPECT_NEAR(multiple, std::round(multiple), 1e-4f) << table->isa << " group " << g;
      EXPECT_GE(multiple, 0.99f);
    }
    EXPECT_FLOAT_EQ(scale[1], 900.0f / 127.0f);
    EXPECT_NEAR(scale[0], 900.0f / 127.0f / 63.0f, 1e-4f);  // one step is enough
  }
}

// Scales that are no multiples of a step: right as well, by another way.
TEST(Matmul, AnyScalesOfActivationsWork) {
  const std::int64_t cols = 512, rows = 6;
  for (const Format format : quantized_formats()) {
    std::mt19937 random(4);
    const Bytes8 weights = random_weights(format, rows * cols, Scales::Moderate, random);
    for (const KernelTable* table : usable_kernels()) {
      SCOPED_TRACE(std::string(table->isa) + " " + std::string(name(format)));
      Rows x = random_rows(*table, 1, cols, random);
      std::uniform_real_distribution<float> factor(0.3f, 3.0f);
      for (std::size_t g = 0; g < x.scale.size(); ++g) x.scale[g] = 0.01f * factor(random);
      for (std::size_t i = 0; i < x.f32.size(); ++i) {
        x.f32[i] = x.scale[i / 32] * static_cast<float>(x.view.q8[i]);
      }
      if (!wants_q8(*table, format, cols)) continue;
      std::vector<float> y(rows), w(cols);
      MatmulArgs a;
      a.format = format;
      a.w = reinterpret_cast<const std::byte*>(weights.data());
      a.row_bytes = row_bytes(format, cols);
      a.cols = cols;
      a.row_end = rows;
      a.x = x.view;
      a.n_used = 1;
      a.y = y.data();
      a.y_stride = rows;
      table->matmul(a);
      for (std::int64_t r = 0; r < rows; ++r) {
        dequantize(format, a.w + r * a.row_bytes, cols, w.data());
        const Expected e = expect(w, x, 0);
        ASSERT_NEAR(y[static_cast<std::size_t>(r)], e.from_q8, e.exact_error);
      }
    }
  }
}

TEST(QuantizeRows, EveryTableGivesTheSameBits) {
  std::mt19937 random(5);
  std::normal_distribution<float> normal(0.0f, 30.0f);
  const std::int64_t n = 3, cols = 32 * 37;
  std::vector<float> x(n * cols);
  for (auto& v : x) v = normal(random);
  std::fill_n(x.begin() + 64, 32, 0.0f);
  std::fill_n(x.begin() + 96, 32, 1e-38f);
  std::fill_n(x.begin() + 128, 32, -0.0f);
  for (int i = 0; i < 32; ++i) x[160 + i] = 0.5f + static_cast<float>(i);  // ties
  x[191] = 127.0f;
  x[200] = 3e38f;
  x[230] = std::numeric_limits<float>::infinity();
  x[260] = std::numeric_limits<float>::quiet_NaN();
  std::vector<std::int8_t> first_q;
  std::vector<float> first_scale;
  for (const KernelTable* table : usable_kernels()) {
    SCOPED_TRACE(std::string(table->isa));
    std::vector<std::int8_t> q(x.size());
    std::vector<float> scale(x.size() / 32);
    std::vector<std::int16_t> sums(x.size() / 16);
    table->quantize_rows(x.data(), n, cols, q.data(), scale.data(), sums.data());
    for (std::size_t i = 0; i < q.size(); ++i) {
      if (!std::isfinite(scale[i / 32])) continue;
      ASSERT_GE(q[i], -127);
      if (scale[i / 32] > 0) {
        ASSERT_LE(std::abs(x[i] - scale[i / 32] * q[i]), 0.5001f * scale[i / 32]);
      }
    }
    for (std::size_t h = 0; h < sums.size(); ++h) {
      int sum = 0;
      for (int i = 0; i < 16; ++i) sum += q[16 * h + i];
      ASSERT_EQ(sums[h], sum);
    }
    EXPECT_EQ(scale[2], 0.0f);
    EXPECT_TRUE(std::isnan(scale[7]));
    EXPECT_TRUE(std::isnan(scale[8]));
    if (first_q.empty()) {
      first_q = q;
      first_scale = scale;
    }
    EXPECT_EQ(q, first_q);
    EXPECT_EQ(std::memcmp(scale.data(), first_scale.data(), 4 * scale.size()), 0);
  }
}

TEST(KernelTables, BestIsTheLastUsableAndWantsIntegers) {
  const auto tables = usable_kernels();
  ASSERT_GE(tables.size(), 2u);
  EXPECT_EQ(tables.front()->isa, "reference");
  EXPECT_EQ(tables.back(), &best_kernels());
  EXPECT_FALSE(wants_q8(reference_kernels(), Format::Q4_K, 256));
  EXPECT_FALSE(wants_q8(best_kernels(), Format::F16, 256));
  EXPECT_FALSE(wants_q8(best_kernels(), Format::IQ2_XXS, 256));
  for (const Format format : quantized_formats()) {
    EXPECT_TRUE(wants_q8(best_kernels(), format, 256));
  }
}

}  // namespace
}  // namespace bandwall
