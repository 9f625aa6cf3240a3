// What-ifs and what they say: levers, elasticities, the arithmetic of a step, speculation,
// requests, load time, energy and cost. Numbers are checked against sums done by hand.
#include "analysis/what_if.h"

#include <cmath>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "analysis/explain.h"
#include "analysis/request.h"
#include "analysis/running_cost.h"
#include "analysis/speculative.h"
#include "configs/library.h"
#include "hwmodel/error.h"
#include "tests/support/hand_machine.h"
#include "tests/support/hand_model.h"
#include "tests/support/shapes.h"

namespace bandwall {
namespace {

using namespace testing_support;

Scenario scenario(std::int64_t gen, std::int64_t depth = 0, std::int64_t batch = 1) {
  Scenario s;
  s.n_gen = gen;
  s.depth = depth;
  s.batch = batch;
  s.kv = {kv_format_from_name("f16"), kv_format_from_name("f16")};
  return s;
}

Seconds step_seconds(const Machine& m, const Backend& b, const ModelSpec& model, const Step& step) {
  const Scenario s = scenario(1);
  return predict(m, b, model, s.kv, step, expected_routing(model, step)).step;
}

double sum_of_sizes(const std::vector<Elasticity>& all) {
  double sum = 0;
  for (const Elasticity& e : all) sum += std::fabs(e.value);
  return sum;
}

TEST(WhatIf, TwiceTheMemoryHalvesTheTimeOfItsStreamsOnly) {
  Machine m = hand_machine();
  Backend b = hand_backend();
  const ModelSpec model = hand_model({});
  const Step step{1, 1, 1000, 1};
  const Seconds before = step_seconds(m, b, model, step);
  set_memory_bandwidth(m, b, m.pool().peak.value * 2);
  EXPECT_EQ(m.pool().peak.value, BytesPerSecond(500e9));
  EXPECT_EQ(m.pool().achievable.value, BytesPerSecond(400e9));
  EXPECT_EQ(b.stream.at("Q8_0").value, BytesPerSecond(400e9));
  EXPECT_EQ(b.kv_stream.at("f16").value, BytesPerSecond(320e9));
  const Seconds after = step_seconds(m, b, model, step);
  scale_overhead(m, b, 0);
  const Seconds streams = step_seconds(m, b, model, step);  // at the new bandwidth
  EXPECT_NEAR((before - after).value(), streams.value(), 1e-9);
}

// The serial sum makes elasticities shares of the time: they sum to 1, whatever the step.
TEST(WhatIf, ElasticitiesSumToOne) {
  const ModelSpec models[] = {hand_model({}),
                              hand_model({.experts = 16, .experts_used = 2, .expert_ffn = 256})};
  Machine m = hand_machine();
  m.pools.front().peak.value = m.pools.front().peak.value * 100;  // no op is held by light
  m.compute.front().peak.value = m.compute.front().peak.value * 100;
  for (const ModelSpec& model : models) {
    for (const Step& step :
         {Step{1, 1, 0, 1}, Step{1, 1, 20000, 1}, Step{8, 1, 500, 8}, Step{1, 512, 0, 1}}) {
      const auto all = elasticities(m, hand_backend(), [&](const Machine& x, const Backend& y) {
        return step_seconds(x, y, model, step);
      });
      ASSERT_FALSE(all.empty());
      EXPECT_NEAR(sum_of_sizes(all), 1, 0.01) << step.tokens();
      for (std::size_t i = 1; i < all.size(); ++i) {
        EXPECT_GE(std::fabs(all[i - 1].value), std::fabs(all[i].value));
      }
    }
  }
}

TEST(WhatIf, ShippedBackendsHideNoFigure) {
  for (const std::string& machine : machine_names()) {
    const Machine m = load_machine(machine);
    if (m.default_backend.empty()) continue;
    const Backend b = backend_for(load_backend(m.default_backend), m);
    const ModelSpec model = model_from_shape(load_model_shape("qwen3-30b-a3b"), "Q8_0");
    for (const Step& step : {Step{1, 1, 4096, 1}, Step{1, 512, 0, 1}}) {
      const auto all = elasticities(m, b, [&](const Machine& x, const Backend& y) {
        return step_seconds(x, y, model, step);
      });
      EXPECT_NEAR(sum_of_sizes(all), 1, 0.02) << machine << ", " << step.tokens() << " tokens";
    }
  }
}

TEST(Explain, GroupsSumToTheStep) {
  const Machine m = hand_machine();
  const Backend b = hand_backend();
  const KvConfig kv = scenario(1).kv;
  using namespace bandwall::testing;
  for (const ModelSpec& model :
       {hand_model({.window = 64, .alternates = true}), model_from_shape(qwen3_next(), "Q4_K_M")}) {
    const Step step{1, 1, 1000, 1};
    const Routing routing = expected_routing(model, step);
    const Prediction p = predict(m, b, model, kv, step, routing);
    Seconds sum = b.step_seconds->value, light;
    std::int64_t ops = 0;
    Bytes weights, by_format;
    for (const ExplainedOps& e : explain(m, b, model, kv, step, routing, 0)) {
      sum += e.expected;
      light += e.speed_of_light;
      ops += e.count;
      weights += e.traffic.weights;
      for (const auto& [format, bytes] : e.weights) by_format += bytes;
    }
    EXPECT_NEAR(sum / p.step, 1, 1e-9);
    EXPECT_NEAR(light / p.speed_of_light, 1, 1e-9);
    EXPECT_EQ(static_cast<std::size_t>(ops), p.ops.size());
    EXPECT_EQ(weights, p.ledger.traffic().weights);
    EXPECT_EQ(by_format, weights);
  }
}

// Half of the experts are never chosen: eight tokens touch at most the other half.
TEST(RecordedRouting, TakesTheSharesThatRoutersShowed) {
  const ModelSpec model = hand_model({.experts = 8, .experts_used = 2, .expert_ffn = 256});
  auto shares = std::make_shared<ExpertShares>();
  shares->layers.assign(4, {0.5, 0.5, 0.5, 0.5, 0, 0, 0, 0});
  shares->layers[1].clear();  // not recorded
  const Step step{8, 1, 0, 8};
  const Routing r = recorded_routing(model, step, *shares);
  EXPECT_TRUE(r.recorded);
  EXPECT_NEAR(r.distinct_experts[0], 4 * (1 - std::pow(0.5, 8)), 1e-12);
  EXPECT_EQ(r.distinct_experts[1], expected_routing(model, step).distinct_experts[1]);
  Scenario s = scenario(1, 0, 8);
  const Throughput assumed = predict_decode(hand_machine(), hand_backend(), model, s);
  s.shares = shares;
  const Throughput recorded = predict_decode(hand_machine(), hand_backend(), model, s);
  EXPECT_GT(recorded.ts, assumed.ts);
  EXPECT_LT(recorded.ts_high / recorded.ts, assumed.ts_high / assumed.ts);
}

TEST(Speculative, FollowsTheFormulaOfARound) {
  const ModelSpec model = hand_model({}), draft = hand_model({.layers = 1});
  const Machine m = hand_machine();
  const Backend b = hand_backend();
  const Scenario s = scenario(1, 100);
  const Speculation r = speculate(m, b, model, s, {3, 0.5, &draft});
  EXPECT_DOUBLE_EQ(r.tokens_per_round, 1 + 0.5 + 0.25 + 0.125);
  EXPECT_EQ(r.verify, step_seconds(m, b, model, {1, 4, 100, 4}));
  EXPECT_NEAR(r.draft.value(), 3 * step_seconds(m, b, draft, {1, 1, 100, 1}).value(), 1e-15);
  EXPECT_NEAR(r.ts, 1.875 / (r.draft + r.verify).value(), 1e-9);
  ASSERT_TRUE(r.break_even);
  EXPECT_NEAR(speculate(m, b, model, s, {3, *r.break_even, &draft}).speedup, 1, 1e-6);
}

// What was recorded of the model's routers says nothing of the draft's.
TEST(Speculative, RecordedRoutingIsOfTheModelNotOfTheDraft) {
  const ModelSpec model = hand_model({.experts = 8, .experts_used = 2, .expert_ffn = 256});
  Scenario s = scenario(1, 0, 8);
  const Speculation even = speculate(hand_machine(), hand_backend(), model, s, {3, 0.5, &model});
  auto shares = std::make_shared<ExpertShares>();
  shares->layers.assign(4, {0.5, 0.5, 0.5, 0.5, 0, 0, 0, 0});
  s.shares = shares;
  const Speculation known = speculate(hand_machine(), hand_backend(), model, s, {3, 0.5, &model});
  EXPECT_LT(known.verify, even.verify);
  EXPECT_EQ(known.draft, even.draft);
}

TEST(Speculative, NeverPaysWhenARoundCostsMoreThanItsTokens) {
  const ModelSpec model = hand_model({.layers = 1}), draft = hand_model({.layers = 40});
  const Speculation r =
      speculate(hand_machine(), hand_backend(), model, scenario(1), {2, 1, &draft});
  EXPECT_FALSE(r.break_even);
  EXPECT_LT(r.speedup, 1);
}

TEST(Speculative, SparseModelsGainLessThanDenseOnes) {
  const auto gain = [](const ModelSpec& model) {
    const ModelSpec draft = hand_model({.layers = 1, .hidden = 256, .vocab = 256, .ffn = 256});
    return speculate(hand_machine(), hand_backend(), model, scenario(1), {3, 0.8, &draft}).speedup;
  };
  const ModelSpec dense = hand_model({.layers = 20, .hidden = 2048, .ffn = 8192});
  const ModelSpec sparse = hand_model(
      {.layers = 20, .hidden = 2048, .experts = 64, .experts_used = 4, .expert_ffn = 2048});
  EXPECT_GT(gain(dense), 1.2 * gain(sparse));
}

TEST(Speculative, WithoutBlocksOfItsOwnADraftIsWanted) {
  const Machine m = hand_machine();
  const Backend b = hand_backend();
  const ModelSpec model = hand_model({});
  EXPECT_THROW(speculate(m, b, model, scenario(1), {3, 0.5, nullptr}), Error);
  EXPECT_THROW(speculate(m, b, model, scenario(1), {0, 0.5, &model}), Error);
  EXPECT_THROW(speculate(m, b, model, scenario(1), {3, 1.5, &model}), Error);
  EXPECT_THROW(speculate(m, b, model, scenario(1), {3, std::nan(""), &model}), Error);
  ModelSpec own = model;
  own.hyper.mtp_layers = 1;
  const Speculation r = speculate(m, b, own, scenario(1), {1, 1, nullptr});
  EXPECT_GT(r.draft, Seconds(0));
  EXPECT_LT(r.draft, r.plain);
}

TEST(Serve, OneUserIsAPromptAndItsDecode) {
  Scenario s = scenario(101);
  s.n_prompt = 1024;
  const Machine m = hand_machine();
  const Backend b = hand_backend();
  const ModelSpec model = hand_model({});
  const Service r = serve(m, b, model, s);
  EXPECT_EQ(r.chunks, 2);
  EXPECT_NEAR(r.ttft.value(), 2 * step_seconds(m, b, model, {1, 512, 256, 1}).value(), 1e-12);
  EXPECT_NEAR(r.tpot.value(), r.decode_step.value(), 1e-12);
  EXPECT_NEAR(r.request.value(), (r.ttft + r.tpot * 100).value(), 1e-12);
  EXPECT_NEAR(r.ts_generated, 101 / r.request.value(), 1e-9);
  EXPECT_FALSE(r.saturated);
}

TEST(Serve, AMixedStepStreamsTheWeightsOnce) {
  const Machine m = hand_machine();
  const Backend b = hand_backend();
  const ModelSpec model = hand_model({.layers = 8, .hidden = 2048, .ffn = 8192});
  const Seconds alone = mixed_step(m, b, model, scenario(1), 256, 0, 0, 0);
  const Seconds mixed = mixed_step(m, b, model, scenario(1), 256, 0, 4, 1000);
  const Seconds decode = step_seconds(m, b, model, {4, 1, 1000, 4});
  EXPECT_EQ(alone, step_seconds(m, b, model, {1, 256, 0, 1}));
  EXPECT_GT(mixed, alone);
  EXPECT_LT(mixed, alone + decode);
}

TEST(Serve, EveryTokenIsAccountedForBelowAndAboveSaturation) {
  const Machine m = hand_machine();
  const Backend b = hand_backend();
  const ModelSpec model = hand_model({});
  for (const std::int64_t users : {2, 8, 64}) {
    for (const std::int64_t gen : {16, 1000}) {
      Scenario s = scenario(gen, 0, users);
      s.n_prompt = 2048;
      const Service r = serve(m, b, model, s);
      EXPECT_EQ(r.saturated, gen - 1 < (users - 1) * r.chunks);
      EXPECT_NEAR(r.ttft.value() + static_cast<double>(gen - 1) * r.tpot.value(), r.request.value(),
                  1e-9);
      EXPECT_NEAR(r.ts_total / r.ts_generated, static_cast<double>(2048 + gen) / gen, 1e-9);
      EXPECT_GE(r.itl_chunk, r.itl_median);
      EXPECT_GE(r.ttft, r.mixed_step);
    }
  }
}

TEST(Serve, RequestsHaveAPromptAndTokens) {
  Scenario s = scenario(16);
  EXPECT_THROW(serve(hand_machine(), hand_backend(), hand_model({}), s), Error);
  s.n_prompt = 16;
  s.n_gen = 0;
  EXPECT_THROW(serve(hand_machine(), hand_backend(), hand_model({}), s), Error);
}

TEST(RunningCost, LoadTimesByHand) {
  Machine m = hand_machine();
  EXPECT_FALSE(load_time(m, Bytes(1e9)));
  m.links.push_back({"nvme", given(BytesPerSecond(5e9)), std::nullopt});
  EXPECT_DOUBLE_EQ(load_time(m, Bytes(10e9))->sequential.value(), 2);
  EXPECT_FALSE(load_time(m, Bytes(10e9))->faults);
  m.links.front().latency = given(Seconds(20e-6));
  const LoadTime t = *load_time(m, Bytes(1024 * kMiB));
  EXPECT_NEAR(t.faults->value(), 262144 * 20e-6, 1e-9);
  EXPECT_NEAR(t.read_ahead->value(), 1024 * kMiB / 5e9 + 8192 * 20e-6, 1e-9);
}

TEST(RunningCost, EnergyAndMoneyByHand) {
  Machine m = hand_machine();
  EXPECT_FALSE(energy(m, Bytes(1e9), Flops(0), Seconds(1)));
  m.power = given(Watts(100));
  const Energy most = *energy(m, Bytes(1e9), Flops(0), Seconds(2));
  EXPECT_TRUE(most.bound);
  EXPECT_DOUBLE_EQ(most.joules.value(), 200);
  m.energy = EnergyFigures{given(Watts(10)), given(1e-10), given(1e-12)};
  const Energy e = *energy(m, Bytes(200e9), Flops(10e12), Seconds(1));
  EXPECT_FALSE(e.bound);
  EXPECT_NEAR(e.power.value(), 10 + 20 + 10, 1e-9);
  EXPECT_NEAR(energy(m, Bytes(2e12), Flops(0), Seconds(1))->power.value(), 100, 1e-9);  // its most
  m.price_usd = given(3000.0);
  const Cost c = cost_per_million(m, e, Seconds(1), 50, {0.36, 2, 0.5});
  // 40 J / 50 tokens and 10 W while idle for another second: 1 J/token; 1e6 J = 1 / 3.6 kWh.
  EXPECT_NEAR(c.usd_electricity, 1e6 * 1.0 / 3.6e6 * 0.36, 1e-9);
  EXPECT_NEAR(*c.usd_machine, 1e6 * (1.0 / 50) / 0.5 * 3000 / (2 * 365.25 * 86400), 1e-9);
}

}  // namespace
}  // namespace bandwall
