#include "runtime/split_patterns.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "hwmodel/error.h"

namespace bandwall {
namespace {

// Pieces that many patterns share.
#define CONTRACTION_LOWER "'s|'t|'re|'ve|'m|'ll|'d"
#define CONTRACTION "(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])"
#define LETTERS R"([^\r\n\p{L}\p{N}]?\p{L}+)"
#define SYMBOLS R"( ?[^\s\p{L}\p{N}]+[\r\n]*)"
#define SYMBOLS_SLASH R"( ?[^\s\p{L}\p{N}]+[\r\n/]*)"
#define LINES R"(\s*[\r\n]+)"
#define SPACES R"(\s+(?!\S)|\s+)"
#define GPT2 CONTRACTION_LOWER R"(| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|)" SPACES
// Letters other than a-z, then letters other than A-Z: "[^\P{L}a-z]" is "a letter and not a-z".
#define CASED_1 R"([^\r\n\p{L}\p{N}]?[^\P{L}a-z]*[^\P{L}A-Z]+)"
#define CASED_2 R"([^\r\n\p{L}\p{N}]?[^\P{L}a-z]+[^\P{L}A-Z]*)"
// Kimi-K2: {Lu Lt Lm Lo M} without Han, written as the complement of all other categories.
#define KIMI_UPPER R"([^\p{sc:Han}\p{Ll}\p{N}\p{P}\p{S}\p{Z}\p{C}])"
#define KIMI_LOWER R"([^\p{sc:Han}\p{Lu}\p{Lt}\p{N}\p{P}\p{S}\p{Z}\p{C}])"
#define HAN_KANA R"([\x{4e00}-\x{9fa5}\x{3040}-\x{309f}\x{30a0}-\x{30ff}]+)"
#define HAN_HANGUL R"([\x{4e00}-\x{9fa5}\x{0800}-\x{4e00}\x{ac00}-\x{d7ff}]+)"

constexpr const char* kDefault[] = {R"([\p{P}$+<=>^~|]+)", GPT2, R"(\p{N}+)", "[0-9][0-9][0-9]"};
constexpr const char* kGpt2[] = {GPT2};
constexpr const char* kDigitsGpt2[] = {R"(\p{N})", GPT2};
constexpr const char* kFalcon[] = {R"([\p{P}$+<=>^~|`]+)", GPT2, "[0-9][0-9][0-9]"};
constexpr const char* kLlama3[] = {CONTRACTION "|" LETTERS R"(|\p{N}{1,3}|)" SYMBOLS "|" LINES
                                               "|" SPACES};
constexpr const char* kQwen2[] = {CONTRACTION "|" LETTERS R"(|\p{N}|)" SYMBOLS "|" LINES
                                              "|" SPACES};
constexpr const char* kQwen35[] = {CONTRACTION R"(|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}|)"
                                               R"( ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|)" LINES
                                               "|" SPACES};
constexpr const char* kGpt4o[] = {CASED_1 CONTRACTION "?|" CASED_2 CONTRACTION
                                                      R"(?|\p{N}{1,3}|)" SYMBOLS_SLASH "|" LINES
                                                      "|" SPACES};
constexpr const char* kTekken[] = {CASED_1 "|" CASED_2 R"(|\p{N}|)" SYMBOLS_SLASH "|" LINES
                                           "|" SPACES};
constexpr const char* kDeepseek3[] = {
    R"(\p{N}{1,3})", HAN_KANA,
    R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+|)"
    R"( ?[\p{P}\p{S}]+[\r\n]*|)" LINES "|" SPACES};
// "Whitespace at the end": the look-behind and the possessive + keep long gaps linear.
constexpr const char* kDeepseekLlm[] = {
    R"([\r\n])",
    R"(\s?[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚ)"
    R"(\x{1e00}-\x{1f15}\x{1f18}-\x{1f1d}\x{1f20}-\x{1f45}\x{1f48}-\x{1f4d}\x{1f50}-\x{1f57})"
    R"(\x{1f59}\x{1f5b}\x{1f5d}\x{1f5f}-\x{1f7d}\x{1f80}-\x{1fb4}\x{1fb6}-\x{1fbc}\x{1fbe})"
    R"(\x{1fc2}-\x{1fc4}\x{1fc6}-\x{1fcc}\x{1fd0}-\x{1fd3}\x{1fd6}-\x{1fdb}\x{1fe0}-\x{1fec})"
    R"(\x{1ff2}-\x{1ff4}\x{1ff6}-\x{1ffc}\x{2102}\x{2107}\x{210a}-\x{2113}\x{2115})"
    R"(\x{2119}-\x{211d}\x{2124}\x{2126}\x{2128}\x{212a}-\x{212d}\x{212f}-\x{2134}\x{2139})"
    R"(\x{213c}-\x{213f}\x{2145}-\x{2149}\x{214e}\x{2183}\x{2184}\x{2c00}-\x{2c7b})"
    R"(\x{2c7e}-\x{2ce4}\x{2ceb}-\x{2cee}\x{2cf2}\x{2cf3}\x{a640}-\x{a66d}\x{a680}-\x{a69b})"
    R"(\x{a722}-\x{a76f}\x{a771}-\x{a787}\x{a78b}-\x{a78e}\x{ab70}-\x{abbf}\x{fb00}-\x{fb06})"
    R"(\x{fb13}-\x{fb17}\x{ff21}-\x{ff3a}\x{ff41}-\x{ff5a}\x{10400}-\x{1044f})"
    R"(\x{104b0}-\x{104d3}\x{104d8}-\x{104fb}\x{10c80}-\x{10cb2}\x{10cc0}-\x{10cf2})"
    R"(\x{118a0}-\x{118df}\x{1e900}-\x{1e943}]+)",
    R"(\s?[!-/:-~\x{ff01}-\x{ff0f}\x{ff1a}-\x{ff5e}\x{2018}-\x{201f}\x{3000}-\x{3002}]+)",
    R"((?<!\s)\s++\z)",
    HAN_HANGUL,
    R"(\p{N}+)"};
constexpr const char* kDeepseekCoder[] = {R"([\r\n])", R"(\s?\p{L}+)", R"(\s?\p{P}+)", HAN_HANGUL,
                                          R"(\p{N})"};
constexpr const char* kKimi[] = {R"(\p{sc:Han}+|[^\r\n\p{L}\p{N}]?)" KIMI_UPPER "*" KIMI_LOWER
                                 "+" CONTRACTION R"(?|[^\r\n\p{L}\p{N}]?)" KIMI_UPPER "+" KIMI_LOWER
                                 "*" CONTRACTION R"(?|\p{N}{1,3}|)" SYMBOLS "|" LINES "|" SPACES};
constexpr const char* kBailing[] = {R"('(?:[sSdDmMtT]|[lL][lL]|[vV][eE]|[rR][eE])|)" LETTERS
                                    R"(|\p{N}|)" SYMBOLS R"(|\s*[\r\n]|)" SPACES};
constexpr const char* kSeedCoder[] = {
    CONTRACTION "|" LETTERS R"(|\p{N}| ?[^\s\p{L}\p{N}\r\n]+|)" LINES "|" SPACES};
constexpr const char* kMinicpm5[] = {
    R"(\p{N}{1,3})", CONTRACTION "|" LETTERS R"(|\p{N}+|)" SYMBOLS "|" LINES "|" SPACES};
constexpr SplitPattern kPatterns[] = {
    {"default", kDefault},
    {"gpt-2", kGpt2},
    {"phi-2", kGpt2},
    {"mpt", kGpt2},
    {"olmo", kGpt2},
    {"jais", kGpt2},
    {"trillion", kGpt2},
    {"granite-docling", kGpt2},
    {"gigachat", kGpt2},
    {"exaone4", kGpt2},
    {"mellum", kGpt2},
    {"a.x-4.0", kGpt2},
    {"modern-bert", kGpt2},
    {"jina-es", kGpt2},
    {"jina-de", kGpt2},
    {"jina-v2-es", kGpt2},
    {"jina-v2-de", kGpt2},
    {"starcoder", kDigitsGpt2},
    {"refact", kDigitsGpt2},
    {"command-r", kDigitsGpt2},
    {"smollm", kDigitsGpt2},
    {"codeshell", kDigitsGpt2},
    {"exaone", kDigitsGpt2},
    {"minerva-7b", kDigitsGpt2},
    {"mellum2", kDigitsGpt2},
    {"falcon", kFalcon},
    {"llama-bpe", kLlama3, true, true},
    {"llama3", kLlama3, true, true},
    {"llama-v3", kLlama3, true, true},
    {"falcon3", kLlama3, true, true},
    {"falcon-h1", kLlama3, true, true},
    {"pixtral", kLlama3, true, true},
    {"midm-2.0", kLlama3, true, true},
    {"lfm2", kLlama3, true, true},
    {"dbrx", kLlama3},
    {"smaug-bpe", kLlama3},
    {"glm4", kLlama3},
    {"chatglm-bpe", kLlama3},
    {"qwen2", kQwen2},
    {"deepseek-r1-qwen", kQwen2},
    {"kormo", kQwen2},
    {"megrez", kQwen2},
    {"stablelm2", kQwen2},
    {"hunyuan", kQwen2},
    {"solar-open", kQwen2},
    {"grok-2", kQwen2},
    {"qwen35", kQwen35},
    {"gpt-4o", kGpt4o},
    {"llama4", kGpt4o},
    {"kanana2", kGpt4o},
    {"minimax-m2", kGpt4o},
    {"tekken", kTekken, true, true},
    {"deepseek-v3", kDeepseek3},
    {"hunyuan-dense", kDeepseek3},
    {"joyai-llm", kDeepseek3},
    {"deepseek-llm", kDeepseekLlm},
    {"deepseek-coder", kDeepseekCoder},
    {"kimi-k2", kKimi},
    {"bailingmoe", kBailing},
    {"bailingmoe2", kBailing},
    {"llada-moe", kBailing},
    {"seed-coder", kSeedCoder},
    {"minicpm5", kMinicpm5, true},
};

struct CodeFree {
  void operator()(pcre2_code* p) const { pcre2_code_free(p); }
};
using Code = std::unique_ptr<pcre2_code, CodeFree>;

Code compile(const char* pattern) {
  int error = 0;
  PCRE2_SIZE offset = 0;
  pcre2_code* code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern), PCRE2_ZERO_TERMINATED,
                                   PCRE2_UTF | PCRE2_UCP, &error, &offset, nullptr);
  BANDWALL_CHECK(code != nullptr);              // the table above is constant
  pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);  // without it PCRE2 interprets: slower, same result
  return Code(code);
}

constexpr std::size_t kJitStackStart = 32 * 1024, kJitStackMost = 8 * 1024 * 1024;

}  // namespace

std::span<const SplitPattern> all_split_patterns() { return kPatterns; }

const SplitPattern* find_split_pattern(std::string_view pre) {
  for (const SplitPattern& p : kPatterns) {
    if (p.pre == pre) return &p;
  }
  return nullptr;
}

struct Splitter::Compiled {
  std::vector<Code> steps;
};

Splitter::Splitter(const SplitPattern& pattern) : compiled_(std::make_unique<Compiled>()) {
  for (const char* step : pattern.steps) compiled_->steps.push_back(compile(step));
}
Splitter::~Splitter() = default;
Splitter::Splitter(Splitter&&) noexcept = default;
Splitter& Splitter::operator=(Splitter&&) noexcept = default;

struct SplitRun::Buffers {
  const Splitter::Compiled* compiled = nullptr;
  pcre2_match_data* found = nullptr;
  pcre2_match_context* context = nullptr;
  pcre2_jit_stack* stack = nullptr;
  std::vector<std::string_view> parts;

  ~Buffers() {
    pcre2_match_data_free(found);
    pcre2_match_context_free(context);
    pcre2_jit_stack_free(stack);
  }

  int match(const pcre2_code* code, std::string_view part, std::size_t at) {
    const auto* subject = reinterpret_cast<PCRE2_SPTR>(part.data());
    const int rc = pcre2_match(code, subject, part.size(), at, PCRE2_NO_UTF_CHECK, found, context);
    if (rc >= 0 || rc == PCRE2_ERROR_NOMATCH) return rc;
    // The JIT's stack ended: the interpreter keeps its stack on the heap.
    return pcre2_match(code, subject, part.size(), at, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, found,
                       context);
  }

  void cut(const pcre2_code* code, std::string_view part, std::vector<std::string_view>& out) {
    std::size_t at = 0;
    while (at < part.size() && match(code, part, at) >= 0) {
      const PCRE2_SIZE* range = pcre2_get_ovector_pointer(found);
      const std::size_t start = range[0], end = range[1];
      if (end <= at || end <= start) break;
      if (start > at) out.push_back(part.substr(at, start - at));
      out.push_back(part.substr(start, end - start));
      at = end;
    }
    if (at < part.size()) out.push_back(part.substr(at));
  }
};

SplitRun::SplitRun(const Splitter& splitter) : buffers_(std::make_unique<Buffers>()) {
  Buffers& b = *buffers_;
  b.compiled = splitter.compiled_.get();
  b.found = pcre2_match_data_create(1, nullptr);
  b.context = pcre2_match_context_create(nullptr);
  BANDWALL_CHECK(b.found != nullptr && b.context != nullptr);
  b.stack = pcre2_jit_stack_create(kJitStackStart, kJitStackMost, nullptr);
  if (b.stack != nullptr) pcre2_jit_stack_assign(b.context, nullptr, b.stack);
}
SplitRun::~SplitRun() = default;

void SplitRun::split(std::string_view text, std::vector<std::string_view>& words) {
  words.clear();
  if (text.empty()) return;
  words.push_back(text);
  for (const Code& step : buffers_->compiled->steps) {
    buffers_->parts.swap(words);
    words.clear();
    for (const std::string_view part : buffers_->parts) buffers_->cut(step.get(), part, words);
  }
}

}  // namespace bandwall
