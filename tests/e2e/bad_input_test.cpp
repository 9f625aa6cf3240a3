// Careless and hostile use of the command line, data files and standard streams.
#include <gtest/gtest.h>

#include <filesystem>
#include <sstream>

#include "tests/support/small_files.h"

namespace bandwall::e2e {
namespace {

using Words = std::vector<std::string>;

void expect_usage_error(const Words& words, const std::string& part) {
  const Outcome o = run(words);
  EXPECT_EQ(o.exit_code, 2) << part << ": " << o.err;
  EXPECT_EQ(lines(o.err), 1) << o.err;
  EXPECT_TRUE(o.out.empty()) << o.out;
  EXPECT_EQ(o.err.rfind("bandwall: ", 0), 0u) << o.err;
  EXPECT_NE(o.err.find(part), std::string::npos) << o.err;
}

// ---- options ----

TEST(BadInput, Options) {
  expect_usage_error({"fit", "gpt-oss-20b", "--machine"}, "--machine");
  expect_usage_error({"fit", "gpt-oss-20b", "-c"}, "--ctx-size");
  expect_usage_error({"fit", "gpt-oss-20b", "-c", "-5"}, "'-5'");
  expect_usage_error({"fit", "gpt-oss-20b", "-c", "0"}, "'0'");
  expect_usage_error({"fit", "gpt-oss-20b", "-c", "4096k"}, "4096k");
  expect_usage_error({"fit", "-m", "gpt-oss-20b", "minimax-m2.5"}, "two models");
  expect_usage_error({"fit", "-m", "gpt-oss-20b", "minimax-m2.5", "qwen3-8b"}, "--model");
  expect_usage_error({"fit", "gpt-oss-20b", "-o", "yaml"}, "json");
  expect_usage_error({"fit", "gpt-oss-20b", "--quik"}, "quik");
  expect_usage_error({"--", "fit"}, "--");
  expect_usage_error({""}, "unknown command");
  expect_usage_error({"fit", "--", "--machine"}, "--machine: no model of this name");
  expect_usage_error({"predict", "gpt-oss-20b", "-p", "0", "-n", "0"}, "nothing to predict");
  expect_usage_error({"predict", "gpt-oss-20b", "-p", "5-"}, "''");
  expect_usage_error({"predict", "gpt-oss-20b", "-p", "1-99999999"}, "99999999");
  expect_usage_error({"predict", "gpt-oss-20b", "-p", "1-1000000"}, "10000");
  expect_usage_error({"predict", "gpt-oss-20b", "-p", "0-64*2"}, "above 0");
  expect_usage_error({"tokenize"}, "once");
  expect_usage_error({"tokenize", "a", "-p", "b"}, "once");
  expect_usage_error({"show"}, "missing");
  expect_usage_error({"show", "machine", "gb10", "b200"}, "too many");
}

TEST(BadInput, Names) {
  expect_usage_error({"fit", ""}, "is empty");
  expect_usage_error({"run", "-m", ""}, "is empty");
  expect_usage_error({"fit", "gpt-oss-20b", "--machine", ""}, "is empty");
  expect_usage_error({"fit", "minimax-m2.5:"}, "NAME:MIX");
  expect_usage_error({"fit", ":Q4_K_M"}, "model");
  expect_usage_error({"fit", "gpt-oss-20b", "--machine", "1xgb10"}, "2 to 64");
  expect_usage_error({"fit", "gpt-oss-20b", "--machine", "99999999999999999999xgb10"}, "xgb10");
  expect_usage_error({"predict", "gpt-oss-20b", "--machine", "this"}, "bandwall calibrate");
  expect_usage_error({"fit", "gpt-oss-20b", "--backend", "cuda"}, "llama.cpp-cuda");
  expect_usage_error({"fit", "two\nlines"}, "no model of this name");
}

TEST(BadInput, WordsThatAreFine) {
  EXPECT_EQ(run({"fit", "gpt-oss-20b", "--machine", "b200", "--machine", "gb10"}).exit_code, 0);
  EXPECT_EQ(run({"fit", "--machine", "gb10", "--ctx-size=4096", "--", "gpt-oss-20b"}).exit_code, 0);
  EXPECT_EQ(run({"fit", "-c4096", "gpt-oss-20b", "--machine", "gb10"}).exit_code, 0);
  const Outcome text = run({"tokenize", "-o", "ids", "--", "--special"});
  EXPECT_EQ(text.exit_code, 0) << text.err;
  EXPECT_EQ(run({"tokenize", "-o", "json", "\xff\xfe\x80"}).exit_code, 0);
}

// ---- data files ----

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const std::size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return text.replace(at, from.size(), to);
}

TEST(BadInput, MachineFiles) {
  const std::string good = profile_text("made up");
  EXPECT_EQ(run({"predict", "gpt-oss-20b", "--machine", file("good.yaml", good)}).exit_code, 0);
  // Every line names the file, the line and the column; the first says what is wrong.
  const auto refused = [](const std::string& text, const std::string& part) {
    const std::string path = file("bad.yaml", text);
    const Outcome o = run({"fit", "gpt-oss-20b", "--machine", path});
    EXPECT_EQ(o.exit_code, 2) << o.err;
    EXPECT_TRUE(o.out.empty()) << o.out;
    EXPECT_NE(o.err.find(part), std::string::npos) << part << o.err;
    std::istringstream in(o.err);
    for (std::string line; std::getline(in, line);) {
      EXPECT_EQ(line.rfind("bandwall: " + path + ":", 0), 0u) << line;
    }
  };
  refused(replaced(good, "peak: {value: \"20 GB/s\"", "peak: {value: \"20 GX\""), ":14:21: ");
  refused(replaced(good, "reserve:", "resrve:"), "did you mean reserve?");
  refused("a: [1, 2", "not valid YAML");
  refused("", "empty");
  refused("a: &x [*x]", "anchors");
  refused(std::string(2'000'000, 'a'), "1000000");
  refused(std::string(5000, '['), "open brackets");
  refused(std::string("a: \0b", 5), ":1:");
  refused(good + "spread: 1\n", "spread");
}

TEST(BadInput, MachineFilesThatAreNone) {
  const std::string nowhere = folder() + "/nowhere.yaml", directory = folder() + "/directory.yaml";
  std::filesystem::create_directory(directory);
  std::filesystem::create_symlink("/dev/zero", folder() + "/zero.yaml");
  expect_usage_error({"fit", "gpt-oss-20b", "--machine", nowhere}, nowhere);
  expect_usage_error({"fit", "gpt-oss-20b", "--machine", directory}, directory);
  expect_usage_error({"fit", "gpt-oss-20b", "--machine", folder() + "/zero.yaml"}, "1000000");
}

// ---- standard streams ----

TEST(BadInput, FullAndClosedOutput) {
  const std::vector<Words> calls = {{"show", "machine", "gb10"},
                                    {"doctor"},
                                    {"--help"},
                                    {"inspect", "demo", "-o", "json"},
                                    {"tokenize", "abc"},
                                    {"run", "--profile", profile(), "-n", "2"}};
  for (const Words& words : calls) {
    for (const char* out : {"/dev/full", "closed"}) {
      RunOptions options;
      options.stdout_to = out;
      const Outcome o = run(words, options);
      EXPECT_EQ(o.exit_code, 1) << words[0] << out << o.err;
      EXPECT_NE(o.err.find("bandwall: stdout"), std::string::npos) << o.err;
      RunOptions silent;
      silent.stderr_to = out;
      EXPECT_EQ(run(words, silent).exit_code, 0) << words[0] << out;
      EXPECT_EQ(run({"fit", "nothing"}, silent).exit_code, 2);
    }
  }
}

TEST(BadInput, NothingButLogitsLandsInTheLogitsFile) {
  RunOptions options;
  options.stdout_to = options.stderr_to = "closed";
  const std::string path = folder() + "/only.f32";
  EXPECT_EQ(run({"eval", "--tokens", "1,2", "--logits", path}, options).exit_code, 0);
  EXPECT_EQ(std::filesystem::file_size(path), 2u * 2048 * sizeof(float));
}

TEST(BadInput, ReportsOfFilesWithOddNamesParse) {
  const std::string path = folder() + "/odd \xff\n\".gguf";
  std::filesystem::copy_file(small_model(), path);
  for (const Words& words :
       {Words{"inspect", path, "-o", "json"}, Words{"fit", path, "-o", "json"},
        Words{"predict", path, "-o", "json"}, Words{"roofline", path, "-o", "json"}}) {
    const Outcome o = run(words);
    EXPECT_EQ(o.exit_code, 0) << words[0] << o.err;
    EXPECT_TRUE(nlohmann::json::accept(o.out)) << words[0];
  }
}

}  // namespace
}  // namespace bandwall::e2e
