// bandwall eval: its files and its refusals.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "tests/support/small_files.h"

namespace bandwall::e2e {
namespace {

std::string bytes_of(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  return text.str();
}

bool leftovers(const std::string& stem) {
  for (const auto& entry : std::filesystem::directory_iterator(folder())) {
    if (entry.path().filename().string().rfind(stem, 0) == 0) return true;
  }
  return false;
}

TEST(Eval, WritesPositionsTimesVocabularyAndTheExperts) {
  const std::string logits = folder() + "/demo.f32", experts = folder() + "/demo.json";
  const Outcome o = run(
      {"eval", "--tokens", "[1, 2, 3]", "--logits", logits, "--experts", experts, "--greedy", "4"});
  ASSERT_EQ(o.exit_code, 0) << o.err;
  EXPECT_EQ(std::count(o.out.begin(), o.out.end(), ','), 3) << o.out;
  const std::string raw = bytes_of(logits);
  ASSERT_EQ(raw.size(), 3u * 2048 * sizeof(float));
  std::vector<float> values(raw.size() / sizeof(float));
  std::memcpy(values.data(), raw.data(), raw.size());
  for (const float v : values) ASSERT_TRUE(std::isfinite(v));
  const auto chosen = nlohmann::json::parse(bytes_of(experts));
  ASSERT_EQ(chosen.size(), 4u);
  for (const auto& layer : chosen) {
    ASSERT_EQ(layer.size(), 3u);
    for (const auto& ids : layer) EXPECT_EQ(ids.size(), 2u);
  }
}

TEST(Eval, ReferenceAndFastKernelsAgreeAndMicroBatchesChangeLittle) {
  const auto last = [](const std::vector<std::string>& more) {
    std::vector<std::string> words = {"eval", "--tokens", "5,6,7,8,9", "--greedy", "5"};
    words.insert(words.end(), more.begin(), more.end());
    return run(words).out;
  };
  const std::string greedy = last({});
  EXPECT_FALSE(greedy.empty());
  EXPECT_EQ(last({"--kernels", "reference"}), greedy);
  EXPECT_EQ(last({"-ub", "2"}), greedy);
  EXPECT_EQ(last({"--threads", "1"}), greedy);
  EXPECT_EQ(last({"--isa", "portable"}), greedy);
}

TEST(Eval, TokensAreChecked) {
  const auto refused = [](const std::vector<std::string>& more, const std::string& part) {
    std::vector<std::string> words = {"eval"};
    words.insert(words.end(), more.begin(), more.end());
    const Outcome o = run(words);
    EXPECT_EQ(o.exit_code, 2) << part << o.err;
    EXPECT_EQ(lines(o.err), 1) << o.err;
    EXPECT_NE(o.err.find(part), std::string::npos) << o.err;
  };
  const std::string empty = file("no-tokens.txt", std::string());
  refused({}, "--tokens-file");
  refused({"--tokens", "2048"}, "from 0 to 2047");
  refused({"--tokens", "-1"}, "'-1'");
  refused({"--tokens", "1,x"}, "'x'");
  refused({"--tokens", "99999999999999999999"}, "99999999999999999999");
  refused({"--tokens", ""}, "no token ids");
  refused({"--tokens-file", empty}, "no token ids");
  refused({"--tokens-file", "/dev/zero"}, "larger than");
  refused({"--tokens-file", folder()}, "directory");
  refused({"--tokens-file", folder() + "/nowhere"}, "No such file");
  refused({"--tokens", "1", "--tokens-file", empty}, "once");
  refused({"--tokens", "1,2,3", "-c", "2"}, "raise -c");
  refused({"--tokens", "1", "-c", "1000000000"}, "positions fit");
  refused({"--tokens", "1", "-ctk", "tbq4_0"}, "a head has 64 values");
  refused({"--tokens", "1", "--isa", "sse9"}, "portable");
  refused({"--tokens", "1", "--threads", "0"}, "--threads");
  refused({"--tokens", "1", "--threads", "100000"}, "--threads");
  refused({"--tokens", "1", "--logits", ""}, "empty");
}

TEST(Eval, OutputFilesAppearWholeOrNotAtAll) {
  const std::string tokens = "1,2,3";
  const Outcome nowhere = run({"eval", "--tokens", tokens, "--logits", folder() + "/none/x.f32"});
  EXPECT_EQ(nowhere.exit_code, 1);
  EXPECT_NE(nowhere.err.find("/none/x.f32"), std::string::npos) << nowhere.err;
  EXPECT_EQ(run({"eval", "--tokens", tokens, "--logits", folder()}).exit_code, 1);
  // The second file cannot be written: the first must not appear either.
  const std::string whole = folder() + "/whole.f32";
  EXPECT_EQ(run({"eval", "--tokens", tokens, "--logits", whole, "--experts", folder() + "/none/e"})
                .exit_code,
            1);
  EXPECT_FALSE(leftovers("whole.f32"));
}

TEST(Eval, DevicesAreWrittenNotReplaced) {
  if (!std::filesystem::is_character_file("/dev/full")) GTEST_SKIP() << "no /dev/full here";
  const Outcome full = run({"eval", "--tokens", "1", "--logits", "/dev/full"});
  EXPECT_EQ(full.exit_code, 1);
  EXPECT_NE(full.err.find("No space left"), std::string::npos) << full.err;
  EXPECT_EQ(run({"eval", "--tokens", "1", "--logits", "/dev/null"}).exit_code, 0);
  EXPECT_TRUE(std::filesystem::is_character_file("/dev/full"));
  EXPECT_TRUE(std::filesystem::is_character_file("/dev/null"));
}

TEST(Eval, ALinkStaysALink) {
  const std::string target = file("target.f32", std::string("old")), link = folder() + "/link.f32";
  std::filesystem::create_symlink(target, link);
  ASSERT_EQ(run({"eval", "--tokens", "1", "--logits", link}).exit_code, 0);
  EXPECT_TRUE(std::filesystem::is_symlink(link));
  EXPECT_EQ(bytes_of(target).size(), 2048u * sizeof(float));
}

TEST(Eval, InterruptedLeavesNothing) {
  std::string many = "1";
  for (int i = 0; i < 40000; ++i) many += ",7";
  const std::string path = file("many.txt", many), logits = folder() + "/cut.f32";
  RunOptions options;
  options.interrupt_after_seconds = 0.3;
  const Outcome o = run({"eval", "--tokens-file", path, "--logits", logits}, options);
  EXPECT_EQ(o.exit_code, 130) << o.err;
  EXPECT_EQ(o.err, "bandwall: interrupted\n");
  EXPECT_FALSE(leftovers("cut.f32"));
}

}  // namespace
}  // namespace bandwall::e2e
