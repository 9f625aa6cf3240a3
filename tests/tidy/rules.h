// Our rules as functions of one file's path and text, so that they can be tested on bad samples.
//   check_layers("workload/a.cpp", "#include \"runtime/host.h\"\n")[0].line == 1
// Paths are relative to the source folder. Heuristics read lines, not C++: code formatted as ours.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace bandwall::tidy {

struct Finding {
  std::string path;
  int line;
  std::string message;
};
using Findings = std::vector<Finding>;

struct SourceFile {
  std::string path;
  std::string text;
};

inline constexpr int kMostLines = 600, kManyLines = 400, kMostFunctionLines = 70;
inline constexpr int kMostColumns = 100;

Findings check_layers(std::string_view path, std::string_view text);   // who includes whom
Findings check_homes(std::string_view path, std::string_view text);    // libraries' only homes
Findings check_length(std::string_view path, std::string_view text);   // files and functions
Findings check_columns(std::string_view path, std::string_view text, int most = kMostColumns);
Findings check_words(std::string_view path, std::string_view text);    // banned words and calls
Findings check_paths(std::string_view path, std::string_view text);    // paths of one machine
Findings check_header(std::string_view path, std::string_view text);   // comment, pragma once
Findings check_goldens(const std::vector<SourceFile>& files);          // goldens no test reads

// All text files of the repository below `root`, build folders and data files left out.
std::vector<SourceFile> repository_files(const std::string& root);

}  // namespace bandwall::tidy
