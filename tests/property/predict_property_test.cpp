// Laws of prediction and fit that hold for every model, machine and step; seeded random cases.
#include <random>

#include <gtest/gtest.h>

#include "analysis/fit.h"
#include "analysis/predict.h"
#include "tests/support/hand_machine.h"
#include "tests/support/hand_model.h"

namespace bandwall {
namespace {

using namespace testing_support;

struct Case {
  ModelSpec model;
  KvConfig kv;
  Step step;
  Routing routing;
};

Case random_case(std::mt19937& rng) {
  const auto pick = [&](std::int64_t low, std::int64_t high) {
    return std::uniform_int_distribution<std::int64_t>(low, high)(rng);
  };
  HandShape s;
  s.layers = pick(1, 12);
  s.hidden = 256 * pick(1, 8);
  s.vocab = 256 * pick(1, 40);
  s.kv_heads = pick(1, 4);
  s.heads = s.kv_heads * 4 * pick(1, 2);  // rows of attn_output stay whole K-quant blocks
  s.head_dim = 64 * pick(1, 2);
  s.ffn = 256 * pick(1, 8);
  if (pick(0, 1) == 1) {
    s.experts = pick(2, 32);
    s.experts_used = pick(1, s.experts);
    s.expert_ffn = 256 * pick(1, 4);
  }
  if (pick(0, 2) == 0) {
    s.window = pick(16, 512);
    s.alternates = true;
  }
  const Format formats[] = {Format::F32, Format::F16, Format::Q8_0, Format::Q4_K, Format::Q6_K};
  const char* caches[] = {"f32", "f16", "q8_0", "tbq4_0"};
  Case c;
  c.model = hand_model(s, formats[pick(0, 4)]);
  c.kv = {kv_format_from_name(caches[pick(0, 3)]), kv_format_from_name(caches[pick(0, 3)])};
  c.step = {pick(1, 4), pick(0, 1) == 0 ? 1 : pick(1, 600), pick(0, 20000), 1};
  c.routing = expected_routing(c.model, c.step.tokens());
  return c;
}

constexpr int kCases = 150;

TEST(PredictLaw, MoreBandwidthOrComputeIsNeverSlower) {
  std::mt19937 rng(1);
  for (int i = 0; i < kCases; ++i) {
    const Case c = random_case(rng);
    const Machine m = hand_machine();
    const Seconds base = predict(m, hand_backend(), c.model, c.kv, c.step, c.routing).step;
    const Backend faster[] = {scaled(hand_backend(), 1.5, 1), scaled(hand_backend(), 1, 0.5)};
    for (const Backend& b : faster) {
      EXPECT_LE(predict(scaled(m, 1.5), b, c.model, c.kv, c.step, c.routing).step, base) << i;
    }
  }
}

TEST(PredictLaw, TwiceTheRatesAndHalfTheCostsIsHalfTheTime) {
  std::mt19937 rng(2);
  for (int i = 0; i < kCases; ++i) {
    const Case c = random_case(rng);
    const Seconds base =
        predict(hand_machine(), hand_backend(), c.model, c.kv, c.step, c.routing).step;
    const Seconds twice = predict(scaled(hand_machine(), 2), scaled(hand_backend(), 2, 0.5),
                                  c.model, c.kv, c.step, c.routing)
                              .step;
    EXPECT_NEAR(twice.value(), base.value() / 2, base.value() * 1e-12) << i;
  }
}

TEST(PredictLaw, NothingIsFasterThanLight) {
  std::mt19937 rng(3);
  for (int i = 0; i < kCases; ++i) {
    const Case c = random_case(rng);
    // Even with a backend that claims impossible rates.
    for (const double rates : {1.0, 1e6}) {
      const Prediction p = predict(hand_machine(), scaled(hand_backend(), rates, 1 / rates),
                                   c.model, c.kv, c.step, c.routing);
      for (const OpPrediction& o : p.ops) EXPECT_GE(o.expected, o.speed_of_light) << i;
      EXPECT_GE(p.step, p.speed_of_light) << i;
    }
  }
}

TEST(PredictLaw, SumsEqualTotalsAndBytesEqualThePlan) {
  std::mt19937 rng(4);
  for (int i = 0; i < kCases; ++i) {
    const Case c = random_case(rng);
    const Prediction p = predict(hand_machine(), hand_backend(), c.model, c.kv, c.step, c.routing);
    const Plan plan = plan_step(c.model, c.kv, c.step, c.routing);
    EXPECT_EQ(p.ledger.traffic(), ledger_of(plan).traffic()) << i;
    Seconds sum;
    for (const OpPrediction& o : p.ops) sum += o.expected;
    EXPECT_NEAR(p.ledger.op_time().value(), sum.value(), sum.value() * 1e-9) << i;
    EXPECT_NEAR((p.ledger.op_time() + p.ledger.residual()).value(), p.step.value(),
                p.step.value() * 1e-9)
        << i;
    EXPECT_LE(p.low, 1.0);
    EXPECT_GE(p.high, 1.0);
  }
}

TEST(PredictLaw, MoreContextIsNeverFaster) {
  std::mt19937 rng(5);
  for (int i = 0; i < kCases; ++i) {
    Case c = random_case(rng);
    const Seconds base =
        predict(hand_machine(), hand_backend(), c.model, c.kv, c.step, c.routing).step;
    c.step.past += 777;
    EXPECT_GE(predict(hand_machine(), hand_backend(), c.model, c.kv, c.step, c.routing).step, base);
  }
}

TEST(FitLaw, HeadroomClosesExactlyAndMoreContextNeverNeedsLess) {
  std::mt19937 rng(6);
  for (int i = 0; i < kCases; ++i) {
    const Case c = random_case(rng);
    Machine m = hand_machine();
    m.pools[0].visible = given(Bytes(static_cast<double>(rng() % 4000) * 1e6 + 0.3));
    m.pools[0].reserve = given(Bytes(1e6 / 3));
    FitOptions o;
    o.kv = c.kv;
    Bytes before;
    for (const std::int64_t context : {1, 256, 257, 5000, 32768, 1000000}) {
      o.context = context;
      const FitReport r = fit(m, c.model, o);
      EXPECT_EQ(r.needed + r.headroom, r.usable) << i;
      EXPECT_GE(r.needed, before) << i;
      before = r.needed;
      EXPECT_TRUE(r.verdict != Verdict::Fits || r.headroom >= Bytes(0)) << i;
      if (r.max_context) {
        o.context = *r.max_context;
        EXPECT_EQ(fit(m, c.model, o).verdict, Verdict::Fits) << i;
      }
    }
  }
}

}  // namespace
}  // namespace bandwall
