// The rules themselves, on samples that break them. Banned words stand in pieces.
#include "tests/tidy/rules.h"

#include <gtest/gtest.h>

namespace bandwall::tidy {
namespace {

std::string repeated(int n, const std::string& line) {
  std::string text;
  for (int i = 0; i < n; ++i) text += line;
  return text;
}

TEST(Rules, LayersSeeOnlyThoseBelow) {
  EXPECT_EQ(check_layers("hwmodel/a.h", "#include \"workload/plan.h\"\n").size(), 1u);
  EXPECT_EQ(check_layers("analysis/a.cpp", "// x\n#include \"runtime/host.h\"\n")[0].line, 2);
  EXPECT_EQ(check_layers("runtime/kernels/a.cpp", "#include \"analysis/fit.h\"\n").size(), 1u);
  EXPECT_EQ(check_layers("runtime/a.cpp", "#include \"configs/library.h\"\n").size(), 1u);
  EXPECT_EQ(check_layers("configs/a.cpp", "#include \"reports/version.h\"\n").size(), 1u);
  EXPECT_EQ(check_layers("reports/a.cpp", "#include \"tests/tidy/rules.h\"\n").size(), 1u);
  EXPECT_TRUE(check_layers("reports/cli/a.cpp", "#include \"runtime/host.h\"\n").empty());
  EXPECT_TRUE(check_layers("workload/a.cpp", "#include \"hwmodel/units.h\"\n").empty());
  EXPECT_TRUE(check_layers("tests/unit/a.cpp", "#include \"runtime/host.h\"\n").empty());
  EXPECT_TRUE(check_layers("runtime/a.cpp", "#include \"runtime/kernels/kernels.h\"\n").empty());
}

TEST(Rules, LibrariesHaveOneHome) {
  EXPECT_EQ(check_homes("workload/a.cpp", "#include <yaml-cpp/yaml.h>\n").size(), 1u);
  EXPECT_EQ(check_homes("analysis/a.cpp", "#include <thread>\n").size(), 1u);
  EXPECT_EQ(check_homes("analysis/a.cpp", "#include <chrono>\n").size(), 1u);
  EXPECT_EQ(check_homes("reports/a.cpp", "#include <cblas.h>\n").size(), 1u);
  EXPECT_EQ(check_homes("runtime/a.cpp", "#include <nlohmann/json.hpp>\n").size(), 1u);
  EXPECT_EQ(check_homes("runtime/a.cpp", "#include <boost/program_options.hpp>\n").size(), 1u);
  EXPECT_EQ(check_homes("configs/a.cpp", "#include <sys/mman.h>\n").size(), 1u);
  EXPECT_TRUE(check_homes("configs/a.cpp", "#include <yaml-cpp/yaml.h>\n").empty());
  EXPECT_TRUE(check_homes("runtime/a.cpp", "#include <thread>\n#include <pcre2.h>\n").empty());
  EXPECT_TRUE(check_homes("tests/unit/a.cpp", "#include <thread>\n").empty());
  EXPECT_TRUE(check_homes("analysis/a.cpp", "#include \"runtime/thread_pool.h\"\n").empty());
}

TEST(Rules, FilesAreShort) {
  EXPECT_TRUE(check_length("a/a.cpp", repeated(600, "\n")).empty());
  EXPECT_EQ(check_length("a/a.cpp", repeated(601, "\n")).size(), 1u);
  EXPECT_TRUE(check_length("a/a.md", repeated(601, "\n")).empty());
}

TEST(Rules, LinesAreShortCountedInLetters) {
  EXPECT_TRUE(check_columns("a/a.cpp", std::string(100, 'x')).empty());
  EXPECT_EQ(check_columns("a/a.cpp", std::string(101, 'x')).size(), 1u);
  EXPECT_TRUE(check_columns("a/a.cpp", repeated(100, "\xC2\xB5")).empty());
}

TEST(Rules, FunctionsAreShort) {
  const auto function = [](int lines) {
    return "int f(int a,\n      int b) {\n" + repeated(lines - 3, "  g();\n") + "}\n";
  };
  EXPECT_TRUE(check_length("a/a.cpp", function(70)).empty());
  const Findings found = check_length("a/a.cpp", "\n" + function(71));
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].line, 2);
  const std::string method =
      "class A {\n  void f() {\n" + repeated(80, "    g();\n") + "  }\n};\n";
  EXPECT_EQ(check_length("a/a.cpp", method).size(), 1u);
  const std::string members = repeated(90, "int b;\n");
  EXPECT_TRUE(check_length("a/a.cpp", "namespace a {\n" + members + "}\n").empty());
  EXPECT_TRUE(check_length("a/a.h", "struct A {\n" + repeated(90, "  int b;\n") + "};\n").empty());
}

TEST(Rules, WordsAreBanned) {
  const auto count = [](const char* path, const std::string& text) {
    return check_words(path, text).size();
  };
  EXPECT_EQ(count("a/a.cpp", "// TO" "DO later\n"), 1u);
  EXPECT_EQ(count("README.md", "a FIX" "ME\n"), 1u);
  EXPECT_EQ(count("a/a.cpp", "// XX" "X\n"), 1u);
  EXPECT_EQ(count("a/a.cpp", "// a ha" "ck\n"), 1u);
  EXPECT_EQ(count("a/a.cpp", "ass" "ert(x);\n"), 1u);
  EXPECT_EQ(count("a/a.cpp", "std::form" "at(\"\");\n"), 1u);
  EXPECT_EQ(count("a/a.cpp", "std::expec" "ted<int, int> x;\n"), 1u);
  EXPECT_EQ(count("runtime/a.cpp", "std::ex" "it(1);\n"), 1u);
  EXPECT_EQ(count("runtime/a.cpp", "std::get" "env(\"HOME\");\n"), 1u);
  EXPECT_EQ(count("runtime/a.cpp", "std::print" "f(\"\");\n"), 1u);
  EXPECT_EQ(count("configs/a.cpp", "std::co" "ut << 1;\n"), 1u);
  EXPECT_EQ(count("configs/a.cpp", "fmt::pri" "nt(\"\");\n"), 1u);
  EXPECT_EQ(count("reports/a.cpp", "std::print" "f(\"\"); std::get" "env(\"HOME\");\n"), 0u);
  EXPECT_EQ(count("runtime/a.cpp", "static_assert(true); std::snprintf(a, 1, b); x.exited();\n"),
            0u);
  EXPECT_EQ(count("a/a.cpp", "// hacksaw, std::formatter, XXXL\n"), 0u);
}

TEST(Rules, PathsOfOneMachineAreBanned) {
  EXPECT_EQ(check_paths("README.md", "see /wo" "rk/notes\n").size(), 1u);
  EXPECT_EQ(check_paths("a/a.cpp", "\n\"/ro" "ot/x\"\n")[0].line, 2);
  EXPECT_EQ(check_paths("dev", "cat ../sha" "red/x\n").size(), 1u);
  EXPECT_TRUE(check_paths("a/a.cpp", "#include \"workload/plan.h\"\n").empty());
}

TEST(Rules, HeadersBeginWithACommentAndPragma) {
  EXPECT_TRUE(check_header("a/a.h", "// What it is.\n#pragma once\n").empty());
  EXPECT_EQ(check_header("a/a.h", "#pragma once\n").size(), 1u);
  EXPECT_EQ(check_header("a/a.h", "// What it is.\n#ifndef A\n").size(), 1u);
  EXPECT_EQ(check_header("a/a.h", "").size(), 2u);
  EXPECT_EQ(check_header("a/a.h", repeated(13, "// x\n") + "#pragma once\n").size(), 1u);
  EXPECT_TRUE(check_header("a/a.cpp", "int a;\n").empty());
}

TEST(Rules, GoldensAreReadBySomeTest) {
  const std::vector<SourceFile> files = {{"tests/golden/fit_test.cpp", "golden(\"fit_gb10\")"},
                                         {"tests/golden/fit_gb10.txt", "fits"},
                                         {"tests/golden/old.txt", "x"}};
  const Findings found = check_goldens(files);
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].path, "tests/golden/old.txt");
}

}  // namespace
}  // namespace bandwall::tidy
