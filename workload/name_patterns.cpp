#include "workload/name_patterns.h"

#include <algorithm>
#include <cctype>

#include <fmt/format.h>

#include "hwmodel/error.h"
#include "workload/gguf.h"

namespace bandwall {
namespace {

constexpr std::size_t kMaxPattern = 512, kMaxExpressions = 256;

// "a(b|c)d" -> "abd", "acd"; groups may lie in groups. False when the parentheses do not match or
// there are too many ways.
bool expand(const std::string& text, std::vector<std::string>& out) {
  if (out.size() > kMaxExpressions) return false;
  int depth = 0;
  bool in_class = false;
  std::size_t open = std::string::npos;
  std::vector<std::size_t> bars;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '\\') {
      ++i;
    } else if (in_class) {
      in_class = c != ']';
    } else if (c == '[') {
      in_class = true;
    } else if (c == '(') {
      if (depth++ == 0 && open == std::string::npos) {
        open = i;
        bars.clear();
      }
    } else if (c == '|' && depth == (open == std::string::npos ? 0 : 1)) {
      bars.push_back(i);
    } else if (c == ')') {
      if (--depth < 0) return false;
      if (depth > 0) continue;
      std::size_t first = open + 1;
      if (text.compare(first, 2, "?:") == 0) first += 2;
      bars.push_back(i);
      for (const std::size_t bar : bars) {
        if (!expand(text.substr(0, open) + text.substr(first, bar - first) + text.substr(i + 1),
                    out)) {
          return false;
        }
        first = bar + 1;
      }
      return true;
    }
  }
  if (depth != 0 || in_class || out.size() > kMaxExpressions) return false;
  std::size_t first = 0;
  bars.push_back(text.size());
  for (const std::size_t bar : bars) {
    out.push_back(text.substr(first, bar - first));
    first = bar + 1;
  }
  return true;
}

std::bitset<256> class_of(char letter) {
  std::bitset<256> set;
  for (int c = 0; c < 128; ++c) {
    const bool in = letter == 'd'   ? std::isdigit(c) != 0
                    : letter == 'w' ? std::isalnum(c) != 0 || c == '_'
                                    : std::isspace(c) != 0;
    set[static_cast<std::size_t>(c)] = in;
  }
  return set;
}

// "a-z_" or "^a-z", the text between brackets.
std::bitset<256> bracket_set(std::string_view text) {
  std::bitset<256> set;
  const bool negated = text.starts_with('^');
  for (std::size_t k = negated ? 1 : 0; k < text.size(); ++k) {
    const auto low = static_cast<unsigned char>(text[k]);
    auto high = low;
    if (k + 2 < text.size() && text[k + 1] == '-') {
      high = static_cast<unsigned char>(text[k + 2]);
      k += 2;
    }
    for (int x = low; x <= high; ++x) set.set(static_cast<std::size_t>(x));
  }
  return negated ? set.flip() : set;
}

// What one place of an expression may be; `i` moves to its last character. False: not supported.
bool read_set(const std::string& way, std::size_t& i, std::bitset<256>& set) {
  const char c = way[i];
  if (c == '{' || c == '^' || c == '$') return false;
  if (c == '.') {
    set.set();
  } else if (c == '[') {
    const std::size_t end = way.find(']', i + 1);
    if (end == std::string::npos) return false;
    set = bracket_set(std::string_view(way).substr(i + 1, end - i - 1));
    i = end;
  } else if (c == '\\') {
    if (++i == way.size()) return false;
    const char escaped = way[i];
    const bool known = escaped == 'd' || escaped == 'w' || escaped == 's';
    if (!known && std::isalnum(static_cast<unsigned char>(escaped)) != 0) return false;
    if (known) {
      set = class_of(escaped);
    } else {
      set.set(static_cast<unsigned char>(escaped));
    }
  } else {
    set.set(static_cast<unsigned char>(c));
  }
  return true;
}

}  // namespace

bool matches(std::string_view pattern, std::string_view name) {
  std::size_t p = 0, n = 0, star = std::string_view::npos, tried = 0;
  while (n < name.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      tried = n;
    } else if (p < pattern.size() && (pattern[p] == name[n] || pattern[p] == '?')) {
      ++p;
      ++n;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      n = ++tried;
    } else {
      return false;
    }
  }
  return pattern.find_first_not_of('*', p) == std::string_view::npos;
}

void NameSet::add(std::string_view pattern, const std::string& where) {
  if (pattern.size() > kMaxPattern) {
    throw Error::input(where, fmt::format("pattern {} is longer than {} characters",
                                          printable(pattern), kMaxPattern));
  }
  const std::size_t expert = pattern.find("experts.");
  if (expert != std::string_view::npos) {
    std::int64_t number = -1;
    for (std::size_t i = expert + 8; i < pattern.size() && number < 1'000'000; ++i) {
      if (std::isdigit(static_cast<unsigned char>(pattern[i])) == 0) break;
      number = std::max<std::int64_t>(number, 0) * 10 + (pattern[i] - '0');
    }
    if (number >= 0) experts_.insert(number);
  }
  if (pattern.starts_with("re:")) return add_expression(pattern.substr(3), where);
  if (pattern.find_first_of("*?") == std::string_view::npos) {
    plain_.emplace(pattern);
  } else {
    globs_.emplace_back(pattern);
  }
}

void NameSet::add_expression(std::string_view text, const std::string& where) {
  const auto refuse = [&](std::string_view why) {
    throw Error::input(
        where, fmt::format("pattern re:{}: {}; write it with ., *, + and |", printable(text), why));
  };
  std::vector<std::string> ways;
  if (!expand(std::string(text), ways)) refuse("its parentheses or brackets do not match");
  for (const std::string& way : ways) {
    Expression e;
    for (std::size_t i = way.starts_with('^') ? 1 : 0; i < way.size(); ++i) {
      const char c = way[i];
      if (c == '$' && i + 1 == way.size()) {
        e.to_end = true;
      } else if (c == '?' || c == '*' || c == '+') {
        if (e.steps.empty() || e.steps.back().quantifier != 0) refuse("a quantifier follows none");
        e.steps.back().quantifier = c;
      } else {
        Step step;
        if (!read_set(way, i, step.set)) refuse("it uses a feature that is not supported");
        e.steps.push_back(step);
      }
    }
    if (expressions_.size() > kMaxExpressions) refuse("there are too many patterns");
    expressions_.push_back(std::move(e));
  }
}

// All positions in the expression at once: no backtracking, so no pattern is slow.
bool NameSet::runs(const Expression& e, std::string_view name) {
  const std::size_t n = e.steps.size();
  std::vector<char> at(n + 1, 0), next(n + 1, 0);
  const auto close = [&](std::vector<char>& states) {
    for (std::size_t i = 0; i < n; ++i) {
      if (states[i] != 0 && (e.steps[i].quantifier == '?' || e.steps[i].quantifier == '*')) {
        states[i + 1] = 1;
      }
    }
  };
  at[0] = 1;
  close(at);
  for (const char c : name) {
    if (at[n] != 0 && !e.to_end) return true;
    std::fill(next.begin(), next.end(), 0);
    for (std::size_t i = 0; i < n; ++i) {
      if (at[i] == 0 || !e.steps[i].set[static_cast<unsigned char>(c)]) continue;
      next[i + 1] = 1;
      if (e.steps[i].quantifier == '*' || e.steps[i].quantifier == '+') next[i] = 1;
    }
    close(next);
    at.swap(next);
  }
  return at[n] != 0;
}

bool NameSet::holds(const std::string& module) const {
  if (!plain_.empty()) {
    std::vector<std::size_t> starts{0};
    for (std::size_t i = 0; i < module.size(); ++i) {
      if (module[i] == '.') starts.push_back(i + 1);
    }
    for (std::size_t i = 0; i < starts.size(); ++i) {
      for (std::size_t k = i + 1; k <= starts.size(); ++k) {
        const std::size_t end = k < starts.size() ? starts[k] - 1 : module.size();
        if (plain_.contains(module.substr(starts[i], end - starts[i]))) return true;
      }
    }
  }
  for (const std::string& glob : globs_) {
    if (matches(glob, module) || matches(glob + ".*", module)) return true;
  }
  for (const Expression& e : expressions_) {
    if (runs(e, module)) return true;
  }
  return false;
}

}  // namespace bandwall
