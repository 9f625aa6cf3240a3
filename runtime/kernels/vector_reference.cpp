// The slow truth of the vector kernels: double precision inside, one rounding at the end.
#include <algorithm>
#include <cmath>
#include <numbers>

#include "runtime/kernels/detail.h"

namespace bandwall::reference {

// y = x / sqrt(mean(x^2) + eps) * weight (Zhang and Sennrich 2019); weight nullptr = all ones.
void rms_norm(const float* x, const float* weight, float eps, std::int64_t n, float* y) {
  double squares = 0.0;
  for (std::int64_t i = 0; i < n; ++i) squares += static_cast<double>(x[i]) * x[i];
  const double mean = n > 0 ? squares / static_cast<double>(n) : 0.0;
  const double factor = 1.0 / std::sqrt(mean + static_cast<double>(eps));
  for (std::int64_t i = 0; i < n; ++i) {
    y[i] = static_cast<float>(x[i] * factor * (weight != nullptr ? weight[i] : 1.0f));
  }
}

void silu_mul(const float* gate, const float* up, std::int64_t n, float* y) {
  for (std::int64_t i = 0; i < n; ++i) {
    const double g = gate[i];
    y[i] = static_cast<float>(g / (1.0 + std::exp(-g)) * up[i]);
  }
}

// The activation of gpt-oss (openai/gpt-oss, gpt_oss/torch/model.py, swiglu): the gate is capped
// from above, up on both sides, and 1 is added to up.
void clamped_swiglu(const float* gate, const float* up, std::int64_t n, float* y) {
  constexpr double kLimit = 7.0, kAlpha = 1.702;
  for (std::int64_t i = 0; i < n; ++i) {
    const double g = std::min(static_cast<double>(gate[i]), kLimit);
    const double u = std::clamp(static_cast<double>(up[i]), -kLimit, kLimit);
    y[i] = static_cast<float>(g / (1.0 + std::exp(-kAlpha * g)) * (u + 1.0));
  }
}

// The tanh form of GELU (Hendrycks and Gimpel 2016).
void gelu_mul(const float* gate, const float* up, std::int64_t n, float* y) {
  const double root = std::sqrt(2.0 / std::numbers::pi);
  for (std::int64_t i = 0; i < n; ++i) {
    const double g = gate[i];
    const double inner = root * (g + 0.044715 * g * g * g);
    y[i] = static_cast<float>(0.5 * g * (1.0 + std::tanh(inner)) * up[i]);
  }
}

void add(float* y, const float* x, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) y[i] += x[i];
}

void add_scaled(float* y, const float* x, float a, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) {
    y[i] = static_cast<float>(static_cast<double>(y[i]) + static_cast<double>(a) * x[i]);
  }
}

void f32_to_f16(const float* x, std::int64_t n, std::uint16_t* y) {
  for (std::int64_t i = 0; i < n; ++i) y[i] = float_to_half(x[i]);
}

}  // namespace bandwall::reference
