// Vector kernels as templates over Lanes (lanes_*.h), one instance per instruction set.
//   exp_lanes<Lanes>(v)      // e^v lane by lane, relative error <= 2e-7, e^-inf = 0
// Every instance carries its Lanes type in its name, so copies made for a wide instruction set
// are never picked by code for another machine.
#pragma once

#include <cstdint>

namespace bandwall {

// e^x = 2^k e^r with |r| <= ln(2) / 2: ln(2) in two parts (Cody and Waite), and for e^r the
// interpolation of (e^r - 1 - r) / r^2 in five Chebyshev nodes (relative error 1.1e-8).
template <class L>
typename L::Vec exp_lanes(typename L::Vec x) {
  x = L::min(L::set(89.0f), L::max(L::set(-110.0f), x));  // beyond: infinity and 0
  const auto k = L::round(L::mul(x, L::set(1.44269504f)));
  auto r = L::fma(k, L::set(-0.693359375f), x);
  r = L::fma(k, L::set(2.121944401e-04f), r);
  auto p = L::fma(L::set(1.392621414e-03f), r, L::set(8.363203511e-03f));
  p = L::fma(p, r, L::set(4.166655443e-02f));
  p = L::fma(p, r, L::set(1.666657684e-01f));
  p = L::fma(p, r, L::set(0.5f));
  p = L::fma(p, L::mul(r, r), r);
  return L::times_power_of_2(L::add(p, L::set(1.0f)), k);
}

template <class L>
typename L::Vec sigmoid_lanes(typename L::Vec x) {
  const auto one = L::set(1.0f);
  return L::div(one, L::add(one, exp_lanes<L>(L::sub(L::zero(), x))));
}

template <class L>
void rms_norm_lanes(const float* x, const float* weight, float eps, std::int64_t n, float* y) {
  constexpr int kW = L::kWidth;
  typename L::Vec squares[4] = {L::zero(), L::zero(), L::zero(), L::zero()};
  std::int64_t i = 0;
  for (; i + 4 * kW <= n; i += 4 * kW) {
    for (int j = 0; j < 4; ++j) {
      const auto v = L::load(x + i + j * kW);
      squares[j] = L::fma(v, v, squares[j]);
    }
  }
  for (; i < n; i += kW) {
    const auto v = i + kW <= n ? L::load(x + i) : L::load_partial(x + i, n - i);
    squares[0] = L::fma(v, v, squares[0]);
  }
  const float sum = L::sum(L::add(L::add(squares[0], squares[1]), L::add(squares[2], squares[3])));
  const float mean = n > 0 ? sum / static_cast<float>(n) : 0.0f;
  const auto factor = L::set(1.0f / __builtin_sqrtf(mean + eps));
  for (i = 0; i + kW <= n; i += kW) {
    auto v = L::mul(L::load(x + i), factor);
    if (weight != nullptr) v = L::mul(v, L::load(weight + i));
    L::store(y + i, v);
  }
  if (i < n) {
    auto v = L::mul(L::load_partial(x + i, n - i), factor);
    if (weight != nullptr) v = L::mul(v, L::load_partial(weight + i, n - i));
    L::store_partial(y + i, v, n - i);
  }
}

// y[i] = Op::apply(a[i], b[i]) for whole lanes and the rest.
template <class L, class Op>
void combine_lanes(const float* a, const float* b, std::int64_t n, float* y, Op op) {
  constexpr int kW = L::kWidth;
  std::int64_t i = 0;
  for (; i + kW <= n; i += kW) L::store(y + i, op.apply(L::load(a + i), L::load(b + i)));
  if (i == n) return;
  L::store_partial(y + i, op.apply(L::load_partial(a + i, n - i), L::load_partial(b + i, n - i)),
                   n - i);
}

template <class L>
struct SiluMul {
  typename L::Vec apply(typename L::Vec gate, typename L::Vec up) const {
    return L::mul(L::mul(gate, sigmoid_lanes<L>(gate)), up);
  }
};

template <class L>
struct ClampedSwiglu {  // see vector_reference.cpp
  typename L::Vec apply(typename L::Vec gate, typename L::Vec up) const {
    const auto g = L::min(L::set(7.0f), gate);
    const auto u = L::min(L::set(7.0f), L::max(L::set(-7.0f), up));
    return L::mul(L::mul(g, sigmoid_lanes<L>(L::mul(L::set(1.702f), g))), L::add(u, L::set(1.0f)));
  }
};

// (1 + tanh(a)) / 2 = sigmoid(2 a): GELU is x sigmoid(2 sqrt(2 / pi) (x + 0.044715 x^3)).
template <class L>
struct GeluMul {
  typename L::Vec apply(typename L::Vec gate, typename L::Vec up) const {
    const auto cubed = L::fma(L::mul(gate, gate), L::set(0.0713548162726f), L::set(1.5957691216f));
    return L::mul(L::mul(gate, sigmoid_lanes<L>(L::mul(gate, cubed))), up);
  }
};

template <class L>
struct Add {
  typename L::Vec apply(typename L::Vec y, typename L::Vec x) const { return L::add(y, x); }
};

template <class L>
struct AddScaled {
  typename L::Vec factor;
  typename L::Vec apply(typename L::Vec y, typename L::Vec x) const { return L::fma(factor, x, y); }
};

template <class L>
void f32_to_f16_lanes(const float* x, std::int64_t n, std::uint16_t* y) {
  constexpr int kW = L::kWidth;
  std::int64_t i = 0;
  for (; i + kW <= n; i += kW) L::store_f16(y + i, L::load(x + i));
  if (i < n) L::store_f16_partial(y + i, L::load_partial(x + i, n - i), n - i);
}

}  // namespace bandwall
