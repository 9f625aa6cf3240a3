#include "analysis/audit.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "configs/library.h"
#include "hwmodel/error.h"
#include "reports/audit_report.h"

namespace bandwall {
namespace {

using testing::HasSubstr;

ClaimFile one(const std::string& body) {
  return parse_claims("schema: 1\ntitle: t\nclaims:\n  - statement: s\n    source: me\n" + body,
                      "c.yaml");
}

Judgement judged(const std::string& body) { return audit_file(one(body)).judgements.at(0); }

ClaimVerdict verdict(const std::string& body) { return judged(body).verdict; }

std::string steps(const std::string& body) {
  std::string all;
  for (const std::string& step : judged(body).arithmetic) all += step + "\n";
  return all;
}

std::string why(const std::string& body) {
  try {
    audit_file(one(body));
  } catch (const Error& e) {
    std::string all;
    for (const Diagnostic& d : e.diagnostics()) all += d.where + ": " + d.message + "\n";
    return all;
  }
  return "accepted";
}

constexpr const char* kWeights = "    kind: memory\n    what: weights\n    model: minimax-m2.5\n";
constexpr const char* kDecode =
    "    kind: decode\n    model: gpt-oss-120b\n    machine: gb10\n    value: ";

TEST(Audit, SizesAreJudgedByOtherFormatsAndUnits) {
  const std::string of = kWeights;
  EXPECT_EQ(verdict(of + "    mix: NVFP4\n    value: 139.9 GB\n"), ClaimVerdict::Consistent);
  EXPECT_EQ(verdict(of + "    mix: NVFP4\n    value: 228 GB\n"), ClaimVerdict::Mislabelled);
  EXPECT_THAT(steps(of + "    mix: NVFP4\n    value: 228 GB\n"), HasSubstr("the size in FP8"));
  EXPECT_THAT(steps(of + "    mix: NVFP4\n    value: 228 GB\n"), HasSubstr("parameter count"));
  EXPECT_THAT(steps(of + "    mix: UD-Q3_K_XL\n    value: 95 GB\n"), HasSubstr("read as GiB"));
  EXPECT_EQ(verdict(of + "    mix: NVFP4\n    value: 300 GB\n"), ClaimVerdict::Implausible);
}

TEST(Audit, SpeedsMeetTheLightAndTheBand) {
  EXPECT_EQ(verdict(kDecode + std::string("58 tok/s\n")), ClaimVerdict::Consistent);
  EXPECT_EQ(verdict(kDecode + std::string("41 tok/s\n")), ClaimVerdict::Implausible);
  EXPECT_EQ(verdict(kDecode + std::string("500 tok/s\n")), ClaimVerdict::Impossible);
  EXPECT_THAT(steps(kDecode + std::string("500 tok/s\n")), HasSubstr("% of it"));
}

TEST(Audit, ASpeedOfAnotherFormatIsAWrongLabel) {
  const std::string bf16 =
      "    kind: decode\n    model: qwen3-8b\n    mix: BF16\n    machine: gb10\n    value: ";
  EXPECT_EQ(verdict(bf16 + "25 tok/s\n"), ClaimVerdict::Mislabelled);
  EXPECT_THAT(steps(bf16 + "25 tok/s\n"), HasSubstr("in Q8_0 the model would reach it"));
  const std::string values =
      "    kind: decode\n    active_values: 8e9\n    format: BF16\n    machine: gb10\n    value: ";
  EXPECT_EQ(verdict(values + "14 tok/s\n"), ClaimVerdict::Consistent);
  EXPECT_EQ(verdict(values + "16.5 tok/s\n"), ClaimVerdict::Implausible);
  EXPECT_EQ(verdict(values + "25.1 tok/s\n"), ClaimVerdict::Mislabelled);
  EXPECT_EQ(verdict(values + "900 tok/s\n"), ClaimVerdict::Impossible);
}

TEST(Audit, PrefillAboveTheLightOfItsMicroBatchesIsImpossible) {
  const std::string of =
      "    kind: prefill\n    model: minimax-m2.5\n    machine: gb10\n    prompt: 2048\n    "
      "value: ";
  EXPECT_EQ(verdict(of + "2800 tok/s\n"), ClaimVerdict::Impossible);
  EXPECT_EQ(verdict(of + "650 tok/s\n"), ClaimVerdict::Consistent);
}

TEST(Audit, FitsLoadsPowerAndCost) {
  const std::string fit =
      "    kind: fit\n    model: minimax-m2.5\n    mix: NVFP4\n    context: 4096\n    machine: ";
  EXPECT_EQ(verdict(fit + "gb10\n    value: fits\n"), ClaimVerdict::Impossible);
  EXPECT_EQ(verdict(fit + "2xgb10\n    value: fits\n"), ClaimVerdict::Consistent);
  EXPECT_EQ(verdict(fit + "2xgb10\n    value: does not fit\n"), ClaimVerdict::Implausible);
  const std::string load =
      "    kind: load\n    model: minimax-m2.5\n    machine: gb10\n    value: ";
  EXPECT_EQ(verdict(load + "10 s\n"), ClaimVerdict::Impossible);
  EXPECT_EQ(verdict(load + "30 s\n"), ClaimVerdict::Consistent);
  EXPECT_THAT(steps(load + "600 s\n"), HasSubstr("page faults"));
  const std::string power = "    kind: power\n    machine: gb10\n    value: ";
  EXPECT_EQ(verdict(power + "150 W\n"), ClaimVerdict::Consistent);
  EXPECT_EQ(verdict(power + "400 W\n"), ClaimVerdict::Implausible);
  EXPECT_EQ(verdict(power + "0.1 x\n    against: rtx-5090\n"), ClaimVerdict::Implausible);
  EXPECT_EQ(verdict(power + "0.25 x\n    against: rtx-5090\n"), ClaimVerdict::Consistent);
  EXPECT_EQ(verdict("    kind: cost\n    machine: gb10\n    value: 499 USD\n"),
            ClaimVerdict::Implausible);
}

TEST(Audit, LimitsNameWhatTheFigureReallyIs) {
  const std::string shared = "    kind: limit\n    what: shared_per_block\n    machine: ";
  EXPECT_EQ(verdict(shared + "gb10\n    value: 99 KiB\n"), ClaimVerdict::Consistent);
  EXPECT_THAT(steps(shared + "gb10\n    value: 102400 B\n"), HasSubstr("that is shared_per_sm"));
  EXPECT_THAT(steps(shared + "gb10\n    value: 228 KiB\n"),
              HasSubstr("an SM of compute capability 9.0, 10.0, 10.3, 11.0"));
  const std::string fp4 = "    kind: limit\n    what: fp4\n    machine: gb10\n    value: ";
  EXPECT_EQ(verdict(fp4 + "427 TFLOP/s\n"), ClaimVerdict::Consistent);
  EXPECT_THAT(steps(fp4 + "1000 TFLOP/s\n"), HasSubstr("sparse"));
  const std::string read =
      "    kind: limit\n    what: read_bandwidth\n    machine: gb10\n    value: ";
  EXPECT_EQ(verdict(read + "134 GB/s\n"), ClaimVerdict::Implausible);
  EXPECT_EQ(verdict(read + "280 GB/s\n"), ClaimVerdict::Impossible);
  EXPECT_EQ(verdict("    kind: roof\n    machine: gb10\n    read_per_token: 4.58 GiB\n"
                    "    value: 58 tok/s\n"),
            ClaimVerdict::Mislabelled);
}

TEST(Audit, FilesAreReadStrictlyAndWithLines) {
  EXPECT_THAT(why("    kind: speed\n    value: 3 tok/s\n"), HasSubstr("c.yaml:6:"));
  EXPECT_THAT(why("    kind: decod\n    value: 3 tok/s\n"), HasSubstr("did you mean decode?"));
  EXPECT_THAT(why(kDecode + std::string("24\n")), HasSubstr("with the unit tok/s"));
  EXPECT_THAT(why(kDecode + std::string("-3 tok/s\n")), HasSubstr("is no number above 0"));
  EXPECT_THAT(why(kDecode + std::string("nan tok/s\n")), HasSubstr("is no number above 0"));
  EXPECT_THAT(why(kDecode + std::string("24 tok/s\n    contxt: 3\n")),
              HasSubstr("did you mean context?"));
  EXPECT_THAT(why(kDecode + std::string("24 tok/s\n    context: -1\n")), HasSubstr("context"));
  EXPECT_THAT(
      why("    kind: decode\n    model: gpt-oss-121b\n    machine: gb10\n    value: 1 tok/s\n"),
      HasSubstr("did you mean gpt-oss-120b?"));
  EXPECT_THAT(why(std::string(kWeights) + "    mix: NVFP5\n    value: 1 GB\n"), HasSubstr("NVFP"));
  EXPECT_THAT(why("    kind: decode\n    model: qwen3-8b\n    machine: gb11\n    value: 1 tok/s\n"),
              HasSubstr("did you mean gb10?"));
  EXPECT_THAT(why(std::string(kWeights) + "    value: 228\n"), HasSubstr("value"));
  EXPECT_THAT(why("    kind: memory\n    what: kv\n    model: qwen3-8b\n    value: 1 GB\n"),
              HasSubstr("context: missing"));
  EXPECT_THAT(why("    kind: power\n    machine: m3-ultra\n    value: 1 x\n"),
              HasSubstr("with the unit W"));
  EXPECT_THAT(why("    kind: cost\n    machine: h200\n    value: 1 USD\n"),
              HasSubstr("states no price"));
  try {
    parse_claims("schema: 1\ntitle: t\n", "c.yaml");
    FAIL() << "accepted";
  } catch (const Error& e) {
    EXPECT_THAT(e.what(), HasSubstr("at least one claim"));
  }
}

TEST(Audit, ShippedFilesAreJudgedInEveryForm) {
  for (const std::string& name : claim_names()) {
    const AuditReport r = audit_file(load_claims(name));
    EXPECT_EQ(r.judgements.size(), r.file.claims.size());
    EXPECT_GE(r.judgements.size(), 10u) << name;
    for (const Judgement& j : r.judgements) EXPECT_FALSE(j.arithmetic.empty());
    EXPECT_THAT(audit_text(r), HasSubstr("claims: "));
    EXPECT_THAT(audit_json(r), HasSubstr("\"verdict\": \"mislabelled\""));
    EXPECT_FALSE(all_consistent(r));
  }
  EXPECT_THAT(claim_names(), testing::ElementsAre("field", "seed-posts"));
}

}  // namespace
}  // namespace bandwall
