// Terms of a backend beyond rates and fixed costs: other kernels for several rows, overlap of
// memory and compute, skewed routing, cases that are known to miss.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "analysis/predict.h"
#include "configs/library.h"
#include "hwmodel/error.h"
#include "tests/support/hand_machine.h"
#include "tests/support/hand_model.h"

namespace bandwall {
namespace {

using namespace testing_support;
using ::testing::Contains;
using ::testing::HasSubstr;

KvConfig f16() { return {kv_format_from_name("f16"), kv_format_from_name("f16")}; }

Prediction predicted(const Backend& b, const ModelSpec& model, const Step& step) {
  return predict(hand_machine(), b, model, f16(), step, routing_of(b, model, step));
}

TEST(BackendTerms, BatchCostsCountInStepsOfSeveralTokensOnly) {
  const ModelSpec model = hand_model({.layers = 3});
  Backend more = hand_backend();
  more.batch_op_seconds["attention"] = given(Seconds(50e-6));
  const auto added = [&](const Step& step) {
    return (predicted(more, model, step).step - predicted(hand_backend(), model, step).step)
        .value();
  };
  EXPECT_EQ(added({1, 1, 100, 1}), 0);
  EXPECT_NEAR(added({2, 1, 100, 2}), 3 * 50e-6, 1e-12);
  EXPECT_NEAR(added({1, 64, 100, 1}), 3 * 50e-6, 1e-12);
}

TEST(BackendTerms, OverlapLiesBetweenTheSumAndTheLongerOne) {
  const ModelSpec model = hand_model({});
  const Step step{1, 64, 0, 1};
  const auto at = [&](double p) {
    Backend b = hand_backend();
    b.gemm["default"].value.rate = FlopsPerSecond(3e12);  // memory and compute alike
    if (p > 0) b.overlap = given(p);
    return predicted(b, model, step);
  };
  const Prediction sum = at(0), most = at(64), some = at(2);
  EXPECT_EQ(at(1).step, sum.step);
  EXPECT_LT(some.step, sum.step);
  EXPECT_LT(most.step, some.step);
  for (std::size_t i = 0; i < sum.ops.size(); ++i) {
    EXPECT_GE(most.ops[i].expected, most.ops[i].speed_of_light);
    EXPECT_GE(most.ops[i].expected.value(), sum.ops[i].expected.value() / 2 - 1e-15);
  }
}

// Between the first cache and the last, costs go from one row to the other with the logarithm.
TEST(BackendTerms, FixedCostsAreLowerWhereAllStaysInTheCaches) {
  const ModelSpec model = hand_model({.layers = 3});
  const Step step{1, 1, 100, 1};
  Backend b = hand_backend();
  b.cached_op_seconds["attention"] = given(Seconds(1e-6));
  const double touched = predicted(b, model, step).ledger.traffic().from_memory().value();
  const auto saved = [&](double first, double last) {
    Machine m = hand_machine();
    m.caches = {{"L2", given(Bytes(first))}, {"L3", given(Bytes(last))}};
    const auto at = [&](const Backend& x) {
      return predict(m, x, model, f16(), step, routing_of(x, model, step)).step;
    };
    return (at(hand_backend()) - at(b)).value();
  };
  EXPECT_NEAR(saved(touched * 2, touched * 4), 3 * 1e-6, 1e-12);
  EXPECT_NEAR(saved(touched / 10, touched * 10), 3 * 0.5e-6, 1e-12);
  EXPECT_EQ(saved(touched / 4, touched / 2), 0);
}

// A file whose pages are read at half the speed: its weights are, the cache is not.
TEST(BackendTerms, WeightsFollowTheReadingOfTheirOwnPages) {
  Machine m = hand_machine();
  Backend b = hand_backend();
  b.page_reading = given(BytesPerSecond(180e9));
  follow_bandwidth(m, b, BytesPerSecond(100e9), 0, BytesPerSecond(45e9));
  EXPECT_DOUBLE_EQ(b.stream.at("Q8_0").value.value(), 50e9);
  EXPECT_DOUBLE_EQ(b.kv_stream.at("f16").value.value(), 80e9);
  EXPECT_DOUBLE_EQ(m.pool().achievable.value.value(), 100e9);
  // Pages of a small model are not known apart: they follow memory.
  follow_bandwidth(m, b, BytesPerSecond(200e9), 0);
  EXPECT_DOUBLE_EQ(b.stream.at("Q8_0").value.value(), 100e9);
  EXPECT_DOUBLE_EQ(b.kv_stream.at("f16").value.value(), 160e9);
}

TEST(BackendTerms, LongRowsOfDenseBlocksHaveARateOfTheirOwn) {
  const ModelSpec model = hand_model({.layers = 2});
  const Step step{1, 1, 0, 1};
  Backend b = hand_backend();
  b.stream["Q8_0.dense_ffn"] = given(BytesPerSecond(100e9));
  const Prediction plain = predicted(hand_backend(), model, step), own = predicted(b, model, step);
  double more = 0, bytes = 0;
  for (std::size_t i = 0; i < plain.ops.size(); ++i) {
    const double difference = (own.ops[i].expected - plain.ops[i].expected).value();
    if (plain.ops[i].key.kind != OpKind::DenseFfn) {
      EXPECT_EQ(difference, 0);
    }
    more += difference;
  }
  for (const auto& [key, row] : plain.ledger.rows) {
    if (key.kind == OpKind::DenseFfn) bytes += row.traffic.weights.value();
  }
  ASSERT_GT(bytes, 0);
  EXPECT_NEAR(more, bytes / 100e9 - bytes / 200e9, 1e-3 * more);
}

// Two hundred tokens choose 4 of 128: skewed routing touches few of the experts.
TEST(BackendTerms, SkewedRoutingTouchesFewerExperts) {
  EXPECT_NEAR(expected_distinct(128, 4, 32), 128 * (1 - std::pow(1 - 4.0 / 128, 32)), 1e-9);
  EXPECT_NEAR(expected_distinct(128, 4, 32, 1e6), expected_distinct(128, 4, 32), 1e-2);
  double least = 4;
  for (const double n : {1.0, 2.0, 8.0, 64.0, 2048.0}) {
    const double skewed = expected_distinct(128, 4, n, 3.4);
    EXPECT_GE(skewed, least);
    EXPECT_LE(skewed, expected_distinct(128, 4, n) + 1e-9);
    least = skewed;
  }
  EXPECT_EQ(expected_distinct(128, 4, 1, 3.4), 4);
  EXPECT_EQ(expected_distinct(0, 0, 8, 3.4), 0);
  EXPECT_EQ(expected_distinct(8, 8, 8, 3.4), 8);
  // Beta-binomial, a + b = 2 and a = b = 1: a token uses one of two at random for each expert;
  // after n tokens an expert is unused with probability 1 / (n + 1).
  EXPECT_NEAR(expected_distinct(10, 5, 9, 2), 9.0, 1e-9);
}

TEST(BackendTerms, PredictionsOfBatchesUseTheSkew) {
  const ModelSpec model = hand_model({.experts = 64, .experts_used = 4, .expert_ffn = 256});
  Backend skewed = hand_backend();
  skewed.routing_concentration = given(3.4);
  Scenario s;
  s.kv = f16();
  s.batch = 16;
  s.n_gen = 8;
  EXPECT_GT(predict_decode(hand_machine(), skewed, model, s).ts,
            1.2 * predict_decode(hand_machine(), hand_backend(), model, s).ts);
  s.batch = 1;
  EXPECT_EQ(predict_decode(hand_machine(), skewed, model, s).ts,
            predict_decode(hand_machine(), hand_backend(), model, s).ts);
}

TEST(BackendTerms, ShortPromptsShareAMicroBatch) {
  const ModelSpec model = hand_model({});
  Scenario s;
  s.kv = f16();
  s.n_prompt = 64;
  s.n_ubatch = 256;
  const double one = predict_prefill(hand_machine(), hand_backend(), model, s).ts;
  s.batch = 4;
  const Throughput four = predict_prefill(hand_machine(), hand_backend(), model, s);
  EXPECT_GT(four.ts, 1.5 * one);
  s.batch = 8;
  const Throughput eight = predict_prefill(hand_machine(), hand_backend(), model, s);
  EXPECT_NEAR(eight.ts, four.ts, 1e-9 * four.ts);
  EXPECT_NEAR(eight.total.value(), 2 * four.total.value(), 1e-12);
}

TEST(BackendTerms, KnownLimitsWidenTheBandAndSayWhy) {
  Backend b = hand_backend();
  b.known_limits.push_back({{"prefill", "experts"}, 0.5, 2.0, "narrow experts", {}});
  const ModelSpec dense = hand_model({});
  const ModelSpec sparse = hand_model({.experts = 8, .experts_used = 2, .expert_ffn = 256});
  const Step prompt{1, 64, 0, 1}, token{1, 1, 0, 1};
  EXPECT_FALSE(predicted(b, dense, prompt).known_limit);
  EXPECT_FALSE(predicted(b, sparse, token).known_limit);
  const Prediction p = predicted(b, sparse, prompt);
  const Prediction without = predicted(hand_backend(), sparse, prompt);
  EXPECT_TRUE(p.known_limit);
  EXPECT_EQ(p.step, without.step);
  EXPECT_NEAR(p.low, 0.5 * without.low, 1e-12);
  EXPECT_NEAR(p.high, 2 * without.high, 1e-12);
  EXPECT_THAT(p.notes, Contains(HasSubstr("narrow experts")));
}

std::string refusal(const std::string& lines) {
  const std::string head =
      "schema: 1\nname: mine\nefficiency: {value: 0.8, source: measured, note: \"here\"}\n";
  try {
    parse_backend(head + lines, "mine.yaml");
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

TEST(BackendTerms, AFileWithoutSourcesIsRefused) {
  EXPECT_EQ(refusal(""), "");
  EXPECT_THAT(refusal("stream: {Q8_0: {value: \"200 GB/s\"}}\n"), HasSubstr("source"));
  EXPECT_THAT(refusal("batch_op_seconds: {attention: {value: \"5 us\", source: measured}}\n"),
              HasSubstr("note"));
  EXPECT_THAT(refusal("overlap: {value: 2}\n"), HasSubstr("source"));
  EXPECT_THAT(refusal("known_limits:\n  - {when: [prefill], low: 0.5, high: 2, mechanism: why}\n"),
              HasSubstr("source"));
}

TEST(BackendTerms, SenselessTermsAreRefused) {
  const std::string by = ", source: measured, note: \"here\"}\n";
  EXPECT_THAT(refusal("overlap: {value: 0.5" + by), HasSubstr("overlap"));
  EXPECT_THAT(refusal("routing_concentration: {value: 0" + by), HasSubstr("above 0"));
  const std::string limit = ", low: 0.5, high: 2, mechanism: why" + by;
  EXPECT_THAT(refusal("known_limits:\n  - {when: [prefil]" + limit), HasSubstr("did you mean"));
  EXPECT_THAT(refusal("known_limits:\n  - {when: []" + limit), HasSubstr("at least one word"));
  EXPECT_THAT(refusal("batch_op_seconds: {atention: {value: \"5 us\"" + by + "}\n"),
              HasSubstr("attention"));
}

}  // namespace
}  // namespace bandwall
