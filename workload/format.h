// Storage formats: how tensor values are packed, and therefore how many bytes they cost.
// Block sizes: ggml-org/ggml src/ggml-common.h (asserted there); the last ones are checkpoint
// formats.
//   row_bytes(Format::Q4_K, 4096) == 2304        // 16 blocks of 144 bytes
// A format says nothing about arithmetic: that is the numeric of a kernel.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "hwmodel/units.h"

namespace bandwall {

// Values below 1000 are ggml type numbers as they stand in GGUF files.
enum class Format : std::uint32_t {
  F32 = 0,
  F16 = 1,
  Q4_0 = 2,
  Q4_1 = 3,
  Q5_0 = 6,
  Q5_1 = 7,
  Q8_0 = 8,
  Q8_1 = 9,
  Q2_K = 10,
  Q3_K = 11,
  Q4_K = 12,
  Q5_K = 13,
  Q6_K = 14,
  Q8_K = 15,
  IQ2_XXS = 16,
  IQ2_XS = 17,
  IQ3_XXS = 18,
  IQ1_S = 19,
  IQ4_NL = 20,
  IQ3_S = 21,
  IQ2_S = 22,
  IQ4_XS = 23,
  I8 = 24,
  I16 = 25,
  I32 = 26,
  I64 = 27,
  F64 = 28,
  IQ1_M = 29,
  BF16 = 30,
  TQ1_0 = 34,
  TQ2_0 = 35,
  MXFP4 = 39,
  NVFP4 = 40,
  Q1_0 = 41,
  Q2_0 = 42,
  F8_E4M3 = 1000,       // safetensors: one byte per value
  FP8_BLOCK128 = 1001,  // F8_E4M3 with one F32 scale per 128 x 128 block
  NVFP4_ST = 1002,      // safetensors NVFP4: 16 E2M1 values and one F8 scale (tensor scale apart)
  INT4 = 1003,          // safetensors: AWQ, GPTQ and packed integers, scales of groups apart
};

struct FormatInfo {
  Format format;
  std::string_view name;  // "Q4_K", as llama.cpp spells it
  std::int64_t values_per_block;
  std::int64_t bytes_per_block;
  bool quantized;  // values must be expanded before use
  double bits_per_value() const {
    return 8.0 * static_cast<double>(bytes_per_block) / static_cast<double>(values_per_block);
  }
};

const FormatInfo& info(Format format);
const std::vector<FormatInfo>& all_formats();
inline std::string_view name(Format format) { return info(format).name; }
std::optional<Format> format_from_ggml_type(std::uint32_t type);
std::optional<Format> format_from_name(std::string_view name);  // case-insensitive

// Bytes of `values` values; values must be a multiple of the block (CHECK).
std::int64_t row_bytes(Format format, std::int64_t values);

// Formats of the KV cache; a record, because names such as tbq3_0 mean different layouts in
// different programs. Cells hold one key or value vector of one head in whole blocks.
//   f32 .. iq4_nl: blocks of `storage`, as weights have them.
//   tbq*: TurboQuant (arXiv 2504.19874) without its residual bits. A block is turned by random
//     signs and a Walsh-Hadamard matrix; then an FP16 scale and codebook indices of `index_bits`
//     bits, value i at bit i * index_bits. _0 has blocks of 256 values (4.0625 and 3.0625 bits per
//     value), _1 of 128, _2 of 64.
struct KvFormat {
  std::string_view name;  // "f16", "q8_0", "tbq4_0"
  std::int64_t values_per_block;
  std::int64_t bytes_per_block;
  bool quantized;
  Format storage = Format::F32;  // without a codebook
  int index_bits = 0;            // of a codebook; 0: none
  double bits_per_value() const { return 8.0 * bytes_per_block / values_per_block; }
  // Bytes of n values; a partial block counts in proportion (a head of 128 in a 256-value layout).
  Bytes bytes_for(double n) const { return Bytes(n * bytes_per_block / values_per_block); }
};

const KvFormat* kv_format_from_name(std::string_view name);  // nullptr when unknown
const std::vector<KvFormat>& all_kv_formats();

// Cache layouts of other programs, for their bytes alone: no kernel of ours reads them.
//   fp8: vLLM, TensorRT-LLM. turbo*: TheTom/llama-cpp-turboquant. tbqp*: AmesianX/TurboQuant with
//   residual signs, _1 for heads of 128; tbq*_4 for latent rows of 576 values, 64 of them f16.
const std::vector<KvFormat>& foreign_kv_formats();
// Of all_kv_formats, then of foreign_kv_formats; nullptr when unknown.
const KvFormat* cache_layout_from_name(std::string_view name);

}  // namespace bandwall
