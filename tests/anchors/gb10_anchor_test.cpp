// Speeds and verdicts that others published for one GB10 with llama.cpp, against our predictions.
// A row agrees within its tolerance, or disagrees for a named reason; a disagreeing row that starts
// to agree fails too, because then the reason was wrong.
// Main source: llama-bench of ggml-org/llama.cpp benches/dgx-spark, build 7941: tg32 and pp2048
// with ubatch 2048, flash attention, f16 cache. The machine and backend figures were not fitted to
// single rows: stream rate and layer cost come from the depth-0 rows, the KV rate from the depth
// slope.
#include <cmath>
#include <cstdio>
#include <string>

#include <gtest/gtest.h>

#include "analysis/fit.h"
#include "analysis/predict.h"
#include "configs/library.h"

namespace bandwall {
namespace {

constexpr const char* kBench = "ggml-org/llama.cpp benches/dgx-spark, build 7941";

struct Anchor {
  const char* model;
  const char* mix;
  std::int64_t depth;
  double measured;   // tokens per second
  double tolerance;  // relative
  const char* source = kBench;
  const char* disagrees_because = nullptr;
  const char* k = "f16";
  const char* v = "f16";
};

struct World {
  Machine machine = load_machine("gb10");
  Backend backend = load_backend("llama.cpp-cuda");
};

Scenario scenario(const Anchor& a) {
  Scenario s;
  s.depth = a.depth;
  s.kv = {kv_format_from_name(a.k), kv_format_from_name(a.v)};
  return s;
}

void check(const char* what, const Anchor& a, double predicted) {
  const double error = predicted / a.measured - 1;
  std::printf("  %s %-28s %-12s depth %6lld: measured %7.2f predicted %7.2f tok/s, %+5.1f %%%s%s\n",
              what, a.model, a.mix, static_cast<long long>(a.depth), a.measured, predicted,
              100 * error, a.disagrees_because ? ", disagrees because " : "",
              a.disagrees_because ? a.disagrees_because : "");
  const std::string place =
      std::string(a.model) + " " + a.mix + " at " + std::to_string(a.depth) + " (" + a.source + ")";
  if (a.disagrees_because == nullptr) {
    EXPECT_LE(std::fabs(error), a.tolerance) << place;
  } else {
    EXPECT_GT(std::fabs(error), a.tolerance) << place << ": agrees now; " << a.disagrees_because;
  }
}

double decode_speed(const World& w, const Anchor& a) {
  Scenario s = scenario(a);
  s.n_gen = 32;
  const ModelSpec model = model_from_shape(load_model_shape(a.model), a.mix);
  return predict_decode(w.machine, w.backend, model, s).ts;
}

double prefill_speed(const World& w, const Anchor& a) {
  Scenario s = scenario(a);
  s.n_prompt = s.n_ubatch = 2048;
  const ModelSpec model = model_from_shape(load_model_shape(a.model), a.mix);
  return predict_prefill(w.machine, w.backend, model, s).ts;
}

TEST(Gb10Anchor, DecodeOfGroupedQueryModelsWithinSixPercent) {
  const Anchor rows[] = {
      {"gpt-oss-20b", "MXFP4_MOE", 0, 83.43, 0.06},
      {"gpt-oss-20b", "MXFP4_MOE", 4096, 79.22, 0.06},
      {"gpt-oss-20b", "MXFP4_MOE", 8192, 75.22, 0.06},
      {"gpt-oss-20b", "MXFP4_MOE", 16384, 70.36, 0.06},
      {"gpt-oss-20b", "MXFP4_MOE", 32768, 61.65, 0.06},
      {"gpt-oss-120b", "MXFP4_MOE", 0, 58.72, 0.06},
      {"gpt-oss-120b", "MXFP4_MOE", 4096, 55.67, 0.06},
      {"gpt-oss-120b", "MXFP4_MOE", 8192, 52.87, 0.06},
      {"gpt-oss-120b", "MXFP4_MOE", 16384, 49.45, 0.06},
      {"gpt-oss-120b", "MXFP4_MOE", 32768, 42.76, 0.06},
      {"qwen3-30b-a3b", "Q8_0", 0, 61.06, 0.06},
      {"qwen3-30b-a3b", "Q8_0", 4096, 54.77, 0.06},
      {"qwen3-30b-a3b", "Q8_0", 8192, 48.02, 0.06},
      {"qwen3-30b-a3b", "Q8_0", 16384, 40.23, 0.06},
      {"qwen3-30b-a3b", "Q8_0", 32768, 30.21, 0.06},
  };
  const World w;
  double sum = 0;
  for (const Anchor& a : rows) {
    const double predicted = decode_speed(w, a);
    check("decode ", a, predicted);
    sum += std::fabs(predicted / a.measured - 1);
  }
  const double mean = sum / static_cast<double>(std::size(rows));
  std::printf("  decode  mean error %.2f %%\n", 100 * mean);
  EXPECT_LE(mean, 0.03);
}

TEST(Gb10Anchor, PrefillWithinFortyPercent) {
  const Anchor rows[] = {
      {"gpt-oss-20b", "MXFP4_MOE", 0, 4506, 0.40},
      {"gpt-oss-20b", "MXFP4_MOE", 8192, 3994, 0.40},
      {"gpt-oss-20b", "MXFP4_MOE", 32768, 2689, 0.40},
      {"gpt-oss-120b", "MXFP4_MOE", 0, 2444, 0.40},
      {"gpt-oss-120b", "MXFP4_MOE", 8192, 2217, 0.40},
      {"gpt-oss-120b", "MXFP4_MOE", 32768, 1567, 0.40},
      {"qwen3-30b-a3b", "Q8_0", 0, 2987, 0.40},
      {"qwen3-30b-a3b", "Q8_0", 8192, 2354, 0.40},
      {"qwen3-30b-a3b", "Q8_0", 32768, 1348, 0.40},
  };
  const World w;
  for (const Anchor& a : rows) check("prefill", a, prefill_speed(w, a));
}

TEST(Gb10Anchor, ClaimsThatTheModelDoesNotReproduce) {
  const World w;
  const Anchor short_context = {
      "minimax-m2.5",
      "UD-Q3_K_XL",
      0,
      24,
      0.06,
      "a public report, MiniMax-M2.5 on one GB10",
      "the mix of the file is assumed and 3-bit experts were never measured alone on this chip",
      "tbq4_0",
      "tbq3_0"};
  check("decode ", short_context, decode_speed(w, short_context));
  const Anchor prefill = {"minimax-m2.5",
                          "UD-Q3_K_XL",
                          0,
                          2800,
                          0.40,
                          "the same report",
                          "it needs 55 TFLOP/s; llama.cpp was seen at 15 to 38 on this chip: "
                          "cached tokens were counted"};
  check("prefill", prefill, prefill_speed(w, prefill));
}

// Recurrent layers and 22 of 512 small experts are outside of what the backend was calibrated on;
// the goal for such a model is 15 %, and the answer must say that it is an extrapolation.
TEST(Gb10Anchor, HybridIsAnExtrapolationWithinFifteenPercent) {
  const World w;
  const Anchor a = {"nemotron-3-super-120b-a12b",         "Q4_K_M", 0, 19.94, 0.15,
                    "ggml-org/llama.cpp benches/nemotron"};
  check("decode ", a, decode_speed(w, a));
  Scenario s = scenario(a);
  const Throughput t =
      predict_decode(w.machine, w.backend, model_from_shape(load_model_shape(a.model), a.mix), s);
  bool said = false;
  for (const std::string& n : t.notes) said = said || n.find("extrapolation") != std::string::npos;
  EXPECT_TRUE(said);
}

// The growth from short context to 10,000 positions with a packed cache: 25 ms by the report
// (1/15 - 1/24 s). Bytes alone would be 3 ms; the unpacking rate gives it.
TEST(Gb10Anchor, PackedCacheCostsUnpackingNotBytes) {
  const World w;
  const ModelSpec model = model_from_shape(load_model_shape("minimax-m2.5"), "UD-Q3_K_XL");
  Scenario s;
  s.kv = {kv_format_from_name("tbq4_0"), kv_format_from_name("tbq3_0")};
  const double near = 1 / predict_decode(w.machine, w.backend, model, s).ts;
  s.depth = 10000;
  const double far = 1 / predict_decode(w.machine, w.backend, model, s).ts;
  std::printf("  growth over 10000 positions: reported 25.0 ms, predicted %.1f ms\n",
              1e3 * (far - near));
  EXPECT_NEAR(1e3 * (far - near), 25.0, 0.15 * 25.0);
  s.kv = {kv_format_from_name("f16"), kv_format_from_name("f16")};
  const double plain = 1 / predict_decode(w.machine, w.backend, model, s).ts;
  EXPECT_LT(plain, far);  // more than four times the bytes, and still faster
}

struct FitAnchor {
  const char* mix;
  const char* machine;
  std::int64_t context;
  const char* k;
  const char* v;
  Verdict verdict;
  double needed_gb;  // 0: not stated
};

TEST(Gb10Anchor, VerdictsOfMiniMax) {
  const FitAnchor rows[] = {
      {"UD-Q3_K_XL", "gb10", 96000, "tbq4_0", "tbq3_0", Verdict::Fits, 108.1},
      {"NVFP4", "gb10", 4096, "f16", "f16", Verdict::DoesNotFit, 139.86 + 1.04 + 0.45},
      {"NVFP4", "2xgb10", 4096, "f16", "f16", Verdict::Fits, 0},
      {"IQ4_XS", "gb10", 4096, "f16", "f16", Verdict::TooClose, 0},
      {"Q4_K_M", "gb10", 4096, "f16", "f16", Verdict::DoesNotFit, 0},
  };
  const ModelShape shape = load_model_shape("minimax-m2.5");
  for (const FitAnchor& a : rows) {
    FitOptions o;
    o.context = a.context;
    o.kv = {kv_format_from_name(a.k), kv_format_from_name(a.v)};
    const FitReport r = fit(load_machine(a.machine), model_from_shape(shape, a.mix), o);
    std::printf("  fit     minimax-m2.5:%-12s %-7s %s, needed %s, usable %s\n", a.mix, a.machine,
                std::string(name(r.verdict)).c_str(), gb_and_gib(r.needed).c_str(),
                gb_and_gib(r.usable).c_str());
    EXPECT_EQ(r.verdict, a.verdict) << a.mix << " on " << a.machine;
    if (a.needed_gb > 0) {
      EXPECT_NEAR(r.needed.value() / kGiga, a.needed_gb, 0.2) << a.mix;
    }
  }
}

TEST(Gb10Anchor, TheNvfp4AnswerNamesTheWrongFigurePeopleQuote) {
  FitOptions o;
  o.kv = {kv_format_from_name("f16"), kv_format_from_name("f16")};
  const ModelSpec model = model_from_shape(load_model_shape("minimax-m2.5"), "NVFP4");
  EXPECT_EQ(model.weight_bytes(), 139'862'328'320);
  const FitReport r = fit(load_machine("gb10"), model, o);
  bool said = false;
  for (const std::string& n : r.notes) said = said || n.find("228") != std::string::npos;
  EXPECT_TRUE(said);
}

}  // namespace
}  // namespace bandwall
