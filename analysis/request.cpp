#include "analysis/request.h"

#include <algorithm>

#include <fmt/format.h>

#include "hwmodel/error.h"

namespace bandwall {
namespace {

// Ops whose work depends on which sequence a token belongs to.
bool is_own(OpKind kind) { return kind == OpKind::Attention || kind == OpKind::Ssm; }

struct Parts {
  Seconds own, shared;
};
Parts parts_of(const Prediction& p) {
  Parts parts;
  for (const OpPrediction& op : p.ops) {
    (is_own(op.key.kind) ? parts.own : parts.shared) += op.expected;
  }
  parts.shared = p.step - parts.own;  // with the time of a step
  return parts;
}

}  // namespace

Seconds mixed_step(const Machine& machine, const Backend& backend, const ModelSpec& model,
                   const Scenario& s, std::int64_t chunk, std::int64_t past, std::int64_t decoding,
                   std::int64_t depth) {
  const auto run = [&](const Step& step) {
    return parts_of(predict(machine, backend, model, s.kv, step,
                            routing_of(backend, model, s, step), s.threads));
  };
  const Parts alone = run({1, chunk, past, 1});
  if (decoding < 1) return alone.own + alone.shared;
  const Parts together = run({1, chunk + decoding, past, 1 + decoding});
  const Parts others = run({decoding, 1, depth, decoding});
  return together.shared + alone.own + others.own;
}

Service serve(const Machine& machine, const Backend& backend, const ModelSpec& model,
              const Scenario& s) {
  if (s.n_prompt < 1 || s.n_gen < 1) {
    throw Error::input("requests", fmt::format("a request has a prompt and generated tokens; "
                                               "n_prompt is {}, n_gen {}",
                                               s.n_prompt, s.n_gen));
  }
  Service r;
  r.users = s.batch;
  r.chunks = (s.n_prompt + s.n_ubatch - 1) / s.n_ubatch;
  const std::int64_t chunk = (s.n_prompt + r.chunks - 1) / r.chunks;
  const std::int64_t middle = s.depth + s.n_prompt + s.n_gen / 2;
  Scenario decode = s;
  decode.depth = s.depth + s.n_prompt;
  r.decode_step = predict_decode(machine, backend, model, decode).total /
                  static_cast<double>(std::max<std::int64_t>(1, s.n_gen));
  // Halfway through the prompt; the time of a chunk is linear in its position.
  r.mixed_step = mixed_step(machine, backend, model, s, chunk, s.depth + (s.n_prompt - chunk) / 2,
                            s.batch - 1, middle);
  const double chunks = static_cast<double>(r.chunks), users = static_cast<double>(s.batch);
  const double others = static_cast<double>(s.n_gen - 1) - (users - 1) * chunks;
  r.saturated = others < 0;
  const Seconds period = r.mixed_step * (users * chunks) + r.decode_step * std::max(0.0, others);
  const double rest = static_cast<double>(s.n_gen - 1);
  r.request = period;
  if (r.saturated) {  // prompts queue for each other; a decoding user gets a token in every step
    r.tpot = r.mixed_step;
    r.ttft = period - r.tpot * rest;
  } else {
    r.ttft = r.mixed_step * chunks;
    if (rest > 0) r.tpot = (period - r.ttft) / rest;
  }
  const double among_chunks = (users - 1) * chunks;
  r.itl_median = among_chunks > others ? r.mixed_step : r.decode_step;
  r.itl_chunk = s.batch > 1 ? r.mixed_step : r.decode_step;
  r.ts_generated = users * static_cast<double>(s.n_gen) / period.value();
  r.ts_total = users * static_cast<double>(s.n_gen + s.n_prompt) / period.value();
  return r;
}

}  // namespace bandwall
