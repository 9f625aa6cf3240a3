// Small vocabularies of our own for tests, as GGUF files in memory.
//   OwnedTokenizer t(tiny_bpe());  t->encode("the machine")
// tiny_bpe(): 256 bytes, kMerges, then <|endoftext|> <|user|> <|end|> (control), <think> (user
// defined). tiny_spm(): <unk> <s> </s>, 256 byte tokens, kSpmTokens with falling scores, <think>.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "runtime/tokenizer.h"
#include "tests/support/gguf_writer.h"

namespace bandwall::testing {

// GPT-2's printable character of a byte, written again from its definition.
inline std::string gpt2_character(int byte) {
  int point = byte, extra = 256;
  for (int b = 0; b <= byte; ++b) {
    const bool itself = (b > 32 && b < 127) || (b > 160 && b < 173) || b > 173;
    if (itself) continue;
    if (b == byte) point = extra;
    ++extra;
  }
  if (point < 128) return std::string(1, static_cast<char>(point));
  return {static_cast<char>(0xC0 | point >> 6), static_cast<char>(0x80 | (point & 63))};
}

inline std::string gpt2_text(std::string_view bytes) {
  std::string text;
  for (const char c : bytes) text += gpt2_character(static_cast<unsigned char>(c));
  return text;
}

using Merges = std::vector<std::pair<std::string, std::string>>;  // in plain bytes

inline const Merges kMerges = {{"t", "h"}, {"th", "e"}, {" ", "the"}, {"e", "r"},
                               {"h", "e"}, {"1", "2"},  {"12", "3"},  {" ", " "},
                               {"i", "n"}, {"a", "a"},  {"aa", "aa"}, {"\xc3", "\xa9"}};

inline std::string merge_line(const std::pair<std::string, std::string>& merge) {
  return gpt2_text(merge.first) + " " + gpt2_text(merge.second);
}

inline GgufWriter bpe_vocabulary(const Merges& merges, const char* pre) {
  GgufWriter w;
  std::vector<std::string> tokens, lines;
  std::vector<std::int32_t> types;
  for (int b = 0; b < 256; ++b) tokens.push_back(gpt2_character(b));
  for (const auto& m : merges) {
    lines.push_back(merge_line(m));
    tokens.push_back(gpt2_text(m.first + m.second));
  }
  types.assign(tokens.size(), 1);
  for (const char* special : {"<|endoftext|>", "<|user|>", "<|end|>", "<think>"}) {
    tokens.push_back(special);
    types.push_back(3);
  }
  types.back() = 4;
  const auto end = static_cast<std::uint32_t>(tokens.size() - 4);
  w.set("tokenizer.ggml.model", "gpt2");
  w.set("tokenizer.ggml.pre", pre);
  w.set_array("tokenizer.ggml.tokens", tokens);
  w.set_array("tokenizer.ggml.token_type", types);
  w.set_array("tokenizer.ggml.merges", lines);
  w.set("tokenizer.ggml.bos_token_id", end);
  w.set("tokenizer.ggml.eos_token_id", end + 2);
  return w;
}
inline GgufWriter tiny_bpe(const char* pre = "gpt-2") { return bpe_vocabulary(kMerges, pre); }

inline void set_floats(GgufWriter& w, const std::string& key, const std::vector<float>& items) {
  Blob payload;
  put(payload, static_cast<std::uint32_t>(GgufType::F32));
  put(payload, static_cast<std::uint64_t>(items.size()));
  for (const float item : items) put(payload, item);
  w.set_raw(key, GgufType::Array, payload);
}

inline const std::vector<std::string> kSpmTokens = {
    "▁t", "he", "▁the", "in", "er", "▁▁", "▁", "t", "h", "e", "i", "n", "r", "a", "aa", "m", "é"};

inline GgufWriter spm_vocabulary(const std::vector<std::string>& texts) {
  GgufWriter w;
  std::vector<std::string> tokens = {"<unk>", "<s>", "</s>"};
  std::vector<std::int32_t> types = {2, 3, 3};
  std::vector<float> scores = {0, 0, 0};
  const char* hex = "0123456789ABCDEF";
  for (int b = 0; b < 256; ++b) {
    tokens.push_back(std::string("<0x") + hex[b / 16] + hex[b % 16] + ">");
    types.push_back(6);
    scores.push_back(0);
  }
  for (const std::string& text : texts) {
    tokens.push_back(text);
    types.push_back(1);
    scores.push_back(-static_cast<float>(tokens.size()));
  }
  tokens.push_back("<think>");
  types.push_back(4);
  scores.push_back(0);
  w.set("tokenizer.ggml.model", "llama");
  w.set_array("tokenizer.ggml.tokens", tokens);
  w.set_array("tokenizer.ggml.token_type", types);
  set_floats(w, "tokenizer.ggml.scores", scores);
  return w;
}
inline GgufWriter tiny_spm() { return spm_vocabulary(kSpmTokens); }
constexpr std::int32_t kSpmFirst = 259;  // id of kSpmTokens[0]

// A tokenizer together with the bytes it looks into.
class OwnedTokenizer {
 public:
  explicit OwnedTokenizer(const GgufWriter& writer)
      : bytes_(writer.build()),
        file_(parse_gguf(bytes_, "tiny.gguf")),
        tokenizer_(Tokenizer::from_gguf(file_)) {}
  const Tokenizer* operator->() const { return &tokenizer_; }

 private:
  Blob bytes_;
  GgufFile file_;
  Tokenizer tokenizer_;
};

}  // namespace bandwall::testing
