// Models whose layers differ: Gemma-4, Llama-4, short convolutions. Values worked out by hand from
// the published configurations.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fmt/format.h>

#include "configs/library.h"
#include "hwmodel/error.h"
#include "runtime/engine.h"
#include "runtime/synthetic_model.h"
#include "workload/hf_model.h"
#include "workload/plan.h"

namespace bandwall {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr double kMiB = 1 << 20;

ModelSpec model(const char* name, const char* mix) {
  return model_from_shape(load_model_shape(name), mix);
}

KvConfig cache(const char* type) {
  const KvFormat* format = cache_layout_from_name(type);
  return {format, format};
}

TEST(LayerKinds, Gemma4HasThePublishedSizes) {
  // 60 layers: 50 with q 5376 x 8192 and k, v of 16 x 256, 10 with q 5376 x 16384 and k of 4 x 512.
  const std::int64_t d = 5376, ffn = 3 * d * 21504, norms = 4 * d + 1;
  const std::int64_t window = 2 * d * 32 * 256 + 2 * d * 16 * 256 + 2 * 256;
  const std::int64_t full = 2 * d * 32 * 512 + d * 4 * 512 + 2 * 512;
  const ModelSpec dense = model("gemma-4-31b", "BF16");
  EXPECT_EQ(dense.parameters(), 60 * (ffn + norms) + 50 * window + 10 * full + 262144 * d + d);
  EXPECT_NEAR(static_cast<double>(dense.weight_bytes()) / kGiB, 57.18, 0.005);  // llama-bench
  // The text part of nvidia's checkpoint: 18,782,268,572 B in all, with a vision tower in BF16.
  const std::int64_t nvfp4 = model("gemma-4-26b-a4b", "NVFP4").weight_bytes();
  EXPECT_GT(18'782'268'572 - nvfp4, 2 * 500'000'000);
  EXPECT_LT(18'782'268'572 - nvfp4, 2 * 600'000'000);
}

TEST(LayerKinds, Gemma4KeepsTwoKindsOfCells) {
  // Cache lines that llama.cpp printed: 25 window layers of 1536 cells and 5 full ones, q8_0.
  const ModelSpec moe = model("gemma-4-26b-a4b", "Q8_0");
  EXPECT_EQ(kv_cells(moe.hyper, 0, 262144, 512), 1536);
  EXPECT_EQ(kv_cells(moe.hyper, 5, 262144, 512), 262144);
  EXPECT_NEAR(kv_cache_bytes(moe, cache("q8_0"), 262144, 512).value() / kMiB, 159.375 + 2720.0,
              1e-6);
  // E4B: 20 window layers of 1024 cells, 4 full ones; the last 18 layers borrow theirs.
  const ModelSpec small = model("gemma-4-e4b", "Q8_0");
  EXPECT_EQ(kv_cells(small.hyper, 23, 32768, 512), 32768);
  EXPECT_EQ(kv_cells(small.hyper, 24, 32768, 512), 0);
  EXPECT_NEAR(kv_cache_bytes(small, cache("f16"), 32768, 512).value() / kMiB, 512.0 + 40.0, 1e-6);
  // f16, both tables: 20 x 2 x 2 x 256 and 4 x 2 x 2 x 512 values of 2 B.
  EXPECT_EQ(kv_bytes_per_position(small, cache("f16")).value(), 2.0 * (20 * 1024 + 4 * 2048));
}

TEST(LayerKinds, AStepReadsEveryWeightOnceButOfTablesOneRow) {
  for (const char* name : {"gemma-4-31b", "gemma-4-12b", "gemma-4-e4b", "gemma-4-e2b", "phi-4-mini",
                           "granite-4.1-3b", "lfm2-1.2b", "ministral-3-3b", "nemotron-3-nano-4b"}) {
    const ModelSpec m = model(name, "Q8_0");
    const Plan plan =
        plan_step(m, cache("f16"), {.tokens_per_sequence = 1, .past = 100}, expected_routing(m, 1));
    double expected = 0;
    for (const TensorSpec& t : m.tensors) {
      const auto bytes = static_cast<double>(t.bytes);
      const double row = bytes / static_cast<double>(m.hyper.vocab);
      const bool table = t.role == Role::TokenEmbedding;
      if (t.role == Role::LayerEmbedding) {
        expected += row;
      } else if (table) {
        expected += row + (m.hyper.tied_head ? bytes : 0.0);
      } else if (t.role != Role::Other) {
        expected += bytes;
      }
    }
    EXPECT_NEAR(plan.weights().value(), expected, 1.0) << name;
  }
}

TEST(LayerKinds, StepsReadTheCellsOfTheLayersTheyBorrowFrom) {
  const ModelSpec m = model("gemma-4-e4b", "Q8_0");
  const Plan plan =
      plan_step(m, cache("f16"), {.tokens_per_sequence = 1, .past = 4095}, expected_routing(m, 1));
  // 35 window layers see 512 positions of 1024 values, 7 full ones 4096 of 2048; 24 layers write.
  EXPECT_EQ(plan.traffic().kv_read.value(), 2.0 * (35.0 * 512 * 1024 + 7.0 * 4096 * 2048));
  EXPECT_EQ(plan.traffic().kv_written.value(), 2.0 * (20 * 1024 + 4 * 2048));
}

TEST(LayerKinds, ChunksBeginAtMultiplesOfTheirWidth) {
  const Hyper scout = model("llama-4-scout-17b-16e", "Q8_0").hyper;
  ASSERT_TRUE(scout.chunked);
  EXPECT_EQ(visible_cells(scout, 0, 1, 8191).distinct, 8192);
  EXPECT_EQ(visible_cells(scout, 0, 1, 8192).distinct, 1);
  EXPECT_EQ(visible_cells(scout, 3, 1, 8192).distinct, 8193);  // every fourth layer sees all
  Hyper h = scout;
  h.window = 5;
  for (std::int64_t past = 0; past < 17; ++past) {
    for (std::int64_t tokens = 1; tokens < 14; ++tokens) {
      std::int64_t pairs = 0, first = past;
      for (std::int64_t i = past; i < past + tokens; ++i) {
        pairs += i % 5 + 1;
        first = std::min(first, i / 5 * 5);
      }
      const VisibleCells seen = visible_cells(h, 0, tokens, past);
      EXPECT_EQ(seen.pairs, pairs) << past << " " << tokens;
      EXPECT_EQ(seen.distinct, past + tokens - first) << past << " " << tokens;
    }
  }
}

TEST(LayerKinds, Llama4HasThePublishedSizes) {
  // Attention, router, 17 experts with the shared one, norms; tables and last norm.
  const std::int64_t d = 5120, attention = 2 * d * d + 2 * d * 1024;
  const std::int64_t layer = attention + 16 * d + 17 * 3 * d * 8192 + 2 * d;
  EXPECT_EQ(model("llama-4-scout-17b-16e", "Q8_0").parameters(), 48 * layer + 2 * 202048 * d + d);
  const Hyper maverick = model("llama-4-maverick-17b-128e", "Q8_0").hyper;
  EXPECT_FALSE(maverick.is_moe_layer(0));
  EXPECT_TRUE(maverick.is_moe_layer(1));
}

TEST(LayerKinds, EveryShapeIsKnownAsACheckpoint) {
  // qwen3-4b: a tied table and norms in BF16, 36 layers of matrices in blocks of 16 with a scale.
  const std::int64_t table = 151936 * 2560, norms = 36 * (2 * 2560 + 2 * 128) + 2560;
  const std::int64_t rest = 4'022'468'096 - table - norms;
  EXPECT_EQ(model("qwen3-4b", "nvfp4").weight_bytes(), 2 * (table + norms) + rest / 16 * 9);
  EXPECT_EQ(model("qwen3-4b", "FP8").weight_bytes(), 2 * (table + norms) + rest);
  EXPECT_EQ(model("nemotron-3-nano-30b-a3b", "NVFP4").weight_bytes(), 19'339'733'888);  // its own
}

std::string kinds(int layers, int period) {
  std::string text;
  for (int l = 0; l < layers; ++l) {
    text += fmt::format("{}\"{}_attention\"", l > 0 ? ", " : "",
                        l % period == period - 1 ? "full" : "sliding");
  }
  return text;
}

ModelSpec read(const std::string& config) {
  return model_from_hf({.name = "m",
                        .config_name = "config.json",
                        .config = config,
                        .modelopt_name = "",
                        .modelopt = "",
                        .shards = {}});
}

TEST(LayerKinds, PublishedConfigsGiveTheShippedShapes) {
  const std::string gemma = fmt::format(
      R"({{"model_type": "gemma4", "text_config": {{"model_type": "gemma4_text",
      "attention_k_eq_v": true, "enable_moe_block": true, "global_head_dim": 512, "head_dim": 256,
      "hidden_size": 2816, "hidden_size_per_layer_input": 0, "intermediate_size": 2112,
      "max_position_embeddings": 262144, "moe_intermediate_size": 704, "num_attention_heads": 16,
      "num_experts": 128, "num_global_key_value_heads": 2, "num_hidden_layers": 30,
      "num_key_value_heads": 8, "num_kv_shared_layers": 0, "rms_norm_eps": 1e-06,
      "rope_parameters": {{"full_attention": {{"partial_rotary_factor": 0.25,
      "rope_theta": 1000000.0, "rope_type": "proportional"}}, "sliding_attention":
      {{"rope_theta": 10000.0, "rope_type": "default"}}}}, "sliding_window": 1024,
      "tie_word_embeddings": true, "top_k_experts": 8, "use_double_wide_mlp": false,
      "vocab_size": 262144, "layer_types": [{}]}}}})",
      kinds(30, 6));
  const ModelSpec moe = read(gemma), shipped = model("gemma-4-26b-a4b", "BF16");
  EXPECT_EQ(moe.hyper, shipped.hyper);
  EXPECT_EQ(moe.parameters(), shipped.parameters());
  EXPECT_EQ(moe.weight_bytes(), 2 * moe.parameters());
  const ModelSpec scout = read(R"({"model_type": "llama4", "text_config": {
      "model_type": "llama4_text", "attention_chunk_size": 8192, "head_dim": 128,
      "hidden_size": 5120, "interleave_moe_layer_step": 1, "intermediate_size": 8192,
      "intermediate_size_mlp": 16384, "max_position_embeddings": 10485760,
      "num_attention_heads": 40, "num_experts_per_tok": 1, "num_hidden_layers": 48,
      "num_key_value_heads": 8, "num_local_experts": 16, "rms_norm_eps": 1e-05,
      "rope_theta": 500000.0, "vocab_size": 202048}})");
  EXPECT_EQ(scout.parameters(), load_model_shape("llama-4-scout-17b-16e").published_parameters);
  EXPECT_EQ(scout.hyper.window, 8192);
  std::string broken = gemma;
  broken.replace(broken.find("sliding_attention\", \"sliding"), 7, "chunked");
  EXPECT_THAT([&] { read(broken); },
              ::testing::ThrowsMessage<Error>(HasSubstr("layer 0 is chunked")));
}

TEST(LayerKinds, TheEngineSaysThatItOnlyCountsThem) {
  ModelShape shape = load_model_shape("gemma-4-e4b");
  Hyper& h = shape.hyper;
  h.layers = 12;
  h.borrowed_kv_layers = 6;
  h.hidden = h.ffn = 256;
  h.vocab = 512;
  h.layer_embedding = 32;
  const ModelSpec spec = model_from_shape(shape, "Q8_0");
  const SyntheticModel memory = synthetic_model(spec, {.seed = 1, .vocabulary = true});
  const LoadedModel loaded = LoadedModel::from_memory(memory.bytes(), "small");
  EXPECT_EQ(loaded.spec().hyper.borrowed_kv_layers, 6);
  EXPECT_THAT([&] { Engine(loaded, {.context = 64, .threads = 1}); },
              ::testing::ThrowsMessage<Error>(AllOf(
                  HasSubstr("gemma4 models can be counted but not run"), HasSubstr("qwen3"))));
}

TEST(LayerKinds, ContradictionsAreRefused) {
  const auto refused = [](const char* name, auto change) {
    ModelShape shape = load_model_shape(name);
    change(shape.hyper);
    try {
      model_from_shape(shape, "Q8_0");
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string("accepted");
  };
  EXPECT_THAT(refused("gemma-4-31b", [](Hyper& h) { h.window_kv_heads = 5; }),
              HasSubstr("not divisible"));
  EXPECT_THAT(refused("gemma-4-e4b", [](Hyper& h) { h.borrowed_kv_layers = 40; }),
              HasSubstr("shared_kv_layers is 40"));
  EXPECT_THAT(refused("gemma-4-e4b", [](Hyper& h) { h.layer_embedding = 1 << 20; }),
              HasSubstr("embedding_length_per_layer_input"));
  EXPECT_THAT(refused("qwen3-8b", [](Hyper& h) { h.window_head_dim = 64; }),
              HasSubstr("same heads in all layers"));
  EXPECT_THAT(refused("qwen3-8b", [](Hyper& h) { h.mixers = "C"; }),
              HasSubstr("no short convolutions"));
  EXPECT_THAT(refused("lfm2-1.2b", [](Hyper& h) { h.mixers = "C*X"; }),
              HasSubstr("letters C or *"));
}

}  // namespace
}  // namespace bandwall
