// Requests served together: what a user waits for. Closed loop: each of `batch` users sends a
// prompt of n_prompt tokens on top of `depth` cached ones, reads n_gen tokens and sends the next.
//   Service s = serve(machine, backend, model, scenario);   s.ttft, s.tpot
// Prompts are prefilled in chunks of n_ubatch; a step that carries a chunk carries one token of
// every decoding user too (a mixed step, as vLLM and SGLang schedule), so its time is a user's
// longest wait between two tokens. Closed form for evenly spread arrivals, without queueing noise:
//   chunks = ceil(n_prompt / n_ubatch);  period of one round of all users
//     = batch * chunks * t_mixed + max(0, n_gen - 1 - (batch - 1) * chunks) * t_decode
//   TTFT = chunks * t_mixed, TPOT = (period - TTFT) / (n_gen - 1), throughput = batch n_gen /
//   period
// When the prompts alone fill the period, every step is a mixed one and TTFT is what is left of it.
// Definitions: TTFT up to the first token; TPOT the mean over the others; ITL single gaps.
#pragma once

#include "analysis/predict.h"

namespace bandwall {

struct Service {
  std::int64_t users = 1, chunks = 1;
  Seconds decode_step, mixed_step;  // of all users; of a whole chunk beside the others' tokens
  Seconds ttft, tpot, request;      // of one user
  Seconds itl_median, itl_chunk;    // the usual gap, and the one while another's prompt is read
  double ts_generated = 0;          // tokens per second of all users
  double ts_total = 0;              // with the prompts' tokens
  bool saturated = false;           // every step carries a chunk: the prompts alone fill the time
};

// Throws Error (Input) when n_prompt or n_gen is below 1 or outside predict_decode's ranges.
Service serve(const Machine& machine, const Backend& backend, const ModelSpec& model,
              const Scenario& scenario);

// One step of `chunk` new tokens of a sequence with `past` cached tokens and one token each of
// `decoding` sequences with `depth`: weights are streamed once for all of them, attention is each
// one's own. decoding 0: a plain prefill step.
// Cache formats, threads and routing are those of the scenario.
Seconds mixed_step(const Machine& machine, const Backend& backend, const ModelSpec& model,
                   const Scenario& scenario, std::int64_t chunk, std::int64_t past,
                   std::int64_t decoding, std::int64_t depth);

}  // namespace bandwall
