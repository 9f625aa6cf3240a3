#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include "hwmodel/error.h"
#include "runtime/kernels/detail.h"
#include "runtime/kernels/unpack.h"

namespace bandwall {
namespace {

using Matmul = void (*)(const MatmulArgs&);

void check_shape(const MatmulArgs& a) {
  BANDWALL_CHECK(a.cols == a.x.cols && a.row_begin >= 0 && a.row_begin <= a.row_end);
  BANDWALL_CHECK(a.n_used >= 0 && a.cols % info(a.format).values_per_block == 0);
}

// Float weights go to the float kernels, quantized ones to the integer kernels when the 8-bit rows
// are there, else to the reference, which needs none.
template <Matmul float_kernel, Matmul quant_kernel>
void matmul(const MatmulArgs& a) {
  check_shape(a);
  if (!info(a.format).quantized) return float_kernel(a);
  if (a.x.q8 == nullptr || !can_unpack(a.format)) return reference::matmul(a);
  quant_kernel(a);
}

void checked_reference(const MatmulArgs& a) {
  check_shape(a);
  reference::matmul(a);
}

#if defined(__x86_64__)
// The processor and the operating system both; the same list as the flags in CMakeLists.txt.
bool has_f16c() {  // clang 14 has no name for it; the system's part is that of AVX
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid(1, &a, &b, &c, &d) != 0 && (c & bit_F16C) != 0;
}

bool has_avx2() {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c() &&
         __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
}

bool has_avx512() {
  return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512vbmi") &&
         __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("gfni");
}
#endif

}  // namespace

const KernelTable& reference_kernels() {
  static const KernelTable table = {"reference",
                                    checked_reference,
                                    reference::quantize_rows,
                                    reference::attention,
                                    reference::rms_norm,
                                    reference::silu_mul,
                                    reference::clamped_swiglu,
                                    reference::gelu_mul,
                                    reference::add,
                                    reference::add_scaled,
                                    reference::f32_to_f16,
                                    reference::relu_squared,
                                    reference::sigmoid_mul,
                                    reference::l2_norm,
                                    reference::conv_silu,
                                    reference::ssm_scan,
                                    reference::delta_rule,
                                    reference::pack_cell,
                                    reference::expand_cells,
                                    reference::rotate};
  return table;
}

const KernelTable& portable_kernels() {
  static const KernelTable table = {"portable",
                                    matmul<portable::float_matmul, portable::quant_matmul>,
                                    portable::quantize_rows,
                                    portable::attention,
                                    portable::rms_norm,
                                    portable::silu_mul,
                                    portable::clamped_swiglu,
                                    portable::gelu_mul,
                                    portable::add,
                                    portable::add_scaled,
                                    portable::f32_to_f16,
                                    portable::relu_squared,
                                    portable::sigmoid_mul,
                                    portable::l2_norm,
                                    portable::conv_silu,
                                    portable::ssm_scan,
                                    portable::delta_rule,
                                    portable::pack_cell,
                                    portable::expand_cells,
                                    portable::rotate};
  return table;
}

const KernelTable* avx2_kernels() {
#if defined(__x86_64__)
  static const KernelTable table = {"avx2",
                                    matmul<avx2::float_matmul, avx2::quant_matmul>,
                                    avx2::quantize_rows,
                                    avx2::attention,
                                    avx2::rms_norm,
                                    avx2::silu_mul,
                                    avx2::clamped_swiglu,
                                    avx2::gelu_mul,
                                    avx2::add,
                                    avx2::add_scaled,
                                    avx2::f32_to_f16,
                                    avx2::relu_squared,
                                    avx2::sigmoid_mul,
                                    avx2::l2_norm,
                                    avx2::conv_silu,
                                    avx2::ssm_scan,
                                    avx2::delta_rule,
                                    avx2::pack_cell,
                                    avx2::expand_cells,
                                    avx2::rotate};
  return has_avx2() ? &table : nullptr;
#else
  return nullptr;
#endif
}

const KernelTable* avx512_kernels() {
#if defined(__x86_64__)
  static const KernelTable table = {"avx512",
                                    matmul<avx512::float_matmul, avx512::quant_matmul>,
                                    avx512::quantize_rows,
                                    avx512::attention,
                                    avx512::rms_norm,
                                    avx512::silu_mul,
                                    avx512::clamped_swiglu,
                                    avx512::gelu_mul,
                                    avx512::add,
                                    avx512::add_scaled,
                                    avx512::f32_to_f16,
                                    avx512::relu_squared,
                                    avx512::sigmoid_mul,
                                    avx512::l2_norm,
                                    avx512::conv_silu,
                                    avx512::ssm_scan,
                                    avx512::delta_rule,
                                    avx512::pack_cell,
                                    avx512::expand_cells,
                                    avx512::rotate,
                                    avx512::quantize_chunks};
  return has_avx512() ? &table : nullptr;
#else
  return nullptr;
#endif
}

const KernelTable& best_kernels() {
  if (const KernelTable* table = avx512_kernels()) return *table;
  if (const KernelTable* table = avx2_kernels()) return *table;
  return portable_kernels();
}

std::vector<const KernelTable*> usable_kernels() {
  std::vector<const KernelTable*> tables = {&reference_kernels(), &portable_kernels()};
  if (const KernelTable* table = avx2_kernels()) tables.push_back(table);
  if (const KernelTable* table = avx512_kernels()) tables.push_back(table);
  return tables;
}

bool wants_q8(const KernelTable& table, Format format, std::int64_t cols) {
  return table.isa != "reference" && can_unpack(format) && cols % 32 == 0;
}

bool wants_chunk_scales(const KernelTable& table, Format format, std::int64_t cols,
                        std::int64_t n) {
  constexpr std::int64_t kManyRows = 32;  // below, weights are the time, not products
  if (table.quantize_chunks == nullptr || cols % kChunk != 0 || n < kManyRows) return false;
  return format == Format::Q2_K || format == Format::Q3_K || format == Format::Q4_K ||
         format == Format::Q5_K || format == Format::Q6_K;
}

}  // namespace bandwall
