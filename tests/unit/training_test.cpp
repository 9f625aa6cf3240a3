#include "analysis/training.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "configs/library.h"
#include "hwmodel/error.h"
#include "reports/training_report.h"

namespace bandwall {
namespace {

using testing::HasSubstr;

ModelSpec model(std::string_view name) { return model_from_shape(load_model_shape(name), "BF16"); }

double gb(const TrainReport& r, std::string_view what) {
  for (const TrainLine& l : r.lines) {
    if (l.what == what) return l.bytes.value() / kGiga;
  }
  return 0;
}

TrainReport train(std::string_view name, const TrainOptions& o) {
  return fit_training(load_machine("gb10"), model(name), o);
}

TEST(Training, FullWithAdamIsSixteenBytesAParameter) {
  const TrainReport r = train("llama-3.1-8b", {});
  EXPECT_EQ(r.trained, 8'030'261'248);
  const double states =
      gb(r, "weights") + gb(r, "gradients") + gb(r, "master weights") + gb(r, "optimizer state");
  EXPECT_NEAR(states, 16 * 8.030261248, 1e-6);
  EXPECT_EQ(r.verdict, Verdict::DoesNotFit);
  EXPECT_THAT(r.notes.front(), HasSubstr("float32 gradients"));
}

TEST(Training, OptimizersDifferByTheirState) {
  const auto state = [](Optimizer optimizer) {
    TrainOptions o;
    o.optimizer = optimizer;
    return gb(train("qwen3-8b", o), "optimizer state") / gb(train("qwen3-8b", o), "gradients") * 2;
  };
  EXPECT_NEAR(state(Optimizer::Adamw), 8, 1e-9);
  EXPECT_NEAR(state(Optimizer::Adamw8bit), 2.03125, 1e-9);
  EXPECT_EQ(state(Optimizer::Sgd), 0);
}

// 41,943,040 is what PEFT prints for this model at rank 16 on all linear layers.
TEST(Training, AdaptersAreRankTimesInPlusOut) {
  EXPECT_EQ(adapter_values(model("llama-3.1-8b"), 16), 41'943'040);
  EXPECT_EQ(adapter_values(model("llama-3.1-8b"), 1) * 64,
            adapter_values(model("llama-3.1-8b"), 64));
  TrainOptions o;
  o.mode = TrainMode::Lora;
  const TrainReport r = train("llama-3.1-8b", o);
  EXPECT_EQ(r.trained, 41'943'040);
  EXPECT_EQ(r.frozen, 8'030'261'248);
  EXPECT_NEAR(gb(r, "weights"), 16.060522496, 1e-9);
  EXPECT_EQ(r.verdict, Verdict::Fits);
}

TEST(Training, QloraTakesFourAndAnEighthBits) {
  TrainOptions o;
  o.mode = TrainMode::Qlora;
  const TrainReport r = train("llama-3.1-8b", o);
  // All but the two tables and the norms is quantized.
  const double blocks = 8'030'261'248.0 - 2 * 128256.0 * 4096 - 65 * 4096;
  EXPECT_NEAR(gb(r, "quantized weights") * 1e9, blocks * 4.126953125 / 8, 1e3);
  EXPECT_NEAR(gb(r, "other weights") * 1e9, 2 * (2 * 128256.0 * 4096 + 65 * 4096), 1e6);
}

// Korthikanti et al.: 34 s b h + 5 a s^2 b a layer with dropout; dropout keeps 2 s b h of masks and
// 3 a s^2 b of masks and scaled scores, which leaves 32 s b h + 2 a s^2 b.
TEST(Training, ActivationsAgreeWithThePaperWithoutDropout) {
  ModelSpec m;
  m.hyper.layers = 3;
  m.hyper.hidden = 1024;
  m.hyper.vocab = 0;
  m.hyper.heads = m.hyper.kv_heads = 16;
  m.hyper.head_dim_k = m.hyper.head_dim_v = 64;
  m.hyper.ffn = 4096;
  m.hyper.activation = Activation::ReluSquared;  // one matrix in, as GELU in the paper
  TrainOptions o;
  o.sequence = 512;
  o.batch = 2;
  const double n = 1024, logits = n * 4 * 1024;
  o.recompute = Recompute::None;
  EXPECT_DOUBLE_EQ(activation_bytes(m, o).value(), 3 * n * (32 * 1024 + 2 * 16 * 512) + logits);
  o.recompute = Recompute::Selective;
  EXPECT_DOUBLE_EQ(activation_bytes(m, o).value(), 3 * n * (32 * 1024 + 4 * 16) + logits);
  o.recompute = Recompute::Full;
  EXPECT_DOUBLE_EQ(activation_bytes(m, o).value(),
                   3 * n * 2 * 1024 + n * (32 * 1024 + 4 * 16) + logits);
}

TEST(Training, GroupedHeadsAndExpertsCount) {
  TrainOptions o;
  const double grouped = activation_bytes(model("llama-3.1-8b"), o).value();
  ModelSpec plain = model("llama-3.1-8b");
  plain.hyper.kv_heads = plain.hyper.heads;
  EXPECT_DOUBLE_EQ(activation_bytes(plain, o).value() - grouped,
                   2048.0 * 32 * 2 * 2 * (32 - 8) * 128);
  ModelSpec more = model("qwen3-30b-a3b");
  const double used = static_cast<double>(more.hyper.experts_used);
  const double before = activation_bytes(more, o).value();
  more.hyper.experts_used *= 2;
  EXPECT_DOUBLE_EQ(activation_bytes(more, o).value() - before,
                   2048.0 * 48 * 2 * used * (2 * 2048 + 3 * 768));
}

TEST(Training, LinesSumAndTheLongestSequenceIsTheEdge) {
  for (const TrainMode mode : {TrainMode::Full, TrainMode::Lora, TrainMode::Qlora}) {
    for (const std::string& name : model_names()) {
      TrainOptions o;
      o.mode = mode;
      const TrainReport r = train(name, o);
      Bytes sum;
      for (const TrainLine& l : r.lines) {
        sum += l.bytes;
        EXPECT_FALSE(l.how.empty());
      }
      EXPECT_EQ(sum, r.needed) << name;
      EXPECT_EQ(r.needed + r.headroom, r.usable) << name;
      if (!r.max_sequence) continue;
      o.sequence = *r.max_sequence;
      EXPECT_EQ(train(name, o).verdict, Verdict::Fits) << name;
    }
  }
}

TEST(Training, AbsurdOptionsAreRefusedByName) {
  const auto why = [](auto change) {
    TrainOptions o;
    change(o);
    try {
      train("qwen3-8b", o);
    } catch (const Error& e) {
      return std::string(e.what());
    }
    return std::string("accepted");
  };
  EXPECT_THAT(why([](TrainOptions& o) { o.sequence = 0; }), HasSubstr("sequence: 0 is outside"));
  EXPECT_THAT(why([](TrainOptions& o) { o.batch = -1; }), HasSubstr("batch: -1 is outside"));
  EXPECT_THAT(why([](TrainOptions& o) { o.rank = INT64_MAX; }), HasSubstr("rank: 9223"));
}

TEST(Training, NamesGoBothWays) {
  for (const char* mode : {"full", "lora", "qlora"})
    EXPECT_EQ(name(*train_mode_from_name(mode)), mode);
  for (const char* o : {"adamw", "adamw8bit", "sgd"}) EXPECT_EQ(name(*optimizer_from_name(o)), o);
  for (const char* r : {"none", "selective", "full"}) EXPECT_EQ(name(*recompute_from_name(r)), r);
  EXPECT_FALSE(train_mode_from_name("half").has_value());
}

TEST(Training, IsPrintedInEveryForm) {
  TrainOptions o;
  o.mode = TrainMode::Qlora;
  const Machine machine = load_machine("gb10");
  const TrainReport r = fit_training(machine, model("qwen3-8b"), o);
  EXPECT_THAT(
      training_text(r, "qwen3-8b", machine, o, false),
      HasSubstr("qlora with adamw, 1 x 2048 tokens, recomputation selective, rank 16: fits"));
  EXPECT_THAT(training_text(r, "qwen3-8b", machine, o, true), HasSubstr("| quantized weights"));
  EXPECT_THAT(training_json(r, "qwen3-8b", machine, o), HasSubstr("\"verdict\": \"fits\""));
}

}  // namespace
}  // namespace bandwall
