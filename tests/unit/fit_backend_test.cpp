#include "analysis/fit_backend.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "analysis/predict.h"
#include "hwmodel/error.h"
#include "tests/support/hand_machine.h"
#include "tests/support/hand_model.h"

namespace bandwall {
namespace {

using namespace testing_support;
using ::testing::HasSubstr;

KvConfig f16() { return {kv_format_from_name("f16"), kv_format_from_name("f16")}; }

// Models of several widths and depths, so that bytes, caches and layers differ in proportion.
std::vector<ModelSpec> models() {
  std::vector<ModelSpec> all;
  for (const std::int64_t hidden : {512, 1024, 2048, 3072}) {
    all.push_back(hand_model({.layers = 4 + hidden / 256, .hidden = hidden, .ffn = 3 * hidden}));
  }
  return all;
}

struct Rows {
  std::vector<ModelSpec> models;
  std::vector<FitRow> rows;
};

// What `truth` would measure, exactly.
Rows measured_by(const Backend& truth, std::vector<ModelSpec> of, bool prompts = true) {
  Rows r;
  r.models = std::move(of);
  for (std::size_t i = 0; i < r.models.size(); ++i) {
    for (const std::int64_t past : {0, 4096, 16384}) {
      std::vector<Step> steps = {{1, 1, past, 1}};
      if (prompts) steps.push_back({1, 256, past, 1});
      for (const Step& step : steps) {
        const ModelSpec& m = r.models[i];
        FitRow row;
        row.model_name = "model " + std::to_string(i);
        row.kv = f16();
        row.steps = {step};
        row.measured =
            predict(hand_machine(), truth, m, f16(), step, routing_of(truth, m, step)).step;
        r.rows.push_back(row);
      }
    }
  }
  for (std::size_t i = 0, each = r.rows.size() / r.models.size(); i < r.rows.size(); ++i) {
    r.rows[i].model = &r.models[i / each];
  }
  return r;
}

const FittedFactor* factor(const BackendFit& fit, Fitted what) {
  for (const FittedFactor& f : fit.factors) {
    if (f.what == what) return &f;
  }
  return nullptr;
}

Backend truth() {
  Backend b = hand_backend();
  for (auto& [format, row] : b.stream) row.value = row.value * 0.8;
  for (auto& [format, row] : b.kv_stream) row.value = row.value * 0.7;
  b.op_seconds["default"].value = Seconds(4e-6);
  b.layer_seconds->value = Seconds(40e-6);
  b.step_seconds->value = Seconds(200e-6);
  b.gemm["default"].value.rate = b.gemm["default"].value.rate * 0.5;
  return b;
}

TEST(FitBackend, FindsTheFiguresThatMadeTheRows) {
  const Rows r = measured_by(truth(), models());
  const BackendFit fit = fit_backend(hand_machine(), hand_backend(), r.rows);
  EXPECT_GT(fit.before.median, 0.1);
  EXPECT_LT(fit.in_sample.worst, 1e-3);
  EXPECT_LT(fit.left_out.worst, 1e-2);
  EXPECT_EQ(fit.models, 4u);
  EXPECT_EQ(fit.errors.size(), r.rows.size());
  EXPECT_NEAR(factor(fit, Fitted::Weights)->factor, 1 / 0.8, 0.01);
  EXPECT_NEAR(factor(fit, Fitted::FixedCosts)->factor, 2.0, 0.02);
  EXPECT_NEAR(factor(fit, Fitted::Gemm)->factor, 2.0, 0.05);
  EXPECT_NEAR(fit.backend.stream.at("Q8_0").value.value(), 160e9, 2e9);
  EXPECT_THAT(fit.backend.stream.at("Q8_0").source.note, HasSubstr("24 rows of 4 models"));
  EXPECT_TRUE(fit.backend.calibrated);
  EXPECT_EQ(fit.backend.machine, "box");
}

TEST(FitBackend, IsTheSameEveryTime) {
  const Rows r = measured_by(truth(), models());
  const BackendFit a = fit_backend(hand_machine(), hand_backend(), r.rows);
  const BackendFit b = fit_backend(hand_machine(), hand_backend(), r.rows);
  EXPECT_EQ(a.backend, b.backend);
  EXPECT_EQ(a.errors, b.errors);
}

// Rows of one model cannot tell bytes of weights from costs of layers: both are the same in each.
TEST(FitBackend, WhatRowsCannotTellApartIsNotIdentified) {
  std::vector<ModelSpec> one = models();
  one.resize(1);
  Rows r = measured_by(truth(), one, false);
  const std::vector<FitRow> once = r.rows;
  for (int i = 0; i < 2; ++i) r.rows.insert(r.rows.end(), once.begin(), once.end());
  const BackendFit fit = fit_backend(hand_machine(), hand_backend(), r.rows);
  int kept = 0;
  for (const Fitted what : {Fitted::Weights, Fitted::FixedCosts}) {
    const FittedFactor* f = factor(fit, what);
    ASSERT_NE(f, nullptr);
    if (f->identified) continue;
    ++kept;
    EXPECT_EQ(f->factor, 1);
    EXPECT_FALSE(f->why.empty());
  }
  EXPECT_EQ(kept, 1);
  EXPECT_EQ(fit.left_out.n, 0u);
}

TEST(FitBackend, RefusesFewRows) {
  const auto why = [](std::span<const FitRow> rows) {
    try {
      fit_backend(hand_machine(), hand_backend(), rows);
    } catch (const Error& e) {
      return std::string(e.what());
    }
    return std::string();
  };
  const Rows r = measured_by(truth(), models());
  EXPECT_THAT(why({}), HasSubstr("no row"));
  EXPECT_THAT(why(std::span(r.rows).first(4)), HasSubstr("over-parameterised"));
}

}  // namespace
}  // namespace bandwall
