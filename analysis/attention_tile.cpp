#include "analysis/attention_tile.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "hwmodel/error.h"
#include "hwmodel/suggest.h"

namespace bandwall {
namespace {

struct FamilyName {
  AttentionFamily family;
  std::string_view name;
};
constexpr FamilyName kFamilies[] = {
    {AttentionFamily::Flash, "flash"},           {AttentionFamily::FlashBackward, "flash-backward"},
    {AttentionFamily::FlashInfer, "flashinfer"}, {AttentionFamily::FlashInferMla, "flashinfer-mla"},
    {AttentionFamily::LlamaMma, "llama-mma"},    {AttentionFamily::LlamaVec, "llama-vec"},
};

std::int64_t whole(double values, double bytes) {
  return static_cast<std::int64_t>(std::ceil(values * bytes));
}

TileKernel flash(const AttentionTile& t) {
  TileKernel k;
  k.title = fmt::format("flash attention {}x{}, head {}:{}", t.m, t.n, t.dim_k, t.dim_v);
  k.source = "Dao-AILab/flash-attention csrc/flash_attn/src/kernel_traits.h";
  k.needs = {t.element_bytes == 2 ? Instruction::MmaFp16 : Instruction::MmaBf16};
  if (t.element_bytes == 1) k.needs = {Instruction::MmaFp8};
  if (t.element_bytes == 4) k.needs.clear();
  const std::int64_t staged = t.stages * t.n;
  const std::int64_t keys = t.kv == AttentionTile::Kv::Value ? 0 : staged * t.dim_k;
  const std::int64_t values = t.kv == AttentionTile::Kv::Key ? 0 : staged * t.dim_v;
  const auto bytes = [&](std::int64_t n) { return whole(static_cast<double>(n), t.element_bytes); };
  if (t.q_in_registers) {
    k.add("Q, then V", bytes(std::max(t.m * t.dim_k, values)),
          fmt::format("larger of {}x{} and {} x {}x{}, x {} B", t.m, t.dim_k, t.stages, t.n,
                      t.dim_v, t.element_bytes));
  } else {
    k.add("Q", bytes(t.m * t.dim_k), fmt::format("{}x{} x {} B", t.m, t.dim_k, t.element_bytes));
    if (values > 0) {
      k.add("V", bytes(values),
            fmt::format("{} x {}x{} x {} B", t.stages, t.n, t.dim_v, t.element_bytes));
    }
  }
  if (keys > 0) {
    k.add(t.kv == AttentionTile::Kv::Key ? "K, also V" : "K", bytes(keys),
          fmt::format("{} x {}x{} x {} B", t.stages, t.n, t.dim_k, t.element_bytes));
  }
  return k;
}

TileKernel flash_backward(const AttentionTile& t) {
  TileKernel k;
  k.title = fmt::format("flash attention backward {}x{}, head {}:{}", t.m, t.n, t.dim_k, t.dim_v);
  k.source = "operand buffers of Dao-AILab/flash-attention flash_attn/cute; scores not counted";
  k.needs = {Instruction::MmaFp16};
  const auto bytes = [&](std::int64_t n) { return whole(static_cast<double>(n), t.element_bytes); };
  k.add("Q and dO", bytes(t.stages * t.m * (t.dim_k + t.dim_v)),
        fmt::format("{} x {}x({} + {}) x {} B", t.stages, t.m, t.dim_k, t.dim_v, t.element_bytes));
  k.add("K and V", bytes(t.n * (t.dim_k + t.dim_v)),
        fmt::format("{}x({} + {}) x {} B", t.n, t.dim_k, t.dim_v, t.element_bytes));
  return k;
}

TileKernel flashinfer(const AttentionTile& t) {
  TileKernel k;
  k.title = fmt::format("FlashInfer FA2 {}x{}, head {}:{}", t.m, t.n, t.dim_k, t.dim_v);
  k.source = "flashinfer-ai/flashinfer include/flashinfer/attention/prefill.cuh";
  k.needs = {Instruction::MmaBf16};
  k.add("Q", whole(static_cast<double>(t.m * t.dim_k), t.element_bytes),
        fmt::format("{}x{} x {} B", t.m, t.dim_k, t.element_bytes));
  k.add("K and V", whole(static_cast<double>(t.stages * t.n * (t.dim_k + t.dim_v)), t.kv_bytes),
        fmt::format("{} x {}x({} + {}) x {} B", t.stages, t.n, t.dim_k, t.dim_v, t.kv_bytes));
  return k;
}

TileKernel flashinfer_mla(const AttentionTile& t) {
  TileKernel k;
  k.title = fmt::format("FlashInfer MLA {}x{}, latent {} of {}", t.m, t.n, t.dim_v, t.dim_k);
  k.source = "flashinfer-ai/flashinfer include/flashinfer/attention/mla.cuh";
  k.needs = {Instruction::MmaBf16};
  if (t.dim_k <= t.dim_v) {
    throw Error::input("attention", "flashinfer-mla wants --head-dim LATENT+ROPE:LATENT, 576:512");
  }
  k.add("Q", whole(static_cast<double>(t.m * t.dim_k), t.element_bytes),
        fmt::format("{}x{} x {} B", t.m, t.dim_k, t.element_bytes));
  // The rotated part of the key shares its buffer with the probabilities, m values per key.
  const std::int64_t second = std::max(t.dim_k - t.dim_v, t.m);
  k.add("K, also V", whole(static_cast<double>(t.stages * t.n * (t.dim_v + second)), t.kv_bytes),
        fmt::format("{} x {}x({} + {}) x {} B", t.stages, t.n, t.dim_v, second, t.kv_bytes));
  k.add("maxima and sums", 2 * t.m * 4, fmt::format("2 x {} x 4 B", t.m));
  return k;
}

// llama.cpp's table for capability 8.0 and newer: threads, keys per pass, half2 values of K and V
// per pass and of the combination, stages, whether Q stays in registers. Older builds
// and forks have other rows from 256 on.
struct MmaRow {
  int dim_k, dim_v, columns, threads, keys, k2, v2, combine, stages;
  bool q_in_registers;
};
constexpr MmaRow kMmaRows[] = {
    {32, 32, 8, 128, 128, 16, 16, 16, 2, true},
    {32, 32, 16, 128, 64, 16, 16, 16, 2, true},
    {32, 32, 32, 128, 64, 16, 16, 16, 2, true},
    {32, 32, 64, 128, 64, 16, 16, 16, 2, true},
    {64, 64, 8, 128, 128, 32, 32, 32, 2, true},
    {64, 64, 16, 128, 64, 32, 32, 32, 2, true},
    {64, 64, 32, 128, 64, 32, 32, 32, 2, true},
    {64, 64, 64, 128, 64, 32, 32, 32, 2, true},
    {80, 80, 8, 128, 128, 40, 40, 40, 2, true},
    {80, 80, 16, 128, 64, 40, 40, 40, 2, true},
    {80, 80, 32, 128, 64, 40, 40, 40, 2, true},
    {80, 80, 64, 128, 64, 40, 40, 40, 2, true},
    {96, 96, 8, 128, 128, 48, 48, 48, 2, true},
    {96, 96, 16, 128, 64, 48, 48, 48, 2, true},
    {96, 96, 32, 128, 64, 48, 48, 48, 2, true},
    {96, 96, 64, 128, 64, 48, 48, 48, 2, true},
    {112, 112, 8, 128, 128, 56, 56, 56, 2, true},
    {112, 112, 16, 128, 64, 56, 56, 56, 2, true},
    {112, 112, 32, 128, 64, 56, 56, 56, 2, true},
    {112, 112, 64, 128, 64, 56, 56, 56, 2, true},
    {128, 128, 8, 128, 128, 64, 64, 64, 2, true},
    {128, 128, 16, 128, 64, 64, 64, 64, 2, true},
    {128, 128, 32, 128, 64, 64, 64, 64, 2, true},
    {128, 128, 64, 128, 64, 64, 64, 64, 2, true},
    {192, 128, 8, 64, 64, 96, 64, 64, 2, true},
    {192, 128, 16, 64, 32, 96, 64, 64, 2, true},
    {192, 128, 32, 128, 32, 96, 64, 64, 2, true},
    {192, 128, 64, 128, 32, 96, 64, 64, 2, true},
    {256, 256, 8, 128, 64, 128, 128, 128, 2, true},
    {256, 256, 16, 64, 32, 128, 128, 128, 2, true},
    {256, 256, 32, 128, 32, 128, 128, 128, 2, true},
    {256, 256, 64, 128, 32, 128, 128, 128, 2, true},
    {320, 256, 32, 128, 32, 128, 128, 128, 1, false},
    {320, 256, 64, 256, 32, 128, 128, 128, 1, false},
    {512, 512, 8, 64, 32, 256, 256, 128, 1, false},
    {512, 512, 16, 64, 32, 256, 256, 128, 1, false},
    {512, 512, 32, 128, 32, 128, 128, 128, 1, false},
    {512, 512, 64, 256, 32, 128, 128, 128, 1, false},
    {576, 512, 8, 64, 32, 288, 256, 128, 1, false},
    {576, 512, 16, 64, 32, 288, 256, 128, 1, false},
    {576, 512, 32, 128, 32, 160, 128, 128, 1, false},
    {576, 512, 64, 256, 32, 160, 128, 128, 1, false},
};

const MmaRow& mma_row(const AttentionTile& t) {
  for (const MmaRow& row : kMmaRows) {
    if (row.dim_k == t.dim_k && row.dim_v == t.dim_v && row.columns == t.m * t.n) return row;
  }
  throw Error::input("attention",
                     fmt::format("llama.cpp has no tensor-core kernel for head {}:{} and {} x {} "
                                 "columns; it has heads 32 to 128, 192:128, 256, 320:256, 512 and "
                                 "576:512 with 8, 16, 32 or 64 columns (ncols1 x ncols2)",
                                 t.dim_k, t.dim_v, t.m, t.n));
}

TileKernel llama_mma(const AttentionTile& t) {
  const MmaRow& row = mma_row(t);
  const int stages = t.n >= 2 ? row.stages : 0;  // one column per group: no asynchronous copies
  const std::int64_t columns = t.m * t.n;
  const std::int64_t kv =
      4 * row.keys * (stages > 1 ? row.k2 + 4 + row.v2 + 4 : std::max(row.k2, row.v2) + 4);
  const std::int64_t q = 4 * columns * (t.dim_k / 2 + 4);
  const std::int64_t mask = 4 * t.m * (row.keys / 2 + 4);
  const std::int64_t combine =
      4 * (row.threads / 32) * std::min<std::int64_t>(columns, 16) * (row.combine + 4);
  TileKernel k;
  k.title = fmt::format("llama.cpp flash attention {}x{} columns, head {}:{}", t.m, t.n, t.dim_k,
                        t.dim_v);
  k.source = "ggml-org/llama.cpp ggml/src/ggml-cuda/fattn-mma-f16.cuh, August 2026";
  k.needs = {Instruction::MmaBf16};
  k.threads = row.threads;
  k.stages = stages;
  const std::int64_t loop = row.q_in_registers ? std::max(q, kv + mask) : q + kv + mask;
  if (combine > loop) {
    k.add("combination of results", combine,
          fmt::format("{} warps x columns x ({} + 4) half2", row.threads / 32, row.combine));
  } else if (row.q_in_registers && q > kv + mask) {
    k.add("Q", q, fmt::format("{} columns x ({} / 2 + 4) half2", columns, t.dim_k));
  } else {
    if (!row.q_in_registers) {
      k.add("Q", q, fmt::format("{} columns x ({} / 2 + 4) half2", columns, t.dim_k));
    }
    k.add("K and V", kv,
          stages > 1 ? fmt::format("{} keys x ({} + 4 + {} + 4) half2", row.keys, row.k2, row.v2)
                     : fmt::format("{} keys x ({} + 4) half2, K and V in turn", row.keys,
                                   std::max(row.k2, row.v2)));
    k.add("mask", mask, fmt::format("{} x ({} / 2 + 4) half2", t.m, row.keys));
  }
  return k;
}

TileKernel llama_vec(const AttentionTile& t) {
  TileKernel k;
  k.title = fmt::format("llama.cpp vector attention, {} columns, head {}", t.m, t.dim_k);
  k.source = "ggml-org/llama.cpp ggml/src/ggml-cuda/fattn-vec.cuh, August 2026";
  k.threads = 128;
  const std::int64_t halves = std::max(t.m * t.dim_k, 4 * t.dim_k);
  k.add("partial results", 2 * halves,
        fmt::format("larger of {} columns x {} and 4 warps x {}, x 2 B", t.m, t.dim_k, t.dim_k));
  return k;
}

void check(const AttentionTile& t) {
  const bool columns =
      t.family == AttentionFamily::LlamaMma || t.family == AttentionFamily::LlamaVec;
  for (const auto& [what, n] : {std::pair{"tile rows", t.m},
                                {"tile columns", t.n},
                                {"head size", t.dim_k},
                                {"value size", t.dim_v}}) {
    if (n < 1 || n > kLargestEdge) {
      throw Error::input("attention",
                         fmt::format("{} of {}; wanted are 1 to {}", what, n, kLargestEdge));
    }
  }
  if (!columns && (t.dim_k % 8 != 0 || t.dim_v % 8 != 0)) {
    throw Error::input("attention",
                       fmt::format("head {}:{} is no multiple of 8", t.dim_k, t.dim_v));
  }
  if (t.stages < 1 || t.stages > kMostStages) {
    throw Error::input("attention",
                       fmt::format("{} stages; wanted are 1 to {}", t.stages, kMostStages));
  }
  for (const double b : {t.element_bytes, t.kv_bytes}) {
    if (!(b >= 0.25 && b <= 8)) throw Error::input("attention", "elements of 0.25 to 8 bytes only");
  }
}

// Row strides of a tile of weights in 32-bit words, by the layout a type is unpacked to.
struct MmqType {
  std::string_view name;
  int stride;
};
constexpr MmqType kMmqTypes[] = {
    {"q4_0", 76},          {"q4_1", 76},    {"q5_0", 76},   {"q5_1", 76},  {"q8_0", 76},
    {"q2_k", 100},         {"q3_k", 84},    {"q4_k", 76},   {"q5_k", 76},  {"q6_k", 76},
    {"iq1_s", 76},         {"iq2_xxs", 76}, {"iq2_xs", 84}, {"iq2_s", 84}, {"iq3_xxs", 76},
    {"iq3_s", 76},         {"iq4_nl", 76},  {"iq4_xs", 76}, {"mxfp4", 76}, {"nvfp4", 76},
    {"nvfp4_generic", 84},
};

}  // namespace

std::string_view name(AttentionFamily family) {
  for (const FamilyName& f : kFamilies) {
    if (f.family == family) return f.name;
  }
  return "";
}

std::optional<AttentionFamily> attention_family_from_name(std::string_view wanted) {
  for (const FamilyName& f : kFamilies) {
    if (f.name == wanted) return f.family;
  }
  return std::nullopt;
}

std::vector<std::string> attention_family_names() {
  std::vector<std::string> names;
  for (const FamilyName& f : kFamilies) names.emplace_back(f.name);
  return names;
}

TileKernel attention_kernel(const AttentionTile& t) {
  check(t);
  TileKernel k;
  switch (t.family) {
    case AttentionFamily::Flash:
      k = flash(t);
      break;
    case AttentionFamily::FlashBackward:
      k = flash_backward(t);
      break;
    case AttentionFamily::FlashInfer:
      k = flashinfer(t);
      break;
    case AttentionFamily::FlashInferMla:
      k = flashinfer_mla(t);
      break;
    case AttentionFamily::LlamaMma:
      return llama_mma(t);
    case AttentionFamily::LlamaVec:
      return llama_vec(t);
  }
  k.stages = t.stages;
  return k;
}

int largest_stage_count(const AttentionTile& given, std::int64_t capacity) {
  AttentionTile t = given;
  if (t.family == AttentionFamily::LlamaMma || t.family == AttentionFamily::LlamaVec) return 0;
  int best = 0;
  for (t.stages = 1; t.stages <= kMostStages; ++t.stages) {
    if (attention_kernel(t).shared_bytes > capacity) break;
    best = t.stages;
  }
  return best;
}

std::vector<std::string> mmq_type_names() {
  std::vector<std::string> names;
  for (const MmqType& t : kMmqTypes) names.emplace_back(t.name);
  return names;
}

TileKernel mmq_kernel(std::string_view type, std::int64_t i, std::int64_t j, std::int64_t threads) {
  const MmqType* row = std::find_if(std::begin(kMmqTypes), std::end(kMmqTypes),
                                    [&](const MmqType& t) { return t.name == type; });
  if (row == std::end(kMmqTypes)) {
    const std::string near = suggest(std::string(type), mmq_type_names());
    throw Error::input("mmq", fmt::format("'{}' is no type of llama.cpp's quantized product{}; "
                                          "known: {}",
                                          type, near.empty() ? "" : "; did you mean " + near + "?",
                                          fmt::join(mmq_type_names(), ", ")));
  }
  const bool tile = i >= 8 && i <= 256 && i % 8 == 0 && j >= 8 && j <= 256 && j % 8 == 0;
  if (!tile || threads < 32 || threads > kThreadsPerBlock || threads % 32 != 0) {
    throw Error::input("mmq", fmt::format("{}x{} with {} threads; wanted are multiples of 8 up to "
                                          "256 and 32 to 1024 threads in warps of 32",
                                          i, j, threads));
  }
  TileKernel k;
  k.title = fmt::format("llama.cpp quantized product {}x{} of {}", i, j, type);
  k.source = "ggml-org/llama.cpp ggml/src/ggml-cuda/mmq.cuh, August 2026";
  k.threads = threads;
  k.stages = 1;
  if (type == "mxfp4" || type == "nvfp4") k.needs = {Instruction::MmaNvfp4};
  k.add("weights", i * row->stride * 4, fmt::format("{} rows x {} words", i, row->stride));
  k.add("activations", round_up(j * 144, 4 * threads),
        fmt::format("{} x 144 B, rounded up to {} threads x 4 B", j, threads));
  k.add("row numbers", 4 * j, fmt::format("{} x 4 B", j));
  return k;
}

}  // namespace bandwall
