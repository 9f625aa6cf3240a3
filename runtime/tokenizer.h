// Tokenizers from GGUF metadata: byte-level BPE (tokenizer.ggml.model "gpt2", split patterns by
// tokenizer.ggml.pre, PCRE2) and SPM ("llama", scores, byte fallback).
//   Tokenizer t = Tokenizer::from_gguf(file);
//   t.encode("Hello", {.add_special = true}) ; t.decode(ids) ; t.piece(id)
// Texts stay in the file's bytes, which must outlive the Tokenizer. decode(encode(x)) is x where
// the vocabulary has all bytes (SPM reads U+2581 as a space); bytes outside UTF-8 go one by one.
// Throws Error (Input) for a missing or broken vocabulary, an unknown model, ids out of range; an
// unknown pre falls back to the gpt-2 pattern and says so in warnings().
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "workload/gguf.h"

namespace bandwall {

enum class SpecialTokens { Plain, Parse };    // Parse: "<|user|>" in the text becomes its token

struct EncodeOptions {
  bool add_special = true;                    // bos/eos as add_bos_token / add_eos_token say
  SpecialTokens special = SpecialTokens::Plain;
};

class Tokenizer {
 public:
  static Tokenizer from_gguf(const GgufFile& file);
  Tokenizer(Tokenizer&&) noexcept;
  Tokenizer& operator=(Tokenizer&&) noexcept;
  ~Tokenizer();

  std::vector<std::int32_t> encode(std::string_view text, const EncodeOptions& options = {}) const;
  std::string decode(std::span<const std::int32_t> ids) const;   // without specials
  std::string piece(std::int32_t id) const;                      // its bytes, may cut UTF-8
  std::string_view raw(std::int32_t id) const;                   // the text in the vocabulary
  std::int64_t vocab_size() const;
  std::int32_t bos() const;                                      // -1: none
  std::int32_t eos() const;
  bool is_end_of_generation(std::int32_t id) const;
  bool is_control(std::int32_t id) const;
  const std::vector<std::string>& warnings() const;

 private:
  Tokenizer();
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace bandwall
