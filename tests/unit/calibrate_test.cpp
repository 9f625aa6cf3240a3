#include "runtime/calibrate.h"

#include <cmath>

#include <gtest/gtest.h>

#include "hwmodel/error.h"
#include "runtime/calibrate_fit.h"
#include "runtime/engine.h"
#include "runtime/engine_probe.h"
#include "runtime/host.h"
#include "runtime/least_squares.h"
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

// Times of two mechanisms, and of a third that is always the same multiple of the second.
TEST(LeastSquares, FindsFiguresAndSaysWhichAreNotDetermined) {
  Terms terms, tied;
  std::vector<double> times;
  for (int i = 0; i < 8; ++i) {
    const double bytes = 1e6 * (1 << (i % 4)), flops = i < 4 ? 1e6 : 8e6;
    terms.push_back({bytes, flops});
    tied.push_back({bytes, bytes * (1 + 1e-3 * i)});
    times.push_back((bytes * 3e-11 + flops * 5e-12) * (i % 2 == 0 ? 1.01 : 0.99));
  }
  const Fit fit = fit_non_negative(terms, times, 2);
  EXPECT_NEAR(fit.figures[0].value, 3e-11, 2e-12);
  EXPECT_NEAR(fit.figures[1].value, 5e-12, 1e-12);
  EXPECT_TRUE(fit.figures[0].identified);
  EXPECT_LE(fit.figures[0].low, fit.figures[0].value);
  EXPECT_GE(fit.figures[0].high, fit.figures[0].value);
  EXPECT_LT(fit.error, 0.02);
  const Fit unclear = fit_non_negative(tied, times, 2);
  EXPECT_FALSE(unclear.figures[0].identified && unclear.figures[1].identified);
}

TEST(LeastSquares, NoFigureIsNegativeAndNoRowsAreNoError) {
  // 2 x - 1: the constant would be negative.
  const Fit fit = fit_non_negative({{1, 1}, {2, 1}, {3, 1}}, {1, 3, 5}, 2);
  EXPECT_GT(fit.figures[0].value, 1);
  EXPECT_EQ(fit.figures[1].value, 0);
  EXPECT_FALSE(fit.figures[1].identified);
  EXPECT_EQ(fit_non_negative({}, {}, 2).figures.size(), 2u);
}

OpSample sample(double seconds, double weights, double read, double flops = 0,
                double activations = 0) {
  OpSample s;
  s.row.calls = 1;
  s.row.time = Seconds(seconds);
  s.row.traffic.weights = Bytes(weights);
  s.row.traffic.activations = Bytes(activations);
  s.row.flops = Flops(flops);
  s.read = read;
  return s;
}

// The host drifts between the samples; rates are shares of the reading beside each.
TEST(CalibrateFit, StreamsFollowTheReadingBesideThem) {
  FormatSamples f;
  f.experts_used = 8;
  for (const double read : {20e9, 30e9, 40e9}) {
    StepSample step;
    step[OpKind::QkvProj] = sample(1e7 / (0.8 * read), 1e7, read, 2e7);
    step[OpKind::Experts] = sample(1e8 / (0.5 * read), 1e8, read, 2e8);
    step[OpKind::DenseFfn] = sample(1e8 / (0.6 * read), 1e8, read, 2e8);
    f.decode.push_back(step);
  }
  const double n = 16, rate = 1e11;
  StepSample prompt;
  prompt[OpKind::QkvProj] = sample(1e7 / (0.8 * 30e9) + 2e7 * (n - 1) / rate, 1e7, 30e9, 2e7 * n);
  f.prompts[16] = {prompt};
  Backend b;
  fit_format(f, Format::Q4_K, 30e9, b);
  EXPECT_NEAR(b.stream.at("Q4_K").value.value(), 24e9, 1e3);
  EXPECT_NEAR(b.stream.at("Q4_K.experts").value.value(), 15e9, 1e3);
  EXPECT_NEAR(b.stream.at("Q4_K.dense_ffn").value.value(), 18e9, 1e3);
  ASSERT_EQ(b.gemm.at("Q4_K").value.points.size(), 1u);
  EXPECT_NEAR(b.gemm.at("Q4_K").value.points[0].rate.value(), rate, 1e-3 * rate);
}

TEST(CalibrateFit, AttentionTellsBytesFromScores) {
  std::vector<AttentionSample> samples;
  for (const double cells : {64.0, 512.0, 2048.0, 6144.0}) {
    for (const double group : {1.0, 8.0}) {
      const double bytes = cells * 4096, elements = cells * 1024 * group;
      samples.push_back({5e-6 + bytes / 25e9 + elements / 2e11, bytes, elements, 0, 30e9});
    }
  }
  Backend b;
  std::vector<std::string> remarks;
  fit_attention(samples, "f16", 30e9, b, remarks);
  EXPECT_TRUE(remarks.empty());
  EXPECT_NEAR(b.kv_stream.at("f16").value.value(), 25e9, 1e8);
  EXPECT_NEAR(b.kv_scores.at("f16").value.value(), 2e11, 1e9);
  EXPECT_NEAR(b.op_seconds.at("attention").value.value(), 5e-6, 1e-8);
  // One head shape alone cannot tell them apart: plain reading stands for the bytes.
  std::erase_if(samples, [](const AttentionSample& s) { return s.elements > s.bytes; });
  fit_attention(samples, "q8_0", 30e9, b, remarks);
  EXPECT_FALSE(remarks.empty());
  EXPECT_DOUBLE_EQ(b.kv_stream.at("q8_0").value.value(), 30e9);
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

TEST(ReadProbe, ReadsMemoryAndLeavesOutTheWeightsOfASmallModel) {
  const SyntheticModel s = synthetic_model(wide_spec(Format::Q4_K, {24e6, 24e6}), {});
  const LoadedModel small = LoadedModel::from_memory(s.bytes(), "small");
  ReadProbe probe(2, &small);
  const PlainReading r = probe.sample();
  EXPECT_GT(r.memory, BytesPerSecond(0));
  EXPECT_GT(probe_bandwidth(1).median.memory, BytesPerSecond(0));
  const double cache = host_info().l3 ? host_info().l3->value() : 32 * kMiB;
  EXPECT_EQ(r.pages > BytesPerSecond(0), s.size > 3 * cache + 8e6);
}

TEST(Probes, ThreadsShareTheSlicesOfAPass) {
  const Arena arena(std::size_t{4} << 20);
  std::vector<std::span<const std::byte>> slices;
  for (std::size_t at = 0; at < arena.size(); at += 1 << 20) {
    slices.emplace_back(arena.data() + at, std::size_t{1} << 20);
  }
  for (const int threads : {1, 2, 7}) {
    ThreadPool pool(threads, Pinning::Off);
    EXPECT_GT(read_slices_rate(pool, slices), 0);
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
  ASSERT_EQ(c.backends.size(), 1u);  // the quick form: one thread count
  const Backend& b = c.backends.front();
  EXPECT_EQ(b.machine, "this");
  EXPECT_TRUE(b.calibrated);
  EXPECT_GT(c.machine.pool().peak.value, BytesPerSecond(0));
  EXPECT_LE(c.machine.pool().achievable.value, c.machine.pool().peak.value);
  for (const char* format : {"Q8_0", "F32", "default"}) {
    EXPECT_GT(b.stream.at(format).value, BytesPerSecond(0)) << format;
    EXPECT_FALSE(b.stream_curves.at(format).empty()) << format;
  }
  EXPECT_GT(b.gemm.at("Q8_0").value.rate, FlopsPerSecond(0));
  EXPECT_FALSE(b.gemm.at("Q8_0.experts").value.points.empty());
  for (const char* op :
       {"attention", "experts", "head", "dense_ffn", "shared_expert", "attention.latent",
        "qkv_proj.latent", "ssm_in", "ssm", "ssm_out", "ssm.delta"}) {
    ASSERT_EQ(b.op_seconds.count(op), 1u) << op;
    EXPECT_GE(b.op_seconds.at(op).value, Seconds(0)) << op;
    EXPECT_LT(b.op_seconds.at(op).value, Seconds(0.1)) << op;
  }
  for (const char* type : {"f16", "q8_0"}) {
    EXPECT_GT(b.kv_stream.at(type).value, BytesPerSecond(0)) << type;
  }
  // Formats without rows are priced like a quantized one, not like F32, which was measured, too.
  EXPECT_EQ(b.stream.at("default").value, b.stream.at("Q8_0").value);
  EXPECT_EQ(b.gemm.at("default").value, b.gemm.at("Q8_0").value);
  ASSERT_TRUE(b.page_reading.has_value());
  EXPECT_GT(b.page_reading->value, BytesPerSecond(0));
  EXPECT_EQ(b.cached_op_seconds.count("attn_norm"), 1u);
  EXPECT_EQ(b.cached_op_seconds.count("ssm"), 0u);  // only small models showed it
  EXPECT_GT(b.attention_rate->value, FlopsPerSecond(0));
  EXPECT_TRUE(b.step_seconds.has_value());
  EXPECT_EQ(c.host_busy, !c.warning.empty());
  EXPECT_EQ(c.date.size(), 10u);
}

TEST(Calibrate, RefusesANegativeBudget) { EXPECT_THROW(calibrate({.budget = Seconds(-1)}), Error); }

}  // namespace
}  // namespace bandwall
