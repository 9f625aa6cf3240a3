#include "reports/cli/options.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/program_options.hpp>
#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>
#include <sstream>

#include "hwmodel/error.h"
#include "hwmodel/suggest.h"

namespace bandwall {
namespace {

namespace po = boost::program_options;

std::vector<std::string> split(const std::string& text, char at) {
  std::vector<std::string> parts;
  std::istringstream in(text);
  std::string part;
  while (std::getline(in, part, at)) parts.push_back(part);
  if (!text.empty() && text.back() == at) parts.emplace_back();
  return parts;
}

std::string spelled(const std::string& name) { return (name.size() == 1 ? "-" : "--") + name; }

std::int64_t parse_integer(const std::string& option, const std::string& text, std::int64_t low,
                           std::int64_t high) {
  std::int64_t value = 0;
  const char* end = text.data() + text.size();
  const auto [stop, status] = std::from_chars(text.data(), end, value);
  if (text.empty() || stop != end || status != std::errc() || value < low || value > high) {
    throw Error::input(option,
                       fmt::format("'{}' is not a whole number from {} to {}", text, low, high));
  }
  return value;
}

// "a-b", "a-b+step" or "a-b*factor", both ends included.
void expand_range(const std::string& option, const std::string& part, std::int64_t low,
                  std::int64_t high, std::vector<std::int64_t>& out) {
  const std::size_t dash = part.find('-', 1);
  if (dash == std::string::npos) {
    out.push_back(parse_integer(option, part, low, high));
    return;
  }
  const std::size_t op = part.find_first_of("+*", dash);
  const std::int64_t first = parse_integer(option, part.substr(0, dash), low, high);
  const std::int64_t last = parse_integer(
      option, part.substr(dash + 1, op == std::string::npos ? op : op - dash - 1), low, high);
  const bool times = op != std::string::npos && part[op] == '*';
  const std::int64_t step =
      op == std::string::npos ? 1 : parse_integer(option, part.substr(op + 1), times ? 2 : 1, high);
  if (times && first <= 0) throw Error::input(option, "a range with * must start above 0: " + part);
  for (std::int64_t v = first; v <= last;) {
    if (out.size() >= 10000) throw Error::input(option, "more than 10000 values: " + part);
    out.push_back(v);
    if (times ? v > last / step : v > last - step) break;
    v = times ? v * step : v + step;
  }
}

const OptionSpec* find_option(const CommandSpec& command, const std::string& key) {
  for (const OptionSpec& o : command.options) {
    if (o.key() == key) return &o;
  }
  return nullptr;
}

po::options_description describe(const CommandSpec& command) {
  po::options_description all;
  for (const OptionSpec& o : command.options) {
    // boost wants the long names first and at most one letter last
    std::vector<std::string> names = split(o.names, ',');
    std::stable_partition(names.begin(), names.end(), [](const auto& n) { return n.size() > 1; });
    const std::string joined = fmt::format("{}", fmt::join(names, ","));
    if (o.value.empty()) {
      all.add_options()(joined.c_str(), po::bool_switch());
    } else {
      all.add_options()(joined.c_str(), po::value<std::vector<std::string>>()->composing());
    }
  }
  all.add_options()("positional", po::value<std::vector<std::string>>());
  return all;
}

Error unknown_option(const CommandSpec& command, const std::string& word) {
  std::vector<std::string> known = {"help"};
  for (const OptionSpec& o : command.options) {
    for (const std::string& n : split(o.names, ',')) known.push_back(n);
  }
  const std::string near = suggest(word, known);
  return Error::input(
      command.name,
      fmt::format("unknown option '{}'{}; see bandwall {} --help", word,
                  near.empty() ? "" : "; did you mean " + spelled(near) + "?", command.name));
}

// llama.cpp's -hf ORG/NAME[:QUANT] is --model hf:ORG/NAME[:QUANT].
std::vector<std::string> with_hub_models(const CommandSpec& command,
                                         const std::vector<std::string>& given) {
  if (find_option(command, "model") == nullptr) return given;
  std::vector<std::string> words;
  for (std::size_t i = 0; i < given.size(); ++i) {
    const bool hub = given[i] == "-hf" || given[i] == "-hfr" || given[i] == "--hf-repo";
    if (!hub || i + 1 == given.size()) {
      words.push_back(given[i]);
      continue;
    }
    words.insert(words.end(), {"--model", "hf:" + given[++i]});
  }
  return words;
}

}  // namespace

std::vector<std::int64_t> parse_integer_list(const std::string& option, const std::string& text,
                                             std::int64_t low, std::int64_t high) {
  std::vector<std::int64_t> values;
  for (const std::string& part : split(text, ',')) expand_range(option, part, low, high, values);
  if (values.empty()) throw Error::input(option, "needs at least one number");
  return values;
}

Arguments parse_arguments(const CommandSpec& command, const std::vector<std::string>& given) {
  const std::vector<std::string> words = with_hub_models(command, given);
  const po::options_description all = describe(command);
  po::positional_options_description positional;
  positional.add("positional", -1);
  po::variables_map map;
  try {
    const int style =
        (po::command_line_style::unix_style & ~po::command_line_style::allow_guessing) |
        po::command_line_style::allow_long_disguise;
    po::store(po::command_line_parser(words).options(all).positional(positional).style(style).run(),
              map);
  } catch (const po::unknown_option& e) {
    std::string word = e.get_option_name();
    word.erase(0, word.find_first_not_of('-'));
    throw unknown_option(command, word);
  } catch (const po::error& e) {
    throw Error::input(command.name,
                       std::string(e.what()) + "; see bandwall " + command.name + " --help");
  }
  Arguments arguments;
  arguments.spec_ = &command;
  arguments.command = command.name;
  for (const OptionSpec& o : command.options) {
    // boost stores under the first long name, or under the letter when there is none
    std::vector<std::string> names = split(o.names, ',');
    std::stable_partition(names.begin(), names.end(), [](const auto& n) { return n.size() > 1; });
    std::string stored = names.front();
    if (stored.size() == 1 && !map.count(stored)) stored = "-" + stored;
    if (!map.count(stored)) continue;
    if (o.value.empty()) {
      if (map[stored].as<bool>()) arguments.given_[o.key()] = {"on"};
    } else {
      arguments.given_[o.key()] = map[stored].as<std::vector<std::string>>();
    }
  }
  if (map.count("positional")) {
    arguments.positional_ = map["positional"].as<std::vector<std::string>>();
  }
  const int n = static_cast<int>(arguments.positional_.size());
  if (n < command.positional_min || n > command.positional_max) {
    throw Error::input(command.name, fmt::format("{}; usage: bandwall {}",
                                                 n < command.positional_min
                                                     ? "an argument is missing"
                                                     : "too many arguments: '" +
                                                           arguments.positional_.back() + "'",
                                                 command.synopsis));
  }
  return arguments;
}

bool Arguments::has(const std::string& key) const {
  BANDWALL_CHECK(find_option(*spec_, key) != nullptr);
  return given_.count(key) > 0;
}

std::string Arguments::text(const std::string& key) const {
  const OptionSpec* option = find_option(*spec_, key);
  BANDWALL_CHECK(option != nullptr);
  const auto found = given_.find(key);
  return found == given_.end() ? option->fallback : found->second.back();
}

std::optional<std::string> Arguments::optional_text(const std::string& key) const {
  if (!has(key)) return std::nullopt;
  return text(key);
}

std::int64_t Arguments::integer(const std::string& key, std::int64_t low, std::int64_t high) const {
  return parse_integer(spelled(key), text(key), low, high);
}

double Arguments::number(const std::string& key, double low, double high) const {
  const std::string value = text(key);
  char* end = nullptr;
  const double v = std::strtod(value.c_str(), &end);
  if (value.empty() || *end != '\0' || !std::isfinite(v) || v < low || v > high) {
    throw Error::input(spelled(key),
                       fmt::format("'{}' is not a number from {} to {}", value, low, high));
  }
  return v;
}

std::vector<std::int64_t> Arguments::integers(const std::string& key, std::int64_t low,
                                              std::int64_t high) const {
  const auto found = given_.find(key);
  std::vector<std::int64_t> values;
  if (found == given_.end()) return parse_integer_list(spelled(key), text(key), low, high);
  for (const std::string& part : found->second) {
    for (const std::int64_t v : parse_integer_list(spelled(key), part, low, high))
      values.push_back(v);
  }
  return values;
}

std::vector<std::string> Arguments::list(const std::string& key) const {
  const auto found = given_.find(key);
  std::vector<std::string> values;
  if (found == given_.end()) return split(text(key), ',');
  for (const std::string& part : found->second) {
    for (const std::string& item : split(part, ',')) values.push_back(item);
  }
  return values;
}

std::string Arguments::choice(const std::string& key,
                              const std::vector<std::string>& allowed) const {
  const std::string value = text(key);
  if (std::find(allowed.begin(), allowed.end(), value) != allowed.end()) return value;
  const std::string near = suggest(value, allowed);
  throw Error::input(spelled(key),
                     fmt::format("'{}' is none of {}{}", value, fmt::join(allowed, ", "),
                                 near.empty() ? "" : "; did you mean " + near + "?"));
}

std::string help_text(const CommandSpec& command) {
  std::string out = "usage: bandwall " + command.synopsis + "\n\n" + command.summary + "\n\n";
  std::size_t wide = 0;
  std::vector<std::string> left;
  for (const OptionSpec& o : command.options) {
    std::vector<std::string> names = split(o.names, ',');
    std::string text;
    for (const std::string& n : names) {
      if (!text.empty()) text += ", ";
      text += (&n == &names.front() && n.size() > 1 ? "--" : "-") + n;
    }
    if (!o.value.empty()) text += " " + o.value;
    wide = std::max(wide, text.size());
    left.push_back(text);
  }
  for (std::size_t i = 0; i < left.size(); ++i) {
    const OptionSpec& o = command.options[i];
    out += fmt::format("  {:<{}}  {}{}\n", left[i], wide, o.help,
                       o.fallback.empty() ? "" : " [" + o.fallback + "]");
  }
  return out;
}

std::string help_overview(const std::vector<CommandSpec>& commands) {
  std::string out =
      "bandwall: where is the wall, and what would move it?\n"
      "Runs real MoE kernels, counts every byte, and shows prediction beside measurement.\n\n"
      "usage: bandwall COMMAND [OPTIONS]\n\n";
  for (const CommandSpec& c : commands) out += fmt::format("  {:<10} {}\n", c.name, c.summary);
  out +=
      "\nbandwall COMMAND --help lists the options; --help-json gives all of it as JSON.\n"
      "Exit codes: 0 done or fits, 1 failed while running, 2 usage or bad input, 3 does not fit,\n"
      "4 too close to call, 5 outside a stated tolerance, 130 interrupted.\n";
  return out;
}

std::string help_json(const std::vector<CommandSpec>& commands) {
  nlohmann::ordered_json all = nlohmann::ordered_json::array();
  for (const CommandSpec& c : commands) {
    nlohmann::ordered_json options = nlohmann::ordered_json::array();
    for (const OptionSpec& o : c.options) {
      options.push_back({{"names", split(o.names, ',')},
                         {"value", o.value.empty() ? nlohmann::ordered_json(nullptr)
                                                   : nlohmann::ordered_json(o.value)},
                         {"default", o.fallback.empty() ? nlohmann::ordered_json(nullptr)
                                                        : nlohmann::ordered_json(o.fallback)},
                         {"help", o.help}});
    }
    all.push_back({{"command", c.name},
                   {"usage", "bandwall " + c.synopsis},
                   {"summary", c.summary},
                   {"options", options}});
  }
  return all.dump(2) + "\n";
}

}  // namespace bandwall
