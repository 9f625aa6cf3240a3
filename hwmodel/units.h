// Strong quantities: a double with a dimension, so that bytes ÷ bytes/s is seconds and adding bytes
// to seconds does not compile. Byte counts stay exact up to 2^53. GB is 1e9, GiB is 2^30.
//   Seconds t = Bytes(2e9) / BytesPerSecond(273e9);      // t.value() == 0.00732...
//   auto bw = parse_quantity<BytesPerSecond>("273 GB/s"); // exact text at the borders only
// Text without a unit is refused; a unit of another dimension is refused. No silent rounding.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace bandwall {

// Exponents of byte, flop, second, element (a dequantised or scored value), joule.
template <int B, int F, int S, int E, int J>
struct Dim {
  static constexpr int b = B, f = F, s = S, e = E, j = J;
};

template <class D>
class Quantity {
 public:
  using dim = D;
  constexpr Quantity() = default;
  constexpr explicit Quantity(double v) : v_(v) {}
  constexpr double value() const { return v_; }
  // Whole count, for byte figures that are exact by construction.
  constexpr std::int64_t count() const { return static_cast<std::int64_t>(v_); }

  constexpr Quantity& operator+=(Quantity o) {
    v_ += o.v_;
    return *this;
  }
  constexpr Quantity& operator-=(Quantity o) {
    v_ -= o.v_;
    return *this;
  }
  friend constexpr Quantity operator+(Quantity a, Quantity b) { return Quantity(a.v_ + b.v_); }
  friend constexpr Quantity operator-(Quantity a, Quantity b) { return Quantity(a.v_ - b.v_); }
  friend constexpr Quantity operator*(Quantity a, double k) { return Quantity(a.v_ * k); }
  friend constexpr Quantity operator*(double k, Quantity a) { return Quantity(a.v_ * k); }
  friend constexpr Quantity operator/(Quantity a, double k) { return Quantity(a.v_ / k); }
  friend constexpr double operator/(Quantity a, Quantity b) { return a.v_ / b.v_; }
  friend constexpr auto operator<=>(Quantity, Quantity) = default;

 private:
  double v_ = 0;
};

template <class A, class B>
using DimQuotient = Dim<A::b - B::b, A::f - B::f, A::s - B::s, A::e - B::e, A::j - B::j>;
template <class A, class B>
using DimProduct = Dim<A::b + B::b, A::f + B::f, A::s + B::s, A::e + B::e, A::j + B::j>;

template <class A, class B>
constexpr auto operator/(Quantity<A> a, Quantity<B> b) {
  return Quantity<DimQuotient<A, B>>(a.value() / b.value());
}
template <class A, class B>
constexpr auto operator*(Quantity<A> a, Quantity<B> b) {
  return Quantity<DimProduct<A, B>>(a.value() * b.value());
}

using Bytes = Quantity<Dim<1, 0, 0, 0, 0>>;
using Flops = Quantity<Dim<0, 1, 0, 0, 0>>;
using Seconds = Quantity<Dim<0, 0, 1, 0, 0>>;
using Elements = Quantity<Dim<0, 0, 0, 1, 0>>;
using Joules = Quantity<Dim<0, 0, 0, 0, 1>>;
using BytesPerSecond = Quantity<Dim<1, 0, -1, 0, 0>>;
using FlopsPerSecond = Quantity<Dim<0, 1, -1, 0, 0>>;
using ElementsPerSecond = Quantity<Dim<0, 0, -1, 1, 0>>;
using FlopsPerByte = Quantity<Dim<-1, 1, 0, 0, 0>>;
using Hertz = Quantity<Dim<0, 0, -1, 0, 0>>;
using Watts = Quantity<Dim<0, 0, -1, 0, 1>>;

inline constexpr double kKilo = 1e3, kMega = 1e6, kGiga = 1e9, kTera = 1e12;
inline constexpr double kKiB = 1024.0, kMiB = 1048576.0, kGiB = 1073741824.0;

constexpr Bytes bytes(std::int64_t n) { return Bytes(static_cast<double>(n)); }

// Reads "273 GB/s", "99 KiB", "107 TFLOP/s" (also "TFLOPS"), "43 us", "2.4 GHz", "140 W",
// "3e11 elem/s". Throws Error (Input) naming the text and what is wanted when it is anything else:
// no unit, another dimension, not a finite number.
template <class Q>
Q parse_quantity(std::string_view text);

// Shortest text that parses back to the same value: "273 GB/s". Bytes are written as whole bytes
// when they are no round GB or GiB ("101376 B").
template <class Q>
std::string to_text(Q q);

// For people: both units. "101.93 GB (94.93 GiB)".
std::string gb_and_gib(Bytes b);
// Three significant digits with a fitting prefix: "43.1 us", "231 GB/s".
std::string human(Bytes b);
std::string human(Seconds t);
std::string human(BytesPerSecond r);
std::string human(FlopsPerSecond r);

}  // namespace bandwall
