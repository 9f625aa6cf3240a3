#if defined(__x86_64__)
#include "runtime/kernels/detail.h"
#include "runtime/kernels/lanes_avx2.h"
#include "runtime/kernels/recurrence_lanes.h"

namespace bandwall::avx2 {

void relu_squared(const float* x, std::int64_t n, float* y) { relu_squared_lanes<Lanes>(x, n, y); }

void sigmoid_mul(const float* gate, const float* x, std::int64_t n, float* y) {
  combine_lanes<Lanes>(gate, x, n, y, SigmoidMul<Lanes>{});
}

void l2_norm(const float* x, float eps, float scale, std::int64_t n, float* y) {
  l2_norm_lanes<Lanes>(x, eps, scale, n, y);
}

void conv_silu(const ConvArgs& a) { conv_silu_lanes<Lanes>(a); }
void ssm_scan(const ScanArgs& a) { ssm_scan_lanes<Lanes>(a); }
void delta_rule(const DeltaArgs& a) { delta_rule_lanes<Lanes>(a); }

}  // namespace bandwall::avx2
#endif  // x86-64
