// The rules of rules.h on every file of the repository.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>

#include "tests/tidy/rules.h"

namespace bandwall::tidy {
namespace {

const std::vector<SourceFile>& files() {
  static const std::vector<SourceFile> all = repository_files(BANDWALL_SOURCE_DIR);
  return all;
}

template <class Rule>
void expect_clean(Rule rule) {
  for (const SourceFile& f : files()) {
    for (const Finding& finding : rule(f.path, f.text)) {
      ADD_FAILURE() << finding.path << ":" << finding.line << ": " << finding.message;
    }
  }
}

TEST(Repository, IsFound) {
  EXPECT_GT(files().size(), 50u);
  for (const char* path : {"CMakeLists.txt", "dev", ".ci/run", "hwmodel/units.h"}) {
    EXPECT_TRUE(std::any_of(files().begin(), files().end(),
                            [&](const SourceFile& f) { return f.path == path; }))
        << path;
  }
}

TEST(Repository, LayersIncludeOnlyWhatTheyMay) { expect_clean(check_layers); }
TEST(Repository, LibrariesStayAtHome) { expect_clean(check_homes); }
TEST(Repository, FilesAndFunctionsAreShort) { expect_clean(check_length); }

TEST(Repository, LinesAreShort) {
  expect_clean([](std::string_view path, std::string_view text) {
    return check_columns(path, text, kMostColumns);
  });
}

TEST(Repository, HasNoBannedWords) { expect_clean(check_words); }
TEST(Repository, NamesNoPathOfOneMachine) { expect_clean(check_paths); }
TEST(Repository, HeadersSayWhatTheyAre) { expect_clean(check_header); }

TEST(Repository, HasNoDeadGoldens) {
  for (const Finding& finding : check_goldens(files())) {
    ADD_FAILURE() << finding.path << ": " << finding.message;
  }
}

// Not an error: a list of files that are growing.
TEST(Repository, LongFilesAreListed) {
  for (const SourceFile& f : files()) {
    if (!f.path.ends_with(".cpp") && !f.path.ends_with(".h")) continue;
    const auto lines = std::count(f.text.begin(), f.text.end(), '\n');
    if (lines > kManyLines) {
      std::printf("note: %s has %ld lines; %d is the aim\n", f.path.c_str(),
                  static_cast<long>(lines), kManyLines);
    }
    EXPECT_LE(lines, kMostLines) << f.path;
  }
}

}  // namespace
}  // namespace bandwall::tidy
