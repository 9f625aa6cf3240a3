// Byte-level BPE as GPT-2 published it: bytes become 256 printable characters, words (see
// split_patterns.h) are merged by the ranks of tokenizer.ggml.merges.
//   BpeEncoder e(vocabulary, merges, *find_split_pattern("gpt-2"));  e.encode("Hello", ids);
// Merges are looked up by their text, so a merge that names unknown tokens does no harm: a symbol
// that is no token falls apart into its bytes. Special tokens are the caller's (tokenizer.cpp).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/split_patterns.h"
#include "runtime/vocabulary.h"

namespace bandwall {

class BpeEncoder {
 public:
  // Keeps references to the vocabulary and to the bytes behind the merges.
  BpeEncoder(const Vocabulary& vocabulary, std::vector<std::string_view> merges,
             const SplitPattern& pattern);

  void encode(std::string_view text, std::vector<std::int32_t>& ids) const;

 private:
  struct Run;
  void encode_word(std::string_view word, Run& run, std::vector<std::int32_t>& ids) const;
  void emit(std::string_view symbol, std::vector<std::int32_t>& ids) const;

  const Vocabulary& vocabulary_;
  std::vector<std::string_view> merges_;
  TextIndex ranks_;
  Splitter splitter_;
  bool whole_words_;
};

// The character of GPT-2's alphabet that stands for a byte, in UTF-8.
std::string_view printable_byte(unsigned char b);
// The bytes that a token's printable characters stand for; other characters stay as they are.
std::string bytes_of_printable(std::string_view text);

}  // namespace bandwall
