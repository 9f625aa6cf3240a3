// bandwall validate as a user runs it; the shipped report is what it prints today.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "tests/support/program.h"

namespace bandwall::e2e {
namespace {

using testing::HasSubstr;
using Json = nlohmann::json;

// The kept file, after rewriting it with `now` when asked to.
std::string kept(const std::string& name, const std::string& now) {
  const std::string path = std::string(BANDWALL_SOURCE_DIR) + "/reports/validation/" + name;
  if (std::getenv("UPDATE_GOLDEN") != nullptr) std::ofstream(path, std::ios::binary) << now;
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

TEST(Validate, TheShippedReportIsWhatItPrints) {
  const std::string svg = folder() + "/predictions.svg";
  const Outcome md = run({"validate", "-o", "md", "--svg", svg});
  ASSERT_EQ(md.exit_code, 0) << md.err;
  EXPECT_EQ(kept("predictions.md", md.out), md.out) << "UPDATE_GOLDEN=1 rewrites it";
  const Outcome csv = run({"validate", "-o", "csv"});
  EXPECT_EQ(kept("predictions.csv", csv.out), csv.out) << "UPDATE_GOLDEN=1 rewrites it";
  std::ifstream in(svg, std::ios::binary);
  const std::string drawn{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  EXPECT_EQ(kept("predictions.svg", drawn), drawn) << "UPDATE_GOLDEN=1 rewrites it";
  EXPECT_THAT(drawn, HasSubstr("</svg>"));
}

TEST(Validate, NoRowIsLost) {
  const Json j = Json::parse(run({"validate", "-o", "json"}).out);
  const std::size_t left = std::count_if(j["left"].begin(), j["left"].end(),
                                         [](const Json& l) { return !l["skipped"].get<bool>(); });
  EXPECT_EQ(j["rows_read"], 1331);
  EXPECT_EQ(j["rows_predicted"].get<std::size_t>() + left, 1331u);
  EXPECT_EQ(j["rows"].size(), j["rows_predicted"].get<std::size_t>());
  for (const Json& l : j["left"]) EXPECT_FALSE(l["reason"].get<std::string>().empty());
}

// A class that is listed as failing and does not fail any more is a class to take off the list.
TEST(Validate, ListedClassesFailAndHaveRows) {
  const Json j = Json::parse(run({"validate", "-o", "json"}).out);
  for (const Json& c : j["failing_classes"]) {
    EXPECT_EQ(c["status"], "fails as listed") << c["class"];
    EXPECT_GT(c["mechanism"].get<std::string>().size(), 20u);
  }
}

constexpr const char* kRows =
    "device,engine,backend,model,model_file_gib,quant,phase,n_tokens,depth,batch,ubatch,kv_type,"
    "flash_attn,tok_s,source\n"
    "GB10 (DGX Spark),llama.cpp b7941 "
    "(llama-bench),CUDA,gpt-oss-20b,11.27,MXFP4,tg,32,0,1,2048,f16,"
    "1,83.43,me\n"
    "gb10,llama.cpp-cuda,,gpt-oss-20b,,MXFP4,tg,32,4096,1,2048,f16,1,79.22,me\n"
    "Abacus,llama.cpp,CUDA,gpt-oss-20b,,MXFP4,tg,32,0,1,,f16,1,50,me\n"
    "gb10,llama.cpp-cuda,,my-own-net,,MXFP4,tg,32,0,1,,f16,1,50,me\n"
    "gb10,llama.cpp-cuda,,gpt-oss-20b,,MXFP4,tg,32,0,1,,f16,1,-50,me\n"
    "gb10,llama.cpp-cuda,,gpt-oss-20b,,MXFP4,pp,,0,1,,f16,1,50,me\n";

TEST(Validate, RowsOfOnesOwnAreCountedWithReasons) {
  const std::string path = file("rows.csv", kRows);
  const Outcome o = run({"validate", path});
  EXPECT_EQ(o.exit_code, 0) << o.err;
  EXPECT_THAT(o.out, HasSubstr("2 predicted, 3 without a prediction, 1 lines skipped"));
  EXPECT_THAT(o.out, HasSubstr("no machine describes the device: Abacus"));
  EXPECT_THAT(o.out, HasSubstr("no shape is known of the model: my-own-net"));
  EXPECT_THAT(o.out, HasSubstr("the length of the prompt is not stated"));
  EXPECT_THAT(o.out, HasSubstr("tok_s: \"-50\" is no number above 0"));
  const Json j = Json::parse(run({"validate", path, "-o", "json"}).out);
  EXPECT_EQ(j["rows"].size(), 2u);
  EXPECT_LT(std::abs(j["rows"][0]["error"].get<double>()), 0.08);
  EXPECT_THAT(run({"validate", path, "-o", "csv"}).out,
              HasSubstr(",gb10,llama.cpp-cuda,gpt-oss-20b,MXFP4,tg32,"));
}

TEST(Validate, MachineBackendAndToleranceAreChecked) {
  const std::string path = file("two.csv", kRows);
  EXPECT_EQ(run({"validate", path, "--check", "50%"}).exit_code, 0);
  EXPECT_EQ(run({"validate", path, "--check", "0.0001%"}).exit_code, 5);
  EXPECT_EQ(run({"validate", path, "--check", "ten"}).exit_code, 2);
  const Outcome none = run({"validate", path, "--machine", "h200"});
  EXPECT_EQ(none.exit_code, 2);
  EXPECT_THAT(none.err, HasSubstr("no row could be predicted"));
  EXPECT_EQ(run({"validate", path, "--machine", "gb10", "--backend", "llama.cpp-cuda"}).exit_code,
            0);
  EXPECT_THAT(run({"validate", path, "--machine", "gb11"}).err, HasSubstr("did you mean gb10?"));
  EXPECT_THAT(run({"validate", "gb10-vlm"}).err, HasSubstr("did you mean gb10-vllm?"));
  EXPECT_EQ(run({"validate", "/no/such.csv"}).exit_code, 2);
  EXPECT_THAT(run({"validate", file("x.csv", "a,b\n")}).err, HasSubstr("column device is missing"));
}

}  // namespace
}  // namespace bandwall::e2e
