#include "reports/token_stream.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "hwmodel/error.h"

namespace bandwall {
namespace {

using Json = nlohmann::json;

constexpr std::int64_t kMostTokens = std::int64_t{1} << 32;

const Json* member(const Json& object, const char* key) {
  if (!object.is_object()) return nullptr;
  const auto found = object.find(key);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

void take_count(const Json& object, const char* key, std::optional<std::int64_t>& into) {
  const Json* value = member(object, key);
  if (value == nullptr || !value->is_number_integer()) return;
  const double n = value->get<double>();  // of any sign and size, without wrapping
  if (n >= 0 && n <= static_cast<double>(kMostTokens)) into = value->get<std::int64_t>();
}

void take_rate(const Json& object, const char* key, std::optional<double>& into) {
  const Json* value = member(object, key);
  if (value == nullptr || !value->is_number()) return;
  const double rate = value->get<double>();
  if (std::isfinite(rate) && rate > 0 && rate < 1e12) into = rate;
}

void take_usage(const Json& usage, TokenStream& s) {
  take_count(usage, "prompt_tokens", s.prompt_tokens);
  take_count(usage, "completion_tokens", s.completion_tokens);
  if (const Json* details = member(usage, "prompt_tokens_details")) {
    take_count(*details, "cached_tokens", s.cached_tokens);
  }
}

// llama-server: prompt_n counts what was evaluated, cache_n what lay in the cache.
void take_timings(const Json& timings, TokenStream& s) {
  std::optional<std::int64_t> evaluated;
  take_count(timings, "prompt_n", evaluated);
  take_count(timings, "cache_n", s.cached_tokens);
  take_rate(timings, "prompt_per_second", s.server_prefill_ts);
  take_rate(timings, "predicted_per_second", s.server_decode_ts);
  std::optional<std::int64_t> generated;
  take_count(timings, "predicted_n", generated);
  if (!s.completion_tokens) s.completion_tokens = generated;
  if (generated && s.server_decode_ts) {
    // Its clock starts at the first of the N tokens that it counts: N - 1 intervals.
    *s.server_decode_ts *= static_cast<double>(*generated - 1) / static_cast<double>(*generated);
    if (!(*s.server_decode_ts > 0)) s.server_decode_ts.reset();
  }
  if (!evaluated) return;
  if (!s.prompt_tokens) s.prompt_tokens = *evaluated + s.cached_tokens.value_or(0);
  s.cached_tokens = std::max<std::int64_t>(0, *s.prompt_tokens - *evaluated);
}

bool holds_text(const Json& object) {
  for (const char* key : {"text", "content", "reasoning_content", "reasoning", "refusal"}) {
    const Json* value = member(object, key);
    if (value != nullptr && value->is_string() && !value->get_ref<const std::string&>().empty()) {
      return true;
    }
  }
  const Json* calls = member(object, "tool_calls");
  return calls != nullptr && calls->is_array() && !calls->empty();
}

// Whether a chunk brought a token. /v1/completions has a chunk for tokens without text too (control
// tokens, the first half of a character); in chats a delta without text is a role or an end.
bool brings_token(const Json& choice) {
  if (const Json* delta = member(choice, "delta")) return holds_text(*delta);
  const Json* text = member(choice, "text");
  const bool goes_on = member(choice, "finish_reason") == nullptr;
  return holds_text(choice) || (text != nullptr && text->is_string() && goes_on);
}

}  // namespace

void TokenStreamReader::take(std::string_view data, Seconds now) {
  if (data == "[DONE]") {
    result_.complete = true;
    return;
  }
  const Json chunk = Json::parse(data, nullptr, false);
  if (!chunk.is_object()) {
    throw Error::running("event stream", "an event is no JSON object: '" +
                                             std::string(data.substr(0, 200)) +
                                             "'; is --url the address of an OpenAI API?");
  }
  if (const Json* error = member(chunk, "error")) {
    const std::string text = error->dump(-1, ' ', false, Json::error_handler_t::replace);
    throw Error::running("event stream", "the server reports an error: " + text.substr(0, 500));
  }
  if (const Json* choices = member(chunk, "choices"); choices != nullptr && choices->is_array()) {
    for (const Json& choice : *choices) {
      if (brings_token(choice)) result_.arrivals.push_back(now);
      if (member(choice, "finish_reason") != nullptr) result_.complete = true;
    }
  }
  if (const Json* usage = member(chunk, "usage")) take_usage(*usage, result_);
  if (const Json* timings = member(chunk, "timings")) take_timings(*timings, result_);
}

void TokenStreamReader::feed(std::string_view bytes, Seconds now) {
  parser_.feed(bytes, [&](std::string_view data) { take(data, now); });
}

void TokenStreamReader::finish(Seconds now) {
  parser_.finish([&](std::string_view data) { take(data, now); });
}

}  // namespace bandwall
