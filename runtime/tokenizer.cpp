#include "runtime/tokenizer.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include <fmt/format.h>

#include "hwmodel/error.h"
#include "runtime/special_tokens.h"
#include "runtime/tokenizer_bpe.h"
#include "runtime/tokenizer_spm.h"
#include "runtime/vocabulary.h"

namespace bandwall {
namespace {

constexpr std::size_t kMaxText = std::size_t{1} << 29;  // escaping may triple it; ids stay 32 bits

std::string text_key(const GgufFile& file, const std::string& key) {
  const GgufValue* value = file.find(key);
  if (value == nullptr) return "";
  const auto text = value->as_string();
  if (!text)
    throw Error::input(file.file_name, key + ": must be a string; convert the model again");
  return std::string(*text);
}

bool flag_key(const GgufFile& file, const std::string& key, bool otherwise) {
  const GgufValue* value = file.find(key);
  if (value == nullptr) return otherwise;
  const auto flag = value->as_bool();
  if (!flag)
    throw Error::input(file.file_name, key + ": must be true or false; convert the model again");
  return *flag;
}

std::vector<std::string_view> read_merges(const GgufFile& file,
                                          std::vector<std::string>& warnings) {
  const std::string key = "tokenizer.ggml.merges";
  const GgufValue* value = file.find(key);
  if (value == nullptr) {
    throw Error::input(file.file_name, key +
                                           ": missing, a gpt2 vocabulary needs it; convert the "
                                           "model again");
  }
  auto merges = value->as_strings();
  if (!merges || merges->size() > (std::size_t{1} << 26)) {
    throw Error::input(file.file_name,
                       key + ": must be an array of strings; convert the model again");
  }
  std::int64_t odd = 0;
  for (const std::string_view merge : *merges) {
    const std::size_t space = merge.find(' ', 1);
    odd += merge.size() < 3 || space == std::string_view::npos || space + 1 == merge.size();
  }
  if (odd > 0) {
    warnings.push_back(fmt::format(
        "{}: {} entries are not two tokens with a space between; they have no effect", key, odd));
  }
  return std::move(*merges);
}

std::vector<float> read_scores(const GgufFile& file, std::size_t tokens) {
  const std::string key = "tokenizer.ggml.scores";
  const GgufValue* value = file.find(key);
  if (value == nullptr) {
    throw Error::input(file.file_name, key +
                                           ": missing, a llama vocabulary needs it; convert the "
                                           "model again");
  }
  std::vector<float> scores;
  if (auto floats = value->as_floats()) {
    scores = std::move(*floats);
  } else if (const auto whole = value->as_ints()) {
    for (const std::int64_t n : *whole) scores.push_back(static_cast<float>(n));
  } else {
    throw Error::input(file.file_name,
                       key + ": must be an array of numbers; convert the model again");
  }
  if (scores.size() != tokens) {
    throw Error::input(file.file_name, fmt::format("{}: has {} entries for {} tokens; convert the "
                                                   "model again",
                                                   key, scores.size(), tokens));
  }
  const auto bad =
      std::find_if(scores.begin(), scores.end(), [](float s) { return std::isnan(s); });
  if (bad != scores.end()) {
    throw Error::input(file.file_name,
                       fmt::format("{}: entry {} is not a number; convert the model "
                                   "again",
                                   key, bad - scores.begin()));
  }
  return scores;
}

}  // namespace

struct Tokenizer::Impl {
  Vocabulary vocabulary;
  std::unique_ptr<BpeEncoder> bpe;  // one of the two
  std::unique_ptr<SpmEncoder> spm;
  SpecialMatcher in_plain_text, in_parsed_text;
  std::vector<std::int32_t> ends;  // sorted
  std::int32_t bos = -1, eos = -1;
  bool add_bos = false, add_eos = false, add_space_prefix = false;
  std::vector<std::string> warnings;

  // A key's id; `otherwise` when the key is absent or names no token.
  std::int32_t id_key(const GgufFile& file, const std::string& key, std::int32_t otherwise) {
    if (!vocabulary.in_range(otherwise)) otherwise = -1;
    const GgufValue* value = file.find(key);
    if (value == nullptr) return otherwise;
    const auto id = value->as_int();
    if (!id)
      throw Error::input(file.file_name, key + ": must be an integer; convert the model again");
    if (vocabulary.in_range(*id)) return static_cast<std::int32_t>(*id);
    warnings.push_back(fmt::format("{}: {} is no token, the vocabulary has {}; ignored", key, *id,
                                   vocabulary.texts.size()));
    return otherwise;
  }

  void read_bpe(const GgufFile& file) {
    const std::string pre = text_key(file, "tokenizer.ggml.pre");
    const SplitPattern* pattern = find_split_pattern(pre.empty() ? "default" : pre);
    if (pattern == nullptr) {
      pattern = find_split_pattern("gpt-2");
      warnings.push_back(
          fmt::format("tokenizer.ggml.pre: \"{}\" is unknown, words are cut as for "
                      "gpt-2; some texts get other tokens than in training",
                      printable(pre)));
    } else if (pre.empty()) {
      warnings.push_back(
          "tokenizer.ggml.pre: missing, words are cut in the oldest way; some texts "
          "get other tokens than in training");
    }
    bpe = std::make_unique<BpeEncoder>(vocabulary, read_merges(file, warnings), *pattern);
    add_bos = pattern->add_bos;
  }

  void read_special(const GgufFile& file) {
    const bool llama = spm != nullptr;
    bos = id_key(file, "tokenizer.ggml.bos_token_id", llama ? 1 : -1);
    eos = id_key(file, "tokenizer.ggml.eos_token_id", llama ? 2 : -1);
    vocabulary.unknown = id_key(file, "tokenizer.ggml.unknown_token_id", llama ? 0 : -1);
    const std::int32_t eot = id_key(file, "tokenizer.ggml.eot_token_id", -1);
    const std::int32_t eom = id_key(file, "tokenizer.ggml.eom_token_id", -1);
    ends = apply_known_names(vocabulary);
    for (const std::int32_t id : {eos, eot, eom}) {
      if (id >= 0) ends.push_back(id);
    }
    std::sort(ends.begin(), ends.end());
    add_bos = wanted(file, "tokenizer.ggml.add_bos_token", add_bos || llama, bos);
    add_eos = wanted(file, "tokenizer.ggml.add_eos_token", false, eos);
    in_plain_text = SpecialMatcher(vocabulary, {TokenType::UserDefined});
    in_parsed_text = SpecialMatcher(
        vocabulary, {TokenType::UserDefined, TokenType::Control, TokenType::Unknown});
  }

  bool wanted(const GgufFile& file, const std::string& key, bool otherwise, std::int32_t id) {
    const bool flag = flag_key(file, key, otherwise);
    if (flag && id < 0 && file.find(key) != nullptr) {
      warnings.push_back(key + ": is true, but the file names no such token; none is added");
    }
    return flag && id >= 0;
  }

  TokenType type_of(std::int32_t id) const {
    if (!vocabulary.in_range(id)) {
      throw Error::input(vocabulary.file_name,
                         fmt::format("token id {}: the vocabulary has ids 0 to {}; give an id in "
                                     "that range",
                                     id, vocabulary.texts.size() - 1));
    }
    return vocabulary.types[static_cast<std::size_t>(id)];
  }

  std::string_view raw(std::int32_t id) const {
    type_of(id);
    return vocabulary.texts[static_cast<std::size_t>(id)];
  }

  std::string piece(std::int32_t id) const {
    const TokenType type = type_of(id);
    const std::string_view text = raw(id);
    if (type == TokenType::Control || type == TokenType::Unknown ||
        type == TokenType::UserDefined) {
      return std::string(text);
    }
    if (type == TokenType::Byte) {
      if (const int byte = byte_of_text(text); byte >= 0) {
        return std::string(1, static_cast<char>(byte));
      }
    }
    return spm ? unescape_spaces(text) : bytes_of_printable(text);
  }

  void encode_text(std::string_view text, bool after_special,
                   std::vector<std::int32_t>& ids) const {
    if (text.empty()) return;
    if (bpe) {
      bpe->encode(text, ids);
    } else if (add_space_prefix && after_special) {
      spm->encode(" " + std::string(text), ids);
    } else {
      spm->encode(text, ids);
    }
  }
};

Tokenizer::Tokenizer() : impl_(std::make_unique<Impl>()) {}
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;
Tokenizer::~Tokenizer() = default;

Tokenizer Tokenizer::from_gguf(const GgufFile& file) {
  Tokenizer t;
  Impl& impl = *t.impl_;
  const std::string model = text_key(file, "tokenizer.ggml.model");
  if (model != "gpt2" && model != "llama") {
    throw Error::input(
        file.file_name,
        model.empty() ? "tokenizer.ggml.model: missing, so text cannot be read or written; give "
                        "token ids, or use a file with a vocabulary"
                      : fmt::format("tokenizer.ggml.model: \"{}\" is not supported; supported are "
                                    "gpt2 (byte-level BPE) and llama (SPM). Give token ids instead "
                                    "of text",
                                    printable(model)));
  }
  impl.vocabulary = read_vocabulary(file, impl.warnings);
  if (model == "gpt2") {
    impl.read_bpe(file);
  } else {
    impl.spm = std::make_unique<SpmEncoder>(impl.vocabulary,
                                            read_scores(file, impl.vocabulary.texts.size()));
    impl.add_space_prefix = flag_key(file, "tokenizer.ggml.add_space_prefix", true);
  }
  impl.read_special(file);
  return t;
}

std::vector<std::int32_t> Tokenizer::encode(std::string_view text,
                                            const EncodeOptions& options) const {
  const Impl& impl = *impl_;
  if (text.size() > kMaxText) {
    throw Error::input(
        "text", fmt::format("has {} bytes, at most {} are encoded at once; shorten it", text.size(),
                            kMaxText));
  }
  std::vector<std::int32_t> ids;
  if (options.add_special && impl.add_bos) ids.push_back(impl.bos);
  const SpecialMatcher& matcher =
      options.special == SpecialTokens::Parse ? impl.in_parsed_text : impl.in_plain_text;
  bool after_special = true;  // the start of the text counts
  for (std::size_t at = 0; at < text.size();) {
    const SpecialMatcher::Match match = matcher.next(text, at);
    impl.encode_text(text.substr(at, match.at - at), after_special, ids);
    if (match.id >= 0) ids.push_back(match.id);
    after_special = true;
    at = match.at + match.size;
  }
  if (options.add_special && impl.add_eos) ids.push_back(impl.eos);
  return ids;
}

std::string Tokenizer::decode(std::span<const std::int32_t> ids) const {
  const Impl& impl = *impl_;
  std::string text;
  bool drop_space = impl.add_space_prefix;  // encode() put one there
  for (const std::int32_t id : ids) {
    const TokenType type = impl.type_of(id);
    if (type == TokenType::Control || type == TokenType::Unknown) {
      drop_space = impl.add_space_prefix;
      continue;
    }
    const std::string piece = impl.piece(id);
    const bool drop = drop_space && type != TokenType::UserDefined && piece.starts_with(' ');
    text.append(piece, drop ? 1 : 0);
    drop_space = impl.add_space_prefix && type == TokenType::UserDefined;
  }
  return text;
}

std::string Tokenizer::piece(std::int32_t id) const { return impl_->piece(id); }
std::string_view Tokenizer::raw(std::int32_t id) const { return impl_->raw(id); }
std::int64_t Tokenizer::vocab_size() const {
  return static_cast<std::int64_t>(impl_->vocabulary.texts.size());
}
std::int32_t Tokenizer::bos() const { return impl_->bos; }
std::int32_t Tokenizer::eos() const { return impl_->eos; }
bool Tokenizer::is_end_of_generation(std::int32_t id) const {
  return std::binary_search(impl_->ends.begin(), impl_->ends.end(), id);
}
bool Tokenizer::is_control(std::int32_t id) const {
  return impl_->type_of(id) == TokenType::Control;
}
const std::vector<std::string>& Tokenizer::warnings() const { return impl_->warnings; }

}  // namespace bandwall
