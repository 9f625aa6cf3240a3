// What single architectures ask of files and shapes, beyond what all have in common.
#include "workload/architectures.h"

#include <cmath>

#include <gmock/gmock.h>

#include "configs/library.h"
#include "hwmodel/error.h"
#include "tests/support/gguf_writer.h"
#include "tests/support/load_model.h"
#include "workload/plan.h"

namespace bandwall {
namespace {

using testing::architecture_row;
using testing::Blob;
using testing::failure;
using testing::GgufWriter;
using ::testing::HasSubstr;
using testing::load;
using testing::tiny_hyper;
using testing::tiny_model;

TEST(Architectures, Qwen2NeedsItsBiases) {
  GgufWriter w = tiny_model("qwen2");
  EXPECT_TRUE(load(w).find("blk.1.attn_k.bias")->is_bias);
  EXPECT_EQ(load(w).find("blk.1.attn_output.bias"), nullptr);
  w.drop("blk.1.attn_k.bias");
  EXPECT_THAT(failure(w), HasSubstr("tensor blk.1.attn_k.bias: missing"));
}

TEST(Architectures, OlmoeTakesTheWholeWidthForEachExpertAndDoesNotNormalise) {
  GgufWriter w = tiny_model("olmoe");
  w.remove("olmoe.expert_feed_forward_length");  // published files have feed_forward_length only
  const Hyper h = load(w).hyper;
  EXPECT_EQ(h.expert_ffn, 32);
  EXPECT_FALSE(h.router_norm);
  EXPECT_EQ(h.router, RouterKind::SoftmaxAll);
  EXPECT_EQ(h.qk_norm, QkNorm::WholeWidth);
  EXPECT_TRUE(load(tiny_model("qwen3moe")).hyper.router_norm);
}

// A GLM file of `layers` blocks to run and one of multi-token prediction.
GgufWriter glm_file(Hyper h) {
  GgufWriter w = tiny_model("glm4moe", h);
  w.set("glm4moe.block_count", static_cast<std::uint32_t>(h.layers + 1));
  w.set("glm4moe.nextn_predict_layers", std::uint32_t{1});
  w.set("glm4moe.leading_dense_block_count", static_cast<std::uint32_t>(h.dense_layers));
  h.mtp_layers = 1;
  for (const ExpectedTensor& t : mtp_tensors(architecture_row("glm4moe"), h)) {
    if (t.required) w.add(t.spec.name, {t.spec.dims, t.spec.dims + t.spec.n_dims});
  }
  return w;
}

TEST(Architectures, GlmHasDenseLayersASharedExpertAndABlockThatDoesNotRun) {
  Hyper h = tiny_hyper(architecture_row("glm4moe"));
  h.dense_layers = 1;
  h.ffn = 96;
  const ModelSpec m = load(glm_file(h));
  EXPECT_EQ(m.hyper.layers, 2);
  EXPECT_EQ(m.hyper.mtp_layers, 1);
  EXPECT_EQ(m.hyper.shared_ffn, 48);
  EXPECT_EQ(m.hyper.qk_norm, QkNorm::None);
  EXPECT_EQ(m.find("blk.0.ffn_up.weight")->role, Role::DenseUp);
  EXPECT_EQ(m.find("blk.1.ffn_up_shexp.weight")->role, Role::SharedUp);
  EXPECT_EQ(m.find("blk.1.post_attention_norm.weight")->role, Role::FfnNorm);
  for (const char* name : {"blk.2.attn_q.weight", "blk.2.nextn.eh_proj.weight"}) {
    EXPECT_EQ(m.find(name)->role, Role::Other) << name;
  }
  const Plan plan = plan_step(m, {kv_format_from_name("f16"), kv_format_from_name("f16")}, {},
                              expected_routing(m, 1));
  for (const Op& op : plan.ops) EXPECT_LT(op.key.layer, 2);
}

TEST(Architectures, GlmMayNormQueriesAndKeys) {
  Hyper h = tiny_hyper(architecture_row("glm4moe"));
  h.qk_norm = QkNorm::PerHead;
  GgufWriter w = tiny_model("glm4moe", h);
  EXPECT_EQ(load(w).hyper.qk_norm, QkNorm::PerHead);
  w.drop("blk.1.attn_k_norm.weight");
  EXPECT_THAT(failure(w), HasSubstr("tensor blk.1.attn_k_norm.weight: missing"));
}

TEST(Architectures, SharedExpertIsAMultipleOfAnExpertUnlessItHasAWidth) {
  GgufWriter w = tiny_model("glm4moe");
  w.remove("glm4moe.expert_shared_feed_forward_length");
  EXPECT_THAT(failure(w), HasSubstr("ffn_up_shexp.weight: shape [64, 48]"));
  for (auto& t : w.tensors) {
    if (t.name.find("shexp") == std::string::npos) continue;
    for (std::int64_t& d : t.dims) d = d == 48 ? 64 : d;
    t.bytes = 64 * 64 * 4;
  }
  w.set("glm4moe.expert_shared_count", std::uint32_t{2});
  EXPECT_EQ(load(w).hyper.shared_ffn, 64);
}

TEST(Architectures, GemmaSlidesInFiveLayersOfSix) {
  GgufWriter w = tiny_model("gemma3");
  w.set("gemma3.rope.freq_base", 1e6f);
  w.set("gemma3.rope.scaling.type", "linear");
  w.set("gemma3.rope.scaling.factor", 8.0f);
  const Hyper h = load(w).hyper;
  for (const int l : {0, 4, 6, 10}) EXPECT_TRUE(h.slides(l)) << l;
  for (const int l : {5, 11}) EXPECT_FALSE(h.slides(l)) << l;
  EXPECT_EQ(h.rope_scale, 8.0);
  EXPECT_EQ(h.rope_base_sliding, 10000.0);
  EXPECT_EQ(h.embedding_scale, 8.0);
  EXPECT_EQ(h.attention_scale, 0.0) << "the width of a head decides";
  w.set("gemma3.rope.freq_base_swa", 20000.0f);
  w.set("gemma3.attention.sliding_window_pattern", std::uint32_t{3});
  EXPECT_EQ(load(w).hyper.rope_base_sliding, 20000.0);
  EXPECT_FALSE(load(w).hyper.slides(2));
}

TEST(Architectures, GemmaRefusesWhatItCannotRun) {
  GgufWriter w = tiny_model("gemma3");
  w.set("gemma3.final_logit_softcapping", 30.0f);
  EXPECT_THAT(failure(w), HasSubstr("gemma3.final_logit_softcapping: soft-capped logits"));
  w.remove("gemma3.final_logit_softcapping");
  w.set("gemma3.rope.freq_base_swa", 0.5f);
  EXPECT_THAT(failure(w), HasSubstr("rope.freq_base_swa is 0.5, it must be more than 1"));
  w.remove("gemma3.attention.sliding_window");
  EXPECT_THAT(failure(w), HasSubstr("attention.sliding_window"));
}

TEST(Architectures, TheLargestGemmaScalesByHiddenPerHead) {
  const Hyper h = model_from_shape(load_model_shape("gemma-3-27b"), "Q4_0").hyper;
  EXPECT_DOUBLE_EQ(h.attention_scale, 1 / std::sqrt(5376.0 / 32));
  EXPECT_DOUBLE_EQ(h.embedding_scale, std::sqrt(5376.0));
}

}  // namespace
}  // namespace bandwall
