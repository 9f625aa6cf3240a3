// bandwall run: forms of output, refusals, Ctrl-C, and one run with a quick calibration.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "tests/support/small_files.h"

namespace bandwall::e2e {
namespace {

using Json = nlohmann::json;

Outcome run_with_profile(const std::vector<std::string>& more, const RunOptions& options = {}) {
  std::vector<std::string> words = {"run", "--profile", profile()};
  words.insert(words.end(), more.begin(), more.end());
  return run(words, options);
}

TEST(Run, JsonIsDataOnlyAndBytesAreAsPlanned) {
  const std::string saved = folder() + "/predicted.json";
  const Outcome o = run_with_profile({"-n", "6", "-o", "json", "--predicted", saved});
  ASSERT_EQ(o.exit_code, 0) << o.err;
  EXPECT_TRUE(o.err.empty()) << o.err;
  const Json j = Json::parse(o.out);
  EXPECT_EQ(j["bytes_equal"], true);
  EXPECT_EQ(j["n_gen"], 6);
  std::stringstream text;
  text << std::ifstream(saved).rdbuf();
  EXPECT_EQ(Json::parse(text.str())["n_prompt"], j["n_prompt"]);
}

TEST(Run, RoutingIsCountedPerExpertAndStep) {
  const std::string saved = folder() + "/routing.json";
  const std::string golden = std::string(BANDWALL_SOURCE_DIR) + "/tests/parity/golden/";
  const Outcome o = run_with_profile({"-m", golden + "olmoe-f32.gguf", "-n", "5", "-p",
                                      "the memory wall", "-o", "json", "--routing", saved});
  ASSERT_EQ(o.exit_code, 0) << o.err;
  std::stringstream text;
  text << std::ifstream(saved).rdbuf();
  const Json j = Json::parse(text.str());
  EXPECT_EQ(j["experts"], 14);
  ASSERT_EQ(j["phases"].size(), 2u);
  const auto prompt = j["phases"][0]["tokens"].get<std::int64_t>();
  ASSERT_GT(prompt, 1);
  for (const Json& phase : j["phases"]) {
    ASSERT_EQ(phase["layers"].size(), 2u);
    for (const Json& layer : phase["layers"]) {
      std::int64_t sum = 0;
      for (const auto& count : layer["counts"]) sum += count.get<std::int64_t>();
      // The last layer of a prompt goes on with its last position only.
      const bool last = phase == j["phases"][0] && layer == phase["layers"][1];
      EXPECT_EQ(sum, (last ? 1 : phase["tokens"].get<std::int64_t>()) * 4);
      EXPECT_EQ(layer["distinct_per_step"].size(), phase["steps"].get<std::size_t>());
    }
  }
  EXPECT_EQ(j["phases"][1]["layers"][0]["distinct_per_step"][0], 4) << "one token, top 4";
  const Outcome dense =
      run_with_profile({"-m", golden + "llama-f16.gguf", "-n", "1", "--routing", saved});
  EXPECT_EQ(dense.exit_code, 2);
  EXPECT_NE(dense.err.find("--routing"), std::string::npos) << dense.err;
}

TEST(Run, EveryJsonLineParses) {
  const Outcome o = run_with_profile({"-n", "5", "-o", "jsonl", "-p", "\xff\xfe caf\xc3\xa9"});
  ASSERT_EQ(o.exit_code, 0) << o.err;
  std::istringstream in(o.out);
  std::vector<std::string> events;
  for (std::string line; std::getline(in, line);) {
    events.push_back(Json::parse(line)["event"].get<std::string>());
  }
  ASSERT_GE(events.size(), 3u);
  EXPECT_EQ(events.front(), "prediction");
  EXPECT_EQ(events[1], "token");
  EXPECT_EQ(events.back(), "result");
}

TEST(Run, NoTokensAskedAndFilesWithoutATemplate) {
  EXPECT_EQ(run_with_profile({"-n", "0"}).exit_code, 0);
  const Outcome o =
      run_with_profile({"-m", small_model(), "-n", "3", "-p", "the machine", "-o", "md"});
  EXPECT_EQ(o.exit_code, 0) << o.err;
}

TEST(Run, NoColourAndNoProgressInPipes) {
  for (const char* variable : {"NO_COLOR=1", "NO_COLOR=", "CLICOLOR_FORCE=1"}) {
    RunOptions options;
    options.environment = {variable};
    const Outcome o = run_with_profile({"-n", "2"}, options);
    EXPECT_EQ(o.exit_code, 0);
    EXPECT_EQ((o.out + o.err).find('\x1b'), std::string::npos);
  }
}

TEST(Run, CarelessCallsAreRefusedInOneLine) {
  const auto refused = [](const std::vector<std::string>& more, const std::string& part) {
    const Outcome o = run_with_profile(more);
    EXPECT_EQ(o.exit_code, 2) << part << o.err;
    EXPECT_EQ(lines(o.err), 1) << o.err;
    EXPECT_TRUE(o.out.empty()) << o.out;
    EXPECT_NE(o.err.find(part), std::string::npos) << o.err;
  };
  const std::string empty = file("empty-prompt.txt", std::string());
  const std::string other = file("other.yaml", profile_text("another processor"));
  refused({"-c", "2"}, "raise -c");
  refused({"-n", "2000"}, "trained for 1024");
  refused({"-f", file("long.txt", std::string(20000, 'x'))}, "trained for 1024");
  refused({"-p", "a", "-f", empty}, "not both");
  refused({"-p", ""}, "--prompt: the prompt is empty");
  refused({"-f", empty}, "the prompt is empty");
  refused({"-f", folder()}, "directory");
  refused({"-f", folder() + "/nowhere"}, "No such file");
  refused({"-f", "/dev/zero"}, "larger than");
  refused({"-n", "-1"}, "--n-predict");
  refused({"-c", "1000000000"}, "positions fit");
  refused({"-ctk", "tbq4_0"}, "a head has 64 values");
  refused({"-t", "0"}, "--threads");
  refused({"--temp", "nan"}, "--temp");
  refused({"--top-p", "1.5"}, "--top-p");
  refused({"--machine", "gb10,gb11"}, "gb11");
  refused({"--machine", folder() + "/nowhere.yaml"}, "nowhere.yaml");
  refused({"--profile", other}, "another host");
  refused({"--profile", empty}, "empty");
  refused({"-o", "xml"}, "jsonl");
  refused({"extra"}, "extra");
  refused({"-m", "minimax-m2.5:Q3_K_M"}, "is no file");
}

TEST(Run, PredictedFileIsWrittenFirstOrNothingRuns) {
  const Outcome o = run_with_profile({"-n", "2", "--predicted", folder() + "/none/p.json"});
  EXPECT_EQ(o.exit_code, 1);
  EXPECT_EQ(lines(o.err), 1) << o.err;
  EXPECT_TRUE(o.out.empty()) << o.out;
}

// ---- Ctrl-C ----

TEST(Run, InterruptedWhileTokensCome) {
  RunOptions options;
  options.interrupt_when = "predicted before the run";
  const Outcome o = run_with_profile(
      {"-n", "200000", "-c", "200100", "-m", small_model(), "-p", "the machine"}, options);
  EXPECT_EQ(o.exit_code, 130) << o.err;
  EXPECT_EQ(o.err, "bandwall: interrupted\n");
}

TEST(Run, InterruptedDuringCalibration) {
  RunOptions options;
  options.interrupt_after_seconds = 0.5;
  const Outcome quick = run({"run", "-n", "2"}, options);
  EXPECT_EQ(quick.exit_code, 130) << quick.err;
  EXPECT_NE(quick.err.find("bandwall: interrupted\n"), std::string::npos) << quick.err;
  const std::string out = folder() + "/cut.yaml";
  const Outcome full = run({"calibrate", "--out", out}, options);
  EXPECT_EQ(full.exit_code, 130) << full.err;
  EXPECT_FALSE(std::filesystem::exists(out));
}

// ---- without a profile ----

TEST(Run, CalibratesQuicklyAndSaysSo) {
  const Outcome o = run({"run", "-n", "4", "-o", "json"});
  ASSERT_EQ(o.exit_code, 0) << o.err;
  EXPECT_NE(o.err.find("not calibrated"), std::string::npos) << o.err;
  EXPECT_EQ(Json::parse(o.out)["bytes_equal"], true);
}

TEST(Run, WrongMachineIsFoundBeforeTheProbes) {
  const Outcome o = run({"run", "-n", "4", "--machine", "gb11"});
  EXPECT_EQ(o.exit_code, 2);
  EXPECT_EQ(lines(o.err), 1) << o.err;
}

}  // namespace
}  // namespace bandwall::e2e
