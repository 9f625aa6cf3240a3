// What an OpenAI-compatible server streams, chunk by chunk, with the time at which each arrived.
//   TokenStreamReader r;  r.feed(bytes, now);  r.finish();  r.result().arrivals
// Reads /v1/chat/completions and /v1/completions: text, thinking and tool calls count as tokens;
// "usage" (stream_options.include_usage) and llama-server's "timings" are taken where they are
// sent; its decode rate is put right from N tokens to the N - 1 intervals it timed. Throws Error
// (Running): data that is no JSON object, an error that the server streams, a line that is too
// long. Pure: times are given, in seconds since any one moment.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "hwmodel/units.h"
#include "reports/sse.h"

namespace bandwall {

struct TokenStream {
  std::vector<Seconds> arrivals;  // of each chunk that brought tokens
  bool complete = false;          // a finish reason or [DONE] was seen
  std::optional<std::int64_t> prompt_tokens, completion_tokens,
      cached_tokens;                                          // as the server says
  std::optional<double> server_prefill_ts, server_decode_ts;  // its own clock, tokens per second
};

class TokenStreamReader {
 public:
  void feed(std::string_view bytes, Seconds now);
  void finish(Seconds now);
  const TokenStream& result() const { return result_; }

 private:
  void take(std::string_view data, Seconds now);
  SseParser parser_;
  TokenStream result_;
};

}  // namespace bandwall
