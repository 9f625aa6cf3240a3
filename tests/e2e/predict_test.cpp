// `bandwall predict` with what-ifs and with what it says beyond its table.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "tests/support/program.h"

namespace bandwall::e2e {
namespace {

using Json = nlohmann::json;
using ::testing::HasSubstr;

Json predict(std::vector<std::string> words) {
  words.insert(words.begin(), {"predict", "gpt-oss-120b", "-p", "0", "-o", "json"});
  const Outcome o = run(words);
  EXPECT_EQ(o.exit_code, 0) << o.err;
  return Json::parse(o.out).at(0);
}

TEST(Predict, SetMovesTheWall) {
  const double before = predict({})["pred_ts"];
  const Json twice = predict({"--set", "memory.bandwidth=546GB/s"});
  EXPECT_GT(twice["pred_ts"], 1.5 * before);
  EXPECT_LT(twice["pred_ts"], 2 * before);
  EXPECT_EQ(twice["pred_ts"], predict({"--set", "memory.bandwidth=2x"})["pred_ts"]);
  EXPECT_EQ(twice["basis"], "same_class");
  EXPECT_GT(predict({"--set", "overhead=0.5x"})["pred_ts"], before);
  EXPECT_EQ(predict({"--set", "compute=3x"})["pred_ts"], before);
  EXPECT_LT(predict({"--set", "stream.MXFP4=100GB/s"})["pred_ts"], before);
  EXPECT_LT(predict({"--set", "memory.bandwidth=2x", "--set", "memory.bandwidth=0.25x"})["pred_ts"],
            before);
}

TEST(Predict, BadSettingsAreOneLineAndNoOutput) {
  for (const auto& [setting, message] : std::vector<std::pair<std::string, std::string>>{
           {"memory.bandwidth", "FIGURE=VALUE"},
           {"=5", "FIGURE=VALUE"},
           {"memory.bandwidth=", "FIGURE=VALUE"},
           {"memory.bandwidth=fast", "--set memory.bandwidth=fast"},
           {"memory.bandwidth=-3GB/s", "is negative"},
           {"memory.bandwidth=0x", "factor"},
           {"memory.bandwidth=nanx", "does not begin with a number"},
           {"compute=2", "factor"},
           {"overhead=1e99x", "factor"},
           {"memory.peak=5", "no unit"},
           {"layer_second=3us", "did you mean layer_seconds?"},
           {"links.nvmee.bandwidth=3GB/s", "did you mean"},
           {"lins.nvme.bandwidth=3GB/s", "did you mean links?"},
           {"stream.Q9=3GB/s", "Q9"},
           {"pools=3", "group of figures"},
       }) {
    const Outcome o = run({"predict", "gpt-oss-20b", "--set", setting});
    EXPECT_EQ(o.exit_code, 2) << setting;
    EXPECT_THAT(o.err, HasSubstr(message)) << setting;
    EXPECT_EQ(std::count(o.err.begin(), o.err.end(), '\n'), 1) << o.err;
    EXPECT_EQ(o.out, "") << setting;
  }
}

TEST(Predict, ExplainSumsToTheStep) {
  const Json j = predict({"-d", "8192", "-n", "1", "--explain"});
  double sum = j["explain"]["seconds_step_host"];
  for (const Json& op : j["explain"]["ops"]) sum += op["seconds_expected"].get<double>();
  EXPECT_NEAR(1 / sum / j["pred_ts"].get<double>(), 1, 1e-3);
  double size = 0;
  for (const Json& e : j["elasticities"]) size += std::fabs(e.get<double>());
  EXPECT_NEAR(size, 1, 0.02);
  const Outcome text = run({"predict", "gpt-oss-120b", "-p", "512", "-n", "8", "--explain"});
  EXPECT_EQ(text.exit_code, 0);
  EXPECT_THAT(text.out, HasSubstr("GB/s MXFP4"));
  EXPECT_THAT(text.out, HasSubstr("stream.MXFP4"));
}

TEST(Predict, ServeSpeculateLoadAndCost) {
  const Json j = predict({"-p", "2048", "-n", "256", "-B", "4", "--serve", "--cost", "--load",
                          "--spec-draft", "3", "--draft", "gpt-oss-20b"});
  EXPECT_EQ(j["serve"][0]["users"], 4);
  EXPECT_GT(j["serve"][0]["ttft_s"], 0.1);
  EXPECT_GT(j["speculative"]["tokens_per_round"], 2);
  EXPECT_GT(j["cost"]["joules_per_token"], 0);
  EXPECT_FALSE(j["cost"]["is_upper_bound"]);
  EXPECT_GT(j["load"]["page_faults_s"], j["load"]["sequential_s"]);
  const Outcome o = run({"predict", "gpt-oss-20b", "--spec-draft", "3"});
  EXPECT_EQ(o.exit_code, 2);
  EXPECT_EQ(o.out, "");
  EXPECT_THAT(o.err, HasSubstr("draft model"));
  for (const auto& [option, value] :
       std::vector<std::pair<std::string, std::string>>{{"--acceptance", "1.5"},
                                                        {"--utilization", "0"},
                                                        {"--years", "-1"},
                                                        {"--kwh", "x"},
                                                        {"--spec-draft", "0"}}) {
    const Outcome bad = run({"predict", "gpt-oss-20b", "--cost", "--spec-draft", "2", "--draft",
                             "gpt-oss-20b", option, value});
    EXPECT_EQ(bad.exit_code, 2) << option;
    EXPECT_EQ(bad.out, "") << option;
  }
}

}  // namespace
}  // namespace bandwall::e2e
