#include "reports/cli/probe_server.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <nlohmann/json.hpp>

#include "hwmodel/error.h"

namespace bandwall {
namespace {

using Json = nlohmann::json;

// Common words: with a blank before them each is one token of nearly every vocabulary.
constexpr const char* kWords[] = {
    "time",     "year",  "people", "way",     "day",    "man",      "thing",  "woman",
    "life",     "child", "world",  "school",  "state",  "family",   "group",  "country",
    "hand",     "part",  "place",  "case",    "week",   "company",  "system", "program",
    "question", "work",  "number", "night",   "point",  "home",     "water",  "room",
    "mother",   "area",  "money",  "story",   "fact",   "month",    "lot",    "right",
    "study",    "book",  "eye",    "job",     "word",   "business", "issue",  "side",
    "kind",     "head",  "house",  "service", "friend", "father",   "power",  "hour",
    "game",     "line",  "end",    "member",  "law",    "car",      "city",   "name"};

// Who serves, by the owner that its list of models names.
std::string kind_of(const std::string& owner) {
  if (owner == "llamacpp") return "llama.cpp";
  if (owner == "vllm") return "vLLM";
  if (owner == "library") return "Ollama";
  if (owner == "sglang") return "SGLang";
  if (owner == "tensorrt_llm") return "TensorRT-LLM";
  return "";
}

void take_model(const Json& entry, ProbeServer& server) {
  const auto text = [&](const char* key) {
    const auto found = entry.find(key);
    return found != entry.end() && found->is_string() ? found->get<std::string>() : "";
  };
  server.model = text("id");
  server.kind = kind_of(text("owned_by"));
  const auto meta = entry.find("meta");
  if (meta == entry.end() || !meta->is_object()) return;
  const auto size = meta->find("size");
  if (size != meta->end() && size->is_number_unsigned() && *size < std::uint64_t{1} << 50) {
    server.model_bytes = size->get<std::int64_t>();
  }
}

std::string body_of(const ProbeServer& server, const std::string& prompt, std::int64_t n_gen,
                    bool reuse) {
  Json body = {
      {"model", server.model}, {"max_tokens", n_gen}, {"temperature", 0}, {"stream", true}};
  if (server.endpoint == "/completions") {
    body["prompt"] = prompt;
  } else {
    body["messages"] = Json::array({{{"role", "user"}, {"content", prompt}}});
  }
  if (!server.plain) {
    body["stream_options"] = {{"include_usage", true}};
    body["ignore_eos"] = true;
    body["cache_prompt"] = reuse;  // llama-server: not even a first token in common
  }
  return body.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace

std::string Words::some(std::int64_t n) {
  std::string text;
  for (std::int64_t i = 0; i < n; ++i) {
    text += i > 0 ? " " : "";
    text += kWords[random_() % std::size(kWords)];
  }
  return text;
}

// Ollama runs llama.cpp.
bool same_software(const std::string& kind, const std::string& backend) {
  std::string wanted = kind == "Ollama" ? "llama.cpp" : kind;
  for (char& c : wanted) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return backend.starts_with(wanted) || (kind == "Ollama" && backend.starts_with("ollama"));
}

void find_served_model(const ProbeClient& client, const std::optional<std::string>& wanted,
                       ProbeServer& server) {
  const ProbeClient::Answer answer = client.get("/models");
  const Json list = Json::parse(answer.status == 200 ? answer.body : "", nullptr, false);
  if (wanted) server.model = *wanted;
  if (!list.is_object() || !list.contains("data") || !list["data"].is_array()) {
    if (wanted && (answer.status == 200 || answer.status == 404)) return;
    if (answer.status != 200) client.refuse("/models", answer);
    throw Error::running("--url", "/models is no list of models in JSON: '" +
                                      answer.body.substr(0, 200) +
                                      "'; is this the address of an OpenAI API?");
  }
  std::vector<std::string> names;
  for (const Json& entry : list["data"]) {
    if (!entry.is_object()) continue;
    ProbeServer one;
    take_model(entry, one);
    names.push_back(one.model);
    if (wanted ? one.model == *wanted : names.size() == 1) {
      server.model = one.model;
      server.kind = one.kind;
      server.model_bytes = one.model_bytes;
    } else if (server.kind.empty()) {
      server.kind = one.kind;
      server.model_bytes = one.model_bytes;
    }
  }
  const bool listed = std::find(names.begin(), names.end(), server.model) != names.end();
  if (wanted && !listed && !names.empty()) server.lists = names.front();
  if (wanted || names.size() == 1) return;
  names.resize(std::min<std::size_t>(names.size(), 20));
  throw Error::input("--model", names.empty()
                                    ? "the server lists no model; name the one it serves"
                                    : fmt::format("the server has several models: {}; name one",
                                                  fmt::join(names, ", ")));
}

ProbeRound ask(const ProbeClient& client, const ProbeServer& server,
               const std::vector<std::string>& prompts, std::int64_t n_gen, bool reuse) {
  std::vector<std::string> bodies;
  for (const std::string& p : prompts) bodies.push_back(body_of(server, p, n_gen, reuse));
  ProbeRound round;
  for (ProbeClient::Answer& a : client.post_together(server.endpoint, bodies)) {
    if (a.status != 200 || !a.streamed) client.refuse(server.endpoint, a);
    round.answers.push_back(std::move(a.tokens));
  }
  return round;
}

void first_contact(const ProbeClient& client, const std::string& endpoint, Words& words,
                   ProbeServer& server) {
  std::vector<std::string> endpoints = {"/completions", "/chat/completions"};
  if (endpoint == "completions") endpoints.pop_back();
  if (endpoint == "chat") endpoints.erase(endpoints.begin());
  ProbeClient::Answer refused;
  for (const std::string& e : endpoints) {
    for (const bool plain : {false, true}) {
      server.endpoint = e;
      server.plain = plain;
      ProbeClient::Answer a =
          client.post_together(e, {body_of(server, words.some(8), 2, false)}).front();
      if (a.status == 200 && a.streamed) return;
      refused = std::move(a);
      if (refused.status != 400 && refused.status != 422) break;
    }
    const bool elsewhere = refused.status == 404 || refused.status == 405 || refused.status == 501;
    if (!elsewhere) break;
  }
  client.refuse(server.endpoint, refused);
}

void learn_prompt_length(const ProbeClient& client, Words& words, ProbeServer& server) {
  constexpr std::int64_t kShort = 8, kLong = 72;
  std::optional<std::int64_t> n[2];
  for (const int i : {0, 1}) {
    const ProbeRound r = ask(client, server, {words.some(i == 0 ? kShort : kLong)}, 2);
    n[i] = r.answers.front().stream.prompt_tokens;
  }
  server.counts = n[0] && n[1] && *n[1] > *n[0];
  if (!server.counts) return;
  server.slope = static_cast<double>(*n[1] - *n[0]) / (kLong - kShort);
  server.base = static_cast<double>(*n[0]) - server.slope * kShort;
}

std::int64_t words_for(const ProbeServer& server, std::int64_t tokens) {
  const double words = (static_cast<double>(tokens) - server.base) / server.slope;
  return std::max<std::int64_t>(1, std::llround(words));
}

}  // namespace bandwall
