// Patterns over module names, as quantization configs of checkpoints use them.
//   NameSet skip;  skip.add("lm_head");  skip.add("model.layers.0.self_attn*");
//   skip.add("re:.*gate$"); skip.holds("model.layers.0.self_attn.q_proj");
// Patterns of regular expressions (re:...) may use literals, ., classes, \d \w \s, groups of
// alternatives and the quantifiers ? * +; add() throws Error (Input) for anything else.
#pragma once

#include <bitset>
#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

namespace bandwall {

// True when the pattern, in which * stands for any text and ? for one character, is the whole name.
bool matches(std::string_view pattern, std::string_view name);

class NameSet {
 public:
  // `where` names the file in messages.
  void add(std::string_view pattern, const std::string& where);
  // A plain pattern holds a module when it is the name, a run of its components or a part that
  // contains it; wildcards may also match a part that contains it; expressions match from the
  // start.
  bool holds(const std::string& module) const;
  bool empty() const { return plain_.empty() && globs_.empty() && expressions_.empty(); }
  // Experts that patterns name by number ("experts.17"): they may differ from the others.
  const std::set<std::int64_t>& experts() const { return experts_; }

 private:
  struct Step {
    std::bitset<256> set;
    char quantifier = 0;  // ? * + or 0
  };
  struct Expression {
    std::vector<Step> steps;
    bool to_end = false;
  };
  void add_expression(std::string_view text, const std::string& where);
  static bool runs(const Expression& expression, std::string_view name);

  std::unordered_set<std::string> plain_;
  std::vector<std::string> globs_;
  std::vector<Expression> expressions_;
  std::set<std::int64_t> experts_;
};

}  // namespace bandwall
