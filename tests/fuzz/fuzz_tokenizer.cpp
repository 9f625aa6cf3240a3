// The first byte chooses the vocabulary (below 0x7c: byte-level BPE with one of the patterns; 0x7c
// and 0x7d: SPM with and without the space prefix; 0x7e and 0x7f: one made of the input itself) and
// by its highest bit whether special tokens are parsed; the rest is the text. Sound vocabularies:
// decode(encode(x)) == x. Made ones: no crash, only Error.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "hwmodel/error.h"
#include "runtime/split_patterns.h"
#include "tests/support/tiny_vocabulary.h"

namespace {

using bandwall::EncodeOptions;
using bandwall::SpecialTokens;
using bandwall::testing::GgufWriter;
using bandwall::testing::OwnedTokenizer;

const std::vector<OwnedTokenizer>& sound() {
  static const std::vector<OwnedTokenizer> all = [] {
    std::vector<OwnedTokenizer> list;
    for (const bandwall::SplitPattern& p : bandwall::all_split_patterns()) {
      list.emplace_back(bandwall::testing::tiny_bpe(std::string(p.pre).c_str()));
    }
    list.emplace_back(bandwall::testing::tiny_spm());
    GgufWriter w = bandwall::testing::tiny_spm();
    w.set_flag("tokenizer.ggml.add_space_prefix", 0);
    list.emplace_back(w);
    return list;
  }();
  return all;
}

void round_trip(const OwnedTokenizer& t, std::string_view text, SpecialTokens special) {
  const std::vector<std::int32_t> ids = t->encode(text, EncodeOptions{true, special});
  for (const std::int32_t id : ids) {
    if (id < 0 || id >= t->vocab_size()) std::abort();
    t->is_end_of_generation(id);
  }
  const bool has_mark = text.find("\xe2\x96\x81") != std::string_view::npos;  // a space to SPM
  if (special == SpecialTokens::Plain && !has_mark && t->decode(ids) != text) std::abort();
}

// Lines of the text: tokens; what follows a tab is the type; lines with a space are merges too.
void made_of(std::string_view text, const char* model, SpecialTokens special) {
  std::vector<std::string> tokens, merges;
  std::vector<std::int32_t> types;
  std::vector<float> scores;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.size(), text.find('\n', at));
    std::string line(text.substr(at, end - at));
    const std::size_t tab = line.find('\t');
    types.push_back(tab == std::string::npos ? 1 : line.back() - '0');
    scores.push_back(static_cast<float>(line.size() % 7));
    if (tab != std::string::npos) line.resize(tab);
    if (line.find(' ') != std::string::npos) merges.push_back(line);
    tokens.push_back(line);
    at = end + 1;
  }
  GgufWriter w;
  w.set("tokenizer.ggml.model", model);
  w.set("tokenizer.ggml.pre", tokens.empty() ? "" : tokens[0].c_str());
  w.set_array("tokenizer.ggml.tokens", tokens);
  w.set_array("tokenizer.ggml.token_type", types);
  w.set_array("tokenizer.ggml.merges", merges);
  bandwall::testing::set_floats(w, "tokenizer.ggml.scores", scores);
  w.set("tokenizer.ggml.eos_token_id", static_cast<std::uint32_t>(text.size() % 50));
  try {
    const OwnedTokenizer t(w);
    t->decode(t->encode(text, EncodeOptions{true, special}));
    for (std::int32_t id = 0; id < t->vocab_size(); ++id) t->piece(id);
  } catch (const bandwall::Error&) {
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  const SpecialTokens special = (data[0] & 0x80) != 0 ? SpecialTokens::Parse : SpecialTokens::Plain;
  const std::size_t choice = data[0] & 0x7f, patterns = sound().size() - 2;
  if (choice >= 0x7e) {
    made_of(text, choice == 0x7e ? "gpt2" : "llama", special);
  } else if (choice >= 0x7c) {
    round_trip(sound()[patterns + choice - 0x7c], text, special);
  } else {
    round_trip(sound()[choice % patterns], text, special);
  }
  return 0;
}
