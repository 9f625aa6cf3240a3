// Laws of the readers of checkpoints: what a writer lays out is read back, any one change of a
// number in the header is refused or harmless, and configs give sums that add up.
#include <random>

#include <gtest/gtest.h>

#include "hwmodel/error.h"
#include "tests/support/safetensors_writer.h"
#include "workload/hf_model.h"

namespace bandwall {
namespace {

using testing::StWriter;

SafetensorsHeader parse(const std::string& file) {
  return parse_safetensors(std::as_bytes(std::span(file.data(), file.size())),
                           static_cast<std::int64_t>(file.size()), "m.safetensors");
}

TEST(SafetensorsLaws, WhatIsWrittenIsRead) {
  constexpr const char* kDtypes[] = {"BF16", "F32", "U8", "F8_E4M3", "I64"};
  for (unsigned seed = 0; seed < 200; ++seed) {
    std::mt19937 random(seed);
    StWriter w;
    std::vector<std::pair<std::string, std::vector<std::int64_t>>> written;
    const std::size_t count = random() % 12;
    for (std::size_t i = 0; i < count; ++i) {
      std::vector<std::int64_t> dims(random() % 4);
      for (std::int64_t& d : dims) d = static_cast<std::int64_t>(random() % 5);
      written.emplace_back("t" + std::to_string(i), dims);
      w.add(written.back().first, kDtypes[random() % 5], dims);
    }
    const SafetensorsHeader h = parse(w.build());
    ASSERT_EQ(h.tensors.size(), written.size()) << seed;
    std::int64_t bytes = 0;
    for (const StoredTensor& t : h.tensors) bytes += t.bytes;
    EXPECT_EQ(bytes, w.data_bytes());
    for (const auto& [name, dims] : written) {
      const auto it = std::find_if(h.tensors.begin(), h.tensors.end(),
                                   [&, wanted = name](const auto& t) { return t.name == wanted; });
      ASSERT_NE(it, h.tensors.end());
      EXPECT_EQ(it->dims, dims);
    }
  }
}

TEST(SafetensorsLaws, AChangedDigitIsRefused) {
  StWriter w;
  w.add("a", "BF16", {2, 3});
  w.add("b", "F32", {7});
  w.add("c", "U8", {5});
  const std::string good = w.build();
  int changed = 0;
  for (std::size_t i = 8; i < good.size() - static_cast<std::size_t>(w.data_bytes()); ++i) {
    if (good[i] < '0' || good[i] > '9') continue;
    if (good[i - 1] == 'U' || good[i - 1] == 'F') continue;  // part of a dtype
    if (good[i - 1] == '3' || good[i - 1] == '1') {
      if (good[i - 2] == 'F') continue;
    }
    for (char digit = '0'; digit <= '9'; ++digit) {
      if (digit == good[i]) continue;
      std::string bad = good;
      bad[i] = digit;
      EXPECT_THROW(parse(bad), Error) << bad.substr(8);
      ++changed;
    }
  }
  EXPECT_GT(changed, 90);
}

// Random small configs: either refused, or the sums of the parts are those of the whole.
TEST(HfConfigLaws, SumsAddUpForRandomShapes) {
  constexpr const char* kTypes[] = {"llama",      "qwen3",   "qwen3_moe", "mixtral",
                                    "minimax_m2", "gpt_oss", "mistral",   "olmoe"};
  constexpr const char* kQuant[] = {
      R"({})", R"({"quant_method": "fp8", "weight_block_size": [128, 128]})",
      R"({"quant_method": "modelopt", "quant_algo": "NVFP4", "ignore": ["*self_attn*"]})",
      R"({"quant_method": "awq", "bits": 4, "group_size": 32})", R"({"quant_method": "mxfp4"})"};
  int read = 0;
  for (unsigned seed = 0; seed < 400; ++seed) {
    std::mt19937 random(seed);
    const auto pick = [&](std::initializer_list<int> of) {
      return of.begin()[random() % of.size()];
    };
    const int quant = static_cast<int>(random() % 5);
    const std::string common = fmt::format(
        R"({{"model_type": "{}", "hidden_size": {}, "num_hidden_layers": {},
        "num_attention_heads": {}, "num_key_value_heads": {}, "head_dim": {}, "vocab_size": {},
        "max_position_embeddings": 512, "intermediate_size": {}, "moe_intermediate_size": {},
        "num_experts": {}, "num_experts_per_tok": 2, "sliding_window": 64)",
        kTypes[random() % 8], pick({64, 96, 200, 256}), pick({1, 2, 5}), pick({4, 8}), pick({2, 4}),
        pick({16, 32, 50}), pick({100, 256}), pick({64, 130}), pick({32, 48}), pick({2, 4, 9}));
    HfFiles plain, quantized;
    plain.config_name = quantized.config_name = "config.json";
    plain.config = common + "}";
    quantized.config =
        quant == 0 ? plain.config : common + R"(, "quantization_config": )" + kQuant[quant] + "}";
    try {
      const ModelSpec a = model_from_hf(plain), b = model_from_hf(quantized);
      EXPECT_EQ(a.weight_bytes(), 2 * a.parameters()) << plain.config;
      EXPECT_EQ(a.parameters(), b.parameters());
      EXPECT_LE(b.weight_bytes(), a.weight_bytes() + a.weight_bytes() / 4) << quantized.config;
      for (const TensorSpec& t : b.tensors) EXPECT_GT(t.bytes, 0) << t.name;
      ++read;
    } catch (const Error&) {
    }
  }
  EXPECT_GT(read, 200);
}

}  // namespace
}  // namespace bandwall
