// Reports of measured rows beside predictions: every row is somewhere, bars and failing classes say
// whether they hold.
#include "reports/validation_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "configs/validation_rules.h"
#include "reports/comparison_report.h"

namespace bandwall {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr const char* kRows =
    "device,engine,backend,model,quant,phase,n_tokens,depth,batch,ubatch,kv_type,tok_s,source\n"
    "gb10,llama.cpp-cuda,,gpt-oss-20b,MXFP4,tg,32,0,1,2048,f16,83.43,b\n"
    "gb10,llama.cpp-cuda,,gpt-oss-20b,MXFP4,tg,32,4096,1,2048,f16,79.22,b\n"
    "gb10,llama.cpp-cuda,,gpt-oss-20b,MXFP4,tg,32,4096,1,2048,f16,20,b\n"
    "gb10,llama.cpp-cuda,,gpt-oss-20b,MXFP4,tg,32,0,1,2048,f16,120,b\n"
    "abacus,llama.cpp-cuda,,gpt-oss-20b,MXFP4,tg,32,0,1,2048,f16,50,b\n"
    "gb10,llama.cpp-cuda,,gpt-oss-20b,MXFP4,tg,32,0,0,2048,f16,50,b\n";

constexpr const char* kRules = R"(schema: 1
coverage: {low: 0, high: 1}
bars:
  - {name: plain, where: {machine: [gb10]}, median: 0.5}
failing:
  - {name: impossible, where: {faster_than_light: ["yes"]}, bar: plain, because: "a wrong label"}
  - {name: in vain, where: {test: ["tg32"]}, bar: plain, because: "was thought to fail"}
  - {name: never met, where: {machine: [h200]}, bar: plain, because: "of no row"}
)";

Validation validation(bool explain = false) {
  static const ValidationRules rules = parse_validation_rules(kRules, "classes.yaml");
  ValidationOptions options;
  options.rules = &rules;
  options.explain = explain;
  return validate_rows({parse_measurements(kRows, "rows.csv")}, options);
}

TEST(ValidationReport, EveryRowIsSomewhere) {
  const Validation v = validation();
  EXPECT_EQ(v.read, 5u);
  EXPECT_EQ(v.rows.size(), 4u);
  EXPECT_EQ(v.left.size(), 2u);
  EXPECT_EQ(v.all.n, 4u);
  EXPECT_EQ(v.bars[0].errors.n, 2u);
  EXPECT_EQ(v.judged.n, 2u);
}

TEST(ValidationReport, AClassThatFailsNoMoreIsSaid) {
  const Validation v = validation();
  EXPECT_EQ(v.failing[0].errors.n, 1u);  // 120 tok/s are more than 273 GB/s could give
  EXPECT_TRUE(v.failing[1].meets);
  const std::string text = validation_text(v);
  EXPECT_THAT(text, HasSubstr("holds now: take it off the list"));
  EXPECT_THAT(text, HasSubstr("a wrong label"));
  EXPECT_THAT(text, Not(HasSubstr("never met")));  // no row, nothing to say
  EXPECT_THAT(text, HasSubstr("no machine describes the device: abacus"));
  EXPECT_THAT(text, HasSubstr("batch: \"0\""));
  const auto j = nlohmann::json::parse(validation_json(v));
  EXPECT_EQ(j["failing_classes"][1]["status"], "holds now: take it off the list");
  EXPECT_EQ(j["failing_classes"][2]["status"], "no rows");
  EXPECT_EQ(j["rows"].size(), 4u);
  EXPECT_EQ(j["left"].size(), 2u);
}

TEST(ValidationReport, TheOtherForms) {
  const Validation v = validation();
  EXPECT_THAT(validation_markdown(v), HasSubstr("## Classes known to fail"));
  const std::string csv = validation_csv(v);
  EXPECT_EQ(std::count(csv.begin(), csv.end(), '\n'), 5);
  const std::string svg = validation_svg(v);
  EXPECT_THAT(svg, HasSubstr("<svg xmlns"));
  EXPECT_THAT(svg, HasSubstr("classes known to fail"));
  EXPECT_THAT(svg, Not(HasSubstr("nan")));
  const Validation none = validate_rows({}, {});
  EXPECT_THAT(validation_svg(none), HasSubstr("</svg>"));
  EXPECT_THAT(validation_text(none), HasSubstr("0 predicted"));
}

TEST(ComparisonReport, CausesStandBesideGaps) {
  const Validation v = validation(true);
  const std::string text = comparison_text(v, "rows.csv");
  EXPECT_THAT(text, HasSubstr("inside the band"));
  EXPECT_THAT(text, HasSubstr("more than at depth 0"));
  EXPECT_THAT(text, HasSubstr("at peak bandwidth and no other cost"));
  EXPECT_THAT(text, HasSubstr("no prediction: no machine describes"));
  const auto j = nlohmann::json::parse(comparison_json(v, "rows.csv"));
  EXPECT_EQ(j["rows"].size(), 4u);
  EXPECT_TRUE(j["rows"][0]["causes"].empty());
  EXPECT_FALSE(j["rows"][2]["causes"].empty());
  EXPECT_THAT(comparison_markdown(v, "t"), HasSubstr("# t\n"));
}

}  // namespace
}  // namespace bandwall
