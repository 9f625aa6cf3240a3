#if defined(__x86_64__)
#include "runtime/kernels/detail.h"
#include "runtime/kernels/lanes_avx2.h"
#include "runtime/kernels/vector_lanes.h"

namespace bandwall::avx2 {

void rms_norm(const float* x, const float* weight, float eps, std::int64_t n, float* y) {
  rms_norm_lanes<Lanes>(x, weight, eps, n, y);
}

void silu_mul(const float* gate, const float* up, std::int64_t n, float* y) {
  combine_lanes<Lanes>(gate, up, n, y, SiluMul<Lanes>{});
}

void clamped_swiglu(const float* gate, const float* up, std::int64_t n, float* y) {
  combine_lanes<Lanes>(gate, up, n, y, ClampedSwiglu<Lanes>{});
}

void gelu_mul(const float* gate, const float* up, std::int64_t n, float* y) {
  combine_lanes<Lanes>(gate, up, n, y, GeluMul<Lanes>{});
}

void add(float* y, const float* x, std::int64_t n) {
  combine_lanes<Lanes>(y, x, n, y, Add<Lanes>{});
}

void add_scaled(float* y, const float* x, float a, std::int64_t n) {
  combine_lanes<Lanes>(y, x, n, y, AddScaled<Lanes>{Lanes::set(a)});
}

void f32_to_f16(const float* x, std::int64_t n, std::uint16_t* y) {
  f32_to_f16_lanes<Lanes>(x, n, y);
}

}  // namespace bandwall::avx2
#endif  // x86-64
