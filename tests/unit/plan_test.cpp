#include "workload/plan.h"

#include <gtest/gtest.h>

#include "tests/support/shapes.h"

namespace bandwall {
namespace {

KvConfig f16() { return {kv_format_from_name("f16"), kv_format_from_name("f16")}; }

// Two layers, 4 heads on 2 KV heads of 32, hidden 64, vocabulary 100, all F32.
ModelShape small(std::int64_t experts) {
  Hyper h{.layers = 2,
          .hidden = 64,
          .vocab = 100,
          .context_train = 1000,
          .heads = 4,
          .kv_heads = 2,
          .head_dim_k = 32,
          .head_dim_v = 32,
          .ffn = experts > 0 ? 0 : 96,
          .rope_dims = 32};
  h.experts = experts;
  h.experts_used = experts > 0 ? 2 : 0;
  h.expert_ffn = experts > 0 ? 48 : 0;
  return testing::shape("small", experts > 0 ? "qwen3moe" : "llama", h);
}

const Op& op(const Plan& plan, OpKind kind, int layer) {
  for (const Op& o : plan.ops) {
    if (o.key == OpKey{kind, layer}) return o;
  }
  throw std::runtime_error("no such op");
}

Plan dense(const Step& step) {
  return plan_step(model_from_shape(small(0), "F32"), f16(), step, {});
}

TEST(Plan, DenseDecodeMovesEachTensorOnce) {
  const ModelSpec m = model_from_shape(small(0), "F32");
  const Plan p = plan_step(m, f16(), {1, 1, 10, 1}, expected_routing(m, 1));
  // Everything but the input table, of which one row is read.
  EXPECT_EQ(p.weights(), bytes(m.weight_bytes() - 100 * 64 * 4 + 64 * 4));
  EXPECT_EQ(op(p, OpKind::QkvProj, 1).traffic.weights, bytes((128 + 64 + 64) * 64 * 4));
  EXPECT_EQ(op(p, OpKind::QkvProj, 1).traffic.activations, bytes((64 + 128 + 64 + 64) * 4));
  EXPECT_EQ(op(p, OpKind::QkvProj, 1).flops, Flops(2.0 * (128 + 64 + 64) * 64));
  EXPECT_EQ(op(p, OpKind::RopeKv, 0).traffic.kv_written, bytes(2 * 64 * 2));
  EXPECT_EQ(op(p, OpKind::Attention, 0).traffic.kv_read, bytes(11 * 2 * 64 * 2));
  EXPECT_EQ(op(p, OpKind::Attention, 0).kv_scores, Elements(11 * 4 * 64));
  EXPECT_EQ(op(p, OpKind::Head, -1).traffic.weights, bytes(100 * 64 * 4));
}

TEST(Plan, OpsComeInTheOrderOfExecution) {
  std::vector<OpKind> kinds;
  for (const Op& o : dense({1, 1, 0, 1}).ops) {
    if (o.key.layer < 1) kinds.push_back(o.key.kind);
  }
  EXPECT_EQ(kinds, (std::vector<OpKind>{OpKind::Embedding, OpKind::AttnNorm, OpKind::QkvProj,
                                        OpKind::RopeKv, OpKind::Attention, OpKind::AttnOut,
                                        OpKind::FfnNorm, OpKind::DenseFfn, OpKind::OutputNorm,
                                        OpKind::Head}));
}

TEST(Plan, WithoutOutputRowsTheHeadIsNotRead) {
  const Plan p = dense({1, 8, 0, 0});
  for (const Op& o : p.ops) {
    EXPECT_NE(o.key.kind, OpKind::Head);
    EXPECT_NE(o.key.kind, OpKind::OutputNorm);
  }
}

TEST(Plan, PrefillReadsCellsOnceAndScoresTheTriangle) {
  const Plan p = dense({1, 8, 4, 0});
  EXPECT_EQ(op(p, OpKind::Attention, 0).traffic.kv_read, bytes(12 * 2 * 64 * 2));
  EXPECT_EQ(op(p, OpKind::Attention, 0).kv_scores, Elements((8 * 4 + 36) * 4 * 64));
  EXPECT_EQ(op(p, OpKind::Embedding, -1).traffic.weights, bytes(8 * 64 * 4));
}

TEST(Plan, SequencesShareWeightsButNotCells) {
  const Plan one = dense({1, 1, 9, 1}), four = dense({4, 1, 9, 4});
  EXPECT_EQ(op(four, OpKind::AttnOut, 0).traffic.weights,
            op(one, OpKind::AttnOut, 0).traffic.weights);
  EXPECT_EQ(op(four, OpKind::Attention, 0).traffic.kv_read,
            op(one, OpKind::Attention, 0).traffic.kv_read * 4);
  EXPECT_EQ(op(four, OpKind::Head, -1).traffic.activations,
            op(one, OpKind::Head, -1).traffic.activations * 4);
}

TEST(Plan, ExpertsAreReadByTheNumberOfDistinctOnes) {
  const ModelSpec m = model_from_shape(small(8), "F32");
  const Plan p = plan_step(m, f16(), {1, 6, 0, 6}, Routing{{3, 5}});
  const double one = 3.0 * 64 * 48 * 4;
  EXPECT_EQ(op(p, OpKind::Experts, 0).traffic.weights, Bytes(3 * one));
  EXPECT_EQ(op(p, OpKind::Experts, 1).traffic.weights, Bytes(5 * one));
  ASSERT_EQ(op(p, OpKind::Experts, 0).streams.size(), 1u);
  EXPECT_EQ(op(p, OpKind::Experts, 0).streams[0].matrices, 9);
  EXPECT_DOUBLE_EQ(op(p, OpKind::Experts, 0).streams[0].rows_of_x, 6 * 2 / 3.0);
  EXPECT_EQ(op(p, OpKind::Experts, 0).flops, op(p, OpKind::Experts, 1).flops);
  EXPECT_EQ(op(p, OpKind::Router, 0).traffic.weights, bytes(64 * 8 * 4));
}

TEST(Plan, ExpectedRoutingIsTopKForOneTokenAndApproachesAll) {
  const ModelSpec m = model_from_shape(testing::qwen3_30b(), "Q4_K_M");
  EXPECT_EQ(expected_routing(m, 1).distinct_experts, std::vector<double>(48, 8.0));
  EXPECT_NEAR(expected_routing(m, 2).distinct_experts[0], 8 + 8 * 120.0 / 128, 1e-9);
  EXPECT_NEAR(expected_routing(m, 100000).distinct_experts[0], 128, 1e-9);
}

TEST(Plan, WindowLayersSeeTheLastPositionsOnly) {
  Hyper h;
  h.window = 4;
  h.window_period = 2;
  // Counted by hand: position i sees min(4, i + 1) cells.
  for (std::int64_t past = 0; past < 12; ++past) {
    for (std::int64_t n = 1; n < 9; ++n) {
      std::int64_t pairs = 0, first = past;
      for (std::int64_t i = past; i < past + n; ++i) {
        pairs += std::min<std::int64_t>(4, i + 1);
        first = std::min(first, std::max<std::int64_t>(0, i - 3));
      }
      EXPECT_EQ(visible_cells(h, 0, n, past).pairs, pairs);
      EXPECT_EQ(visible_cells(h, 0, n, past).distinct, past + n - first);
      EXPECT_EQ(visible_cells(h, 1, n, past).distinct, past + n);
    }
  }
}

TEST(Plan, KvCacheOfWindowLayersIsRounded) {
  const ModelSpec m = model_from_shape(testing::gpt_oss(24, 32), "MXFP4_MOE");
  const Bytes cell = bytes(2 * 512 * 2);
  EXPECT_EQ(kv_bytes_per_position(m, f16()), cell * 24);
  EXPECT_EQ(kv_cache_bytes(m, f16(), 8192, 512), cell * (12 * 8192 + 12 * 768.0));
  EXPECT_EQ(kv_cache_bytes(m, f16(), 100, 512), cell * (12 * 100 + 12 * 256.0));
}

TEST(Plan, PrefillStepsWantLogitsOfTheLastPositionsOnly) {
  const std::vector<Step> steps = prefill_steps(1100, 7, 512, 100);
  ASSERT_EQ(steps.size(), 3u);
  EXPECT_EQ(steps[0].past, 7);
  EXPECT_EQ(steps[2].past, 7 + 1024);
  EXPECT_EQ(steps[2].tokens_per_sequence, 76);
  EXPECT_EQ(steps[0].output_rows, 0);
  EXPECT_EQ(steps[1].output_rows, 24);
  EXPECT_EQ(steps[2].output_rows, 76);
  EXPECT_TRUE(prefill_steps(0, 0, 512, 1).empty());
}

// Without logits the last layer only fills the cache; with those of one position, what follows its
// keys and values costs as much as for that position alone.
TEST(Plan, LastLayerGoesOnWithPositionsThatHaveLogits) {
  const ModelSpec m = model_from_shape(testing::qwen3_30b(), "Q4_K_M");
  const int last = static_cast<int>(m.hyper.layers) - 1;
  const auto plan = [&](const Step& step) {
    return plan_step(m, f16(), step, expected_routing(m, step));
  };
  const Plan none = plan({1, 512, 0, 0}), one = plan({1, 512, 0, 1}), all = plan({1, 512, 0, 512});
  const Plan alone = plan({1, 1, 511, 1});
  EXPECT_EQ(none.ops.back().key.kind, OpKind::RopeKv);
  EXPECT_EQ(none.ops.back().key.layer, last);
  for (const OpKind kind : {OpKind::Attention, OpKind::AttnOut, OpKind::Router, OpKind::Experts}) {
    EXPECT_EQ(op(one, kind, last).traffic.total(), op(alone, kind, last).traffic.total());
    EXPECT_EQ(op(one, kind, last).flops, op(alone, kind, last).flops);
    EXPECT_EQ(op(one, kind, 0).flops, op(all, kind, 0).flops);
    EXPECT_GT(op(all, kind, last).flops, op(one, kind, last).flops);
  }
  EXPECT_EQ(op(one, OpKind::QkvProj, last).flops, op(all, OpKind::QkvProj, last).flops);
  EXPECT_EQ(expected_routing(m, Step{1, 512, 0, 1}).distinct_experts.back(), 8.0);
}

TEST(Plan, HybridReadsStateAndEveryTensorOfTheActivePart) {
  const ModelSpec m = model_from_shape(testing::nemotron_super(), "F16");
  const Plan p = plan_step(m, f16(), {1, 1, 0, 1}, expected_routing(m, 1));
  EXPECT_EQ(p.traffic().state, Bytes(2.0 * 4 * static_cast<double>(m.hyper.state_values())));
  double expected = 0;
  for (const TensorSpec& t : m.tensors) {
    const bool routed = t.role == Role::ExpertUp || t.role == Role::ExpertDown;
    const double share = t.role == Role::TokenEmbedding ? 1.0 / 131072 : routed ? 22.0 / 512 : 1.0;
    expected += static_cast<double>(t.bytes) * share;
  }
  EXPECT_NEAR(p.weights().value(), expected, 1.0);
}

TEST(Plan, StateIsReadAndWrittenOncePerSequenceAndStep) {
  const ModelSpec m = model_from_shape(testing::qwen3_next(), "F16");
  const Bytes once(2.0 * 4 * static_cast<double>(m.hyper.layer_state_values()));
  for (const Step step : {Step{1, 1, 0, 1}, Step{1, 512, 0, 1}, Step{4, 1, 100, 4}}) {
    const Plan p = plan_step(m, f16(), step, expected_routing(m, step.tokens()));
    EXPECT_EQ(op(p, OpKind::Ssm, 0).traffic.state, once * static_cast<double>(step.sequences));
    EXPECT_EQ(p.traffic().state, once * static_cast<double>(36 * step.sequences));
    EXPECT_EQ(op(p, OpKind::Attention, 3).traffic.state, Bytes(0));
  }
  const Plan one = plan_step(m, f16(), {1, 1, 0, 1}, expected_routing(m, 1));
  const double d = 2048, conv = 8192, inner = 4096;
  EXPECT_EQ(op(one, OpKind::SsmIn, 0).traffic.weights, Bytes(2 * d * (conv + inner + 64)));
  EXPECT_EQ(op(one, OpKind::Ssm, 0).traffic.weights, Bytes(4 * (4 * conv + 32 + 32 + 128)));
  EXPECT_EQ(op(one, OpKind::SsmOut, 0).traffic.weights, Bytes(2 * d * inner));
  EXPECT_EQ(op(one, OpKind::QkvProj, 3).traffic.weights, Bytes(2 * d * (2 * 4096 + 2 * 512)));
  EXPECT_EQ(op(one, OpKind::SharedExpert, 3).traffic.weights, Bytes(2 * 3 * d * 512 + 4 * d));
}

TEST(Plan, LedgerHasTheTrafficAndNoTimes) {
  const Plan p = dense({1, 3, 2, 1});
  const Ledger l = ledger_of(p);
  EXPECT_EQ(l.traffic(), p.traffic());
  EXPECT_EQ(l.tokens, 3);
  EXPECT_EQ(l.op_time(), Seconds(0));
  EXPECT_EQ(l.rows.size(), p.ops.size());
}

}  // namespace
}  // namespace bandwall
