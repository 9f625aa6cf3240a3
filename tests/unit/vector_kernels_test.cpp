// Elementwise kernels of every usable table against their reference, at lengths with tails.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "runtime/kernels/kernels.h"
#include "runtime/kernels/lanes_portable.h"
#include "runtime/kernels/vector_lanes.h"

namespace bandwall {
namespace {

constexpr std::int64_t kLengths[] = {1, 3, 7, 8, 15, 16, 17, 31, 64, 100, 129, 4096, 4099};
constexpr float kGuard = 12345.0f;  // value behind the end that must survive

std::vector<float> random_values(std::int64_t n, unsigned seed, float range) {
  std::mt19937 random(seed);
  std::uniform_real_distribution<float> uniform(-range, range);
  std::vector<float> values(static_cast<std::size_t>(n));
  for (float& v : values) v = uniform(random);
  return values;
}

void expect_close(const std::vector<float>& actual, const std::vector<float>& expected,
                  double relative, const std::string& what) {
  ASSERT_EQ(actual.size(), expected.size());
  for (std::size_t i = 0; i < actual.size(); ++i) {
    const double limit = relative * std::abs(static_cast<double>(expected[i])) + 1e-37;
    ASSERT_NEAR(actual[i], expected[i], limit) << what << " at " << i << " of " << actual.size();
  }
}

using Binary = void (*)(const float*, const float*, std::int64_t, float*);

void compare_binary(const KernelTable& table, Binary actual, Binary expected, std::int64_t n,
                    float range, double relative, const std::string& what) {
  const auto a = random_values(n, 1, range), b = random_values(n, 2, range);
  std::vector<float> y(static_cast<std::size_t>(n) + 1, kGuard), truth(y);
  actual(a.data(), b.data(), n, y.data());
  expected(a.data(), b.data(), n, truth.data());
  EXPECT_EQ(y.back(), kGuard) << what;
  expect_close(y, truth, relative, what + " " + std::string(table.isa));
}

TEST(VectorKernels, GatedActivationsMatchTheReference) {
  const KernelTable& truth = reference_kernels();
  for (const KernelTable* table : usable_kernels()) {
    for (const std::int64_t n : kLengths) {
      for (const float range : {0.01f, 3.0f, 20.0f, 200.0f}) {
        // Far below zero the float exponential leaves its range and silu becomes 0 early.
        const double relative = 1e-6;
        if (range <= 20.0f) {
          compare_binary(*table, table->silu_mul, truth.silu_mul, n, range, relative, "silu_mul");
        }
        if (range <= 20.0f) {
          compare_binary(*table, table->clamped_swiglu, truth.clamped_swiglu, n, range, 2e-5,
                         "clamped_swiglu");
        }
        if (range <= 3.0f) {
          compare_binary(*table, table->gelu_mul, truth.gelu_mul, n, range, 4e-6, "gelu_mul");
        }
      }
    }
  }
}

TEST(VectorKernels, GatedActivationsAtExtremes) {
  const std::vector<float> gate = {-1000.0f, -100.0f, -89.0f, -0.0f, 0.0f,  89.0f,
                                   100.0f,   3e38f,   7.0f,   7.5f,  -7.5f, 1e-30f};
  const std::vector<float> up(gate.size(), 1.0f);
  const auto n = static_cast<std::int64_t>(gate.size());
  for (const KernelTable* table : usable_kernels()) {
    std::vector<float> y(gate.size()), truth(gate.size());
    table->silu_mul(gate.data(), up.data(), n, y.data());
    reference_kernels().silu_mul(gate.data(), up.data(), n, truth.data());
    for (std::size_t i = 0; i < gate.size(); ++i) {
      EXPECT_NEAR(y[i], truth[i], 1e-6 * std::abs(truth[i]) + 1e-35) << table->isa << gate[i];
    }
    table->gelu_mul(gate.data(), up.data(), n, y.data());
    reference_kernels().gelu_mul(gate.data(), up.data(), n, truth.data());
    for (std::size_t i = 0; i < gate.size(); ++i) {
      EXPECT_NEAR(y[i], truth[i], 1e-6 * std::abs(truth[i]) + 1e-12) << table->isa << gate[i];
    }
    table->clamped_swiglu(gate.data(), up.data(), n, y.data());
    EXPECT_NEAR(y[5], 7.0 / (1.0 + std::exp(-1.702 * 7.0)) * 2.0, 1e-5) << table->isa;
    EXPECT_EQ(y[5], y[7]) << "the gate is capped, " << table->isa;
    EXPECT_NEAR(y[0], 0.0, 1e-35) << table->isa;
  }
}

TEST(VectorKernels, ClampedSwigluClampsUpOnBothSides) {
  const std::vector<float> gate(4, 1.0f), up = {7.0f, 9.0f, -7.0f, -9.0f};
  for (const KernelTable* table : usable_kernels()) {
    std::vector<float> y(4);
    table->clamped_swiglu(gate.data(), up.data(), 4, y.data());
    EXPECT_EQ(y[0], y[1]) << table->isa;
    EXPECT_EQ(y[2], y[3]) << table->isa;
    EXPECT_LT(y[2], 0.0f) << table->isa;
  }
}

TEST(VectorKernels, ExponentialIsExactToTwoTenMillionths) {
  using Lanes = portable::Lanes;
  float y[Lanes::kWidth];
  for (double x = -87.0; x < 88.7; x += 0.00137) {
    const auto argument = static_cast<float>(x);
    Lanes::store(y, exp_lanes<Lanes>(Lanes::set(argument)));
    ASSERT_NEAR(y[0] / std::exp(static_cast<double>(argument)), 1.0, 2e-7) << argument;
  }
  const float infinity = std::numeric_limits<float>::infinity();
  Lanes::store(y, exp_lanes<Lanes>(Lanes::set(-infinity)));
  EXPECT_EQ(y[0], 0.0f);
  Lanes::store(y, exp_lanes<Lanes>(Lanes::set(infinity)));
  EXPECT_EQ(y[0], infinity);
}

TEST(VectorKernels, RmsNormMatchesTheReference) {
  for (const KernelTable* table : usable_kernels()) {
    for (const std::int64_t n : kLengths) {
      const auto x = random_values(n, 3, 5.0f), weight = random_values(n, 4, 2.0f);
      for (const float* w : {weight.data(), static_cast<const float*>(nullptr)}) {
        std::vector<float> y(static_cast<std::size_t>(n) + 1, kGuard), truth(y);
        table->rms_norm(x.data(), w, 1e-6f, n, y.data());
        reference_kernels().rms_norm(x.data(), w, 1e-6f, n, truth.data());
        expect_close(y, truth, 1e-6, "rms_norm " + std::string(table->isa));
      }
      std::vector<float> in_place = x, truth(x.size());
      table->rms_norm(in_place.data(), weight.data(), 1e-6f, n, in_place.data());
      reference_kernels().rms_norm(x.data(), weight.data(), 1e-6f, n, truth.data());
      expect_close(in_place, truth, 1e-6, "rms_norm in place");
    }
  }
}

TEST(VectorKernels, RmsNormOfZerosIsZero) {
  const std::vector<float> x(33, 0.0f);
  for (const KernelTable* table : usable_kernels()) {
    std::vector<float> y(33, 1.0f);
    table->rms_norm(x.data(), nullptr, 1e-5f, 33, y.data());
    EXPECT_EQ(y, x) << table->isa;
  }
}

TEST(VectorKernels, SumsMatchTheReference) {
  for (const KernelTable* table : usable_kernels()) {
    for (const std::int64_t n : kLengths) {
      const auto x = random_values(n, 5, 4.0f), start = random_values(n, 6, 4.0f);
      std::vector<float> y = start, truth = start;
      y.push_back(kGuard);
      truth.push_back(kGuard);
      table->add(y.data(), x.data(), n);
      reference_kernels().add(truth.data(), x.data(), n);
      EXPECT_EQ(y, truth) << table->isa;
      table->add_scaled(y.data(), x.data(), -0.37f, n);
      reference_kernels().add_scaled(truth.data(), x.data(), -0.37f, n);
      for (std::size_t i = 0; i < y.size(); ++i) EXPECT_NEAR(y[i], truth[i], 1e-6) << table->isa;
    }
  }
}

TEST(VectorKernels, HalfConversionIsBitExact) {
  std::vector<float> x = {0.0f,
                          -0.0f,
                          1.0f,
                          65504.0f,
                          65519.9f,
                          65520.0f,
                          -1e6f,
                          5.96e-8f,
                          2.98e-8f,
                          2.99e-8f,
                          6.1e-5f,
                          1e-40f,
                          1.00048828125f,
                          1.00146484375f,
                          std::numeric_limits<float>::infinity(),
                          -std::numeric_limits<float>::infinity()};
  for (const float scale : {1e-8f, 1e-4f, 1.0f, 1e5f}) {
    for (const float v : random_values(1003, 7, scale)) x.push_back(v);
  }
  for (const KernelTable* table : usable_kernels()) {
    std::vector<std::uint16_t> y(x.size() + 1, 77);
    table->f32_to_f16(x.data(), static_cast<std::int64_t>(x.size()), y.data());
    EXPECT_EQ(y.back(), 77);
    for (std::size_t i = 0; i < x.size(); ++i) {
      ASSERT_EQ(y[i], float_to_half(x[i])) << table->isa << ": " << x[i];
    }
    const float nan = std::numeric_limits<float>::quiet_NaN();
    table->f32_to_f16(&nan, 1, y.data());
    EXPECT_TRUE(std::isnan(half_to_float(y[0])));
  }
}

}  // namespace
}  // namespace bandwall
