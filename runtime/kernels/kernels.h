// Compute kernels behind one table per instruction set, chosen at run time. Each fast kernel has a
// slow reference twin (reference.cpp), the truth for tests.
//   const KernelTable& k = best_kernels();  k.matmul(args);
// matmul computes y[i][r] = dot(row r of W, x[i]) for r in [row_begin, row_end), i in [0, n).
// Results do not depend on how rows are divided among calls (bitwise), so not on the thread count.
// Shapes: W is rows x cols, packed by format, row after row, `row_bytes` apart; x is n rows of
// cols.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "runtime/kernels/recurrence.h"
#include "workload/format.h"

namespace bandwall {

// Activation rows for one matmul: float32, and an 8-bit form made once per op (quantize_rows).
// 8-bit form: groups of 32 values along the row, value = scale[g] * q; sums16[h] = sum of q over
// half-groups of 16 (for formats with a minimum). cols not a multiple of 32 have no 8-bit form.
// The scales of 256 columns (counted from the start of the row; the last may be fewer) are
// multiples 0 .. 63 of one step, a 63rd of the largest: kernels of formats with integer scales then
// add up whole blocks of 256 in integers. Rows are quantized whole or in pieces of 256 columns; of
// other pieces the results are right, but such kernels fall back to a slower way.
// chunk_scales: the groups of each 256 columns have the same scale (quantize_chunks).
struct ActivationRows {
  std::int64_t n = 0, cols = 0;
  const float* f32 = nullptr;       // n rows, stride cols
  const std::int8_t* q8 = nullptr;  // n rows, stride cols, 64-byte aligned base; nullptr = not made
  const float* scale = nullptr;     // n rows, stride cols / 32
  const std::int16_t* sums16 = nullptr;  // n rows, stride cols / 16
  bool chunk_scales = false;
};

struct MatmulArgs {
  Format format = Format::F32;
  const std::byte* w = nullptr;
  std::int64_t row_bytes = 0, cols = 0;
  std::int64_t row_begin = 0, row_end = 0;
  ActivationRows x;
  const std::int32_t* x_rows =
      nullptr;              // n_used indices into x (tokens of an expert); nullptr = 0..n-1
  std::int64_t n_used = 0;  // rows of x to use (x.n when x_rows is nullptr)
  float* y = nullptr;       // y[i * y_stride + r], i counts used rows
  std::int64_t y_stride = 0;
  // Weights that this thread will probably read afterwards: fetched while the last rows are
  // multiplied. nullptr = unknown.
  const std::byte* next = nullptr;
};

// Attention of one KV head for its whole group of query heads, `n` query positions of one sequence.
// q: n x group x head_dim_k (already rotated, not scaled); k, v: cells of this head, `k_stride` and
// `v_stride` bytes from one cell to the next. Query i sees cells [first[i], last[i]) (indices into
// the cache; the causal mask and the window in one). The cells may be a ring: cell c lies at place
// c % ring, where `ring` is a multiple of 64, so that a tile of 64 cells is never divided.
// sinks: one logit per query head or nullptr.
// Fast when the cells of a head lie together (stride = head_dim * size): heads interleaved at
// strides of 1 KiB and more fall on few first-level cache sets and cost a quarter to a half. out: n
// x group x head_dim_v at out[i * out_stride + g * head_dim_v]. Splits over cells are merged in a
// fixed order: results do not depend on the thread count.
// Types other than f32 and f16 are expanded before use: keys of up to kMostKeyDims values, values
// of up to kMostValueDims.
inline constexpr std::int64_t kMostKeyDims = 576, kMostValueDims = 512;

struct AttentionArgs {
  const KvFormat* k_type = nullptr;
  const KvFormat* v_type = nullptr;
  const std::byte* k = nullptr;
  const std::byte* v = nullptr;
  std::int64_t k_stride = 0, v_stride = 0;
  std::int64_t ring = INT64_MAX;
  std::int64_t head_dim_k = 0, head_dim_v = 0, group = 1;
  std::int64_t n = 1;
  const float* q = nullptr;
  std::int64_t q_stride = 0;  // floats from query i to i + 1
  const std::int64_t* first = nullptr;
  const std::int64_t* last = nullptr;
  float scale = 1.0f;
  const float* sinks = nullptr;  // `group` values
  float* out = nullptr;
  std::int64_t out_stride = 0;
  // Partial mode (long contexts, split over threads): only cells [part_begin, part_end); out gets
  // the unnormalised sum and `partial` gets {max, sum} per (query, head); merged by
  // merge_attention_parts in ascending part order.
  std::int64_t part_begin = 0, part_end = -1;  // part_end < 0: no split
  float* partial = nullptr;                    // n x group x 2
  // Keys that this thread will probably read afterwards: fetched while the last cells are worked
  // on. nullptr = unknown.
  const std::byte* next = nullptr;
};

// Cells of one head: `count` of them, `stride` bytes apart; of each the dimensions
// [first, first + dims), whole blocks.
struct CellRun {
  const KvFormat* type = nullptr;
  const std::byte* cells = nullptr;
  std::int64_t stride = 0, count = 0;
  std::int64_t first = 0, dims = 0;
};

// A rotation of every `size` neighbouring values (64, 128 or 256): the Walsh-Hadamard matrix over
// the root of size, with the signs of a codebook type before it. `back` undoes it.
struct KvRotation {
  std::int64_t size = 0;  // 0: none
  bool signs = false;
  bool back = false;
};

struct KernelTable {
  std::string_view isa;  // "reference", "portable", "avx2", "avx512"
  void (*matmul)(const MatmulArgs&);
  void (*quantize_rows)(const float* x, std::int64_t n, std::int64_t cols, std::int8_t* q8,
                        float* scale, std::int16_t* sums16);
  void (*attention)(const AttentionArgs&);
  void (*rms_norm)(const float* x, const float* weight, float eps, std::int64_t n, float* y);
  // y[i] = silu(gate[i]) * up[i]; the clamped form of gpt-oss: see reference.cpp.
  void (*silu_mul)(const float* gate, const float* up, std::int64_t n, float* y);
  void (*clamped_swiglu)(const float* gate, const float* up, std::int64_t n, float* y);
  void (*gelu_mul)(const float* gate, const float* up, std::int64_t n, float* y);
  void (*add)(float* y, const float* x, std::int64_t n);                  // y += x
  void (*add_scaled)(float* y, const float* x, float a, std::int64_t n);  // y += a * x
  void (*f32_to_f16)(const float* x, std::int64_t n, std::uint16_t* y);
  void (*relu_squared)(const float* x, std::int64_t n, float* y);  // y = max(0, x)^2
  void (*sigmoid_mul)(const float* gate, const float* x, std::int64_t n, float* y);
  // y = scale * x / max(|x|, eps), |x| the Euclidean length.
  void (*l2_norm)(const float* x, float eps, float scale, std::int64_t n, float* y);
  void (*conv_silu)(const ConvArgs&);  // recurrence.h
  void (*ssm_scan)(const ScanArgs&);
  void (*delta_rule)(const DeltaArgs&);
  // One vector of `dim` values (whole blocks of the type) into a cell of the KV cache, and cells
  // back to rows of floats, row_stride apart.
  void (*pack_cell)(const KvFormat& type, const float* x, std::int64_t dim, std::byte* cell);
  void (*expand_cells)(const CellRun& run, float* rows, std::int64_t row_stride);
  void (*rotate)(const KvRotation& rotation, float* x, std::int64_t n);  // in place, n % size == 0
  // quantize_rows with one scale for each 256 columns (ActivationRows::chunk_scales); nullptr where
  // no kernel is faster with it.
  void (*quantize_chunks)(const float* x, std::int64_t n, std::int64_t cols, std::int8_t* q8,
                          float* scale, std::int16_t* sums16) = nullptr;
};

// Expands `n` values (whole blocks) to float32, bit for bit as ggml does. Throws Error (Input) for
// a format without kernels (grid codebooks): has_kernels(format) says so beforehand.
void dequantize(Format format, const std::byte* blocks, std::int64_t n, float* out);
bool has_kernels(Format format);

const KernelTable& reference_kernels();  // weights expanded to float32, float32 activations
const KernelTable& portable_kernels();   // plain C++, any machine
const KernelTable* avx2_kernels();       // nullptr when not compiled in or not on this machine
const KernelTable* avx512_kernels();
const KernelTable& best_kernels();                 // the best of the above for this machine
std::vector<const KernelTable*> usable_kernels();  // all that run here, reference first

// True when matmul of this table wants the 8-bit form of x for this format and width (an integer
// kernel); the engine then calls quantize_rows once per op. Kernels also accept rows without it
// (q8 == nullptr) and then work in float32.
bool wants_q8(const KernelTable& table, Format format, std::int64_t cols);

// True when n rows of x had better have chunk scales: many rows of K-quants, whose own scales span
// 256 columns too (so does the reference engine's 8-bit form for them).
bool wants_chunk_scales(const KernelTable& table, Format format, std::int64_t cols, std::int64_t n);

// Merges `parts` partial results (see AttentionArgs) of n x group rows into out; adds sinks.
// outs[p] has its rows close together: out_stride = group * head_dim_v.
void merge_attention_parts(const float* const* outs, const float* const* partials, int parts,
                           std::int64_t n, std::int64_t group, std::int64_t head_dim_v,
                           const float* sinks, float* out, std::int64_t out_stride);

float half_to_float(std::uint16_t h);
std::uint16_t float_to_half(float f);  // round to nearest even, as the hardware does
std::uint16_t float_to_bfloat(float f);

}  // namespace bandwall
