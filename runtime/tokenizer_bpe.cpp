#include "runtime/tokenizer_bpe.h"

#include <array>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "hwmodel/error.h"
#include "runtime/symbol_chain.h"
#include "runtime/utf8.h"

namespace bandwall {
namespace {

// GPT-2's alphabet (openai/gpt-2, encoder.py, bytes_to_unicode): printable Latin-1 bytes are
// themselves, the other 68 become U+0100, U+0101, ...
struct Alphabet {
  std::array<std::array<char, 2>, 256> text{};
  std::array<std::uint8_t, 256> size{};
  std::array<std::int16_t, 0x144> byte{};  // of a code point; -1: none
};

constexpr Alphabet make_alphabet() {
  Alphabet a;
  for (auto& b : a.byte) b = -1;
  unsigned extra = 0x100;
  for (unsigned b = 0; b < 256; ++b) {
    const bool printable = (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
    const unsigned point = printable ? b : extra++;
    a.byte[point] = static_cast<std::int16_t>(b);
    if (point < 0x80) {
      a.text[b] = {static_cast<char>(point), 0};
      a.size[b] = 1;
    } else {
      a.text[b] = {static_cast<char>(0xC0 | point >> 6), static_cast<char>(0x80 | (point & 63))};
      a.size[b] = 2;
    }
  }
  return a;
}

constexpr Alphabet kAlphabet = make_alphabet();

}  // namespace

std::string_view printable_byte(unsigned char b) {
  return {kAlphabet.text[b].data(), kAlphabet.size[b]};
}

struct BpeEncoder::Run {
  std::string printable;
  SymbolChain chain;
};

BpeEncoder::BpeEncoder(const Vocabulary& vocabulary, std::vector<std::string_view> merges,
                       const SplitPattern& pattern)
    : vocabulary_(vocabulary),
      merges_(std::move(merges)),
      ranks_(merges_, vocabulary.file_name, "tokenizer.ggml.merges"),
      splitter_(pattern),
      whole_words_(pattern.whole_words) {}

void BpeEncoder::encode(std::string_view text, std::vector<std::int32_t>& ids) const {
  Run run;
  SplitRun splitter(splitter_);
  std::vector<std::string_view> words;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t valid = utf8_run(text, at);
    splitter.split(text.substr(at, valid), words);
    for (const std::string_view word : words) encode_word(word, run, ids);
    at += valid;
    if (at < text.size()) encode_word(text.substr(at++, 1), run, ids);  // a byte outside UTF-8
  }
}

void BpeEncoder::encode_word(std::string_view word, Run& run,
                             std::vector<std::int32_t>& ids) const {
  run.printable.clear();
  for (const char c : word) run.printable += printable_byte(static_cast<unsigned char>(c));
  if (whole_words_ || word.size() == 1) {
    if (const std::int32_t id = vocabulary_.plain(run.printable); id >= 0) {
      ids.push_back(id);
      return;
    }
  }
  run.chain.reset(run.printable);
  for (const char c : word) run.chain.add(kAlphabet.size[static_cast<unsigned char>(c)]);
  run.chain.merge(
      [&](std::string_view left, std::string_view right) -> std::optional<double> {
        const std::int32_t rank = ranks_.find_pair(left, right);
        if (rank < 0) return std::nullopt;
        return rank;
      },
      [&](std::string_view symbol) { emit(symbol, ids); });
}

void BpeEncoder::emit(std::string_view symbol, std::vector<std::int32_t>& ids) const {
  if (const std::int32_t id = vocabulary_.plain(symbol); id >= 0) {
    ids.push_back(id);
    return;
  }
  for (std::size_t at = 0; at < symbol.size();) {
    const std::string_view one = symbol.substr(at, utf8_length(symbol, at));
    std::int32_t id = vocabulary_.plain(one);
    if (id < 0) id = vocabulary_.unknown;
    if (id < 0) {
      throw Error::input(
          vocabulary_.file_name,
          fmt::format("tokenizer.ggml.tokens: has no token for byte 0x{:02x} of the text and no "
                      "unknown token; leave that character out, or convert the model again",
                      static_cast<unsigned char>(bytes_of_printable(one)[0])));
    }
    ids.push_back(id);
    at += one.size();
  }
}

std::string bytes_of_printable(std::string_view text) {
  std::string bytes;
  bytes.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t length = std::max<std::size_t>(1, utf8_length(text, at));
    const auto lead = static_cast<unsigned char>(text[at]);
    unsigned point = length == 1 ? lead : 0xFFFF;
    if (length == 2) point = (lead & 31u) << 6 | (static_cast<unsigned char>(text[at + 1]) & 63u);
    const int byte = point < kAlphabet.byte.size() ? kAlphabet.byte[point] : -1;
    if (byte >= 0) {
      bytes += static_cast<char>(byte);
    } else {
      bytes += text.substr(at, length);
    }
    at += length;
  }
  return bytes;
}

}  // namespace bandwall
