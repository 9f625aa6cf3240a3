// The token table of a GGUF file: texts (views into the file), types, and text -> id.
//   Vocabulary v = read_vocabulary(file, warnings);  v.plain("Hello")
// TextIndex is an open-addressing table of 64-bit FNV-1a hashes: for 200,000 texts it is built in
// some milliseconds, as no text is copied. Of equal texts the lowest id is found.
// Knows nothing of merging; see tokenizer_bpe.h and tokenizer_spm.h.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "workload/gguf.h"

namespace bandwall {

// tokenizer.ggml.token_type; other numbers count as Normal.
enum class TokenType : std::uint8_t {
  Normal = 1,
  Unknown = 2,
  Control = 3,
  UserDefined = 4,
  Unused = 5,
  Byte = 6,
};

class TextIndex {
 public:
  TextIndex() = default;
  // `what` names the field in the error for tables made to collide. Empty texts are left out.
  TextIndex(std::span<const std::string_view> texts, const std::string& file,
            std::string_view what);

  std::int32_t find(std::string_view text) const;  // -1: none
  // The text left + ' ' + right, without building it.
  std::int32_t find_pair(std::string_view left, std::string_view right) const;
  std::int64_t repeated() const { return repeated_; }  // texts that occurred before

 private:
  struct Slot {
    std::uint32_t tag = 0;
    std::int32_t id = -1;
  };
  std::span<const std::string_view> texts_;
  std::vector<Slot> slots_;
  std::uint64_t mask_ = 0;
  std::size_t longest_ = 0;
  std::int64_t repeated_ = 0;
};

struct Vocabulary {
  std::string file_name;
  std::vector<std::string_view> texts;
  std::vector<TokenType> types;
  TextIndex index;            // over texts; a Vocabulary may be moved, not copied
  std::int32_t unknown = -1;  // emitted where no token fits; -1: none

  Vocabulary() = default;
  Vocabulary(Vocabulary&&) = default;
  Vocabulary& operator=(Vocabulary&&) = default;

  // The token that ordinary text may become; never a control, unknown or <0xNN> token.
  std::int32_t plain(std::string_view text) const;
  bool in_range(std::int64_t id) const {
    return id >= 0 && id < static_cast<std::int64_t>(texts.size());
  }
};

// Reads tokenizer.ggml.tokens and token_type. Throws Error (Input).
Vocabulary read_vocabulary(const GgufFile& file, std::vector<std::string>& warnings);

// "<0x0A>" -> 10; -1 for any other text.
int byte_of_text(std::string_view text);

}  // namespace bandwall
