// bandwall bench and synth as a user meets them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "tests/support/small_files.h"

namespace bandwall::e2e {
namespace {

using ::testing::HasSubstr;
using Json = nlohmann::json;

Outcome bench(std::vector<std::string> more) {
  std::vector<std::string> words = {"bench", "--profile", profile(), "--no-probe", "-r", "2"};
  words.insert(words.end(), more.begin(), more.end());
  return run(words);
}

// A shape small enough to be written in a blink.
std::string shape() {
  return file("tiny-shape.yaml", R"(schema: 1
name: tiny-shape
architecture: qwen3moe
hyper:
  source: assumed
  note: "for this test"
  layers: 3
  hidden: 256
  vocab: 400
  context_train: 4096
  rms_eps: 1e-6
  heads: 4
  kv_heads: 2
  head_dim_k: 64
  head_dim_v: 64
  rope_dims: 64
  rope_base: 10000
  experts: 8
  experts_used: 2
  expert_ffn: 256
default_mix: Q4_K_M
)");
}

TEST(Bench, ListsRangesAndPairsGiveTheTestsOfLlamaBench) {
  const Outcome o = bench({"-p", "0,8-16+8", "-n", "4", "-pg", "8,4", "-d", "0,16", "-o", "json"});
  ASSERT_EQ(o.exit_code, 0) << o.err;
  std::vector<std::string> tests;
  for (const Json& row : Json::parse(o.out)) {
    EXPECT_GT(row["avg_ts"], 0);
    EXPECT_GT(row["pred_ts"], 0);
    EXPECT_EQ(row["samples_ns"].size(), 2u);
    tests.push_back(fmt::format("{}+{}@{}", row["n_prompt"].get<int>(), row["n_gen"].get<int>(),
                                row["n_depth"].get<int>()));
  }
  EXPECT_THAT(tests, ::testing::ElementsAre("8+0@0", "16+0@0", "0+4@0", "8+4@0", "8+0@16",
                                            "16+0@16", "0+4@16", "8+4@16"));
}

TEST(Bench, SharesOfReadingNeedTheProbe) {
  const Outcome o =
      run({"bench", "--profile", profile(), "-r", "1", "-p", "0", "-n", "1", "-o", "jsonl"});
  ASSERT_EQ(o.exit_code, 0) << o.err;
  EXPECT_GT(Json::parse(o.out)["read_share"], 0);
  const Outcome without = bench({"-p", "0", "-n", "1", "-o", "jsonl"});
  EXPECT_EQ(Json::parse(without.out)["read_share"], 0);
}

TEST(Bench, EveryFormHasItsHead) {
  for (const auto& [form, head] : {std::pair{"md", "| model |"},
                                   {"csv", "build_commit,"},
                                   {"jsonl", "{\"build_commit\""},
                                   {"sql", "CREATE TABLE"}}) {
    const Outcome o = bench({"-p", "0", "-n", "2", "-o", form});
    EXPECT_EQ(o.exit_code, 0) << o.err;
    EXPECT_TRUE(o.out.starts_with(head)) << o.out;
  }
}

TEST(Bench, ReadsAsManyBytesAsPlanned) {
  for (const std::string& model : {small_model(), std::string("demo")}) {
    const Outcome o = bench({"-m", model, "-p", "0", "-n", "1", "-d", "0,5", "-o", "json"});
    ASSERT_EQ(o.exit_code, 0) << o.err;
    const Outcome p = run(
        {"predict", model, "--machine", "gb10", "-p", "0", "-n", "1", "-d", "0,5", "-o", "json"});
    ASSERT_EQ(p.exit_code, 0) << p.err;
    const Json measured = Json::parse(o.out), planned = Json::parse(p.out);
    ASSERT_EQ(measured.size(), planned.size());
    for (std::size_t i = 0; i < measured.size(); ++i) {
      EXPECT_EQ(measured[i]["bytes"],
                planned[i]["bytes_weights"].get<double>() + planned[i]["bytes_kv"].get<double>());
    }
  }
}

TEST(Bench, WrongUseIsRefused) {
  for (const std::vector<std::string>& words : std::vector<std::vector<std::string>>{
           {"-p", "0", "-n", "0"},
           {"-pg", "8"},
           {"-p", "x"},
           {"-ctk", "f17"},
           {"-r", "0"},
           {"-o", "xml"},
           {"--layers", "2"},
           {"--synthetic", "qwen3-30b-a3b"},
           {"--synthetic", "qwen3-30b-a3b:Q9"},
           {"--synthetic", "nonesuch:Q4_K_M"},
           {"--synthetic", "qwen3-30b-a3b:Q4_K_M", "--layers", "49"},
           {"--synthetic", "qwen3-30b-a3b:Q4_K_M", "-m", "demo"},
           {"--synthetic", "kimi-k2:F32"},
           {"--compare", "/bin/true"}}) {
    const Outcome o = bench(words);
    EXPECT_EQ(o.exit_code, 2) << words[0] << o.err;
    EXPECT_EQ(o.out.find("Traceback"), std::string::npos);
    EXPECT_FALSE(o.err.empty());
  }
}

// A program that answers as llama-bench does.
std::string scripted_peer(const std::string& body) {
  const std::string path = file("llama-bench",
                                "#!/bin/sh\nif [ \"$1\" = --help ]; then echo "
                                "'-p, --n-prompt -d, --n-depth'; exit; fi\n" +
                                    body);
  std::filesystem::permissions(path, std::filesystem::perms::owner_all);
  return path;
}

TEST(Bench, ComparesPairByPair) {
  const Outcome o =
      bench({"-p", "4", "-n", "0", "-m", small_model(), "--compare-args", "-rtr,1", "--compare",
             scripted_peer("echo \"$@\" | grep -q -- '-rtr 1' || exit 3\n"
                           "echo '[{\"avg_ts\": 12.5, \"n_prompt\": 4}]'\n")});
  ASSERT_EQ(o.exit_code, 0) << o.err;
  EXPECT_THAT(o.out, HasSubstr("pp4 against llama-bench, in alternation"));
  EXPECT_THAT(o.out, HasSubstr("12.50"));
}

TEST(Bench, APeerThatFailsIsQuoted) {
  for (const char* body : {"echo 'no such model' >&2; exit 1\n", "echo 'no such model' >&2\n",
                           "echo 'no such model' >&2; echo '[{\"avg_ts\": 0}]'\n",
                           "echo 'no such model' >&2; echo '[{\"avg_ts\": \"fast\"}]'\n"}) {
    const Outcome o =
        bench({"-p", "4", "-n", "0", "-m", small_model(), "--compare", scripted_peer(body)});
    EXPECT_EQ(o.exit_code, 1) << body;
    EXPECT_THAT(o.err, HasSubstr("no such model")) << body;
  }
  EXPECT_EQ(bench({"--compare", "/nonexistent/llama-bench"}).exit_code, 1);
}

TEST(Synth, WritesTheSameValidFileTwice) {
  const std::string path = folder() + "/tiny.gguf", again = folder() + "/again.gguf";
  const Outcome o = run({"synth", shape() + ":Q4_K_M", "--layers", "2", "--out", path});
  ASSERT_EQ(o.exit_code, 0) << o.err;
  ASSERT_EQ(run({"synth", shape() + ":Q4_K_M", "--layers", "2", "--out", again}).exit_code, 0);
  EXPECT_EQ(run({"inspect", path}).exit_code, 0);
  EXPECT_EQ(std::filesystem::file_size(path), std::filesystem::file_size(again));
  const Outcome b = bench({"-m", path, "-p", "4", "-n", "2", "-o", "json"});
  EXPECT_EQ(b.exit_code, 0) << b.err;
  const Outcome text = run({"run", "-m", path, "-n", "2", "--profile", profile(), "-o", "json"});
  ASSERT_EQ(text.exit_code, 0) << text.err;
  EXPECT_EQ(Json::parse(text.out)["bytes_equal"], true);
}

TEST(Synth, RefusalsLeaveNothingBehind) {
  const std::string path = folder() + "/none.gguf";
  EXPECT_EQ(run({"synth", shape() + ":Q4_K_M"}).exit_code, 2);
  EXPECT_EQ(run({"synth", shape() + ":Q4_K_M", "--vocab", "10", "--out", path}).exit_code, 2);
  EXPECT_EQ(run({"synth", "minimax-m2.5:UD-Q3_K_XL", "--out", path}).exit_code, 2);
  EXPECT_NE(run({"synth", "minimax-m2.5:F32", "--out", path}).exit_code, 0);  // 900 GB
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST(Synth, RunsAndBenchesInMemory) {
  const Outcome o = run({"run", "--synthetic", shape() + ":Q3_K_M", "--layers", "2", "-n", "3",
                         "--profile", profile()});
  ASSERT_EQ(o.exit_code, 0) << o.err;
  EXPECT_THAT(o.err, HasSubstr("with all 3 layers"));
  const Outcome b = bench({"--synthetic", shape() + ":Q8_0", "-p", "4", "-n", "0"});
  EXPECT_EQ(b.exit_code, 0) << b.err;
}

}  // namespace
}  // namespace bandwall::e2e
