// An OpenAI-compatible server as probe gets to know it: which model and software, which endpoint
// and fields it takes, how many tokens a word has; and random prompts that no cache knows.
//   ProbeServer s;  find_served_model(client, {}, s);  first_contact(client, "auto", words, s);
//   ask(client, s, {words.some(words_for(s, 512))}, 64)
// Throws Error: Input where a model must be named, Running for whatever the server refuses.
#pragma once

#include <optional>
#include <random>
#include <string>
#include <vector>

#include "reports/cli/probe_client.h"

namespace bandwall {

// Random common words, each one token of nearly every vocabulary.
class Words {
 public:
  explicit Words(std::uint64_t seed) : random_(seed) {}
  std::string some(std::int64_t n);

 private:
  std::mt19937_64 random_;
};

struct ProbeServer {
  std::string model, endpoint;
  std::string kind;   // "llama.cpp", "vLLM", ...; empty: unknown
  std::string lists;  // instead of the model that was asked for
  std::int64_t model_bytes = 0;
  bool plain = false;          // it refuses stream_options and ignore_eos
  double base = 0, slope = 1;  // prompt tokens = base + slope * words
  bool counts = true;
};

// The model to ask for: the one that is named, else the only one that the server lists.
void find_served_model(const ProbeClient& client, const std::optional<std::string>& wanted,
                       ProbeServer& server);

// Finds the endpoint ("completions", "chat" or, for "auto", the first there is) and the fields.
void first_contact(const ProbeClient& client, const std::string& endpoint, Words& words,
                   ProbeServer& server);

// Two short prompts give the tokens per word and those that the server adds.
void learn_prompt_length(const ProbeClient& client, Words& words, ProbeServer& server);
std::int64_t words_for(const ProbeServer& server, std::int64_t tokens);

// All prompts at once. `reuse`: what the server's cache has of them may be taken from it.
ProbeRound ask(const ProbeClient& client, const ProbeServer& server,
               const std::vector<std::string>& prompts, std::int64_t n_gen, bool reuse = false);

// Whether a backend prices this kind of server; one of unknown kind contradicts nothing.
bool same_software(const std::string& kind, const std::string& backend);

}  // namespace bandwall
