// Models with latent attention against what others published: parameters (llama.cpp's loader
// prints 671.026 B and 1.026 T) and the cache, (512 + 64) values per layer and position.
#include <gtest/gtest.h>

#include "configs/library.h"
#include "workload/plan.h"

namespace bandwall {
namespace {

ModelSpec shipped(std::string_view model, std::string_view mix) {
  return model_from_shape(load_model_shape(model), mix);
}

KvConfig cache(const char* type) { return {kv_format_from_name(type), kv_format_from_name(type)}; }

TEST(LatentAnchors, ParameterCountsAreExact) {
  EXPECT_EQ(shipped("deepseek-v3", "F16").parameters(), 671'026'419'200);
  EXPECT_EQ(shipped("kimi-k2", "F16").parameters(), 1'026'408'232'448);
  for (const char* model : {"deepseek-v3", "kimi-k2"}) {
    EXPECT_EQ(shipped(model, "F16").parameters(), load_model_shape(model).published_parameters);
  }
}

TEST(LatentAnchors, CacheOfAPosition) {
  for (const char* model : {"deepseek-v3", "kimi-k2"}) {
    const ModelSpec m = shipped(model, "Q4_K_M");
    EXPECT_EQ(kv_bytes_per_position(m, cache("f16")), bytes(70'272)) << model;
    EXPECT_EQ(kv_bytes_per_position(m, cache("q8_0")), bytes(61 * 576 / 32 * 34)) << model;
    EXPECT_EQ(kv_cache_bytes(m, cache("f16"), 2048, 512), bytes(70'272 * 2048)) << model;
  }
}

// 137 MiB at 2048 positions (ikawrakow/ik_llama.cpp issue 285), against 9,760 MiB of whole keys and
// values.
TEST(LatentAnchors, CacheAgainstWholeKeysAndValues) {
  const ModelSpec m = shipped("deepseek-v3", "Q4_K_M");
  const double mib = kv_cache_bytes(m, cache("f16"), 2048, 512).value() / (1 << 20);
  EXPECT_NEAR(mib, 137.25, 0.01);
  EXPECT_NEAR(61.0 * 2048 * 128 * (192 + 128) * 2 / (1 << 20), 9760, 0.5);
}

// A decode step reads the active parameters: blocks and output head, 36.626 B and 31.687 B.
TEST(LatentAnchors, ActiveParametersOfADecodeStep) {
  const auto active = [](const char* model) {
    const ModelSpec m = shipped(model, "BF16");
    double values = 0;
    for (const Op& op : plan_step(m, cache("f16"), {1, 1, 0, 1}, expected_routing(m, 1)).ops) {
      if (op.key.kind == OpKind::Embedding) continue;
      for (const WeightStream& s : op.streams) {
        values += s.bytes.value() / (s.format == Format::BF16 ? 2.0 : 4.0);
      }
    }
    return values / 1e9;
  };
  EXPECT_NEAR(active("deepseek-v3"), 36.626, 0.0005);
  EXPECT_NEAR(active("kimi-k2"), 31.687, 0.0005);
}

}  // namespace
}  // namespace bandwall
