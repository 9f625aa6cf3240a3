// Times of tokens as a client sees them, turned into the field's measures. Pure functions.
//   TTFT  from sending to the first chunk with text           ITL  between neighbouring chunks
//   TPOT  (last - first chunk) / (tokens - 1) of one answer   p95  linear between ranks
//   prefill tok/s  tokens evaluated / TTFT; of several prompts at once: their sum / the last TTFT
//   decode tok/s   tokens that arrive while every stream decodes / that time; where the answers do
//                  not overlap, tokens after the first of each / the time from first to last token
#pragma once

#include <vector>

#include "analysis/quantile.h"
#include "reports/token_stream.h"

namespace bandwall {

struct ProbeAnswer {
  Seconds sent;  // on the clock of the stream's arrivals
  TokenStream stream;
};

// Tokens that an answer brought: the server's count, else one per chunk.
std::int64_t generated_tokens(const TokenStream& stream);

struct ProbeRound {  // answers to requests sent together
  std::vector<ProbeAnswer> answers;
};

struct ProbeMeasures {
  std::vector<double> ttft, itl, tpot;        // seconds; pooled over rounds and answers
  std::vector<double> prefill_ts, decode_ts;  // one per round; empty when not measurable
  std::vector<double> server_prefill_ts, server_decode_ts;     // of single streams only
  double prompt_tokens = 0, cached_tokens = 0, generated = 0;  // medians
  double tokens_per_chunk = 0;
  bool counted_prompts = true, counted_tokens = true;  // by the server in every answer
  bool knows_cached = true;                            // it says in every answer what it reused
  bool together = true;                                // answers overlapped in every round
};
ProbeMeasures measures(const std::vector<ProbeRound>& rounds);

}  // namespace bandwall
