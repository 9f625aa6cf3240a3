// Careless and hostile use of the command line, data files and standard streams.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <sstream>
#include <thread>

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

// ---- model files ----

// The model is mapped, then cut short by somebody else, then read.
TEST(BadInput, AModelCutShortWhileInUse) {
  const std::string model = folder() + "/shrinks.gguf", tokens = folder() + "/tokens.fifo";
  const std::string logits = folder() + "/shrinks.f32";
  std::filesystem::copy_file(small_model(), model);
  ASSERT_EQ(mkfifo(tokens.c_str(), 0600), 0);
  std::thread other([&] {
    std::ofstream out(tokens);  // waits for the reader, which has mapped the model by then
    std::filesystem::resize_file(model, 4096);
    out << "1,2,3\n";
  });
  const Outcome o = run({"eval", "-m", model, "--tokens-file", tokens, "--logits", logits});
  other.join();
  EXPECT_EQ(o.exit_code, 1) << o.err;
  EXPECT_EQ(lines(o.err), 1) << o.err;
  EXPECT_NE(o.err.find("cut short while in use"), std::string::npos) << o.err;
  EXPECT_FALSE(std::filesystem::exists(logits));
}

TEST(BadInput, ModelsThatAreNone) {
  std::ifstream in(small_model(), std::ios::binary);
  const std::string whole{std::istreambuf_iterator<char>(in), {}};
  const auto damaged = [&](std::size_t at, std::uint64_t value) {
    std::string text = whole;
    for (int i = 0; i < 8; ++i)
      text[at + static_cast<std::size_t>(i)] = static_cast<char>(value >> 8 * i);
    return text;
  };
  const std::map<std::string, std::string> files = {
      {"truncated", ""},
      {"is not 'GGUF'", std::string(100000, '\0')},
      {"tensor count", damaged(8, INT64_MAX)},
      {"key count", damaged(16, std::uint64_t{1} << 40)}};
  for (const auto& [part, bytes] : files) {
    const std::string path =
        file("none.gguf", bytes.empty() ? whole.substr(0, whole.size() / 2) : bytes);
    expect_usage_error({"run", "-m", path}, part);
    expect_usage_error({"inspect", path}, part);
    expect_usage_error({"tokenize", "-m", path, "abc"}, part);
    expect_usage_error({"eval", "-m", path, "--tokens", "1"}, part);
    expect_usage_error({"bench", "-m", path}, part);
  }
  // Cut anywhere: in the header, in a key, in the tensors.
  for (std::size_t at = 1; at < whole.size(); at += whole.size() / 37) {
    expect_usage_error({"eval", "-m", file("cut.gguf", whole.substr(0, at)), "--tokens", "1"},
                       "cut.gguf");
  }
  const std::string empty = folder() + "/empty";
  std::filesystem::create_directory(empty);
  expect_usage_error({"run", "-m", empty}, "is a directory without config.json or GGUF");
  expect_usage_error({"run", "-m", "/dev/zero"}, "no regular file");
}

TEST(BadInput, NumbersOfTheJob) {
  for (const char* threads : {"0", "-1", "9999", "1e3", "99999999999999999999"}) {
    expect_usage_error({"run", "-t", threads}, std::string("'") + threads + "'");
    expect_usage_error({"eval", "--tokens", "1", "-t", threads}, "--threads");
  }
  for (const char* type : {"nonsense", ""}) expect_usage_error({"run", "-ctk", type}, "known: f32");
  for (const char* layers : {"0", "63", "99999", "-1"}) {
    expect_usage_error({"run", "--synthetic", "minimax-m2.5:Q4_K_M", "--layers", layers},
                       "1 to 62");
    expect_usage_error({"synth", "minimax-m2.5:Q4_K_M", "--layers", layers, "--out", "x"},
                       "1 to 62");
  }
  expect_usage_error({"run", "--synthetic", "minimax-m2.5"}, "MODEL:MIX");
  expect_usage_error({"run", "--synthetic", "olmoe-1b-7b:Q4_K_M", "--vocab", "1"}, "'1'");
  expect_usage_error({"run", "-n", "-5"}, "'-5'");
  expect_usage_error({"run", "-ub", "0"}, "'0'");
  expect_usage_error({"run", "--temp", "nan"}, "'nan'");
  expect_usage_error({"run", "--top-p", "2"}, "'2'");
  expect_usage_error({"run", "--seed", "-4"}, "'-4'");
  expect_usage_error({"bench", "-r", "0"}, "'0'");
  expect_usage_error({"bench", "-p", "99999999999"}, "'99999999999'");
  expect_usage_error({"eval", "--tokens", ""}, "no token ids");
  expect_usage_error({"eval", "--tokens", "1,-2"}, "'-2'");
  expect_usage_error({"eval", "--tokens-file", "/dev/zero"}, "is larger than");
  expect_usage_error({"run", "-f", "/dev/zero"}, "is larger than");
}

// ---- output files ----

int files_in(const std::string& path) {
  const std::filesystem::directory_iterator all(path);
  return static_cast<int>(std::distance(begin(all), end(all)));
}

TEST(BadInput, OutputThatCannotBeWrittenIsFoundBeforeTheWork) {
  const std::string nowhere = "/nonexistent/x";
  for (const Words& words :
       {Words{"synth", "olmoe-1b-7b:Q4_K_M", "--layers", "1", "--out", nowhere},
        Words{"run", "-m", small_model(), "--predicted", nowhere},
        Words{"run", "-m", small_model(), "--routing", nowhere},
        Words{"eval", "--tokens", "1", "--logits", nowhere}}) {
    const Outcome o = run(words);  // no profile: the work would begin with probes
    EXPECT_EQ(o.exit_code, 1) << words[0] << o.err;
    EXPECT_EQ(lines(o.err), 1) << o.err;
    EXPECT_NE(o.err.find(nowhere + ": cannot be written"), std::string::npos) << o.err;
  }
}

TEST(BadInput, AnInterruptedSynthLeavesNothing) {
  const std::string place = folder() + "/synth";
  std::filesystem::create_directory(place);
  RunOptions options;
  options.interrupt_after_seconds = 0.3;
  const Outcome o =
      run({"synth", "qwen3-30b-a3b:Q8_0", "--layers", "4", "--out", place + "/x.gguf"}, options);
  EXPECT_EQ(o.exit_code, 130) << o.err;
  EXPECT_EQ(o.err, "bandwall: interrupted\n");
  EXPECT_EQ(files_in(place), 0);
  const Outcome memory =
      run({"run", "--synthetic", "olmoe-1b-7b:Q4_K_M", "--layers", "2"}, options);
  EXPECT_EQ(memory.exit_code, 130) << memory.err;
  EXPECT_NE(memory.err.find("bandwall: interrupted\n"), std::string::npos) << memory.err;
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

TEST(BadInput, AReaderThatHasGoneEndsItQuietly) {
  const std::string err = folder() + "/err", code = folder() + "/code";
  for (const char* words : {"fit --all", "--help", "show model gpt-oss-120b"}) {
    // The reader has gone before the first byte is written.
    const std::string command = "(sleep 0.2; " BANDWALL_PROGRAM " " + std::string(words) + " 2>" +
                                err + "; echo $? >" + code + ") | true";
    ASSERT_EQ(std::system(command.c_str()), 0);
    std::ifstream said(err), ended(code);
    std::string text, number;
    std::getline(said, text);
    std::getline(ended, number);
    EXPECT_EQ(text, "") << words;
    EXPECT_EQ(number, "141") << words;
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
