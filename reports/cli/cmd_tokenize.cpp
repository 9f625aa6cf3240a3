// bandwall tokenize: text to token ids with the model's own vocabulary, and back.
#include <fmt/format.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "hwmodel/error.h"
#include "reports/cli/commands.h"
#include "reports/cli/common.h"
#include "runtime/tokenizer.h"

namespace bandwall {
namespace {

// A token's bytes on one line: control characters and quotes as C escapes.
std::string shown(const std::string& piece) {
  std::string out;
  for (const char c : piece) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '\n')
      out += "\\n";
    else if (c == '\t')
      out += "\\t";
    else if (c == '\\' || c == '\'')
      out += std::string("\\") + c;
    else if (byte < 0x20 || byte == 0x7f)
      out += fmt::format("\\x{:02x}", byte);
    else
      out += c;
  }
  return out;
}

int run_tokenize(const Arguments& a) {
  const LoadedModel model = open_model(a.text("model"));
  const Tokenizer tokenizer = Tokenizer::from_gguf(model.files().front());
  for (const std::string& w : tokenizer.warnings()) note("bandwall: " + w);
  if (a.has("prompt") + a.has("file") + static_cast<int>(a.positional().size()) != 1) {
    throw Error::input("tokenize", "give the text once: as an argument, with -p, or with -f FILE");
  }
  const std::string text = a.has("file")     ? read_file(a.text("file"), 256 << 20)
                           : a.has("prompt") ? a.text("prompt")
                                             : a.positional().front();
  EncodeOptions options;
  options.add_special = !a.on("no-bos");
  options.special = a.on("special") ? SpecialTokens::Parse : SpecialTokens::Plain;
  const std::vector<std::int32_t> ids = tokenizer.encode(text, options);
  const std::string form = a.choice("output", {"text", "ids", "json"});
  if (form == "ids") {
    fmt::print("{}\n", fmt::join(ids, ","));
  } else if (form == "json") {
    nlohmann::ordered_json tokens = nlohmann::ordered_json::array();
    for (const std::int32_t id : ids)
      tokens.push_back({{"id", id}, {"piece", tokenizer.piece(id)}});
    fmt::print("{}\n", nlohmann::ordered_json{{"count", ids.size()}, {"tokens", tokens}}.dump(
                           2, ' ', false, nlohmann::ordered_json::error_handler_t::replace));
  } else {
    for (const std::int32_t id : ids) fmt::print("{:>7} -> '{}'\n", id, shown(tokenizer.piece(id)));
    note(fmt::format("{} tokens", ids.size()));
  }
  return kExitDone;
}

}  // namespace

CommandSpec command_tokenize() {
  CommandSpec c{"tokenize",
                "tokenize -m FILE TEXT [OPTIONS]",
                "text to token ids with the model's own vocabulary",
                0,
                1,
                {},
                run_tokenize};
  c.options = {{"model,m", "FILE", "demo",
                "a GGUF file, hf:ORG/NAME[:QUANT] (also -hf), ollama:NAME or the demo"},
               {"prompt,p", "TEXT", "", "the text"},
               {"file,f", "FILE", "", "the text from a file"},
               {"special", "", "", "special tokens in the text count as such"},
               {"no-bos", "", "", "do not add the tokens that the model adds by itself"},
               option_output("text", "text, ids, json")};
  return c;
}

}  // namespace bandwall
