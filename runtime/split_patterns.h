// How text is cut into words before byte-level BPE, by tokenizer.ggml.pre, and the cutter (PCRE2).
//   Splitter s(*find_split_pattern("qwen2"));  SplitRun run(s);  run.split("Hello world", words);
// Each step cuts every part the steps before left: matches and the gaps between them are parts.
// The patterns are facts published with the models (tokenizer.json); where llama.cpp applies a
// narrower form (gpt-4o, minimax-m2, tekken: case by ASCII letters only, no combining marks) that
// form is used, so that ids equal its ids. Input must be valid UTF-8. No text is too long: where
// PCRE2 reaches a limit, what is left becomes one word.
#pragma once

#include <memory>
#include <span>
#include <string_view>
#include <vector>

namespace bandwall {

struct SplitPattern {
  std::string_view pre;  // tokenizer.ggml.pre
  std::span<const char* const> steps;
  bool whole_words = false;  // a word that is a token is not merged ("ignore_merges")
  bool add_bos = false;      // default of tokenizer.ggml.add_bos_token
};

const SplitPattern* find_split_pattern(std::string_view pre);  // nullptr: unknown
std::span<const SplitPattern> all_split_patterns();

// The compiled form; may be used by many threads, each with its own SplitRun.
class Splitter {
 public:
  explicit Splitter(const SplitPattern& pattern);
  ~Splitter();
  Splitter(Splitter&&) noexcept;
  Splitter& operator=(Splitter&&) noexcept;

 private:
  friend class SplitRun;
  struct Compiled;
  std::unique_ptr<Compiled> compiled_;
};

class SplitRun {
 public:
  explicit SplitRun(const Splitter& splitter);
  ~SplitRun();
  SplitRun(const SplitRun&) = delete;
  SplitRun& operator=(const SplitRun&) = delete;

  void split(std::string_view text, std::vector<std::string_view>& words);

 private:
  struct Buffers;
  std::unique_ptr<Buffers> buffers_;
};

}  // namespace bandwall
