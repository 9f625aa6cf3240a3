// The program's manners: help, unknown words, exit codes, one clear message, data on stdout only.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/support/program.h"

namespace bandwall::e2e {
namespace {

using Json = nlohmann::json;

int lines(const std::string& text) {
  return static_cast<int>(std::count(text.begin(), text.end(), '\n'));
}

TEST(Cli, WithoutACommandPrintsTheOverviewAndFails) {
  const Outcome o = run({});
  EXPECT_EQ(o.exit_code, 2);
  EXPECT_TRUE(o.out.empty());
  EXPECT_NE(o.err.find("usage: bandwall"), std::string::npos);
}

TEST(Cli, EveryCommandHasHelpFromTheOptionTable) {
  const Outcome all = run({"--help-json"});
  ASSERT_EQ(all.exit_code, 0);
  const Json commands = Json::parse(all.out);
  ASSERT_GE(commands.size(), 10u);
  for (const Json& c : commands) {
    const Outcome o = run({c["command"].get<std::string>(), "--help"});
    EXPECT_EQ(o.exit_code, 0);
    for (const Json& option : c["options"]) {
      EXPECT_NE(o.out.find(option["names"][0].get<std::string>()), std::string::npos) << o.out;
    }
  }
}

TEST(Cli, UnknownCommandGetsADidYouMean) {
  const Outcome o = run({"ruun"});
  EXPECT_EQ(o.exit_code, 2);
  EXPECT_NE(o.err.find("did you mean run?"), std::string::npos) << o.err;
  EXPECT_EQ(lines(o.err), 1);
}

TEST(Cli, UnknownOptionGetsADidYouMeanAndNothingIsGuessed) {
  const Outcome o = run({"predict", "gpt-oss-20b", "--machin", "gb10"});
  EXPECT_EQ(o.exit_code, 2);
  EXPECT_NE(o.err.find("did you mean --machine?"), std::string::npos) << o.err;
}

TEST(Cli, LlamaSpellingsWorkWithOneDash) {
  const Outcome o = run({"predict", "-m", "gpt-oss-20b", "-p", "0", "-n", "32", "-ctk", "f16",
                         "-ctv", "f16", "-ngl", "99", "-ub", "512", "-b", "2048", "-o", "json"});
  EXPECT_EQ(o.exit_code, 0) << o.err;
  EXPECT_EQ(Json::parse(o.out).size(), 1u);
}

TEST(Cli, NumbersAreChecked) {
  for (const char* bad : {"x", "-5", "1e9", "99999999999999999999", ""}) {
    const Outcome o = run({"fit", "gpt-oss-20b", "--ctx-size", bad});
    EXPECT_EQ(o.exit_code, 2) << bad << o.err;
    EXPECT_GE(lines(o.err), 1);
  }
}

TEST(Cli, UnknownNamesAreListed) {
  const Outcome machine = run({"predict", "gpt-oss-20b", "--machine", "gb1O"});
  EXPECT_EQ(machine.exit_code, 2);
  EXPECT_NE(machine.err.find("gb10"), std::string::npos) << machine.err;
  const Outcome model = run({"fit", "minimax-m2.6"});
  EXPECT_EQ(model.exit_code, 2);
  EXPECT_NE(model.err.find("minimax-m2.5"), std::string::npos) << model.err;
  const Outcome mix = run({"fit", "minimax-m2.5:Q3_K_MM"});
  EXPECT_EQ(mix.exit_code, 2);
  EXPECT_NE(mix.err.find("Q3_K_M"), std::string::npos) << mix.err;
  const Outcome kv = run({"fit", "minimax-m2.5", "-ctk", "q9_0"});
  EXPECT_EQ(kv.exit_code, 2);
  EXPECT_NE(kv.err.find("q8_0"), std::string::npos) << kv.err;
}

TEST(Cli, ShowPrintsSources) {
  const Outcome o = run({"show", "machine", "gb10"});
  EXPECT_EQ(o.exit_code, 0);
  EXPECT_NE(o.out.find("source:"), std::string::npos);
  EXPECT_NE(o.out.find("273 GB/s"), std::string::npos);
  EXPECT_EQ(run({"show", "machine"}).exit_code, 0);
  EXPECT_EQ(run({"show", "planet"}).exit_code, 2);
}

TEST(Cli, DoctorTellsAboutThisHost) {
  const Outcome o = run({"doctor", "-o", "json"});
  ASSERT_EQ(o.exit_code, 0) << o.err;
  const Json j = Json::parse(o.out);
  EXPECT_GE(j["physical_cores"].get<int>(), 1);
  EXPECT_TRUE(j["kernels"].is_string());
}

// ---- predict and fit ----

TEST(Predict, JsonHasLlamaBenchNames) {
  const Outcome o = run({"predict", "gpt-oss-120b", "--machine", "gb10", "-p", "512", "-n", "32",
                         "-d", "0-8192+8192", "-o", "json"});
  ASSERT_EQ(o.exit_code, 0) << o.err;
  const Json rows = Json::parse(o.out);
  ASSERT_EQ(rows.size(), 4u);  // (pp, tg) x two depths
  for (const Json& r : rows) {
    for (const char* key :
         {"model_filename", "model_type", "model_size", "model_n_params", "n_prompt", "n_gen",
          "n_depth", "type_k", "type_v", "n_ubatch", "pred_ts", "pred_ts_low", "pred_ts_high",
          "bound_by", "bytes_weights", "bytes_kv", "basis"}) {
      EXPECT_TRUE(r.contains(key)) << key;
    }
    EXPECT_LE(r["pred_ts_low"].get<double>(), r["pred_ts"].get<double>());
    EXPECT_LE(r["pred_ts"].get<double>(), r["pred_ts_high"].get<double>());
  }
}

TEST(Fit, MiniMaxQ3WithTurboQuantKvFitsOneGb10) {
  const Outcome o = run({"fit", "minimax-m2.5:UD-Q3_K_XL", "--machine", "gb10", "-c", "96000",
                         "-ctk", "tbq4_0", "-ctv", "tbq3_0", "-o", "json"});
  EXPECT_EQ(o.exit_code, 0) << o.out << o.err;
  const Json j = Json::parse(o.out);
  EXPECT_EQ(j["verdict"], "fits");
  EXPECT_EQ(j["needed_bytes"].get<std::int64_t>() + j["headroom_bytes"].get<std::int64_t>(),
            j["usable_bytes"].get<std::int64_t>());
  std::int64_t sum = 0;
  for (const Json& l : j["lines"]) sum += l["bytes"].get<std::int64_t>();
  EXPECT_EQ(sum, j["needed_bytes"].get<std::int64_t>());
}

TEST(Fit, MiniMaxNvfp4NeedsTwoGb10) {
  const Outcome one = run({"fit", "minimax-m2.5:NVFP4", "--machine", "gb10"});
  EXPECT_EQ(one.exit_code, 3) << one.out;
  EXPECT_NE(one.out.find("139,862,328,320 B"), std::string::npos) << one.out;
  EXPECT_NE(one.out.find("228"), std::string::npos) << "the figure that people quote is explained";
  EXPECT_EQ(run({"fit", "minimax-m2.5:NVFP4", "--machine", "2xgb10"}).exit_code, 0);
  EXPECT_EQ(run({"fit", "minimax-m2.5:IQ4_XS", "--machine", "gb10"}).exit_code, 4);
}

TEST(Roofline, TextAndSvg) {
  EXPECT_EQ(run({"roofline", "gpt-oss-20b"}).exit_code, 0);
  const Outcome svg = run({"roofline", "gpt-oss-20b", "-o", "svg"});
  EXPECT_EQ(svg.exit_code, 0);
  EXPECT_EQ(svg.out.rfind("<svg", 0) == 0 || svg.out.rfind("<?xml", 0) == 0, true);
}

}  // namespace
}  // namespace bandwall::e2e
