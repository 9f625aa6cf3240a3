#include "runtime/calibrate.h"

#include <cmath>

#include <gtest/gtest.h>

#include "hwmodel/error.h"
#include "runtime/engine.h"
#include "runtime/gemm_fit.h"
#include "runtime/probes.h"
#include "runtime/synthetic_model.h"

namespace bandwall {
namespace {

TEST(Series, MedianAndSpreadForgetOneOutlier) {
  Series s;
  EXPECT_EQ(s.median(), 0);
  for (const double x : {10.0, 11.0, 9.0, 10.0, 1000.0}) s.add(x);
  EXPECT_DOUBLE_EQ(s.median(), 10.0);
  EXPECT_DOUBLE_EQ(s.spread(), 0.1);
  EXPECT_DOUBLE_EQ(s.best(), 1000.0);
}

Series seconds(double t) {
  Series s;
  s.add(t);
  return s;
}

TEST(GemmFit, FindsRateAndHalfSaturation) {
  const double rate = 1e11, half = 4, flops = 2e6, first = 1e-4;
  std::map<std::int64_t, Series> times;
  for (const std::int64_t n : {1, 4, 16, 64, 256}) {
    const double rows = static_cast<double>(n), reached = rate * rows / (rows + half);
    times[n] = seconds(first + (rows - 1) * flops / reached);
  }
  const GemmRate r = fit_gemm(times, flops);
  EXPECT_NEAR(r.rate.value(), rate, 1e-6 * rate);
  EXPECT_NEAR(r.n_half, half, 1e-6);
}

// On a busy host one row can take longer than many: there is a rate all the same.
TEST(GemmFit, ADisturbedFirstRowStillGivesARate) {
  const double flops = 2e6;
  const GemmRate r = fit_gemm({{1, seconds(1.0)}, {8, seconds(0.01)}, {64, seconds(0.02)}}, flops);
  EXPECT_DOUBLE_EQ(r.rate.value(), 64 * flops / 0.02);
  EXPECT_EQ(r.n_half, 0);
  EXPECT_GT(fit_gemm({{8, seconds(0.01)}}, flops).rate.value(), 0);
  EXPECT_GT(fit_gemm({{1, seconds(0.01)}}, flops).rate.value(), 0);
  EXPECT_GT(fit_gemm({{1, seconds(0.01)}, {8, seconds(0.01)}}, flops).rate.value(), 0);
}

TEST(Probes, RandomBlocksOfEveryFormatAreOrdinaryValues) {
  for (const FormatInfo& f : all_formats()) {
    if (!has_kernels(f.format)) continue;
    const auto block = static_cast<std::size_t>(f.bytes_per_block);
    std::vector<std::byte> data(block * 20);
    fill_random_blocks(f.format, data.data(), data.size(), 5);
    std::vector<float> values(static_cast<std::size_t>(f.values_per_block * 20));
    dequantize(f.format, data.data(), static_cast<std::int64_t>(values.size()), values.data());
    bool any = false;
    for (const float v : values) {
      ASSERT_TRUE(std::isfinite(v) && std::fabs(v) < 0.25f) << f.name;
      any = any || v != 0.0f;
    }
    EXPECT_TRUE(any) << f.name;
  }
}

TEST(SyntheticModel, LoadsAndComputesFiniteLogits) {
  Hyper h;
  h.layers = 2;
  h.hidden = 256;
  h.vocab = 64;
  h.context_train = 64;
  h.heads = 4;
  h.kv_heads = 2;
  h.head_dim_k = h.head_dim_v = h.rope_dims = 64;
  h.experts = 4;
  h.experts_used = 2;
  h.expert_ffn = 256;
  const SyntheticModel s = synthetic_model(uniform_spec("qwen3moe", h, Format::Q4_K), {});
  const LoadedModel m = LoadedModel::from_memory(s.bytes(), "synthetic");
  EXPECT_EQ(m.spec().hyper.experts, 4);
  Engine engine(m, {.context = 64, .threads = 1});
  const std::int32_t tokens[] = {1, 2, 3};
  EXPECT_EQ(engine.evaluate(tokens, Outputs::Last).size(), 64u);
}

TEST(Calibrate, ShortestFormGivesAUsableMachineAndBackend) {
  CalibrateOptions o;
  o.budget = Seconds(0.5);  // one round
  o.threads = 1;
  o.formats = {Format::Q8_0};
  const Calibration c = calibrate(o);
  EXPECT_EQ(c.machine.name, "this");
  EXPECT_EQ(c.backend.machine, "this");
  EXPECT_TRUE(c.backend.calibrated);
  EXPECT_GT(c.machine.pool().peak.value, BytesPerSecond(0));
  EXPECT_LE(c.machine.pool().achievable.value, c.machine.pool().peak.value);
  for (const char* format : {"Q8_0", "F32", "default"}) {
    EXPECT_GT(c.backend.stream.at(format).value, BytesPerSecond(0)) << format;
    EXPECT_FALSE(c.backend.stream_curves.at(format).empty()) << format;
  }
  EXPECT_GT(c.backend.gemm.at("Q8_0").value.rate, FlopsPerSecond(0));
  for (const char* op :
       {"attention", "experts", "head", "dense_ffn", "shared_expert", "attention.latent",
        "qkv_proj.latent", "ssm_in", "ssm", "ssm_out", "ssm.delta"}) {
    ASSERT_EQ(c.backend.op_seconds.count(op), 1u) << op;
    EXPECT_GE(c.backend.op_seconds.at(op).value, Seconds(0)) << op;
    EXPECT_LT(c.backend.op_seconds.at(op).value, Seconds(0.1)) << op;
  }
  for (const char* type : {"f16", "f32"}) {
    EXPECT_GT(c.backend.kv_stream.at(type).value, BytesPerSecond(0)) << type;
    EXPECT_GT(c.backend.kv_elements.at(type).value, ElementsPerSecond(0)) << type;
  }
  EXPECT_GT(c.backend.attention_rate->value, FlopsPerSecond(0));
  EXPECT_TRUE(c.backend.step_seconds.has_value());
  EXPECT_EQ(c.host_busy, !c.warning.empty());
  EXPECT_EQ(c.date.size(), 10u);
}

TEST(Calibrate, RefusesANegativeBudget) { EXPECT_THROW(calibrate({.budget = Seconds(-1)}), Error); }

}  // namespace
}  // namespace bandwall
