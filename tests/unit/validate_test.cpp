// Predictions beside measurements: what each kind of row is compared with, the statistics, the
// classes.
#include "analysis/validate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "analysis/gap_causes.h"
#include "configs/validation_rules.h"
#include "hwmodel/error.h"
#include "tests/support/hand_machine.h"
#include "tests/support/hand_model.h"

namespace bandwall {
namespace {

using testing::HasSubstr;
using namespace testing_support;

class Validate : public testing::Test {
 protected:
  Machine machine = hand_machine();
  Backend backend = hand_backend();
  ModelSpec model = hand_model({.layers = 8, .hidden = 2048, .vocab = 32000, .ffn = 8192});
  Measurement m;
  KvConfig kv{kv_format_from_name("f16"), kv_format_from_name("f16")};

  Validate() {
    m.n_tokens = 128;
    m.depth = 0;
    m.tok_s = 100;
  }
  RowInputs inputs() { return {&m, &machine, &backend, &model, kv, 512}; }
  RowResult check() { return check_row(inputs()); }
  Scenario scenario() {
    Scenario s;
    s.kv = kv;
    s.n_gen = 128;
    return s;
  }
};

TEST_F(Validate, DecodeIsTheMeanOverItsTokens) {
  m.depth = 4096;
  Scenario s = scenario();
  s.depth = 4096;
  const RowResult r = check();
  const Throughput t = predict_decode(machine, backend, model, s);
  EXPECT_NEAR(r.predicted, t.ts, 1e-9 * t.ts);
  EXPECT_NEAR(r.error, t.ts / 100 - 1, 1e-9);
  EXPECT_LT(r.low, r.predicted);
  EXPECT_GE(r.high, r.predicted);
  EXPECT_EQ(r.regime, Regime::Depth);
}

TEST_F(Validate, RowsThatDivideByIntervalsAreCorrected) {
  m.n_tokens = 20;
  m.marks.off_by_one = true;
  EXPECT_NEAR(check().measured, 95, 1e-9);
}

TEST_F(Validate, EndToEndTimesHoldAShortPrompt) {
  m.depth.reset();
  const double plain = check().predicted;
  m.marks.end_to_end = true;
  const RowResult r = check();
  EXPECT_LT(r.predicted, plain);
  Scenario s = scenario();
  s.depth = kShortPrompt;
  const double step = 1 / predict_decode(machine, backend, model, s).ts;
  s.depth = 0;
  s.n_prompt = kShortPrompt;
  const double prompt = predict_prefill(machine, backend, model, s).total.value();
  EXPECT_NEAR(r.predicted, 128 / (128 * step + prompt), 1e-6);
}

TEST_F(Validate, RequestsThatArriveTogetherWaitForEachOthersPrompts) {
  m.depth = 4096;
  m.batch = 4;
  const double steps = 4 * 128 / check().predicted;
  m.marks.staggered = true;
  const double window = 4 * 128 / check().predicted;
  Scenario s = scenario();
  s.n_prompt = 4096;
  const double prompt = predict_prefill(machine, backend, model, s).total.value();
  EXPECT_NEAR(window, steps + 3 * prompt, 1e-6 * window);
}

TEST_F(Validate, PromptsNeedTheirLength) {
  m.phase = MeasuredPhase::Prefill;
  EXPECT_GT(check().predicted, 0);
  EXPECT_EQ(check().regime, Regime::Prefill);
  m.n_tokens.reset();
  EXPECT_THROW(check(), Error);
}

TEST_F(Validate, BaselinesAreTheNaiveFormulas) {
  m.depth = 8192;
  const RowResult r = check();
  Scenario s = scenario();
  s.depth = 8192;
  const Throughput t = predict_decode(machine, backend, model, s);
  EXPECT_NEAR(r.naive, 250e9 / t.bytes_weights.value(), 1e-6 * r.naive);
  EXPECT_NEAR(r.naive_kv, 250e9 / (t.bytes_weights + t.bytes_kv).value(), 1e-6 * r.naive_kv);
  EXPECT_GT(r.naive, r.predicted);
  EXPECT_LT(r.constant, r.naive);
  m.batch = 4;
  EXPECT_EQ(check().constant, 0);  // it knows one stream only
}

TEST_F(Validate, AttributesSayWhatClassesAskFor) {
  m.marks.speculative = m.marks.aggregate = true;
  m.flash_attention = false;
  const RowAttributes a = attributes_of(inputs(), check(), "hand");
  EXPECT_EQ(a.at("machine"), "box");
  EXPECT_EQ(a.at("marks"), "aggregate speculative");
  EXPECT_EQ(a.at("flash_attention"), "off");
  EXPECT_EQ(a.at("attention"), "plain");
  EXPECT_EQ(a.at("format"), "Q8_0");
  for (const std::string& name : row_attribute_names()) EXPECT_TRUE(a.contains(name)) << name;
}

RowResult with_error(double error) {
  RowResult r;
  r.measured = 100;
  r.predicted = 100 * (1 + error);
  r.low = 90;
  r.high = 105;
  r.error = error;
  r.inside = true;
  r.naive = r.naive_kv = 140;
  return r;
}

TEST(ErrorSummary, MedianNinetiethWorstAndSkill) {
  std::vector<RowResult> rows;
  for (int i = 0; i <= 10; ++i) rows.push_back(with_error(i % 2 == 0 ? 0.01 * i : -0.01 * i));
  rows[3].inside = false;
  std::vector<std::size_t> all(rows.size());
  for (std::size_t i = 0; i < all.size(); ++i) all[i] = i;
  const ErrorSummary s = summarize(rows, all);
  EXPECT_EQ(s.n, 11u);
  EXPECT_NEAR(s.median, 0.05, 1e-12);
  EXPECT_NEAR(s.p90, 0.09, 1e-12);
  EXPECT_NEAR(s.worst, 0.10, 1e-12);
  EXPECT_EQ(s.worst_row, 10u);
  EXPECT_NEAR(s.coverage, 10.0 / 11, 1e-12);
  EXPECT_NEAR(s.naive, 0.4, 1e-12);
  EXPECT_NEAR(s.skill, 1 - 0.05 / 0.4, 1e-12);
  EXPECT_EQ(summarize(rows, {}).n, 0u);
}

TEST(RowFilter, PatternsAndExceptions) {
  const RowFilter f{{{"machine", {"gb10", "m*"}}, {"marks", {"!*speculative*"}}}};
  EXPECT_TRUE(f.holds({{"machine", "gb10"}, {"marks", ""}}));
  EXPECT_TRUE(f.holds({{"machine", "m2-ultra"}, {"marks", "aggregate"}}));
  EXPECT_FALSE(f.holds({{"machine", "h100"}, {"marks", ""}}));
  EXPECT_FALSE(f.holds({{"machine", "gb10"}, {"marks", "aggregate speculative"}}));
}

constexpr const char* kRules = R"(schema: 1
coverage: {low: 0.8, high: 0.95}
bars:
  - {name: near, where: {machine: [gb10]}, median: 0.03}
  - {name: far, where: {machine: ["*"]}, median: 0.08, p90: 0.15}
failing:
  - {name: drafted, where: {marks: ["*speculative*"]}, bar: near, because: "acceptance unknown"}
)";

TEST(ValidationRules, ARowCountsForTheFirstThatHolds) {
  const ValidationRules rules = parse_validation_rules(kRules, "classes.yaml");
  EXPECT_EQ(classify({{"machine", "gb10"}, {"marks", ""}}, rules).bar, 0);
  EXPECT_EQ(classify({{"machine", "h100"}, {"marks", ""}}, rules).bar, 1);
  const RowClass c = classify({{"machine", "gb10"}, {"marks", "speculative"}}, rules);
  EXPECT_EQ(c.failing, 0);
  EXPECT_EQ(c.bar, -1);
  ErrorSummary s;
  s.median = 0.07;
  s.p90 = 0.14;
  EXPECT_FALSE(meets(s, rules.bars[0]));
  EXPECT_TRUE(meets(s, rules.bars[1]));
}

TEST(ValidationRules, BadFilesSayWhere) {
  const auto refusal = [](std::string text, const std::string& from, const std::string& to) {
    text.replace(text.find(from), from.size(), to);
    try {
      parse_validation_rules(text, "classes.yaml");
    } catch (const Error& e) {
      return std::string(e.what());
    }
    return std::string();
  };
  EXPECT_THAT(refusal(kRules, "bar: near", "bar: nearer"), HasSubstr("is no bar of this file"));
  EXPECT_THAT(refusal(kRules, "{machine: [gb10]}", "{machin: [gb10]}"),
              HasSubstr("did you mean machine?"));
  EXPECT_THAT(refusal(kRules, ", median: 0.03", ""), HasSubstr("a bar limits"));
  EXPECT_THAT(refusal(kRules, "{machine: [gb10]}", "{}"), HasSubstr("every row"));
  EXPECT_GT(validation_rules().bars.size(), 4u);
}

class GapCauses : public Validate {
 protected:
  std::vector<GapCause> causes(double times_predicted, const ShallowRow& shallow = {}) {
    m.tok_s = 1;
    m.tok_s = check().predicted * times_predicted;
    return likely_causes(inputs(), check(), shallow);
  }
};

TEST_F(GapCauses, NothingInsideTheBand) { EXPECT_TRUE(causes(1.0).empty()); }

TEST_F(GapCauses, FasterThanLightIsSaid) {
  const auto c = causes(3);
  ASSERT_GE(c.size(), 2u);
  EXPECT_THAT(c[0].cause, HasSubstr("counts something else"));
  EXPECT_THAT(c[1].arithmetic, HasSubstr("3.00 tokens would have to be accepted"));
}

TEST_F(GapCauses, SmallerWeightsAreNamedInBits) {
  backend.stream["Q8_0"].value = BytesPerSecond(150e9);
  const auto c = causes(1.25);
  ASSERT_FALSE(c.empty());
  EXPECT_THAT(c.back().cause, HasSubstr("another quantization"));
  EXPECT_THAT(c.back().arithmetic, HasSubstr("bits per value instead of 8.5"));
}

TEST_F(GapCauses, FixedCostsPerLayer) {
  const auto c = causes(0.6);
  ASSERT_GE(c.size(), 2u);
  EXPECT_THAT(c[0].cause, HasSubstr("a larger fixed cost per layer"));
  EXPECT_THAT(c[0].arithmetic, HasSubstr("/ 8 layers ="));
  EXPECT_THAT(c[1].cause, HasSubstr("lower rate"));
}

TEST_F(GapCauses, SlowAtDepthOnlyIsTheCache) {
  Measurement first = m;
  first.tok_s = 1;
  RowInputs in = inputs();
  in.row = &first;
  first.tok_s = check_row(in).predicted;
  const RowResult shallow = check_row(in);
  m.depth = 16384;
  m.flash_attention = false;
  const auto c = causes(0.5, {&first, &shallow});
  ASSERT_FALSE(c.empty());
  EXPECT_THAT(c[0].cause, HasSubstr("without flash attention"));
  EXPECT_THAT(c[0].arithmetic, HasSubstr("ms more than at depth 0"));
}

TEST_F(GapCauses, BatchesShareExperts) {
  model = hand_model({.layers = 8,
                      .hidden = 1024,
                      .vocab = 4096,
                      .experts = 64,
                      .experts_used = 4,
                      .expert_ffn = 1024});
  m.batch = 16;
  const auto c = causes(1.3);
  if (!c.empty()) {
    EXPECT_THAT(c[0].cause, HasSubstr("share experts"));
    EXPECT_THAT(c[0].arithmetic, HasSubstr("distinct experts per layer instead of"));
  }
  EXPECT_FALSE(causes(0.5).empty());
}

TEST_F(GapCauses, TimeOnTheWayToAServer) {
  m.phase = MeasuredPhase::Prefill;
  m.n_tokens = 64;
  m.engine = "llama.cpp (probe, reuse counted)";
  const auto slow = causes(0.5);
  ASSERT_GE(slow.size(), 2u);
  EXPECT_THAT(slow[0].cause, HasSubstr("outside the model"));
  EXPECT_THAT(causes(1e-4)[0].cause, testing::Not(HasSubstr("outside the model")));  // seconds
  m.engine += ", server's clock agrees";
  EXPECT_THAT(causes(0.5)[0].cause, testing::Not(HasSubstr("outside the model")));
  // The server says what it reused: no prefix cache explains a fast prompt.
  EXPECT_THAT(causes(4)[0].cause, HasSubstr("faster arithmetic"));
}

TEST_F(GapCauses, PromptsFromTheCacheAndSmallMicroBatches) {
  m.phase = MeasuredPhase::Prefill;
  m.n_tokens = 2048;
  m.ubatch = 2048;
  const auto fast = causes(4);
  ASSERT_FALSE(fast.empty());
  EXPECT_THAT(fast[0].cause, HasSubstr("prefix cache"));
  EXPECT_THAT(fast[0].arithmetic, HasSubstr("as if 512 of 2048 tokens"));
  m.engine = "llama.cpp b9 (llama-bench)";  // no such cache
  EXPECT_THAT(causes(4)[0].cause, HasSubstr("faster arithmetic"));
  const double full = check().predicted;
  m.ubatch = 64;
  const double small = check().predicted;
  m.ubatch = 2048;
  const auto slow = causes(small / full);
  ASSERT_EQ(slow.size(), 1u);  // its micro-batch is stated
  EXPECT_THAT(slow[0].cause, HasSubstr("products run at a lower rate"));
  m.ubatch.reset();
  const double usual = check().predicted;  // 512 tokens at a time
  m.ubatch = 32;
  const double smallest = check().predicted;
  m.ubatch.reset();
  const auto unstated = causes(smallest / usual);
  ASSERT_EQ(unstated.size(), 2u);
  EXPECT_THAT(unstated[0].cause, HasSubstr("smaller micro-batches"));
  EXPECT_THAT(unstated[0].arithmetic, HasSubstr("with 32 tokens at a time"));
}

}  // namespace
}  // namespace bandwall
