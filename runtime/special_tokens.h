// Special tokens: which ids end a generation, and where special texts stand in a prompt.
//   SpecialMatcher m(vocabulary, {TokenType::UserDefined});  m.next("a<|user|>", 0)
// Matches are leftmost and longest. Texts longer than 512 bytes are never matched, which bounds the
// cost of a hostile vocabulary.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/vocabulary.h"

namespace bandwall {

class SpecialMatcher {
 public:
  SpecialMatcher() = default;
  SpecialMatcher(const Vocabulary& vocabulary, std::initializer_list<TokenType> types);

  struct Match {
    std::size_t at = 0, size = 0;
    std::int32_t id = -1;  // -1: none; `at` is then the end of the text
  };
  Match next(std::string_view text, std::size_t from) const;

 private:
  Match longest_at(std::string_view text, std::size_t at) const;

  struct Entry {
    std::string_view text;
    std::int32_t id;
  };
  std::vector<Entry> entries_;  // sorted by text
  std::vector<bool> starts_;    // by first byte; empty: no entries
};

// Well-known names get the type they have in practice (end-of-turn names are control tokens,
// gpt-oss's channel marks are text), as llama.cpp does. Returns the ids that end a generation by
// name, sorted.
std::vector<std::int32_t> apply_known_names(Vocabulary& vocabulary);

}  // namespace bandwall
