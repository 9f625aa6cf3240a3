// Kernels of recurrent mixers as templates over Lanes (lanes_*.h). Lanes run along channels or
// along the columns of a state, which do not depend on each other: sums over the rows of a state
// need no reduction, and every token repeats the same arithmetic.
#pragma once

#include "runtime/kernels/recurrence.h"
#include "runtime/kernels/vector_lanes.h"

namespace bandwall {

// One vector, whole or the first `n` lanes.
template <class L>
typename L::Vec load_some(const float* p, std::int64_t n) {
  return n >= L::kWidth ? L::load(p) : L::load_partial(p, n);
}
template <class L>
void store_some(float* p, typename L::Vec v, std::int64_t n) {
  if (n >= L::kWidth) {
    L::store(p, v);
  } else {
    L::store_partial(p, v, n);
  }
}

template <class L>
struct SigmoidMul {
  typename L::Vec apply(typename L::Vec gate, typename L::Vec x) const {
    return L::mul(sigmoid_lanes<L>(gate), x);
  }
};

template <class L>
void relu_squared_lanes(const float* x, std::int64_t n, float* y) {
  for (std::int64_t i = 0; i < n; i += L::kWidth) {
    const auto v = L::max(L::zero(), load_some<L>(x + i, n - i));
    store_some<L>(y + i, L::mul(v, v), n - i);
  }
}

template <class L>
void l2_norm_lanes(const float* x, float eps, float scale, std::int64_t n, float* y) {
  auto squares = L::zero();
  for (std::int64_t i = 0; i < n; i += L::kWidth) {
    const auto v = load_some<L>(x + i, n - i);
    squares = L::fma(v, v, squares);
  }
  const float length = __builtin_sqrtf(L::sum(squares));
  const auto factor = L::set(scale / (length > eps ? length : eps));
  for (std::int64_t i = 0; i < n; i += L::kWidth) {
    store_some<L>(y + i, L::mul(load_some<L>(x + i, n - i), factor), n - i);
  }
}

template <class L>
void conv_silu_lanes(const ConvArgs& a) {
  const std::int64_t before = a.count - 1;
  for (std::int64_t c = a.begin; c < a.end; c += L::kWidth) {
    const std::int64_t w = a.end - c;
    const auto row = [&](std::int64_t t) {
      return t < 0 ? a.tail + (t + before) * a.channels + c : a.x + t * a.x_stride + c;
    };
    const auto bias = a.bias == nullptr ? L::zero() : load_some<L>(a.bias + c, w);
    for (std::int64_t t = 0; t < a.n; ++t) {
      auto sum = bias;
      for (std::int64_t j = 0; j < a.count; ++j) {
        sum = L::fma(load_some<L>(a.taps + j * a.channels + c, w),
                     load_some<L>(row(t - before + j), w), sum);
      }
      store_some<L>(a.y + t * a.channels + c, L::mul(sum, sigmoid_lanes<L>(sum)), w);
    }
    // Rows move towards the front, so none is overwritten before it is read.
    for (std::int64_t j = 0; j < before; ++j) {
      store_some<L>(a.tail + j * a.channels + c, load_some<L>(row(a.n - before + j), w), w);
    }
  }
}

// `kVecs` vectors of columns from `col` on; a single one has `width` lanes.
template <class L, int kVecs>
void scan_columns(const ScanArgs& a, std::int64_t col, std::int64_t width) {
  using Vec = typename L::Vec;
  const std::int64_t lanes = kVecs > 1 ? L::kWidth : width;
  for (std::int64_t t = 0; t < a.n; ++t) {
    const float* b = a.b + t * a.stride;
    const float* c = a.c + t * a.stride;
    const Vec decay = L::set(a.decay[t]), step = L::set(a.step[t]), skip = L::set(a.skip);
    Vec input[kVecs], sum[kVecs];
    for (int v = 0; v < kVecs; ++v) {
      const Vec x = load_some<L>(a.x + t * a.stride + col + v * L::kWidth, lanes);
      input[v] = L::mul(step, x);
      sum[v] = L::mul(skip, x);
    }
    float* state = a.state + col;
    for (std::int64_t i = 0; i < a.state_size; ++i, state += a.dim) {
      const Vec in = L::broadcast(b + i), out = L::broadcast(c + i);
      for (int v = 0; v < kVecs; ++v) {
        float* at = state + v * L::kWidth;
        const Vec h = L::fma(in, input[v], L::mul(decay, load_some<L>(at, lanes)));
        store_some<L>(at, h, lanes);
        sum[v] = L::fma(h, out, sum[v]);
      }
    }
    for (int v = 0; v < kVecs; ++v) {
      store_some<L>(a.y + t * a.y_stride + col + v * L::kWidth, sum[v], lanes);
    }
  }
}

template <class L, int kVecs>
void delta_columns(const DeltaArgs& a, std::int64_t col, std::int64_t width) {
  using Vec = typename L::Vec;
  const std::int64_t lanes = kVecs > 1 ? L::kWidth : width;
  for (std::int64_t t = 0; t < a.n; ++t) {
    const float* k = a.k + t * a.stride;
    const float* q = a.q + t * a.stride;
    const Vec decay = L::set(a.decay[t]), beta = L::set(a.beta[t]);
    Vec change[kVecs], sum[kVecs];
    for (int v = 0; v < kVecs; ++v) change[v] = sum[v] = L::zero();
    float* state = a.state + col;
    for (std::int64_t i = 0; i < a.key_dim; ++i, state += a.value_dim) {
      const Vec key = L::broadcast(k + i);
      for (int v = 0; v < kVecs; ++v) {
        change[v] = L::fma(key, load_some<L>(state + v * L::kWidth, lanes), change[v]);
      }
    }
    for (int v = 0; v < kVecs; ++v) {
      const Vec value = load_some<L>(a.v + t * a.stride + col + v * L::kWidth, lanes);
      change[v] = L::mul(beta, L::sub(value, L::mul(decay, change[v])));
    }
    state = a.state + col;
    for (std::int64_t i = 0; i < a.key_dim; ++i, state += a.value_dim) {
      const Vec key = L::broadcast(k + i), query = L::broadcast(q + i);
      for (int v = 0; v < kVecs; ++v) {
        float* at = state + v * L::kWidth;
        const Vec s = L::fma(key, change[v], L::mul(decay, load_some<L>(at, lanes)));
        store_some<L>(at, s, lanes);
        sum[v] = L::fma(query, s, sum[v]);
      }
    }
    for (int v = 0; v < kVecs; ++v) {
      store_some<L>(a.y + t * a.y_stride + col + v * L::kWidth, sum[v], lanes);
    }
  }
}

// Four vectors of columns at once keep the adders busy; what is left goes one vector at a time.
inline constexpr int kStateVecs = 4;

template <class L>
void ssm_scan_lanes(const ScanArgs& a) {
  constexpr std::int64_t kBlock = kStateVecs * L::kWidth;
  std::int64_t col = 0;
  for (; col + kBlock <= a.dim; col += kBlock) scan_columns<L, kStateVecs>(a, col, L::kWidth);
  for (; col < a.dim; col += L::kWidth) scan_columns<L, 1>(a, col, a.dim - col);
}

template <class L>
void delta_rule_lanes(const DeltaArgs& a) {
  constexpr std::int64_t kBlock = kStateVecs * L::kWidth;
  std::int64_t col = 0;
  for (; col + kBlock <= a.value_dim; col += kBlock) {
    delta_columns<L, kStateVecs>(a, col, L::kWidth);
  }
  for (; col < a.value_dim; col += L::kWidth) delta_columns<L, 1>(a, col, a.value_dim - col);
}

}  // namespace bandwall
