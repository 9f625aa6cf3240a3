// The slow truth of the recurrent mixers: formulas as in recurrence.h, sums in double precision,
// states rounded to float32 once per token.
#include <algorithm>
#include <cmath>
#include <vector>

#include "runtime/kernels/detail.h"

namespace bandwall::reference {

void relu_squared(const float* x, std::int64_t n, float* y) {
  for (std::int64_t i = 0; i < n; ++i) {
    const float v = std::max(0.0f, x[i]);
    y[i] = v * v;
  }
}

void sigmoid_mul(const float* gate, const float* x, std::int64_t n, float* y) {
  for (std::int64_t i = 0; i < n; ++i) {
    y[i] = static_cast<float>(x[i] / (1.0 + std::exp(-static_cast<double>(gate[i]))));
  }
}

// y = scale x / max(|x|, eps).
void l2_norm(const float* x, float eps, float scale, std::int64_t n, float* y) {
  double squares = 0.0;
  for (std::int64_t i = 0; i < n; ++i) squares += static_cast<double>(x[i]) * x[i];
  const double factor = scale / std::max(std::sqrt(squares), static_cast<double>(eps));
  for (std::int64_t i = 0; i < n; ++i) y[i] = static_cast<float>(x[i] * factor);
}

void conv_silu(const ConvArgs& a) {
  const std::int64_t before = a.count - 1;
  for (std::int64_t c = a.begin; c < a.end; ++c) {
    std::vector<float> inputs;
    for (std::int64_t j = 0; j < before; ++j) inputs.push_back(a.tail[j * a.channels + c]);
    for (std::int64_t t = 0; t < a.n; ++t) inputs.push_back(a.x[t * a.x_stride + c]);
    for (std::int64_t t = 0; t < a.n; ++t) {
      double sum = a.bias == nullptr ? 0.0 : a.bias[c];
      for (std::int64_t j = 0; j < a.count; ++j) {
        sum += static_cast<double>(a.taps[j * a.channels + c]) *
               inputs[static_cast<std::size_t>(t + j)];
      }
      a.y[t * a.channels + c] = static_cast<float>(sum / (1.0 + std::exp(-sum)));
    }
    for (std::int64_t j = 0; j < before; ++j) {
      a.tail[j * a.channels + c] = inputs[static_cast<std::size_t>(a.n + j)];
    }
  }
}

void ssm_scan(const ScanArgs& a) {
  for (std::int64_t t = 0; t < a.n; ++t) {
    for (std::int64_t p = 0; p < a.dim; ++p) {
      const double x = a.x[t * a.stride + p], input = x * a.step[t];
      double y = a.skip * x;
      for (std::int64_t i = 0; i < a.state_size; ++i) {
        float& h = a.state[i * a.dim + p];
        h = static_cast<float>(static_cast<double>(a.decay[t]) * h + input * a.b[t * a.stride + i]);
        y += static_cast<double>(h) * a.c[t * a.stride + i];
      }
      a.y[t * a.y_stride + p] = static_cast<float>(y);
    }
  }
}

void delta_rule(const DeltaArgs& a) {
  for (std::int64_t t = 0; t < a.n; ++t) {
    const float* k = a.k + t * a.stride;
    const float* q = a.q + t * a.stride;
    for (std::int64_t p = 0; p < a.value_dim; ++p) {
      double held = 0.0, y = 0.0;
      for (std::int64_t i = 0; i < a.key_dim; ++i) {
        held += static_cast<double>(k[i]) * a.state[i * a.value_dim + p];
      }
      const double change = a.beta[t] * (a.v[t * a.stride + p] - a.decay[t] * held);
      for (std::int64_t i = 0; i < a.key_dim; ++i) {
        float& s = a.state[i * a.value_dim + p];
        s = static_cast<float>(static_cast<double>(a.decay[t]) * s + k[i] * change);
        y += static_cast<double>(s) * q[i];
      }
      a.y[t * a.y_stride + p] = static_cast<float>(y);
    }
  }
}

}  // namespace bandwall::reference
