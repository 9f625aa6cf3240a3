#include "tests/tidy/rules.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <set>

namespace bandwall::tidy {
namespace {

using Set = std::set<std::string_view>;

std::vector<std::string_view> lines_of(std::string_view text) {
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    lines.push_back(text.substr(0, end));
    if (end == std::string_view::npos) break;
    text.remove_prefix(end + 1);
  }
  return lines;
}

std::string_view folder_of(std::string_view path) {
  const std::size_t slash = path.find('/');
  return slash == std::string_view::npos ? std::string_view() : path.substr(0, slash);
}

bool is_code(std::string_view path) { return path.ends_with(".cpp") || path.ends_with(".h"); }
bool is_test(std::string_view path) {
  return path.starts_with("tests/") || path.starts_with("bench/");
}

// The name between the quotes or brackets of an #include line; empty for other lines.
std::string_view included(std::string_view line) {
  if (!line.starts_with("#include")) return {};
  const std::size_t from = line.find_first_of("\"<");
  const std::size_t to = line.find_last_of("\">");
  if (from == std::string_view::npos || to <= from) return {};
  return line.substr(from + 1, to - from - 1);
}

// Calls report(line number, included name) for each #include.
template <class Report>
void each_include(std::string_view path, std::string_view text, Report report) {
  if (!is_code(path)) return;
  const auto lines = lines_of(text);
  for (std::size_t i = 0; i < lines.size(); ++i) {
    const std::string_view name = included(lines[i]);
    if (!name.empty()) report(static_cast<int>(i) + 1, name);
  }
}

const std::map<std::string_view, Set>& layers() {
  static const std::map<std::string_view, Set> table = {
      {"hwmodel", {}},
      {"workload", {"hwmodel"}},
      {"analysis", {"hwmodel", "workload"}},
      {"configs", {"hwmodel", "workload"}},
      {"runtime", {"hwmodel", "workload"}},
      {"reports", {"hwmodel", "workload", "analysis", "configs", "runtime"}},
  };
  return table;
}

struct Home {
  std::string_view header;   // beginning of the included name
  Set folders;
};

const std::vector<Home>& homes() {
  static const std::vector<Home> table = {
      {"yaml-cpp/", {"configs"}},
      {"cblas", {"runtime"}},
      {"openblas", {"runtime"}},
      {"Eigen/", {"runtime", "analysis"}},
      {"pcre2", {"runtime"}},
      {"thread", {"runtime"}},
      {"mutex", {"runtime"}},
      {"condition_variable", {"runtime"}},
      {"pthread", {"runtime"}},
      {"sys/mman", {"runtime"}},
      {"boost/program_options", {"reports"}},
      {"nlohmann/", {"reports", "workload"}},
      {"chrono", {"runtime", "reports"}},
      {"random", {"runtime", "reports"}},
      {"fstream", {"runtime", "reports", "configs"}},
      {"iostream", {"reports"}},
      {"httplib", {"reports"}},
      {"future", {"reports"}},
  };
  return table;
}

bool is_word_byte(char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_'; }

// True when `word` stands in `line` with no word byte before it (and after it, if it ends in one).
bool has_word(std::string_view line, std::string_view word) {
  for (std::size_t at = line.find(word); at != std::string_view::npos;
       at = line.find(word, at + 1)) {
    const std::size_t end = at + word.size();
    const bool clean_end = !is_word_byte(word.back()) || end == line.size() ||
                           !is_word_byte(line[end]);
    if ((at == 0 || !is_word_byte(line[at - 1])) && clean_end) return true;
  }
  return false;
}

int columns(std::string_view line) {
  return static_cast<int>(std::count_if(line.begin(), line.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xc0) != 0x80;
  }));
}

// Words are written in pieces so that this file keeps its own rules.
const std::vector<std::string>& unfinished_words() {
  static const std::vector<std::string> words = {"TO" "DO", "FIX" "ME", "XX" "X", "ha" "ck"};
  return words;
}
const std::vector<std::string>& foreign_words() {   // outside the C++ that clang 14 accepts
  static const std::vector<std::string> words = {
      "std::source_" "location", "std::form" "at", "std::ranges::" "views", "std::views" "::",
      "std::expec" "ted", "ass" "ert("};
  return words;
}
// Libraries never print, end the program or read the environment.
const std::vector<std::string>& library_words() {
  static const std::vector<std::string> words = {
      "ex" "it(", "get" "env", "print" "f(", "fprint" "f(", "put" "s(", "std::co" "ut",
      "std::ce" "rr", "fmt::pri" "nt("};
  return words;
}
bool may_print(std::string_view path) {
  return path.starts_with("reports/") || is_test(path) || path == "hwmodel/error.cpp";
}

std::size_t indent_of(std::string_view line) {
  const std::size_t n = line.find_first_not_of(' ');
  return n == std::string_view::npos ? line.size() : n;
}

bool begins_no_function(std::string_view line) {
  for (const std::string_view word : {"namespace", "struct", "class", "enum", "union", "extern"}) {
    if (line.starts_with(word)) return true;
  }
  return false;
}

// A function is what lies between a line at some depth and the first "}" alone at that depth.
void check_functions(std::string_view path, const std::vector<std::string_view>& lines,
                     Findings& found) {
  for (const std::size_t depth : {std::size_t{0}, std::size_t{2}}) {
    std::size_t start = 0;
    bool open = false;
    for (std::size_t i = 0; i < lines.size(); ++i) {
      if (indent_of(lines[i]) != depth || lines[i].size() <= depth) continue;
      const std::string_view body = lines[i].substr(depth);
      if (body.starts_with("}")) {
        const int length = static_cast<int>(i - start) + 1;
        if (open && body == "}" && length > kMostFunctionLines) {
          found.push_back({std::string(path), static_cast<int>(start) + 1,
                           fmt::format("function of {} lines; {} are the limit", length,
                                       kMostFunctionLines)});
        }
        open = false;
      } else if (!body.starts_with("//") && !body.starts_with("#") && !body.starts_with(")")) {
        start = i;
        open = !begins_no_function(body);
      }
    }
  }
}

bool is_text(std::string_view path) {
  static const std::vector<std::string_view> endings = {
      ".cpp", ".h", ".md", ".yaml", ".yml", ".cmake", ".txt", ".py", ".json", ".in", ".sh", ".svg"};
  if (path == "dev" || path == ".ci/run" || path.ends_with("CMakeLists.txt")) return true;
  return std::any_of(endings.begin(), endings.end(),
                     [&](std::string_view ending) { return path.ends_with(ending); });
}

}  // namespace

Findings check_layers(std::string_view path, std::string_view text) {
  Findings found;
  const std::string_view own = folder_of(path);
  const auto layer = layers().find(own);
  each_include(path, text, [&](int line, std::string_view name) {
    const std::string_view other = folder_of(name);
    const bool ours = layers().count(other) > 0 || other == "tests" || other == "bench";
    if (layer == layers().end() || !ours || other == own || layer->second.count(other)) return;
    found.push_back({std::string(path), line,
                     fmt::format("{} may not include {} ({})", own, other, name)});
  });
  return found;
}

Findings check_homes(std::string_view path, std::string_view text) {
  Findings found;
  if (is_test(path)) return found;
  each_include(path, text, [&](int line, std::string_view name) {
    for (const Home& home : homes()) {
      const bool whole = home.header.find('/') == std::string_view::npos;
      const bool begins = name.starts_with(home.header);
      const bool hit = whole ? begins && (name.size() == home.header.size() ||
                                          name[home.header.size()] == '.')
                             : begins;
      if (!hit || home.folders.count(folder_of(path))) continue;
      found.push_back({std::string(path), line,
                       fmt::format("<{}> may be included in {} only", name,
                                   fmt::join(home.folders, ", "))});
    }
  });
  return found;
}

Findings check_length(std::string_view path, std::string_view text) {
  Findings found;
  if (!is_code(path)) return found;
  const auto lines = lines_of(text);
  const int count = static_cast<int>(lines.size());
  if (count > kMostLines) {
    found.push_back({std::string(path), count,
                     fmt::format("{} lines; {} are the limit", count, kMostLines)});
  }
  check_functions(path, lines, found);
  return found;
}

Findings check_columns(std::string_view path, std::string_view text, int most) {
  Findings found;
  if (!is_code(path)) return found;
  const auto lines = lines_of(text);
  for (std::size_t i = 0; i < lines.size(); ++i) {
    if (columns(lines[i]) <= most) continue;
    found.push_back({std::string(path), static_cast<int>(i) + 1,
                     fmt::format("{} columns; {} are the limit", columns(lines[i]), most)});
  }
  return found;
}

Findings check_words(std::string_view path, std::string_view text) {
  Findings found;
  const auto lines = lines_of(text);
  const auto search = [&](const std::vector<std::string>& words, std::string_view why) {
    for (std::size_t i = 0; i < lines.size(); ++i) {
      for (const std::string& word : words) {
        if (!has_word(lines[i], word)) continue;
        found.push_back({std::string(path), static_cast<int>(i) + 1,
                         fmt::format("\"{}\" {}", word, why)});
      }
    }
  };
  search(unfinished_words(), "is banned: finish it, or write an issue");
  if (!is_code(path)) return found;
  search(foreign_words(), "is banned: outside our subset (CHECK instead of the C macro)");
  if (!may_print(path)) search(library_words(), "is banned in libraries");
  return found;
}

Findings check_paths(std::string_view path, std::string_view text) {
  static const std::vector<std::string> places = {"/wo" "rk/", "/ro" "ot/", "../sha" "red",
                                                  "/ho" "me/"};
  Findings found;
  const auto lines = lines_of(text);
  for (std::size_t i = 0; i < lines.size(); ++i) {
    for (const std::string& place : places) {
      if (lines[i].find(place) == std::string_view::npos) continue;
      found.push_back({std::string(path), static_cast<int>(i) + 1,
                       fmt::format("\"{}\" is a path of one machine", place)});
    }
  }
  return found;
}

Findings check_header(std::string_view path, std::string_view text) {
  Findings found;
  if (!path.ends_with(".h")) return found;
  const auto lines = lines_of(text);
  std::size_t comment = 0;
  while (comment < lines.size() && lines[comment].starts_with("//")) ++comment;
  const std::string name(path);
  if (comment == 0) found.push_back({name, 1, "a header begins with a comment: what it is"});
  if (comment > 12) found.push_back({name, 13, "the top comment has more than 12 lines"});
  if (comment >= lines.size() || lines[comment] != "#pragma once") {
    found.push_back({name, static_cast<int>(comment) + 1,
                     "#pragma once follows the top comment of a header"});
  }
  return found;
}

Findings check_goldens(const std::vector<SourceFile>& files) {
  std::string sources;
  for (const SourceFile& f : files) {
    if (f.path.starts_with("tests/") && is_code(f.path)) sources += f.text;
  }
  Findings found;
  for (const SourceFile& f : files) {
    if (!f.path.starts_with("tests/golden/") || is_code(f.path)) continue;
    const std::string stem = std::filesystem::path(f.path).stem().string();
    if (!has_word(sources, stem)) {
      found.push_back({f.path, 1, "no test names this golden file; remove it"});
    }
  }
  return found;
}

std::vector<SourceFile> repository_files(const std::string& root) {
  namespace fs = std::filesystem;
  std::vector<SourceFile> files;
  for (fs::recursive_directory_iterator at(root), end; at != end; ++at) {
    const std::string path = fs::relative(at->path(), root).generic_string();
    const std::string name = at->path().filename().string();
    if (at->is_directory()) {
      const bool ours = name[0] != '.' || name == ".ci";
      const bool generated = name.starts_with("build") || name == "__pycache__";
      if (!ours || generated || path.starts_with("tests/fuzz/corpus_")) {
        at.disable_recursion_pending();
      }
      continue;
    }
    if (!is_text(path) && !path.starts_with("tests/golden/")) continue;
    std::ifstream in(at->path(), std::ios::binary);
    files.push_back({path, std::string(std::istreambuf_iterator<char>(in), {})});
  }
  std::sort(files.begin(), files.end(),
            [](const SourceFile& a, const SourceFile& b) { return a.path < b.path; });
  return files;
}

}  // namespace bandwall::tidy
