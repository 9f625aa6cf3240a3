#include "workload/format.h"

#include <algorithm>
#include <cctype>

#include "hwmodel/error.h"

namespace bandwall {
namespace {

bool same_letters(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](unsigned char x, unsigned char y) {
    return std::tolower(x) == std::tolower(y);
  });
}

}  // namespace

const std::vector<FormatInfo>& all_formats() {
  using enum Format;
  static const std::vector<FormatInfo> table = {
      {F32, "F32", 1, 4, false},         {F16, "F16", 1, 2, false},
      {Q4_0, "Q4_0", 32, 18, true},      {Q4_1, "Q4_1", 32, 20, true},
      {Q5_0, "Q5_0", 32, 22, true},      {Q5_1, "Q5_1", 32, 24, true},
      {Q8_0, "Q8_0", 32, 34, true},      {Q8_1, "Q8_1", 32, 36, true},
      {Q2_K, "Q2_K", 256, 84, true},     {Q3_K, "Q3_K", 256, 110, true},
      {Q4_K, "Q4_K", 256, 144, true},    {Q5_K, "Q5_K", 256, 176, true},
      {Q6_K, "Q6_K", 256, 210, true},    {Q8_K, "Q8_K", 256, 292, true},
      {IQ2_XXS, "IQ2_XXS", 256, 66, true}, {IQ2_XS, "IQ2_XS", 256, 74, true},
      {IQ3_XXS, "IQ3_XXS", 256, 98, true}, {IQ1_S, "IQ1_S", 256, 50, true},
      {IQ4_NL, "IQ4_NL", 32, 18, true},  {IQ3_S, "IQ3_S", 256, 110, true},
      {IQ2_S, "IQ2_S", 256, 82, true},   {IQ4_XS, "IQ4_XS", 256, 136, true},
      {I8, "I8", 1, 1, false},           {I16, "I16", 1, 2, false},
      {I32, "I32", 1, 4, false},         {I64, "I64", 1, 8, false},
      {F64, "F64", 1, 8, false},         {IQ1_M, "IQ1_M", 256, 56, true},
      {BF16, "BF16", 1, 2, false},       {TQ1_0, "TQ1_0", 256, 54, true},
      {TQ2_0, "TQ2_0", 256, 66, true},   {MXFP4, "MXFP4", 32, 17, true},
      {NVFP4, "NVFP4", 64, 36, true},    {Q1_0, "Q1_0", 128, 18, true},
      {Q2_0, "Q2_0", 64, 18, true},      {F8_E4M3, "F8_E4M3", 1, 1, true},
      {FP8_BLOCK128, "FP8_BLOCK128", 16384, 16388, true},
      {NVFP4_ST, "NVFP4_ST", 16, 9, true}, {INT4, "INT4", 2, 1, true},
  };
  return table;
}

// By number, as this is asked for every tensor and op: ggml's types, then those from 1000 on.
const FormatInfo& info(Format format) {
  constexpr std::size_t kOwn = 64;
  const auto place = [](Format f) {
    const auto number = static_cast<std::size_t>(f);
    return number < 1000 ? number : number - 1000 + kOwn;
  };
  static const std::vector<const FormatInfo*> rows = [&] {
    std::vector<const FormatInfo*> all(2 * kOwn);
    for (const FormatInfo& f : all_formats()) all.at(place(f.format)) = &f;
    return all;
  }();
  const FormatInfo* row = place(format) < rows.size() ? rows[place(format)] : nullptr;
  BANDWALL_CHECK(row != nullptr);
  return *row;
}

std::optional<Format> format_from_ggml_type(std::uint32_t type) {
  if (type >= 1000) return std::nullopt;
  for (const FormatInfo& f : all_formats()) {
    if (static_cast<std::uint32_t>(f.format) == type) return f.format;
  }
  return std::nullopt;
}

std::optional<Format> format_from_name(std::string_view name) {
  for (const FormatInfo& f : all_formats()) {
    if (same_letters(f.name, name)) return f.format;
  }
  return std::nullopt;
}

std::int64_t row_bytes(Format format, std::int64_t values) {
  const FormatInfo& f = info(format);
  BANDWALL_CHECK(values >= 0 && values % f.values_per_block == 0);
  return values / f.values_per_block * f.bytes_per_block;
}

const std::vector<KvFormat>& all_kv_formats() {
  using enum Format;
  static const std::vector<KvFormat> table = {
      {"f32", 1, 4, false, F32},           {"f16", 1, 2, false, F16},
      {"bf16", 1, 2, false, BF16},         {"q8_0", 32, 34, true, Q8_0},
      {"q5_1", 32, 24, true, Q5_1},        {"q5_0", 32, 22, true, Q5_0},
      {"q4_1", 32, 20, true, Q4_1},        {"q4_0", 32, 18, true, Q4_0},
      {"iq4_nl", 32, 18, true, IQ4_NL},    {"tbq4_0", 256, 130, true, F32, 4},
      {"tbq3_0", 256, 98, true, F32, 3},   {"tbq4_1", 128, 66, true, F32, 4},
      {"tbq3_1", 128, 50, true, F32, 3},   {"tbq4_2", 64, 34, true, F32, 4},
      {"tbq3_2", 64, 26, true, F32, 3},
  };
  return table;
}

const KvFormat* kv_format_from_name(std::string_view name) {
  for (const KvFormat& f : all_kv_formats()) {
    if (same_letters(f.name, name)) return &f;
  }
  return nullptr;
}

const std::vector<KvFormat>& foreign_kv_formats() {
  static const std::vector<KvFormat> table = {
      {"fp8", 1, 1, true},           {"turbo4_0", 128, 68, true},  {"turbo3_0", 32, 14, true},
      {"tbqp4_0", 256, 132, true},   {"tbqp3_0", 256, 100, true},  {"tbqp4_1", 128, 68, true},
      {"tbqp3_1", 128, 52, true},    {"tbq4_4", 576, 388, true},   {"tbq3_4", 576, 324, true},
  };
  return table;
}

const KvFormat* cache_layout_from_name(std::string_view name) {
  if (const KvFormat* f = kv_format_from_name(name)) return f;
  for (const KvFormat& f : foreign_kv_formats()) {
    if (same_letters(f.name, name)) return &f;
  }
  return nullptr;
}

}  // namespace bandwall
