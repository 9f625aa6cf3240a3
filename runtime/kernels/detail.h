// Internal to runtime/kernels: the functions behind the tables, one namespace per instruction set.
// table.cpp is the only caller of the wide ones; it asks the processor first.
//   float_matmul: F32, F16, BF16 weights, float32 activations (float_matmul_*.cpp).
//   quant_matmul: quantized weights, 8-bit activations, x.q8 present (matmul_*.cpp).
// Files *_avx2.cpp and *_avx512.cpp hold intrinsics and internal-linkage functions only; on other
// machines they compile to nothing.
#pragma once

#include "runtime/kernels/kernels.h"

#define BANDWALL_KERNEL_DECLARATIONS                                                             \
  void float_matmul(const MatmulArgs& a);                                                        \
  void quant_matmul(const MatmulArgs& a);                                                        \
  void quantize_rows(const float* x, std::int64_t n, std::int64_t cols, std::int8_t* q8,         \
                     float* scale, std::int16_t* sums16);                                        \
  void attention(const AttentionArgs& a);                                                        \
  void rms_norm(const float* x, const float* weight, float eps, std::int64_t n, float* y);       \
  void silu_mul(const float* gate, const float* up, std::int64_t n, float* y);                   \
  void clamped_swiglu(const float* gate, const float* up, std::int64_t n, float* y);             \
  void gelu_mul(const float* gate, const float* up, std::int64_t n, float* y);                   \
  void add(float* y, const float* x, std::int64_t n);                                            \
  void add_scaled(float* y, const float* x, float a, std::int64_t n);                            \
  void f32_to_f16(const float* x, std::int64_t n, std::uint16_t* y);                             \
  void relu_squared(const float* x, std::int64_t n, float* y);                                   \
  void sigmoid_mul(const float* gate, const float* x, std::int64_t n, float* y);                 \
  void l2_norm(const float* x, float eps, float scale, std::int64_t n, float* y);                \
  void conv_silu(const ConvArgs& a);                                                             \
  void ssm_scan(const ScanArgs& a);                                                              \
  void delta_rule(const DeltaArgs& a);                                                           \
  void pack_cell(const KvFormat& type, const float* x, std::int64_t dim, std::byte* cell);       \
  void expand_cells(const CellRun& run, float* rows, std::int64_t row_stride);                   \
  void rotate(const KvRotation& rotation, float* x, std::int64_t n);

namespace bandwall {

// 8-bit activations (ActivationRows): steps in the largest scale of 256 columns, and magnitudes
// that count as 0, far below any sum: their inverse could overflow.
inline constexpr float kScaleSteps = 63.0f, kTiny = 1e-30f;

namespace reference {
// Any format of has_kernels: weights expanded to float32, float32 activations, sums in double.
void matmul(const MatmulArgs& a);
BANDWALL_KERNEL_DECLARATIONS
}  // namespace reference

namespace portable {
BANDWALL_KERNEL_DECLARATIONS
}

namespace avx2 {
BANDWALL_KERNEL_DECLARATIONS
}

namespace avx512 {
BANDWALL_KERNEL_DECLARATIONS
void quantize_chunks(const float* x, std::int64_t n, std::int64_t cols, std::int8_t* q8,
                     float* scale, std::int16_t* sums16);
}

}  // namespace bandwall

#undef BANDWALL_KERNEL_DECLARATIONS
