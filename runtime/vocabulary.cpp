#include "runtime/vocabulary.h"

#include <bit>

#include <fmt/format.h>

#include "hwmodel/error.h"

namespace bandwall {
namespace {

constexpr std::uint64_t kMaxTokens = std::uint64_t{1} << 24;  // 60 times the largest in use
constexpr int kMaxProbes = 4096;  // a fair table of this size needs some hundreds at most
constexpr std::uint64_t kHashStart = 14695981039346656037ull;

std::uint64_t hash_more(std::uint64_t hash, std::string_view text) {
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211ull;
  return hash;
}

// FNV's high bits are weak for short texts; the table uses them, so they are mixed once.
std::uint64_t mixed(std::uint64_t hash) {
  hash ^= hash >> 32;
  hash *= 0x9E3779B97F4A7C15ull;
  return hash ^ (hash >> 29);
}

std::uint32_t tag_of(std::uint64_t hash) { return static_cast<std::uint32_t>(hash >> 32); }

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

std::vector<TokenType> read_types(const GgufFile& file, std::size_t count) {
  std::vector<TokenType> types(count, TokenType::Normal);
  const GgufValue* value = file.find("tokenizer.ggml.token_type");
  if (value == nullptr) return types;
  const auto numbers = value->as_ints();
  if (!numbers) {
    throw Error::input(file.file_name,
                       "tokenizer.ggml.token_type: must be an array of integers; convert the "
                       "model again");
  }
  if (numbers->size() != count) {
    throw Error::input(file.file_name,
                       fmt::format("tokenizer.ggml.token_type: has {} entries for {} tokens; "
                                   "convert the model again",
                                   numbers->size(), count));
  }
  for (std::size_t i = 0; i < count; ++i) {
    const std::int64_t n = (*numbers)[i];
    if (n >= 1 && n <= 6) types[i] = static_cast<TokenType>(n);
  }
  return types;
}

}  // namespace

TextIndex::TextIndex(std::span<const std::string_view> texts, const std::string& file,
                     std::string_view what)
    : texts_(texts) {
  slots_.resize(std::bit_ceil(std::max<std::size_t>(16, texts.size() * 2)));
  mask_ = slots_.size() - 1;
  for (std::size_t id = 0; id < texts.size(); ++id) {
    const std::string_view text = texts[id];
    if (text.empty()) continue;
    longest_ = std::max(longest_, text.size());
    const std::uint64_t hash = mixed(hash_more(kHashStart, text));
    std::uint64_t at = hash & mask_;
    bool repeated = false;
    for (int probes = 0; slots_[at].id >= 0; ++probes, at = (at + 1) & mask_) {
      const Slot& slot = slots_[at];
      repeated = slot.tag == tag_of(hash) && texts[static_cast<std::size_t>(slot.id)] == text;
      if (repeated) break;
      if (probes >= kMaxProbes) {
        throw Error::input(file, fmt::format("{}: entry {} collides with thousands of others; the "
                                             "file was made to be slow, do not use it",
                                             what, id));
      }
    }
    if (repeated) {
      ++repeated_;
    } else {
      slots_[at] = {tag_of(hash), static_cast<std::int32_t>(id)};
    }
  }
}

std::int32_t TextIndex::find(std::string_view text) const {
  if (text.empty() || text.size() > longest_) return -1;
  const std::uint64_t hash = mixed(hash_more(kHashStart, text));
  for (std::uint64_t at = hash & mask_; slots_[at].id >= 0; at = (at + 1) & mask_) {
    const Slot& slot = slots_[at];
    if (slot.tag == tag_of(hash) && texts_[static_cast<std::size_t>(slot.id)] == text) {
      return slot.id;
    }
  }
  return -1;
}

std::int32_t TextIndex::find_pair(std::string_view left, std::string_view right) const {
  const std::size_t size = left.size() + 1 + right.size();
  if (size > longest_) return -1;
  const std::uint64_t hash = mixed(hash_more(hash_more(hash_more(kHashStart, left), " "), right));
  for (std::uint64_t at = hash & mask_; slots_[at].id >= 0; at = (at + 1) & mask_) {
    const Slot& slot = slots_[at];
    if (slot.tag != tag_of(hash)) continue;
    const std::string_view text = texts_[static_cast<std::size_t>(slot.id)];
    if (text.size() == size && text[left.size()] == ' ' && text.substr(0, left.size()) == left &&
        text.substr(left.size() + 1) == right) {
      return slot.id;
    }
  }
  return -1;
}

std::int32_t Vocabulary::plain(std::string_view text) const {
  const std::int32_t id = index.find(text);
  if (id < 0) return -1;
  switch (types[static_cast<std::size_t>(id)]) {
    case TokenType::Control:
    case TokenType::Unknown:
      return -1;
    case TokenType::Byte:
      return byte_of_text(text) >= 0 ? -1 : id;
    case TokenType::Normal:
    case TokenType::UserDefined:
    case TokenType::Unused:
      return id;
  }
  return id;
}

int byte_of_text(std::string_view text) {
  if (text.size() != 6 || text.substr(0, 3) != "<0x" || text[5] != '>') return -1;
  const int high = hex_digit(text[3]), low = hex_digit(text[4]);
  return high < 0 || low < 0 ? -1 : high * 16 + low;
}

Vocabulary read_vocabulary(const GgufFile& file, std::vector<std::string>& warnings) {
  const std::string key = "tokenizer.ggml.tokens";
  const GgufValue* value = file.find(key);
  if (value == nullptr) {
    throw Error::input(file.file_name,
                       key +
                           ": missing, so text cannot be read or written; give token ids, or "
                           "use a file with a vocabulary");
  }
  if (value->type() != GgufType::Array || value->element_type() != GgufType::String) {
    throw Error::input(file.file_name,
                       key + ": must be an array of strings; convert the model again");
  }
  if (value->size() == 0 || value->size() > kMaxTokens) {
    throw Error::input(file.file_name,
                       fmt::format("{}: has {} entries, between 1 and {} are possible; convert the "
                                   "model again",
                                   key, value->size(), kMaxTokens));
  }
  Vocabulary v;
  v.file_name = file.file_name;
  v.texts = *value->as_strings();
  v.types = read_types(file, v.texts.size());
  v.index = TextIndex(v.texts, file.file_name, key);
  if (v.index.repeated() > 0) {
    warnings.push_back(fmt::format("{}: {} texts occur more than once; the lowest id is used", key,
                                   v.index.repeated()));
  }
  return v;
}

}  // namespace bandwall
