// bandwall eval: logits of given tokens as raw float32, for comparison with other engines.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "hwmodel/error.h"
#include "reports/cli/commands.h"
#include "reports/cli/common.h"
#include "runtime/sampler.h"

namespace bandwall {
namespace {

// Ids separated by commas, spaces or lines; brackets are skipped (a JSON array works).
std::vector<std::int32_t> parse_tokens(const std::string& where, std::string text,
                                       std::int64_t vocab) {
  for (char& c : text) {
    if (c == ' ' || c == '\n' || c == '\r' || c == '\t' || c == '[' || c == ']') c = ',';
  }
  std::vector<std::int32_t> ids;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t comma = std::min(text.find(',', at), text.size());
    if (comma > at) {
      const std::string word = text.substr(at, comma - at);
      const bool number = word.size() < 10 && std::all_of(word.begin(), word.end(), [](char c) {
                            return c >= '0' && c <= '9';
                          });
      const std::int64_t id = number ? std::stoll(word) : -1;
      if (id < 0 || id >= vocab) {
        throw Error::input(
            where, fmt::format("'{}' is no token id from 0 to {}", word.substr(0, 40), vocab - 1));
      }
      ids.push_back(static_cast<std::int32_t>(id));
    }
    at = comma + 1;
  }
  if (ids.empty()) throw Error::input(where, "no token ids; give them as 1,2,3");
  return ids;
}

const KernelTable* chosen_table(const std::string& isa) {
  if (isa.empty()) return nullptr;
  std::vector<std::string> names;
  for (const KernelTable* t : usable_kernels()) {
    if (t->isa == isa) return t;
    names.emplace_back(t->isa);
  }
  throw Error::input(
      "--isa", fmt::format("'{}' does not run here; usable: {}", isa, fmt::join(names, ", ")));
}

std::string experts_json(const Meter& meter) {
  nlohmann::ordered_json j = nlohmann::ordered_json::object();
  for (std::size_t layer = 0; layer < meter.experts.size(); ++layer) {
    if (!meter.experts[layer].empty()) j[std::to_string(layer)] = meter.experts[layer];
  }
  return j.dump() + "\n";
}

std::int64_t eval_context(const Arguments& a, std::int64_t n, std::int64_t n_greedy) {
  const std::int64_t asked = a.integer("ctx-size", 0, std::int64_t{1} << 31);
  if (asked == 0 || asked >= n + n_greedy) return std::max(asked, n + n_greedy);
  throw Error::input("--ctx-size", fmt::format("{} tokens and --greedy {} need {} positions, but "
                                               "the context is {}; raise -c or shorten them",
                                               n, n_greedy, n + n_greedy, asked));
}

int run_eval(const Arguments& a) {
  const LoadedModel model = open_model(a.text("model"), chosen_loading(a));
  model.require_kernels();
  if (a.has("tokens") == a.has("tokens-file")) {
    throw Error::input("eval", "give the tokens once: --tokens 1,2,3 or --tokens-file FILE");
  }
  const std::int64_t vocab = model.spec().hyper.vocab;
  const std::vector<std::int32_t> tokens =
      a.has("tokens")
          ? parse_tokens("--tokens", a.text("tokens"), vocab)
          : parse_tokens(a.text("tokens-file"), read_file(a.text("tokens-file"), 256 << 20), vocab);
  const std::int64_t n_greedy = a.integer("greedy", 0, 1 << 20);
  const auto n = static_cast<std::int64_t>(tokens.size());

  EngineOptions options;
  options.kernels = a.choice("kernels", {"fast", "reference"}) == "fast" ? KernelMode::Fast
                                                                         : KernelMode::Reference;
  options.table = options.kernels == KernelMode::Fast ? chosen_table(a.text("isa")) : nullptr;
  const KvConfig kv = kv_config(a);
  options.k = kv.k;
  options.v = kv.v;
  options.n_ubatch = a.integer("ubatch-size", 1, 1 << 16);
  options.threads = a.has("threads") ? static_cast<int>(a.integer("threads", 1, 1024)) : 0;
  options.context = eval_context(a, n, n_greedy);
  Engine engine(model, options);
  engine.set_interrupt(&interrupted());

  Meter meter;
  meter.record_experts = true;
  std::optional<OutputFile> logits_file, experts_file;  // opened before the work, not after it
  if (a.has("logits")) logits_file.emplace(a.text("logits"));
  if (a.has("experts")) experts_file.emplace(a.text("experts"));
  std::span<const float> logits;
  for (std::int64_t at = 0; at < n; at += options.n_ubatch) {
    const auto chunk = std::span(tokens).subspan(
        static_cast<std::size_t>(at), static_cast<std::size_t>(std::min(options.n_ubatch, n - at)));
    logits = engine.evaluate(chunk, Outputs::All, &meter);
    if (logits_file) logits_file->write(logits.data(), logits.size_bytes());
  }
  if (logits_file) logits_file->commit();
  if (experts_file) {
    const std::string text = experts_json(meter);
    experts_file->write(text.data(), text.size());
    experts_file->commit();
  }

  std::vector<std::int32_t> greedy;
  logits = logits.last(static_cast<std::size_t>(vocab));
  const std::uint64_t hash = logits_hash(logits);
  while (static_cast<std::int64_t>(greedy.size()) < n_greedy) {
    const std::int32_t next[] = {argmax(logits)};
    greedy.push_back(next[0]);
    if (static_cast<std::int64_t>(greedy.size()) < n_greedy)
      logits = engine.evaluate(next, Outputs::Last);
  }
  if (n_greedy > 0) fmt::print("{}\n", fmt::join(greedy, ","));
  note(fmt::format("{} positions x {} logits, {} kernels, K {} / V {}, last logits {:016x}", n,
                   vocab, engine.options().table->isa, kv.k->name, kv.v->name, hash));
  return kExitDone;
}

}  // namespace

CommandSpec command_eval() {
  CommandSpec c{"eval",
                "eval -m FILE --tokens 1,2,3 --logits OUT.f32 [OPTIONS]",
                "logits of given tokens, raw float32 (positions x vocabulary), to compare engines",
                0,
                0,
                {},
                run_eval};
  c.options = {
      {"model,m", "FILE", "demo",
       "a GGUF file, hf:ORG/NAME[:QUANT] (also -hf), ollama:NAME or the demo"},
      {"tokens", "IDS", "", "token ids, separated by commas"},
      {"tokens-file", "FILE", "", "the same from a file"},
      {"logits", "FILE", "", "write the logits of every position, little-endian float32"},
      {"experts", "FILE", "", "write the chosen experts: {\"layer\": [[ids of a position], ...]}"},
      {"greedy", "N", "0", "print N tokens of the greedy continuation"},
      {"kernels", "KIND", "fast", "fast, or reference: weights expanded to float32"},
      {"isa", "NAME", "", "force portable, avx2 or avx512 kernels"},
      {"cache-type-k,ctk", "TYPE", "f32", "format of the K cache"},
      {"cache-type-v,ctv", "TYPE", "f32", "format of the V cache"},
      option_ubatch(),
      option_context("0"),
      option_threads()};
  for (const OptionSpec& o : options_loading()) c.options.push_back(o);
  for (const OptionSpec& o : options_ignored()) c.options.push_back(o);
  return c;
}

}  // namespace bandwall
