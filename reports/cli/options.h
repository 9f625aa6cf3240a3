// The one option table: parsing, --help and --help-json come from the same rows.
//   Arguments a = parse_arguments(command, argc, argv);  a.integer("n", 1, 1 << 20)
// Spellings of llama.cpp work with one dash ("-ctk q8_0", "-ngl 99"); nothing is guessed from
// prefixes; an unknown option is an Error (Input) with a did-you-mean. Lists and ranges as in
// llama-bench: "512,1024", "0-4096+1024", "1-64*2", repeated options append.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace bandwall {

struct OptionSpec {
  std::string names;     // "n-gen,n": first is the key, all are spellings, one letter = short
  std::string value;     // "N", "FILE"; empty = a switch
  std::string fallback;  // text of the default; empty = none
  std::string help;
  std::string key() const { return names.substr(0, names.find(',')); }
};

struct CommandSpec;

class Arguments {
 public:
  bool has(const std::string& key) const;                     // given on the command line
  bool on(const std::string& key) const { return has(key); }  // a switch
  std::string text(const std::string& key) const;             // value or fallback
  std::optional<std::string> optional_text(const std::string& key) const;
  std::int64_t integer(const std::string& key, std::int64_t low, std::int64_t high) const;
  double number(const std::string& key, double low, double high) const;
  std::vector<std::int64_t> integers(const std::string& key, std::int64_t low,
                                     std::int64_t high) const;
  std::vector<std::string> list(const std::string& key) const;  // comma-separated, repeated
  std::string choice(const std::string& key, const std::vector<std::string>& allowed) const;
  const std::vector<std::string>& positional() const { return positional_; }
  std::string command;

 private:
  friend Arguments parse_arguments(const CommandSpec&, const std::vector<std::string>&);
  const CommandSpec* spec_ = nullptr;
  std::map<std::string, std::vector<std::string>> given_;
  std::vector<std::string> positional_;
};

struct CommandSpec {
  std::string name;
  std::string synopsis;  // "fit MODEL [OPTIONS]"
  std::string summary;   // one line
  int positional_min = 0, positional_max = 0;
  std::vector<OptionSpec> options;
  std::function<int(const Arguments&)> run;  // returns the exit code
};

// "512,1024,0-4096+1024" -> integers, at most 10000 of them; Error (Input) names the option.
std::vector<std::int64_t> parse_integer_list(const std::string& option, const std::string& text,
                                             std::int64_t low, std::int64_t high);

Arguments parse_arguments(const CommandSpec& command, const std::vector<std::string>& words);
std::string help_text(const CommandSpec& command);
std::string help_overview(const std::vector<CommandSpec>& commands);
std::string help_json(const std::vector<CommandSpec>& commands);

}  // namespace bandwall
