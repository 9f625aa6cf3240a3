#include "runtime/special_tokens.h"

#include <algorithm>

namespace bandwall {
namespace {

constexpr std::size_t kLongestSpecial = 512;

// Names of end-of-generation tokens in published vocabularies (listed in llama.cpp's llama-vocab).
constexpr std::string_view kEndNames[] = {
    "<|eot_id|>",
    "<|im_end|>",
    "<|end|>",
    "<|return|>",
    "<|call|>",
    "<|flush|>",
    "<|calls|>",
    "<end_of_turn>",
    "<|endoftext|>",
    "</s>",
    "<|eom_id|>",
    "<EOT>",
    "_<EOT>",
    "[EOT]",
    "[EOS]",
    "<|end_of_text|>",
    "<end_of_utterance>",
    "<eos>",
    "<turn|>",
    "<|tool_response>",
    "<｜end▁of▁sentence｜>",
    "[e~[",
    "<|fim_pad|>",
    "<fim-pad>",
    "<fim_pad>",
    "<PAD>",
    "<|fim_repo|>",
    "<|repo_name|>",
    "<fim-repo>",
    "<REPO>",
    "<reponame>",
    "<|file_sep|>",
};
constexpr std::string_view kTextNames[] = {"<|channel|>", "<|message|>", "<|start|>",
                                           "<|constrain|>"};

void retype(Vocabulary& v, std::int32_t id, TokenType type) {
  v.types[static_cast<std::size_t>(id)] = type;
}

}  // namespace

SpecialMatcher::SpecialMatcher(const Vocabulary& vocabulary,
                               std::initializer_list<TokenType> types) {
  for (std::size_t id = 0; id < vocabulary.texts.size(); ++id) {
    const std::string_view text = vocabulary.texts[id];
    if (text.empty() || text.size() > kLongestSpecial) continue;
    if (std::find(types.begin(), types.end(), vocabulary.types[id]) == types.end()) continue;
    entries_.push_back({text, static_cast<std::int32_t>(id)});
  }
  if (entries_.empty()) return;
  std::sort(entries_.begin(), entries_.end(), [](const Entry& a, const Entry& b) {
    return a.text < b.text || (a.text == b.text && a.id < b.id);
  });
  starts_.resize(256);
  for (const Entry& e : entries_) starts_[static_cast<unsigned char>(e.text[0])] = true;
}

SpecialMatcher::Match SpecialMatcher::longest_at(std::string_view text, std::size_t at) const {
  Match best;
  auto low = entries_.begin(), high = entries_.end();
  // Narrows the sorted entries by one more byte at a time; the entry that ends here comes first.
  for (std::size_t depth = 0; at + depth < text.size() && low != high; ++depth) {
    const auto c = static_cast<unsigned char>(text[at + depth]);
    const auto byte_at = [&](const Entry& e) {
      return depth < e.text.size() ? static_cast<int>(static_cast<unsigned char>(e.text[depth]))
                                   : -1;
    };
    low = std::lower_bound(low, high, c, [&](const Entry& e, int b) { return byte_at(e) < b; });
    high = std::upper_bound(low, high, c, [&](int b, const Entry& e) { return b < byte_at(e); });
    if (low != high && low->text.size() == depth + 1) best = {at, depth + 1, low->id};
  }
  return best;
}

SpecialMatcher::Match SpecialMatcher::next(std::string_view text, std::size_t from) const {
  if (!starts_.empty()) {
    for (std::size_t at = from; at < text.size(); ++at) {
      if (!starts_[static_cast<unsigned char>(text[at])]) continue;
      const Match match = longest_at(text, at);
      if (match.id >= 0) return match;
    }
  }
  return {text.size(), 0, -1};
}

std::vector<std::int32_t> apply_known_names(Vocabulary& v) {
  const auto has = [&](std::string_view name) { return v.index.find(name) >= 0; };
  // In o200k_harmony and solar-open <|end|> ends a message only; in gemma 4 </s> is HTML.
  const bool end_is_text =
      has("<|end|>") && ((has("<|return|>") && has("<|call|>")) ||
                         ((has("<|call|>") || has("<|calls|>")) && has("<|flush|>")));
  const bool s_is_text = has("<|tool_response>");
  std::vector<std::int32_t> ends;
  for (const std::string_view name : kEndNames) {
    const std::int32_t id = v.index.find(name);
    if (id < 0) continue;
    if (name == "<|end|>" && end_is_text) {
      retype(v, id, TokenType::UserDefined);
    } else if (name == "</s>" && s_is_text) {
      retype(v, id, TokenType::Normal);
    } else {
      retype(v, id, TokenType::Control);
      ends.push_back(id);
    }
  }
  for (const std::string_view name : kTextNames) {
    if (const std::int32_t id = v.index.find(name); id >= 0) retype(v, id, TokenType::UserDefined);
  }
  std::sort(ends.begin(), ends.end());
  return ends;
}

}  // namespace bandwall
