// Four float lanes in the vector notation that GCC and Clang share (SSE2, NEON, any machine): the
// vocabulary of the kernel templates (*_lanes.h).
//   Lanes::store(y, Lanes::fma(Lanes::load(x), Lanes::set(2.0f), Lanes::load(y)));   // y += 2 x
// fma rounds twice here.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "runtime/kernels/kernels.h"

namespace bandwall::portable {

struct Lanes {
  typedef float Vec __attribute__((vector_size(16)));
  typedef std::uint32_t Bits __attribute__((vector_size(16)));
  typedef std::int32_t Ints __attribute__((vector_size(16)));
  typedef std::uint16_t Halves __attribute__((vector_size(8)));
  static constexpr int kWidth = 4;
  static constexpr int kBlocks = 2;     // reduction blocks of kWidth accumulators held at once
  static constexpr int kMaxRows = 4;    // query heads that share one pass over values
  static constexpr int kChunkRows = 2;  // query heads whose keys share a vector
  static constexpr bool kValueBlocks = false;

  static Vec zero() { return Vec{}; }
  static Vec set(float x) { return Vec{x, x, x, x}; }
  static Vec broadcast(const float* p) { return set(*p); }
  static Vec load(const float* p) { return load_as<Vec>(p); }
  static void store(float* p, Vec v) { std::memcpy(p, &v, sizeof v); }
  static Vec add(Vec a, Vec b) { return a + b; }
  static Vec sub(Vec a, Vec b) { return a - b; }
  static Vec mul(Vec a, Vec b) { return a * b; }
  static Vec div(Vec a, Vec b) { return a / b; }
  static Vec fma(Vec a, Vec b, Vec c) { return a * b + c; }
  // A NaN in the second operand wins.
  static Vec max(Vec a, Vec b) { return choose(a > b, a, b); }
  static Vec min(Vec a, Vec b) { return choose(a < b, a, b); }
  // Adding 1.5 * 2^23 leaves no bits for a fraction; for |a| < 2^22.
  static Vec round(Vec a) { return (a + set(kRounder)) - set(kRounder); }
  // In two steps, so that results beyond the range of one exponent field come out right.
  static Vec times_power_of_2(Vec a, Vec n) {
    const Ints k =
        reinterpret_cast<Ints>(n + set(kRounder)) - reinterpret_cast<Ints>(set(kRounder));
    const Ints half = k >> 1;
    return a * power_of_2(half) * power_of_2(k - half);
  }
  static void keep_in_register(Vec&) {}
  __attribute__((always_inline)) static void prefetch(const std::byte* p) { __builtin_prefetch(p); }
  // To the second level only: what is used a while later.
  __attribute__((always_inline)) static void prefetch_far(const std::byte* p) {
    __builtin_prefetch(p, 0, 2);
  }

  static Vec load_partial(const float* p, std::int64_t n) {
    Vec v = {};
    for (std::int64_t i = 0; i < n; ++i) v[i] = p[i];
    return v;
  }
  static void store_partial(float* p, Vec v, std::int64_t n) {
    for (std::int64_t i = 0; i < n; ++i) p[i] = v[i];
  }
  // Exponent and mantissa moved to their float places are 2^-112 of the value, subnormals too.
  static Vec load_f16(const std::byte* p) {
    const Bits h = __builtin_convertvector(load_as<Halves>(p), Bits);
    const Bits magnitude = (h & 0x7fffu) << 13;
    const Vec value = reinterpret_cast<Vec>(magnitude) * set(0x1p112f);
    const Bits infinite = reinterpret_cast<Bits>(magnitude >= 0x0f800000u) & 0x7f800000u;
    return reinterpret_cast<Vec>(reinterpret_cast<Bits>(value) | infinite | ((h & 0x8000u) << 16));
  }
  static Vec load_f16_partial(const std::byte* p, std::int64_t n) {
    std::byte bytes[8] = {};
    std::memcpy(bytes, p, static_cast<std::size_t>(2 * n));
    return load_f16(bytes);
  }
  static Vec load_bf16(const std::byte* p) {
    return reinterpret_cast<Vec>(__builtin_convertvector(load_as<Halves>(p), Bits) << 16);
  }
  static Vec load_bf16_partial(const std::byte* p, std::int64_t n) {
    std::byte bytes[8] = {};
    std::memcpy(bytes, p, static_cast<std::size_t>(2 * n));
    return load_bf16(bytes);
  }
  static void store_f16(std::uint16_t* p, Vec v) { store_f16_partial(p, v, kWidth); }
  static void store_f16_partial(std::uint16_t* p, Vec v, std::int64_t n) {
    for (std::int64_t i = 0; i < n; ++i) p[i] = float_to_half(v[i]);
  }

  // Lane j = sum of the lanes of a[j]; the same order of additions for every j.
  static Vec reduce_block(const Vec* a) {
    const Vec low01 = __builtin_shufflevector(a[0], a[1], 0, 4, 1, 5);
    const Vec high01 = __builtin_shufflevector(a[0], a[1], 2, 6, 3, 7);
    const Vec low23 = __builtin_shufflevector(a[2], a[3], 0, 4, 1, 5);
    const Vec high23 = __builtin_shufflevector(a[2], a[3], 2, 6, 3, 7);
    const Vec s01 = low01 + high01, s23 = low23 + high23;
    return __builtin_shufflevector(s01, s23, 0, 1, 4, 5) +
           __builtin_shufflevector(s01, s23, 2, 3, 6, 7);
  }
  static float sum(Vec v) { return (v[0] + v[2]) + (v[1] + v[3]); }

  // kRun neighbouring floats, over and over.
  template <int kRun>
  static Vec load_repeated(const float* p) {
    if constexpr (kRun == 2) return Vec{p[0], p[1], p[0], p[1]};
    return load(p);
  }
  // Each a[c], c < kRun, holds kWidth / kRun runs of kRun lanes; lane c * (kWidth / kRun) + r of
  // the result = sum of run r of a[c].
  template <int kRun>
  static Vec add_runs(const Vec* a) {
    if constexpr (kRun == 2) {
      return __builtin_shufflevector(a[0], a[1], 0, 2, 4, 6) +
             __builtin_shufflevector(a[0], a[1], 1, 3, 5, 7);
    }
    return reduce_block(a);
  }

  // Every lane becomes the maximum (sum) of the lanes at the same place modulo kRows.
  template <int kRows>
  static Vec max_groups(Vec v) {
    if constexpr (kRows <= 2) v = max(v, __builtin_shufflevector(v, v, 2, 3, 0, 1));
    if constexpr (kRows <= 1) v = max(v, __builtin_shufflevector(v, v, 1, 0, 3, 2));
    return v;
  }
  template <int kRows>
  static Vec add_groups(Vec v) {
    if constexpr (kRows <= 2) v = v + __builtin_shufflevector(v, v, 2, 3, 0, 1);
    if constexpr (kRows <= 1) v = v + __builtin_shufflevector(v, v, 1, 0, 3, 2);
    return v;
  }

 private:
  static constexpr float kRounder = 12582912.0f;
  template <class To>
  static To load_as(const void* p) {
    To to;
    std::memcpy(&to, p, sizeof to);
    return to;
  }
  static Vec choose(Ints condition, Vec a, Vec b) {
    return reinterpret_cast<Vec>((condition & reinterpret_cast<Ints>(a)) |
                                 (~condition & reinterpret_cast<Ints>(b)));
  }
  static Vec power_of_2(Ints k) { return reinterpret_cast<Vec>((k + 127) << 23); }
};

}  // namespace bandwall::portable
