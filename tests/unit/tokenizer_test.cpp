// Tokenizers: ids worked out by hand, special tokens, decoding, speed and hostile vocabularies.
#include "runtime/tokenizer.h"

#include <chrono>
#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "hwmodel/error.h"
#include "runtime/chat_template.h"
#include "runtime/split_patterns.h"
#include "runtime/tokenizer_bpe.h"
#include "runtime/utf8.h"
#include "tests/support/tiny_vocabulary.h"

namespace bandwall {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::kSpmFirst;
using testing::OwnedTokenizer;
using testing::tiny_bpe;
using testing::tiny_spm;
using Ids = std::vector<std::int32_t>;

// Ids of tiny_bpe(): a byte is itself in this order, merge i is 256 + i.
constexpr std::int32_t kThe = 258 - 1, kSpaceThe = 258, kEr = 259, kHe = 260, k123 = 262, kIn = 264;
constexpr std::int32_t kEndOfText = 268, kUser = 269, kEnd = 270, kThink = 271;

std::string message_of(const testing::GgufWriter& w) {
  try {
    OwnedTokenizer t(w);
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), Error::Kind::Input);
    return e.what();
  }
  return "";
}

TEST(TokenizerBpe, MergesByRankInsideWords) {
  const OwnedTokenizer t(tiny_bpe());
  EXPECT_THAT(t->encode("the"), ElementsAre(kThe));
  EXPECT_THAT(t->encode("in the"), ElementsAre(kIn, kSpaceThe));
  // "t h" has the lowest rank, so "the" is made of "th" + "e"; without a t, "h e" merges.
  EXPECT_THAT(t->encode("her"), ElementsAre('h', kEr));
  EXPECT_THAT(t->encode("hex"), ElementsAre(kHe, 'x'));
  EXPECT_THAT(t->encode("1234"), ElementsAre(k123, '4'));
  EXPECT_THAT(t->encode("\xc3\xa9"), ElementsAre(267));
  EXPECT_THAT(t->encode(""), IsEmpty());
}

TEST(TokenizerBpe, PatternOfThePreDecidesWords) {
  EXPECT_THAT(OwnedTokenizer(tiny_bpe("qwen2"))->encode("123"), ElementsAre('1', '2', '3'));
  EXPECT_THAT(OwnedTokenizer(tiny_bpe("gpt-4o"))->encode("123"), ElementsAre(k123));
}

TEST(TokenizerBpe, WholeWordsGoBeforeMergesOnlyForLlama3) {
  // "ther" is a token that no merge makes.
  testing::Merges merges = testing::kMerges;
  testing::GgufWriter w = testing::bpe_vocabulary(merges, "llama-bpe");
  std::vector<std::string> tokens;
  for (int b = 0; b < 256; ++b) tokens.push_back(testing::gpt2_character(b));
  tokens.push_back("th");
  tokens.push_back("the");
  tokens.push_back("ther");
  w.set_array("tokenizer.ggml.tokens", tokens);
  w.set_array("tokenizer.ggml.token_type", std::vector<std::int32_t>(tokens.size(), 1));
  w.set_flag("tokenizer.ggml.add_bos_token", 0);
  EXPECT_THAT(OwnedTokenizer(w)->encode("ther"), ElementsAre(258));
  w.set("tokenizer.ggml.pre", "gpt-2");
  // Here "the"+"r" is no merge; "th" "e" comes first.
  EXPECT_THAT(OwnedTokenizer(w)->encode("ther"), ElementsAre(257, 'r'));
}

TEST(TokenizerBpe, InvalidUtf8IsKeptByteByByte) {
  const OwnedTokenizer t(tiny_bpe());
  EXPECT_THAT(t->encode("a\xff\xc3z"), ElementsAre('a', 0xff, 0xc3, 'z'));
  for (const std::string& text :
       {std::string("\xed\xa0\x80"), std::string("\xf4\x90\x80\x80"), std::string("\xc0\xaf"),
        std::string("x\xe2\x82"), std::string("\0y", 2)}) {
    EXPECT_EQ(t->decode(t->encode(text)), text);
  }
}

TEST(TokenizerBpe, MissingByteBecomesUnknownOrAnError) {
  testing::GgufWriter w = tiny_bpe();
  std::vector<std::string> tokens;
  for (int b = 0; b < 256; ++b) tokens.push_back(b == 'q' ? "[UNK]" : testing::gpt2_character(b));
  w.set_array("tokenizer.ggml.tokens", tokens);
  w.remove("tokenizer.ggml.token_type");
  w.set("tokenizer.ggml.unknown_token_id", std::uint32_t{'q'});
  EXPECT_THAT(OwnedTokenizer(w)->encode("aqb"), ElementsAre('a', 'q', 'b'));
  w.remove("tokenizer.ggml.unknown_token_id");
  try {
    OwnedTokenizer(w)->encode("aqb");
    FAIL() << "the byte was lost";
  } catch (const Error& e) {
    EXPECT_THAT(e.what(), HasSubstr("no token for byte 0x71"));
  }
}

TEST(TokenizerSpecial, PlainTextNeverBecomesControl) {
  const OwnedTokenizer t(tiny_bpe());
  const std::string text = "<|user|>the<|end|>";
  EXPECT_THAT(t->encode(text, {true, SpecialTokens::Parse}), ElementsAre(kUser, kThe, kEnd));
  for (const std::int32_t id : t->encode(text)) EXPECT_LT(id, kEndOfText);
  EXPECT_EQ(t->decode(t->encode(text)), text);
}

TEST(TokenizerSpecial, UserDefinedIsFoundInPlainTextToo) {
  const OwnedTokenizer t(tiny_bpe());
  EXPECT_THAT(t->encode("a<think>a"), ElementsAre('a', kThink, 'a'));
  EXPECT_EQ(t->decode(Ids{'a', kThink, 'a'}), "a<think>a");
}

TEST(TokenizerSpecial, LongestMatchWins) {
  testing::GgufWriter w = tiny_bpe();
  std::vector<std::string> tokens;
  for (int b = 0; b < 256; ++b) tokens.push_back(testing::gpt2_character(b));
  std::vector<std::int32_t> types(256, 1);
  for (const char* text : {"<|a|>", "<|a|><|b|>", "<|"}) {
    tokens.push_back(text);
    types.push_back(3);
  }
  w.set_array("tokenizer.ggml.tokens", tokens);
  w.set_array("tokenizer.ggml.token_type", types);
  const OwnedTokenizer t(w);
  EXPECT_THAT(t->encode("<|a|><|b|><|a|><|x", {false, SpecialTokens::Parse}),
              ElementsAre(257, 256, 258, 'x'));
}

TEST(TokenizerSpecial, BosAndEosFollowTheFlags) {
  testing::GgufWriter w = tiny_bpe();
  EXPECT_THAT(OwnedTokenizer(w)->encode("a"), ElementsAre('a'));  // gpt2: none by default
  w.set_flag("tokenizer.ggml.add_bos_token", 1);
  w.set_flag("tokenizer.ggml.add_eos_token", 1);
  const OwnedTokenizer t(w);
  EXPECT_THAT(t->encode("a"), ElementsAre(kEndOfText, 'a', kEnd));
  EXPECT_THAT(t->encode("a", {false, SpecialTokens::Plain}), ElementsAre('a'));
  EXPECT_EQ(t->bos(), kEndOfText);
  EXPECT_EQ(t->eos(), kEnd);
  EXPECT_EQ(t->decode(t->encode("a")), "a");
  // llama-bpe: a begin token unless the file says otherwise; llama (SPM) as well.
  EXPECT_THAT(OwnedTokenizer(tiny_bpe("llama-bpe"))->encode("a"), ElementsAre(kEndOfText, 'a'));
  EXPECT_THAT(OwnedTokenizer(tiny_spm())->encode(""), ElementsAre(1));
}

TEST(TokenizerSpecial, EndOfGenerationByKeyAndByName) {
  testing::GgufWriter w = tiny_bpe();
  w.set("tokenizer.ggml.eot_token_id", std::uint32_t{'!'});
  const OwnedTokenizer t(w);
  EXPECT_TRUE(t->is_end_of_generation(kEnd));        // eos key, and "<|end|>"
  EXPECT_TRUE(t->is_end_of_generation(kEndOfText));  // its name
  EXPECT_TRUE(t->is_end_of_generation('!'));         // eot key
  EXPECT_FALSE(t->is_end_of_generation(kUser));
  EXPECT_FALSE(t->is_end_of_generation(-1));
  EXPECT_TRUE(t->is_control(kUser));
  EXPECT_FALSE(t->is_control(kThink));
}

TEST(TokenizerSpecial, HarmonyEndOfMessageIsNoEndOfGeneration) {
  testing::GgufWriter w = tiny_bpe("gpt-4o");
  std::vector<std::string> tokens = {"<|end|>", "<|return|>", "<|call|>", "<|channel|>"};
  for (int b = 0; b < 256; ++b) tokens.push_back(testing::gpt2_character(b));
  w.set_array("tokenizer.ggml.tokens", tokens);
  w.remove("tokenizer.ggml.token_type");
  w.set("tokenizer.ggml.eos_token_id", std::uint32_t{1});
  const OwnedTokenizer t(w);
  EXPECT_FALSE(t->is_end_of_generation(0));
  EXPECT_TRUE(t->is_end_of_generation(1));
  EXPECT_TRUE(t->is_end_of_generation(2));
  EXPECT_FALSE(t->is_control(3));
  EXPECT_TRUE(t->is_control(1));  // known names are control tokens whatever the file says
}

TEST(TokenizerSpm, HighestScoreFirstThenBytes) {
  const OwnedTokenizer t(tiny_spm());
  const EncodeOptions bare = {false, SpecialTokens::Plain};
  EXPECT_THAT(t->encode("the", bare), ElementsAre(kSpmFirst + 2));  // "▁the"
  EXPECT_THAT(t->encode("ther", bare), ElementsAre(kSpmFirst + 2, kSpmFirst + 12));
  EXPECT_THAT(t->encode("  in", bare), ElementsAre(kSpmFirst + 5, kSpmFirst + 6, kSpmFirst + 3));
  EXPECT_THAT(t->encode("é", bare), ElementsAre(kSpmFirst + 6, kSpmFirst + 16));
  EXPECT_THAT(t->encode("ü", bare), ElementsAre(kSpmFirst + 6, 3 + 0xc3, 3 + 0xbc));
  EXPECT_THAT(t->encode("\xff", bare), ElementsAre(kSpmFirst + 6, 3 + 0xff));
  EXPECT_EQ(t->piece(3 + 0xc3), "\xc3");
  EXPECT_EQ(t->piece(kSpmFirst + 2), " the");
  EXPECT_EQ(t->raw(kSpmFirst + 2), "▁the");
}

TEST(TokenizerSpm, SpacePrefixCanBeOff) {
  testing::GgufWriter w = tiny_spm();
  w.set_flag("tokenizer.ggml.add_space_prefix", 0);
  w.set_flag("tokenizer.ggml.add_bos_token", 0);
  const OwnedTokenizer t(w);
  EXPECT_THAT(t->encode("the"), ElementsAre(kSpmFirst + 7, kSpmFirst + 1));  // "t" "he"
  EXPECT_EQ(t->decode(t->encode(" the")), " the");
}

TEST(TokenizerSpm, ReservedTextsInPlainTextStayText) {
  const OwnedTokenizer t(tiny_spm());
  for (const char* text : {"<s>", "<0x41>", "</s> <unk>", "a<think> a", "<think>a"}) {
    const Ids ids = t->encode(text, {false, SpecialTokens::Plain});
    EXPECT_EQ(t->decode(ids), text);
    for (const std::int32_t id : ids) EXPECT_GT(id, 2);
  }
  EXPECT_THAT(t->encode("<s>t", {false, SpecialTokens::Parse}), ElementsAre(1, kSpmFirst));
}

TEST(TokenizerSpm, UnknownWhereBytesAreMissing) {
  testing::GgufWriter w = tiny_spm();
  w.set_array("tokenizer.ggml.tokens", std::vector<std::string>{"<unk>", "<s>", "</s>", "▁", "a"});
  w.set_array("tokenizer.ggml.token_type", std::vector<std::int32_t>{2, 3, 3, 1, 1});
  testing::set_floats(w, "tokenizer.ggml.scores", {0, 0, 0, 0, 0});
  EXPECT_THAT(OwnedTokenizer(w)->encode("aé"), ElementsAre(1, 3, 4, 0));
}

TEST(TokenizerSpm, TokensAcrossWordsAreMerged) {
  // "a▁a" forbids cutting at spaces; the ids must be those of merging the whole text.
  const OwnedTokenizer t(testing::spm_vocabulary({"▁a", "a▁", "a▁a", "▁", "a"}));
  EXPECT_THAT(t->encode("a a", {false, SpecialTokens::Plain}), ElementsAre(kSpmFirst, kSpmFirst));
  const OwnedTokenizer u(testing::spm_vocabulary({"a▁", "a▁a", "▁a", "▁", "a"}));
  EXPECT_THAT(u->encode("a a", {false, SpecialTokens::Plain}),
              ElementsAre(kSpmFirst + 3, kSpmFirst + 1));
}

TEST(TokenizerIds, OutOfRangeIsAnInputError) {
  const OwnedTokenizer t(tiny_bpe());
  const auto size = static_cast<std::int32_t>(t->vocab_size());
  for (const std::int32_t id : {-1, size, INT32_MAX, INT32_MIN}) {
    EXPECT_THROW(t->piece(id), Error);
    EXPECT_THROW(t->raw(id), Error);
    EXPECT_THROW(t->is_control(id), Error);
    EXPECT_THROW(t->decode(Ids{'a', id}), Error);
  }
  EXPECT_EQ(t->piece(size - 1), "<think>");
}

TEST(TokenizerHostile, MissingKeysAreNamed) {
  for (const char* key :
       {"tokenizer.ggml.model", "tokenizer.ggml.tokens", "tokenizer.ggml.merges"}) {
    testing::GgufWriter w = tiny_bpe();
    w.remove(key);
    EXPECT_THAT(message_of(w), HasSubstr(key));
  }
  testing::GgufWriter w = tiny_spm();
  w.remove("tokenizer.ggml.scores");
  EXPECT_THAT(message_of(w), HasSubstr("tokenizer.ggml.scores: missing"));
}

TEST(TokenizerHostile, WrongKindsAreNamed) {
  for (const char* key :
       {"tokenizer.ggml.model", "tokenizer.ggml.pre", "tokenizer.ggml.tokens",
        "tokenizer.ggml.merges", "tokenizer.ggml.token_type", "tokenizer.ggml.add_bos_token"}) {
    testing::GgufWriter w = tiny_bpe();
    w.set(key, 1.5f);
    EXPECT_THAT(message_of(w), HasSubstr(key));
    w.set_array(key, std::vector<std::int32_t>{1, 2, 3});
    EXPECT_THAT(message_of(w), HasSubstr(key));
  }
  testing::GgufWriter w = tiny_bpe();
  w.set("tokenizer.ggml.bos_token_id", "one");
  EXPECT_THAT(message_of(w), HasSubstr("tokenizer.ggml.bos_token_id: must be an integer"));
  w = tiny_spm();
  w.set_array("tokenizer.ggml.scores", std::vector<std::string>{"a"});
  EXPECT_THAT(message_of(w), HasSubstr("tokenizer.ggml.scores: must be an array of numbers"));
}

TEST(TokenizerHostile, LengthsAndValuesAreChecked) {
  testing::GgufWriter w = tiny_bpe();
  w.set_array("tokenizer.ggml.token_type", std::vector<std::int32_t>{1, 1});
  EXPECT_THAT(message_of(w), HasSubstr("has 2 entries for 272 tokens"));
  w = tiny_spm();
  testing::set_floats(w, "tokenizer.ggml.scores", {1, 2, 3});
  EXPECT_THAT(message_of(w), HasSubstr("has 3 entries for"));
  testing::set_floats(w, "tokenizer.ggml.scores", std::vector<float>(277, NAN));
  EXPECT_THAT(message_of(w), HasSubstr("is not a number"));
  w = tiny_bpe();
  w.set_array("tokenizer.ggml.tokens", std::vector<std::string>{});
  EXPECT_THAT(message_of(w), HasSubstr("has 0 entries"));
  w.set("tokenizer.ggml.model", "bert\x1b[31m");
  EXPECT_THAT(message_of(w), HasSubstr("not supported"));
  EXPECT_EQ(message_of(w).find('\x1b'), std::string::npos);
}

TEST(TokenizerHostile, OddEntriesWarnAndDoNoHarm) {
  testing::GgufWriter w = tiny_bpe("no-such-pre");
  std::vector<std::string> merges = {"", " ", "x", "x ", "nowhere toknown", "a b", "a b"};
  w.set_array("tokenizer.ggml.merges", merges);
  w.set("tokenizer.ggml.bos_token_id", 0xFFFFFFFFu);
  const OwnedTokenizer t(w);
  ASSERT_EQ(t->warnings().size(), 3u);
  EXPECT_THAT(t->warnings()[0], HasSubstr("no-such-pre"));
  EXPECT_THAT(t->warnings()[1], HasSubstr("tokenizer.ggml.merges: 4 entries"));
  EXPECT_THAT(t->warnings()[2], HasSubstr("tokenizer.ggml.bos_token_id: 4294967295 is no token"));
  EXPECT_EQ(t->bos(), -1);
  // "a b" merges into a symbol that is no token: it falls apart again.
  EXPECT_THAT(t->encode("ab nowhere"),
              ElementsAre('a', 'b', ' ', 'n', 'o', 'w', 'h', 'e', 'r', 'e'));
}

TEST(TokenizerHostile, RepeatedTokensUseTheLowestId) {
  testing::GgufWriter w = tiny_bpe();
  std::vector<std::string> tokens;
  for (int i = 0; i < 512; ++i) tokens.push_back(testing::gpt2_character(i % 256));
  tokens.push_back("");
  w.set_array("tokenizer.ggml.tokens", tokens);
  w.remove("tokenizer.ggml.token_type");
  const OwnedTokenizer t(w);
  ASSERT_EQ(t->warnings().size(), 1u);
  EXPECT_THAT(t->warnings()[0], HasSubstr("256 texts occur more than once"));
  EXPECT_THAT(t->encode("ab"), ElementsAre('a', 'b'));
  EXPECT_EQ(t->decode(Ids{256 + 'a', 512}), "a");
}

double seconds_of(const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// Limits are ten times what a slow machine needs; a quadratic step would miss them by far.
TEST(TokenizerSpeed, LongWordsAreNotQuadratic) {
  const OwnedTokenizer bpe(tiny_bpe()), spm(tiny_spm());
  for (const char c : {'a', ' ', '1', 'Z'}) {
    const std::string text = std::string(300'000, c) + "x";
    EXPECT_LT(seconds_of([&] { EXPECT_EQ(bpe->decode(bpe->encode(text)), text); }), 20.0);
    EXPECT_LT(seconds_of([&] { EXPECT_EQ(spm->decode(spm->encode(text)), text); }), 20.0);
  }
  for (const SplitPattern& p : all_split_patterns()) {
    const OwnedTokenizer t(tiny_bpe(std::string(p.pre).c_str()));
    const std::string text = std::string(100'000, 'A') + std::string(100'000, ' ') + "b";
    EXPECT_LT(seconds_of([&] { EXPECT_EQ(t->decode(t->encode(text)), text); }), 20.0) << p.pre;
  }
}

TEST(TokenizerSpeed, LargeVocabularyLoadsQuickly) {
  testing::Merges merges;
  for (int i = 0; i < 200'000; ++i) {
    merges.emplace_back("w" + std::to_string(i % 1000), std::to_string(i));
  }
  const testing::Blob bytes = testing::bpe_vocabulary(merges, "gpt-4o").build();
  const GgufFile file = parse_gguf(bytes, "large.gguf");
  const double seconds =
      seconds_of([&] { EXPECT_EQ(Tokenizer::from_gguf(file).vocab_size(), 200'260); });
  RecordProperty("load_ms", static_cast<int>(seconds * 1e3));
  EXPECT_LT(seconds, 2.0);
}

std::vector<std::string> words_of(const char* pre, std::string_view text) {
  const SplitPattern* pattern = find_split_pattern(pre);
  if (pattern == nullptr) return {};
  const Splitter splitter(*pattern);
  SplitRun run(splitter);
  std::vector<std::string_view> words;
  run.split(text, words);
  return {words.begin(), words.end()};
}

TEST(SplitPatterns, CutAsPublished) {
  EXPECT_THAT(words_of("gpt-2", "Hello's 123  x"), ElementsAre("Hello", "'s", " 123", " ", " x"));
  EXPECT_THAT(words_of("gpt-2", "a\n\n b"), ElementsAre("a", "\n\n", " b"));
  EXPECT_THAT(words_of("gpt-2", "I'LL"), ElementsAre("I", "'", "LL"));
  EXPECT_THAT(words_of("llama-bpe", "I'LL go 12345"),
              ElementsAre("I", "'LL", " go", " ", "123", "45"));
  EXPECT_THAT(words_of("llama-bpe", "x =\n\n  y"), ElementsAre("x", " =\n\n", " ", " y"));
  EXPECT_THAT(words_of("qwen2", "a123"), ElementsAre("a", "1", "2", "3"));
  EXPECT_THAT(words_of("glm4", "a1234"), ElementsAre("a", "123", "4"));
  EXPECT_THAT(words_of("minimax-m2", "HelloWorld don't a/b"),
              ElementsAre("Hello", "World", " don't", " a", "/b"));
  EXPECT_THAT(words_of("gpt-4o", "HTTPServer"), ElementsAre("HTTPServer"));
  EXPECT_THAT(words_of("tekken", "don't 12"), ElementsAre("don", "'t", " ", "1", "2"));
  EXPECT_THAT(words_of("deepseek-v3", "abc1234東京x"), ElementsAre("abc", "123", "4", "東京", "x"));
  EXPECT_THAT(words_of("deepseek-llm", "ab 12\nc  "),
              ElementsAre("ab", " ", "12", "\n", "c", "  "));
  EXPECT_THAT(words_of("starcoder", "a12 b"), ElementsAre("a", "1", "2", " b"));
  EXPECT_THAT(words_of("kimi-k2", "東京abc DEFg"), ElementsAre("東京", "abc", " DEFg"));
  EXPECT_THAT(words_of("default", "a1234.b"), ElementsAre("a", "123", "4", ".", "b"));
  EXPECT_THAT(words_of("qwen35", "नमस्ते x"), ElementsAre("नमस्ते", " x"));
}

TEST(SplitPatterns, NoPatternLosesText) {
  const std::string text =
      "Naïve café – 東京 🚀\t 1234 I'm  \n\n x\r\n{}()==_a_ ÉCOLE कि ១២៣ \xc2\xa0  ";
  for (const SplitPattern& p : all_split_patterns()) {
    std::string joined;
    for (const std::string& word : words_of(std::string(p.pre).c_str(), text)) {
      EXPECT_FALSE(word.empty());
      EXPECT_EQ(utf8_run(word, 0), word.size()) << p.pre << ": a character was cut";
      joined += word;
    }
    EXPECT_EQ(joined, text) << p.pre;
  }
  EXPECT_EQ(find_split_pattern("no-such-pre"), nullptr);
}

TEST(Utf8, AcceptsCharactersOnly) {
  EXPECT_EQ(utf8_length("a", 0), 1u);
  EXPECT_EQ(utf8_length("é", 0), 2u);
  EXPECT_EQ(utf8_length("東", 0), 3u);
  EXPECT_EQ(utf8_length("🚀", 0), 4u);
  for (const char* bad : {"\x80", "\xc1\x81", "\xc3", "\xe0\x9f\xbf", "\xed\xa0\x80", "\xe6\x9d",
                          "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80"}) {
    EXPECT_EQ(utf8_length(bad, 0), 0u);
  }
  EXPECT_EQ(utf8_length("", 0), 0u);
}

TEST(Alphabet, BytesAndCharactersAreOneToOne) {
  for (int b = 0; b < 256; ++b) {
    const std::string byte(1, static_cast<char>(b));
    EXPECT_EQ(bytes_of_printable(testing::gpt2_character(b)), byte);
  }
  EXPECT_EQ(bytes_of_printable("東"), "東");  // no byte: kept
}

TEST(ChatTemplate, IsOneTurnOfTheDemoModel) {
  EXPECT_EQ(demo_chat_prompt("What limits decode?"),
            "<|user|>\nWhat limits decode?<|end|>\n<|assistant|>\n");
}

}  // namespace
}  // namespace bandwall
