// Latent attention: what files of deepseek2 may say, and what a step then moves.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "hwmodel/error.h"
#include "tests/support/gguf_writer.h"
#include "tests/support/load_model.h"
#include "workload/plan.h"

namespace bandwall {
namespace {

using namespace testing;
using ::testing::HasSubstr;

GgufWriter tiny() { return tiny_model("deepseek2"); }

TEST(Latent, ReadsItsKeys) {
  GgufWriter w = tiny();
  w.set("deepseek2.expert_group_count", 2u);
  w.set("deepseek2.expert_group_used_count", 1u);
  const Hyper h = load(w).hyper;
  EXPECT_EQ(h.kv_rank, 32);
  EXPECT_EQ(h.q_rank, 24);
  EXPECT_EQ(h.shared_ffn, 32);
  EXPECT_EQ(h.expert_groups, 2);
  EXPECT_EQ(h.expert_groups_used, 1);
  EXPECT_EQ(h.router, RouterKind::SigmoidBias);
  EXPECT_FALSE(h.router_norm);
  EXPECT_EQ(h.v_width(), 0);
  EXPECT_EQ(h.out_width(), 4 * 16);
  EXPECT_DOUBLE_EQ(h.attention_scale, 1 / std::sqrt(24.0));
}

TEST(Latent, RouterWithoutAKeyIsSoftmaxWithoutBias) {
  GgufWriter w = tiny();
  w.remove("deepseek2.expert_gating_func");
  w.drop("blk.0.exp_probs_b.bias");
  w.drop("blk.1.exp_probs_b.bias");
  EXPECT_EQ(load(w).hyper.router, RouterKind::SoftmaxAll);
}

TEST(Latent, YarnSharpensTheScoresInsteadOfTheRotation) {
  GgufWriter w = tiny();
  w.set("deepseek2.rope.scaling.type", "yarn");
  w.set("deepseek2.rope.scaling.factor", 40.0f);
  w.set("deepseek2.rope.scaling.original_context_length", 64u);
  w.set("deepseek2.rope.scaling.yarn_log_multiplier", 0.1f);
  const Hyper h = load(w).hyper;
  const double m = 1 + 0.1 * std::log(40.0);
  EXPECT_NEAR(h.attention_scale, m * m / std::sqrt(24.0), 1e-7);
  EXPECT_NEAR(h.yarn_attn_factor * m, 1.0, 1e-12);
}

TEST(Latent, QueryWithoutCompression) {
  Hyper h = tiny_hyper(architecture_row("deepseek2"));
  h.q_rank = 0;
  const ModelSpec m = load(tiny_model("deepseek2", h));
  EXPECT_NE(m.find("blk.0.attn_q.weight"), nullptr);
  EXPECT_EQ(m.find("blk.0.attn_q_a.weight"), nullptr);
}

TEST(Latent, JointKeysAndValuesAreRefusedByName) {
  GgufWriter w = tiny();
  for (const char* layer : {"blk.0.", "blk.1."}) {
    w.drop(std::string(layer) + "attn_k_b.weight");
    w.drop(std::string(layer) + "attn_v_b.weight");
    w.add(std::string(layer) + "attn_kv_b.weight", {32, 4 * 32});
  }
  EXPECT_THAT(failure(w), HasSubstr("tensor blk.0.attn_kv_b.weight: "));
  EXPECT_THAT(failure(w), Not(HasSubstr("missing")));
  w.remove("deepseek2.attention.key_length_mla");
  EXPECT_THAT(failure(w), HasSubstr("attn_kv_b.weight"));
  EXPECT_THAT(failure(w), HasSubstr("attention.key_length_mla"));
}

// Files may hold the joint matrix beside its two parts; nothing is lost by not reading it.
TEST(Latent, JointKeysAndValuesBesideTheirPartsAreNotRead) {
  GgufWriter w = tiny();
  w.add("blk.0.attn_kv_b.weight", {32, 4 * 32});
  const ModelSpec m = load(w);
  EXPECT_EQ(m.find("blk.0.attn_kv_b.weight")->role, Role::Other);
}

TEST(Latent, WidthsMustFitEachOther) {
  const auto refused = [](const char* key, std::uint32_t value) {
    GgufWriter w = tiny();
    w.set(std::string("deepseek2.") + key, value);
    return failure(w);
  };
  EXPECT_THAT(refused("attention.key_length", 41), HasSubstr("kv_lora_rank 32"));
  EXPECT_THAT(refused("attention.value_length", 40), HasSubstr("kv_lora_rank 32"));
  EXPECT_THAT(refused("attention.head_count_kv", 4), HasSubstr("head_count_kv is 4"));
  EXPECT_THAT(refused("attention.key_length_mla", 8), HasSubstr("key_length_mla 8"));
  EXPECT_THAT(refused("attention.kv_lora_rank", 0), HasSubstr("kv_lora_rank is 0"));
  EXPECT_THAT(refused("expert_group_count", 3), HasSubstr("expert_group_count is 3"));
  EXPECT_THAT(refused("expert_gating_func", 3), HasSubstr("expert_gating_func"));
  GgufWriter w = tiny();
  w.set("deepseek2.rope.scaling.type", "yarn");
  w.set("deepseek2.rope.scaling.factor", 40.0f);
  w.set("deepseek2.rope.scaling.yarn_log_multiplier", std::nanf(""));
  EXPECT_THAT(failure(w), HasSubstr("yarn_log_multiplier"));
}

const Op& op(const Plan& plan, OpKind kind) {
  for (const Op& o : plan.ops) {
    if (o.key == OpKey{kind, 1}) return o;
  }
  throw std::runtime_error("no such op");
}

// 4 heads, key 24 (8 rotated), value 16, latent 32, compressed query 24, hidden 64; all F32.
TEST(Latent, AStepReadsTheCachedRowOnceForAllHeads) {
  const ModelSpec m = load(tiny());
  const KvConfig f16{kv_format_from_name("f16"), kv_format_from_name("f16")};
  const Plan p = plan_step(m, f16, {1, 1, 10, 1}, expected_routing(m, 1));
  const std::int64_t q = 64 * 24 + 24 + 24 * 96, kv = 64 * 40, key = 16 * 32 * 4;
  EXPECT_EQ(op(p, OpKind::QkvProj).traffic.weights, bytes((q + kv + key) * 4));
  EXPECT_EQ(op(p, OpKind::RopeKv).traffic.weights, bytes(32 * 4));
  EXPECT_EQ(op(p, OpKind::RopeKv).traffic.kv_written, bytes(40 * 2));
  EXPECT_EQ(op(p, OpKind::Attention).traffic.kv_read, bytes(11 * 40 * 2));
  EXPECT_EQ(op(p, OpKind::Attention).flops, Flops(2.0 * 11 * 4 * (40 + 32)));
  EXPECT_EQ(op(p, OpKind::AttnOut).traffic.weights, bytes((32 * 16 * 4 + 64 * 64) * 4));
  EXPECT_EQ(op(p, OpKind::SharedExpert).traffic.weights, bytes(3 * 64 * 32 * 4));
  EXPECT_EQ(kv_bytes_per_position(m, f16), bytes(2 * 40 * 2));
}

}  // namespace
}  // namespace bandwall
