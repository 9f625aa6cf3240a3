#include "runtime/tokenizer_spm.h"

#include <optional>
#include <utility>

#include <fmt/format.h>

#include "hwmodel/error.h"
#include "runtime/symbol_chain.h"
#include "runtime/utf8.h"

namespace bandwall {
namespace {

constexpr std::string_view kSpace = "\xE2\x96\x81";  // U+2581

std::string escape_spaces(std::string_view text) {
  std::string out;
  out.reserve(text.size() + text.size() / 2);
  for (const char c : text) {
    if (c == ' ') {
      out += kSpace;
    } else {
      out += c;
    }
  }
  return out;
}

// The next place after `at` where an escaped space follows another character; else the end.
std::size_t next_word(std::string_view text, std::size_t at) {
  bool after_space = true;
  while (at < text.size()) {
    if (text.substr(at, kSpace.size()) == kSpace) {
      if (!after_space) return at;
      at += kSpace.size();
    } else {
      after_space = false;
      ++at;
    }
  }
  return at;
}

}  // namespace

SpmEncoder::SpmEncoder(const Vocabulary& vocabulary, std::vector<float> scores)
    : vocabulary_(vocabulary), scores_(std::move(scores)) {
  for (unsigned b = 0; b < 256; ++b) {
    std::int32_t id = vocabulary.index.find(fmt::format("<0x{:02X}>", b));
    if (id < 0 && b < 128) id = vocabulary.plain(std::string(1, static_cast<char>(b)));
    byte_ids_[b] = id;
  }
  for (std::size_t i = 0; i < vocabulary.texts.size() && words_are_apart_; ++i) {
    const std::string_view token = vocabulary.texts[i];
    words_are_apart_ =
        vocabulary.types[i] == TokenType::Control || next_word(token, 0) == token.size();
  }
}

void SpmEncoder::encode(std::string_view text, std::vector<std::int32_t>& ids) const {
  const std::string escaped = escape_spaces(text);
  SymbolChain chain;
  // Where no token reaches over the start of a word no merge does either, so the words can be
  // merged one by one: the same ids, and the heap stays in the cache.
  for (std::size_t at = 0; at < escaped.size();) {
    const std::size_t end = words_are_apart_ ? next_word(escaped, at) : escaped.size();
    encode_part(std::string_view(escaped).substr(at, end - at), chain, ids);
    at = end;
  }
}

void SpmEncoder::encode_part(std::string_view part, SymbolChain& chain,
                             std::vector<std::int32_t>& ids) const {
  chain.reset(part);
  for (std::size_t at = 0; at < part.size();) {
    const std::size_t length = std::max<std::size_t>(1, utf8_length(part, at));
    chain.add(length);
    at += length;
  }
  chain.merge(
      [&](std::string_view left, std::string_view right) -> std::optional<double> {
        // Symbols lie side by side, so both together are one view.
        const std::int32_t id = vocabulary_.plain({left.data(), left.size() + right.size()});
        if (id < 0) return std::nullopt;
        return -static_cast<double>(scores_[static_cast<std::size_t>(id)]);
      },
      [&](std::string_view symbol) { emit(symbol, ids); });
}

void SpmEncoder::emit(std::string_view symbol, std::vector<std::int32_t>& ids) const {
  if (const std::int32_t id = vocabulary_.plain(symbol); id >= 0) {
    ids.push_back(id);
    return;
  }
  bool complete = true;
  for (const char c : symbol) complete &= byte_ids_[static_cast<unsigned char>(c)] >= 0;
  if (complete) {
    for (const char c : symbol) ids.push_back(byte_ids_[static_cast<unsigned char>(c)]);
  } else if (vocabulary_.unknown >= 0) {
    ids.push_back(vocabulary_.unknown);
  } else {
    throw Error::input(
        vocabulary_.file_name,
        fmt::format("tokenizer.ggml.tokens: has no token for \"{}\" of the text, no byte tokens "
                    "and no unknown token; leave that character out, or convert the model again",
                    printable(symbol)));
  }
}

std::string unescape_spaces(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    if (text.substr(at, kSpace.size()) == kSpace) {
      out += ' ';
      at += kSpace.size();
    } else {
      out += text[at++];
    }
  }
  return out;
}

}  // namespace bandwall
