// SentencePiece-like BPE (tokenizer.ggml.model "llama"): characters are merged as long as two
// neighbours form a token, the highest score first; what is no token becomes <0xNN> byte tokens.
//   SpmEncoder e(vocabulary, scores);  e.encode(" Hello", ids);
// Spaces are written U+2581, so U+2581 in a text comes back as a space. The space before the text
// (add_space_prefix) and special tokens are the caller's (tokenizer.cpp).
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/vocabulary.h"

namespace bandwall {

class SymbolChain;

class SpmEncoder {
 public:
  // Keeps a reference to the vocabulary; one score per token.
  SpmEncoder(const Vocabulary& vocabulary, std::vector<float> scores);

  void encode(std::string_view text, std::vector<std::int32_t>& ids) const;

 private:
  void encode_part(std::string_view part, SymbolChain& chain, std::vector<std::int32_t>& ids) const;
  void emit(std::string_view symbol, std::vector<std::int32_t>& ids) const;

  const Vocabulary& vocabulary_;
  std::vector<float> scores_;
  std::array<std::int32_t, 256> byte_ids_;
  bool words_are_apart_ = true;  // no token holds a space after another character
};

// U+2581 back to spaces.
std::string unescape_spaces(std::string_view text);

}  // namespace bandwall
