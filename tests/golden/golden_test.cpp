// Visible output, word for word. `UPDATE_GOLDEN=1 ctest -L golden` rewrites the files; the change
// is reviewed as a diff. Only commands whose output does not depend on this host are listed.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>

#include "tests/support/program.h"

namespace bandwall::e2e {
namespace {

struct Golden {
  const char* name;
  int exit_code;
  std::vector<std::string> arguments;
};

void PrintTo(const Golden& g, std::ostream* out) { *out << g.name; }

const std::vector<Golden>& goldens() {
  static const std::vector<Golden> all = {
      {"help", 0, {"--help"}},
      {"help-fit", 0, {"fit", "--help"}},
      {"help-run", 0, {"run", "--help"}},
      {"fit-minimax-q3",
       0,
       {"fit", "minimax-m2.5:UD-Q3_K_XL", "--machine", "gb10", "-c", "96000", "-ctk", "tbq4_0",
        "-ctv", "tbq3_0"}},
      {"fit-minimax-nvfp4", 3, {"fit", "minimax-m2.5:NVFP4", "--machine", "gb10"}},
      {"fit-minimax-nvfp4-two",
       0,
       {"fit", "minimax-m2.5:NVFP4", "--machine", "2xgb10", "-o", "md"}},
      {"fit-gpt-oss-json",
       0,
       {"fit", "gpt-oss-120b", "--machine", "gb10", "-c", "32768", "-o", "json"}},
      {"predict-gpt-oss",
       0,
       {"predict", "gpt-oss-120b", "--machine", "gb10", "-d", "0,4096,32768"}},
      {"predict-qwen-json",
       0,
       {"predict", "qwen3-30b-a3b:Q8_0", "--machine", "gb10", "-p", "2048", "-n", "32", "-o",
        "json"}},
      {"roofline-gpt-oss", 0, {"roofline", "gpt-oss-20b", "--machine", "gb10"}},
      {"roofline-gpt-oss-svg", 0, {"roofline", "gpt-oss-20b", "--machine", "gb10", "-o", "svg"}},
      {"show-model", 0, {"show", "model"}},
  };
  return all;
}

std::string golden_path(const std::string& name) {
  return std::string(BANDWALL_SOURCE_DIR) + "/tests/golden/" + name + ".txt";
}

std::string read(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

class GoldenOutput : public testing::TestWithParam<Golden> {};

TEST_P(GoldenOutput, IsTheSame) {
  const Golden& g = GetParam();
  const Outcome o = run(g.arguments);
  EXPECT_EQ(o.exit_code, g.exit_code) << o.err;
  EXPECT_EQ(o.err, "");
  const std::string path = golden_path(g.name);
  if (std::getenv("UPDATE_GOLDEN") != nullptr) {
    std::ofstream(path, std::ios::binary) << o.out;
    return;
  }
  EXPECT_EQ(read(path), o.out) << "UPDATE_GOLDEN=1 rewrites " << path;
}

INSTANTIATE_TEST_SUITE_P(All, GoldenOutput, testing::ValuesIn(goldens()), [](const auto& tested) {
  std::string name = tested.param.name;
  for (char& c : name) c = c == '-' ? '_' : c;
  return name;
});

TEST(Goldens, HaveNoOrphans) {
  std::set<std::string> known;
  for (const Golden& g : goldens()) known.insert(golden_path(g.name));
  for (const auto& e :
       std::filesystem::directory_iterator(std::string(BANDWALL_SOURCE_DIR) + "/tests/golden")) {
    if (e.path().extension() == ".txt") {
      EXPECT_TRUE(known.count(e.path().string())) << e.path() << " belongs to no test";
    }
  }
}

}  // namespace
}  // namespace bandwall::e2e
