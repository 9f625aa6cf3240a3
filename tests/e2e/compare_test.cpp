// bandwall compare as a user runs it: results of other programs beside predictions.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "tests/support/program.h"

namespace bandwall::e2e {
namespace {

using testing::HasSubstr;
using Json = nlohmann::json;

std::string bench(double tg, double pp) {
  return file("bench.jsonl",
              "{\"build_number\": 7941, \"backends\": \"CUDA\", \"model_filename\": "
              "\"/m/gpt-oss-20b-MXFP4.gguf\", \"model_type\": \"gpt-oss 20B MXFP4 MoE\", "
              "\"model_size\": 12101121024, \"n_ubatch\": 2048, \"type_k\": \"f16\", \"type_v\": "
              "\"f16\", \"flash_attn\": true, \"n_prompt\": 0, \"n_gen\": 32, \"n_depth\": 0, "
              "\"avg_ts\": " +
                  std::to_string(tg) +
                  "}\n{\"build_number\": 7941, \"backends\": \"CUDA\", \"model_filename\": "
                  "\"/m/gpt-oss-20b-MXFP4.gguf\", \"model_size\": 12101121024, \"n_ubatch\": 2048, "
                  "\"n_prompt\": 2048, \"n_gen\": 0, \"n_depth\": 0, \"avg_ts\": " +
                  std::to_string(pp) + "}\n");
}

TEST(Compare, PublishedSpeedsAreInsideTheirBand) {
  const Outcome o = run({"compare", bench(83.43, 4505.82), "--machine", "gb10"});
  EXPECT_EQ(o.exit_code, 0) << o.err;
  EXPECT_THAT(o.out, HasSubstr("(llama-bench JSON) against gb10, llama.cpp-cuda"));
  EXPECT_THAT(o.out, HasSubstr("tg32"));
  EXPECT_THAT(o.out, HasSubstr("inside the band"));
}

TEST(Compare, GapsHaveCausesWithArithmetic) {
  const std::string path = bench(40, 60000);
  const Outcome o = run({"compare", path, "-M", "gb10", "-o", "json"});
  ASSERT_EQ(o.exit_code, 0) << o.err;
  const Json j = Json::parse(o.out);
  ASSERT_EQ(j["rows"].size(), 2u);
  EXPECT_FALSE(j["rows"][0]["inside_band"].get<bool>());
  EXPECT_THAT(j["rows"][0]["causes"][0]["arithmetic"].get<std::string>(), HasSubstr("24 layers"));
  // llama-bench computes every prompt it counts: no prefix cache.
  EXPECT_THAT(j["rows"][1]["causes"][0]["cause"].get<std::string>(),
              HasSubstr("faster arithmetic"));
  EXPECT_EQ(run({"compare", path, "-M", "gb10", "--check", "10%"}).exit_code, 5);
  EXPECT_EQ(run({"compare", path, "-M", "gb10", "--check", "1000%"}).exit_code, 0);
  EXPECT_THAT(run({"compare", path, "-M", "gb10", "-o", "md"}).out, HasSubstr("| tg32 |"));
}

TEST(Compare, LogsNeedTheirModelNamed) {
  const std::string path = file(
      "server.log",
      "prompt eval time = 113.6 ms / 512 tokens (0.22 ms per token, 4507 tokens per second)\n"
      "       eval time = 1534.2 ms / 128 tokens (11.99 ms per token, 83.43 tokens per second)\n");
  const Outcome o = run({"compare", path, "--machine", "gb10"});
  EXPECT_EQ(o.exit_code, 2);
  EXPECT_THAT(o.err, HasSubstr("name it with --model"));
  const Outcome named = run({"compare", path, "--machine", "gb10", "-m", "gpt-oss-20b:MXFP4_MOE"});
  EXPECT_EQ(named.exit_code, 0) << named.err;
  EXPECT_THAT(named.out, HasSubstr("tg128"));
}

TEST(Compare, BadInputSaysWhatToDo) {
  EXPECT_EQ(run({"compare"}).exit_code, 2);
  const std::string junk = file("junk.txt", "hello\n");
  const Outcome o = run({"compare", junk, "--machine", "gb10"});
  EXPECT_EQ(o.exit_code, 2);
  EXPECT_THAT(o.err, HasSubstr("junk.txt: is none of: llama-bench"));
  EXPECT_THAT(run({"compare", junk, "--machine", "gb11"}).err, HasSubstr("did you mean gb10?"));
  EXPECT_THAT(run({"compare", junk, "--backend", "llama.cpp-cuda"}).err, HasSubstr("--machine"));
  EXPECT_EQ(run({"compare", "/no/such.json", "--machine", "gb10"}).exit_code, 2);
  EXPECT_THAT(run({"compare", bench(50, 50)}).err, HasSubstr("name it with --machine"));
}

}  // namespace
}  // namespace bandwall::e2e
