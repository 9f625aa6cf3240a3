// Laws of the tokenizers on random vocabularies and texts: the heap merges as the plain definition
// does, and decoding undoes encoding.
#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/tiny_vocabulary.h"

namespace bandwall {
namespace {

using testing::OwnedTokenizer;
using Symbols = std::vector<std::string>;
using Random = std::mt19937;

constexpr EncodeOptions kBare = {false, SpecialTokens::Plain};

std::string random_text(Random& random, const Symbols& alphabet, std::size_t most) {
  std::string text;
  const std::size_t length = random() % (most + 1);
  for (std::size_t i = 0; i < length; ++i) text += alphabet[random() % alphabet.size()];
  return text;
}

// The definition: of all neighbours that merge, the best, leftmost first, until none is left.
template <class KeyOf>
Symbols merged(Symbols symbols, const KeyOf& key_of) {
  for (;;) {
    double best = 1e300;
    std::size_t at = symbols.size();
    for (std::size_t i = 0; i + 1 < symbols.size(); ++i) {
      const double key = key_of(symbols[i], symbols[i + 1]);
      if (key < best) {
        best = key;
        at = i;
      }
    }
    if (at == symbols.size()) return symbols;
    symbols[at] += symbols[at + 1];
    symbols.erase(symbols.begin() + static_cast<std::ptrdiff_t>(at) + 1);
  }
}

Symbols pieces_of(const OwnedTokenizer& t, const std::vector<std::int32_t>& ids) {
  Symbols pieces;
  for (const std::int32_t id : ids) pieces.push_back(t->piece(id));
  return pieces;
}

// Merges whose parts exist, as training makes them; the order is then shuffled to be nastier.
testing::Merges random_merges(Random& random, int count) {
  Symbols known = {"a", "b", "c"};
  testing::Merges merges;
  for (int i = 0; i < count; ++i) {
    const std::string left = known[random() % known.size()], right = known[random() % known.size()];
    if (left.size() + right.size() > 12) continue;
    if (std::find(known.begin(), known.end(), left + right) != known.end()) continue;
    merges.emplace_back(left, right);
    known.push_back(left + right);
  }
  std::shuffle(merges.begin(), merges.end(), random);
  return merges;
}

TEST(TokenizerLaw, BpeMergesAsDefined) {
  Random random(1);
  for (int round = 0; round < 60; ++round) {
    const testing::Merges merges = random_merges(random, 20);
    const OwnedTokenizer t(testing::bpe_vocabulary(merges, "gpt-2"));
    const auto rank = [&](const std::string& a, const std::string& b) {
      const auto found = std::find(merges.begin(), merges.end(), std::make_pair(a, b));
      return found == merges.end() ? 1e300 : static_cast<double>(found - merges.begin());
    };
    for (int i = 0; i < 20; ++i) {
      const std::string word = random_text(random, {"a", "b", "c"}, 40);  // letters: one word
      Symbols letters;
      for (const char c : word) letters.emplace_back(1, c);
      EXPECT_EQ(pieces_of(t, t->encode(word, kBare)), merged(letters, rank)) << word;
    }
  }
}

TEST(TokenizerLaw, SpmMergesAsDefined) {
  Random random(2);
  const Symbols alphabet = {"▁", "a", "b", "é"};
  for (int round = 0; round < 60; ++round) {
    Symbols tokens = alphabet;
    for (int i = 0; i < 30; ++i) {
      std::string text = random_text(random, alphabet, 4);
      if (std::find(tokens.begin(), tokens.end(), text) != tokens.end() || text.empty()) continue;
      tokens.insert(tokens.begin() + static_cast<std::ptrdiff_t>(random() % tokens.size()), text);
    }
    testing::GgufWriter w = testing::spm_vocabulary(tokens);
    w.set_flag("tokenizer.ggml.add_space_prefix", 0);
    const OwnedTokenizer t(w);
    const auto place = [&](const std::string& a, const std::string& b) {
      const auto found = std::find(tokens.begin(), tokens.end(), a + b);
      return found == tokens.end() ? 1e300 : static_cast<double>(found - tokens.begin());
    };
    for (int i = 0; i < 20; ++i) {
      const std::string text = random_text(random, {" ", "a", "b", "é"}, 30);
      Symbols characters;
      for (std::size_t at = 0; at < text.size();) {
        const std::size_t length = text[at] == '\xc3' ? 2 : 1;
        characters.push_back(text[at] == ' ' ? "▁" : text.substr(at, length));
        at += length;
      }
      Symbols raw;
      for (const std::int32_t id : t->encode(text, kBare)) raw.emplace_back(t->raw(id));
      EXPECT_EQ(raw, merged(characters, place)) << text;
    }
  }
}

TEST(TokenizerLaw, DecodingUndoesEncoding) {
  const Symbols alphabet = {" ", "a", "the", "\n", "12", "é", "東", "🚀", "'s", "<|user|>",
                            "<s>", "\t", "<0x41>", ".", "<think>", "\xff", "\xe2\x96", "\r\n",
                            "A"};
  Random random(3);
  std::vector<OwnedTokenizer> tokenizers;
  for (const char* pre : {"gpt-2", "default", "llama-bpe", "qwen2", "minimax-m2", "deepseek-v3"}) {
    tokenizers.emplace_back(testing::tiny_bpe(pre));
  }
  tokenizers.emplace_back(testing::tiny_spm());
  testing::GgufWriter w = testing::tiny_spm();
  w.set_flag("tokenizer.ggml.add_space_prefix", 0);
  tokenizers.emplace_back(w);
  for (int round = 0; round < 400; ++round) {
    const std::string text = random_text(random, alphabet, 25);
    for (const OwnedTokenizer& t : tokenizers) {
      const std::vector<std::int32_t> ids = t->encode(text);
      EXPECT_EQ(t->decode(ids), text);
      EXPECT_EQ(ids, t->encode(text));
    }
  }
}

TEST(TokenizerLaw, PiecesOfByteLevelTokensAddUpToTheText) {
  const OwnedTokenizer t(testing::tiny_bpe());
  Random random(4);
  for (int round = 0; round < 200; ++round) {
    std::string text, joined;
    for (int i = 0; i < 30; ++i) text += static_cast<char>(random() & 255u);
    for (const std::string& piece : pieces_of(t, t->encode(text))) joined += piece;
    EXPECT_EQ(joined, text);
  }
}

}  // namespace
}  // namespace bandwall
