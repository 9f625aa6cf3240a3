#include "analysis/predict.h"

#include <gtest/gtest.h>

#include "analysis/compare.h"
#include "hwmodel/error.h"
#include "tests/support/hand_machine.h"
#include "tests/support/hand_model.h"
#include "tests/support/shapes.h"

namespace bandwall {
namespace {

using namespace testing_support;

KvConfig kv(std::string_view k, std::string_view v) {
  return {kv_format_from_name(k), kv_format_from_name(v)};
}
KvConfig f16() { return kv("f16", "f16"); }

Prediction decode(const Machine& m, const Backend& b, const ModelSpec& model, std::int64_t past,
                  KvConfig cache = f16(), std::int64_t sequences = 1) {
  const Step step{sequences, 1, past, sequences};
  return predict(m, b, model, cache, step, expected_routing(model, sequences));
}

const OpPrediction& op(const Prediction& p, OpKind kind) {
  for (const OpPrediction& o : p.ops) {
    if (o.key.kind == kind) return o;
  }
  throw std::runtime_error("no such op");
}

TEST(Predict, DecodeOpIsBytesOverStreamRatePlusFixedCosts) {
  const ModelSpec model = hand_model({});
  const Prediction p = decode(hand_machine(), hand_backend(), model, 0);
  const auto& head = op(p, OpKind::Head);
  const double bytes = static_cast<double>(row_bytes(Format::Q8_0, 512)) * 1024;
  // The head lies outside the layers: no share of layer_seconds.
  EXPECT_NEAR(head.expected.value(), bytes / 200e9 + 2e-6, 1e-12);
  EXPECT_NEAR(head.speed_of_light.value(), bytes / 250e9, 1e-12);
}

// Recurrent and latent ops have costs of their own where the backend was calibrated on them.
TEST(Predict, OpsOfHybridsAndLatentAttentionHaveCostsOfTheirOwn) {
  const auto added = [](const ModelSpec& model, const std::string& key, double calls) {
    Backend plain = hand_backend(), rich = hand_backend();
    plain.op_seconds["default"] = rich.op_seconds["default"] = {Seconds(1e-6), {}};
    rich.op_seconds[key] = {Seconds(3e-6), {}};
    const KvConfig cache = f16();
    const Prediction a = decode(hand_machine(), plain, model, 100, cache);
    const Prediction b = decode(hand_machine(), rich, model, 100, cache);
    EXPECT_NEAR((b.step - a.step).value(), calls * 2e-6, 1e-12) << key;
    EXPECT_GT(b.step, Seconds(0));
  };
  using namespace bandwall::testing;
  added(model_from_shape(qwen3_next(), "Q4_K_M"), "ssm.delta", 36);
  added(model_from_shape(qwen3_next(), "Q4_K_M"), "ssm_out.delta", 36);
  added(model_from_shape(qwen3_next(), "Q4_K_M"), "attention.latent", 0);
  added(model_from_shape(nemotron_nano(), "Q4_K_M"), "ssm", 23);
  added(model_from_shape(nemotron_nano(), "Q4_K_M"), "ssm.delta", 0);
}

TEST(Predict, StepIsTheSumOfOpsAndTheHostTime) {
  const Prediction p = decode(hand_machine(), hand_backend(), hand_model({}), 100);
  Seconds sum;
  for (const auto& o : p.ops) sum += o.expected;
  EXPECT_NEAR(p.step.value(), sum.value() + 100e-6, 1e-12);
  EXPECT_NEAR(p.ledger.residual().value(), 100e-6, 1e-12);
  EXPECT_EQ(p.ledger.wall, p.step);
  EXPECT_EQ(p.ledger.steps, 1);
}

TEST(Predict, LayerSecondsAreChargedOncePerLayer) {
  Backend without = hand_backend();
  without.layer_seconds.reset();
  const ModelSpec model = hand_model({.layers = 6});
  const double with_cost = decode(hand_machine(), hand_backend(), model, 0).step.value();
  const double no_cost = decode(hand_machine(), without, model, 0).step.value();
  EXPECT_NEAR(with_cost - no_cost, 6 * 20e-6, 1e-12);
}

TEST(Predict, KvTimeGrowsWithContextAtTheKvRate) {
  const ModelSpec model = hand_model({.layers = 2});
  const Machine m = hand_machine();
  const double short_time = decode(m, hand_backend(), model, 999).step.value();
  const double long_time = decode(m, hand_backend(), model, 20999).step.value();
  const double bytes = 20000.0 * 2 * (128 + 128) * 2;
  EXPECT_NEAR(long_time - short_time, bytes / 160e9, 1e-9);
}

TEST(Predict, QuantizedKvIsLimitedByUnpackingNotByBytes) {
  const ModelSpec model = hand_model({.layers = 2, .heads = 32, .kv_heads = 2, .head_dim = 128});
  const Machine m = hand_machine();
  const Backend b = hand_backend();
  const auto quant = kv("q8_0", "q8_0");
  const double slope =
      (decode(m, b, model, 20999, quant).step - decode(m, b, model, 999, quant).step).value();
  EXPECT_NEAR(slope, 2.0 * 2 * 32 * 128 * 20000 / 3e11, 1e-9);
  const Prediction p = decode(m, b, model, 20999, quant);
  EXPECT_EQ(op(p, OpKind::Attention).bound, Bound::Dequantization);
  EXPECT_GT(slope, (decode(m, b, model, 20999).step - decode(m, b, model, 999).step).value());
}

TEST(Predict, OneRowHasNoComputeTermManyRowsDo) {
  const ModelSpec model = hand_model({});
  Backend slow = hand_backend();
  slow.gemm["default"].value.rate = FlopsPerSecond(1e9);
  const Machine m = hand_machine();
  EXPECT_EQ(decode(m, slow, model, 0).step, decode(m, hand_backend(), model, 0).step);
  const Step step{1, 64, 0, 1};
  const auto routing = expected_routing(model, 64);
  EXPECT_GT(predict(m, slow, model, f16(), step, routing).step,
            predict(m, hand_backend(), model, f16(), step, routing).step);
}

// Measured points replace the formula: the time of the rows after the first is linear between them.
TEST(Predict, PointsOfAProductRateReplaceTheFormula) {
  GemmRate g{FlopsPerSecond(9e12), 100, {{4, FlopsPerSecond(1e12)}, {8, FlopsPerSecond(2e12)}}};
  EXPECT_DOUBLE_EQ(g.at(2).value(), 1e12);
  EXPECT_DOUBLE_EQ(g.at(4).value(), 1e12);
  EXPECT_NEAR(5 / g.at(6).value(), (3 / 1e12 + 7 / 2e12) / 2, 1e-24);
  EXPECT_DOUBLE_EQ(g.at(8).value(), 2e12);
  EXPECT_DOUBLE_EQ(g.at(500).value(), 2e12);
  g.points.clear();
  EXPECT_DOUBLE_EQ(g.at(100).value(), 4.5e12);
}

TEST(Predict, ScoresAddToTheBytesWhereTheBackendSaysSo) {
  const ModelSpec model = hand_model({.layers = 2, .heads = 32, .kv_heads = 2, .head_dim = 128});
  const Machine m = hand_machine();
  Backend b = hand_backend();
  const Seconds bytes_alone = decode(m, b, model, 4095).step;
  b.kv_scores["f16"] = {ElementsPerSecond(1e11), {}};
  EXPECT_NEAR((decode(m, b, model, 4095).step - bytes_alone).value(),
              2.0 * 2 * 32 * 128 * 4096 / 1e11, 1e-9);
}

TEST(Predict, MatricesOfExpertsHaveARateOfTheirOwn) {
  const ModelSpec model =
      hand_model({.ffn = 0, .experts = 8, .experts_used = 2, .expert_ffn = 8192});
  Backend b = hand_backend();
  const double alike = op(decode(hand_machine(), b, model, 0), OpKind::Experts).expected.value();
  b.stream["Q8_0.experts"] = {BytesPerSecond(100e9), {}};
  const Prediction p = decode(hand_machine(), b, model, 0);
  EXPECT_GT(op(p, OpKind::Experts).expected.value(), 1.5 * alike);
  EXPECT_EQ(op(p, OpKind::AttnOut).expected,
            op(decode(hand_machine(), hand_backend(), model, 0), OpKind::AttnOut).expected);
}

TEST(Predict, PrefillComputeIsFlopsOverReachedRate) {
  const ModelSpec model = hand_model({.layers = 1});
  const Step step{1, 64, 0, 64};
  const Prediction p =
      predict(hand_machine(), hand_backend(), model, f16(), step, expected_routing(model, 64));
  const double bytes = static_cast<double>(row_bytes(Format::Q8_0, 512)) * 512;
  const double flops = 2.0 * 512 * 512 * 64;
  const double reached = 30e12 * 64 / (64 + 16);
  int ops_in_layer = 0;
  for (const OpPrediction& o : p.ops) ops_in_layer += o.key.layer == 0 ? 1 : 0;
  EXPECT_NEAR(op(p, OpKind::AttnOut).expected.value(),
              bytes / 200e9 + flops * 63 / 64 / reached + 2e-6 + 20e-6 / ops_in_layer, 1e-10);
}

TEST(Predict, UnknownFormatUsesTheDefaultAndWidensTheBand) {
  const ModelSpec known = hand_model({}), unknown = hand_model({}, Format::Q4_K);
  const Prediction a = decode(hand_machine(), hand_backend(), known, 0);
  const Prediction b = decode(hand_machine(), hand_backend(), unknown, 0);
  EXPECT_TRUE(a.notes.empty()) << a.notes.front();
  ASSERT_EQ(b.notes.size(), 1u);
  EXPECT_NE(b.notes[0].find("Q4_K"), std::string::npos);
  EXPECT_GT(b.high, a.high);
  const double bytes = static_cast<double>(row_bytes(Format::Q4_K, 512)) * 1024;
  EXPECT_NEAR(op(b, OpKind::Head).expected.value(), bytes / 180e9 + 2e-6, 1e-12);
}

TEST(Predict, BasisFollowsWhereTheFiguresComeFrom) {
  const ModelSpec model = hand_model({});
  Machine m = hand_machine();
  Backend b = hand_backend();
  EXPECT_EQ(decode(m, b, model, 0).basis, Basis::CalibratedBackend);
  m.read_curves.push_back({0, {{Bytes(1e6), BytesPerSecond(200e9)}}, {}});
  EXPECT_EQ(decode(m, b, model, 0).basis, Basis::MeasuredHere);
  b.machine = "another";
  b.reference_bandwidth = given(BytesPerSecond(400e9));
  EXPECT_EQ(decode(m, b, model, 0).basis, Basis::SameClass);
  b.stream.clear();
  EXPECT_EQ(decode(m, b, model, 0).basis, Basis::DatasheetOnly);
}

TEST(Predict, ABorrowedBackendIsScaledByTheRatioOfBandwidths) {
  Backend b = hand_backend();
  b.machine = "another";
  b.reference_bandwidth = given(BytesPerSecond(400e9));  // twice what this machine reaches
  const double bytes = static_cast<double>(row_bytes(Format::Q8_0, 512)) * 1024;
  const Prediction p = decode(hand_machine(), b, hand_model({}), 0);
  EXPECT_NEAR(op(p, OpKind::Head).expected.value(), bytes / 100e9 + 2e-6, 1e-12);
}

TEST(Predict, TwoDevicesHalveBytesAndPayForTheLink) {
  const ModelSpec model = hand_model({.layers = 3});
  Machine two = hand_machine();
  two.devices = 2;
  two.links.push_back({"wire", given(BytesPerSecond(20e9)), given(Seconds(35e-6))});
  two.device_link = "wire";
  Backend b = hand_backend();
  const Prediction one = decode(hand_machine(), b, model, 4095);
  const Prediction both = decode(two, b, model, 4095);
  double fixed = 100e-6 + 3 * 20e-6 + 2e-6 * static_cast<double>(one.ops.size());
  const double link = 3 * 2 * (35e-6 + 2.0 * 512 / 20e9);
  EXPECT_NEAR(both.step.value(), (one.step.value() - fixed) / 2 + fixed + link, 1e-9);
}

TEST(Predict, WorkingSetPicksTheRateFromTheCurve) {
  const ModelSpec model = hand_model({});
  Machine m = hand_machine();
  Backend b = hand_backend();
  b.stream_curves["Q8_0"] = {
      {0, {{Bytes(1e3), BytesPerSecond(50e9)}, {Bytes(1e4), BytesPerSecond(40e9)}}, {}}};
  // The step touches megabytes: the last point of the curve holds.
  const double bytes = static_cast<double>(row_bytes(Format::Q8_0, 512)) * 1024;
  EXPECT_NEAR(op(decode(m, b, model, 0), OpKind::Head).expected.value(), bytes / 40e9 + 2e-6,
              1e-12);
}

TEST(Predict, ARateAboveTheCeilingIsCutToTheSpeedOfLight) {
  Backend b = hand_backend();
  b.stream["Q8_0"].value = BytesPerSecond(1e15);
  b.op_seconds.clear();
  b.layer_seconds.reset();
  const Prediction p = decode(hand_machine(), b, hand_model({}), 0);
  for (const OpPrediction& o : p.ops) EXPECT_GE(o.expected, o.speed_of_light);
}

TEST(Throughput, DecodeIsTheStepInTheMiddleOfTheTokens) {
  const ModelSpec model = hand_model({});
  Scenario s;
  s.n_gen = 101;
  s.depth = 1000;
  s.kv = f16();
  const Throughput t = predict_decode(hand_machine(), hand_backend(), model, s);
  const Prediction middle = decode(hand_machine(), hand_backend(), model, 1050);
  EXPECT_NEAR(t.ts, 1 / middle.step.value(), 1e-9);
  EXPECT_LT(t.ts_low, t.ts);
  EXPECT_GE(t.ts_high, t.ts);
  EXPECT_LE(t.ts, t.ts_speed_of_light);
  EXPECT_EQ(t.bytes_weights, middle.ledger.traffic().weights);
}

TEST(Throughput, PrefillSumsItsChunks) {
  const ModelSpec model = hand_model({});
  Scenario s;
  s.n_prompt = 1100;
  s.n_ubatch = 512;
  s.kv = f16();
  const Throughput t = predict_prefill(hand_machine(), hand_backend(), model, s);
  double sum = 0;
  const std::int64_t sizes[] = {512, 512, 76}, pasts[] = {0, 512, 1024};
  for (int i = 0; i < 3; ++i) {
    const Step step{1, sizes[i], pasts[i], i == 2 ? 1 : 0};
    sum += predict(hand_machine(), hand_backend(), model, f16(), step,
                   expected_routing(model, sizes[i]))
               .step.value();
  }
  EXPECT_NEAR(t.total.value(), sum, 1e-12);
  EXPECT_NEAR(t.ts, 1100 / sum, 1e-6);
}

TEST(Throughput, HugePromptsAreSampledNotSummed) {
  const ModelSpec model = hand_model({});
  Scenario s;
  s.n_prompt = 1'000'000'000;
  s.kv = f16();
  const Throughput t = predict_prefill(hand_machine(), hand_backend(), model, s);
  EXPECT_GT(t.ts, 0);
  EXPECT_EQ(t.bound, Bound::Compute);
}

TEST(Throughput, ScenarioOutOfRangeIsRefusedByName) {
  Scenario s;
  s.kv = f16();
  s.batch = 0;
  try {
    predict_decode(hand_machine(), hand_backend(), hand_model({}), s);
    FAIL() << "accepted";
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find("batch"), std::string::npos);
  }
}

TEST(Compare, JoinsPredictedAndMeasuredByKind) {
  const Prediction p = decode(hand_machine(), hand_backend(), hand_model({}), 10);
  Ledger measured = p.ledger;
  for (auto& [key, row] : measured.rows) row.time = row.time * 2.0;
  measured.wall = measured.wall * 2.0;
  const Comparison c = compare(p.ledger, measured);
  EXPECT_TRUE(c.bytes_equal);
  EXPECT_NEAR(c.time_ratio, 0.5, 1e-12);
  for (const ComparisonRow& row : c.rows) EXPECT_NEAR(row.ratio, 0.5, 1e-12);
}

TEST(Compare, NamesTheOpWhoseBytesDiffer) {
  const Prediction p = decode(hand_machine(), hand_backend(), hand_model({}), 10);
  Ledger measured = p.ledger;
  measured.rows[{OpKind::AttnOut, 2}].traffic.weights += Bytes(1);
  const Comparison c = compare(p.ledger, measured);
  EXPECT_FALSE(c.bytes_equal);
  ASSERT_EQ(c.unequal.size(), 1u);
  EXPECT_EQ(c.unequal[0], (OpKey{OpKind::AttnOut, 2}));
}

}  // namespace
}  // namespace bandwall
