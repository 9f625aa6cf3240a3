#include "analysis/speculative.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "hwmodel/error.h"

namespace bandwall {
namespace {

Prediction step_of(const Machine& machine, const Backend& backend, const ModelSpec& model,
                   const Scenario& s, std::int64_t tokens) {
  const std::int64_t past = s.depth + std::max<std::int64_t>(0, s.n_gen - 1) / 2;
  const Step step{s.batch, tokens, past, s.batch * tokens};
  return predict(machine, backend, model, s.kv, step, routing_of(backend, model, s, step),
                 s.threads);
}

// The record of the model's routers says nothing of the draft's.
Scenario draft_of(Scenario s) {
  s.shares = nullptr;
  return s;
}

// One block and the head of a decode step.
Seconds own_draft_step(const Prediction& decode, const Hyper& h) {
  Seconds t;
  for (const OpPrediction& op : decode.ops) {
    const bool head = op.key.kind == OpKind::OutputNorm || op.key.kind == OpKind::Head;
    if (head || op.key.layer == h.layers - 1) t += op.expected;
  }
  return t;
}

double yield(double acceptance, std::int64_t guesses) {
  double sum = 0, power = 1;
  for (std::int64_t i = 0; i <= guesses && power > 1e-12; ++i, power *= acceptance) sum += power;
  return sum;
}

// The yield grows with the acceptance from 1 to guesses + 1.
std::optional<double> acceptance_for(double wanted, std::int64_t guesses) {
  if (wanted > static_cast<double>(guesses) + 1) return std::nullopt;
  double low = 0, high = 1;
  for (int i = 0; i < 60; ++i) {
    const double middle = (low + high) / 2;
    (yield(middle, guesses) < wanted ? low : high) = middle;
  }
  return high;
}

void check(const ModelSpec& model, const SpeculationOptions& o) {
  if (o.n_draft < 1 || o.n_draft > 1024) {
    throw Error::input("draft tokens", fmt::format("{} is outside 1..1024", o.n_draft));
  }
  if (!(o.acceptance >= 0 && o.acceptance <= 1)) {
    throw Error::input("acceptance", fmt::format("{} is outside 0..1", o.acceptance));
  }
  if (o.draft == nullptr && model.hyper.mtp_layers < 1) {
    throw Error::input(model.name, "has no blocks of multi-token prediction; name a draft model");
  }
}

}  // namespace

Speculation speculate(const Machine& machine, const Backend& backend, const ModelSpec& model,
                      const Scenario& scenario, const SpeculationOptions& options) {
  check(model, options);
  const Prediction plain = step_of(machine, backend, model, scenario, 1);
  const double guesses = static_cast<double>(options.n_draft);
  Speculation s;
  s.plain = plain.step;
  s.verify = step_of(machine, backend, model, scenario, options.n_draft + 1).step;
  s.draft = (options.draft != nullptr
                 ? step_of(machine, backend, *options.draft, draft_of(scenario), 1).step
                 : own_draft_step(plain, model.hyper)) *
            guesses;
  s.tokens_per_round = yield(options.acceptance, options.n_draft);
  const Seconds round = s.draft + s.verify;
  s.ts = static_cast<double>(scenario.batch) * s.tokens_per_round / round.value();
  s.speedup = s.tokens_per_round * (s.plain / round);
  s.break_even = acceptance_for(round / s.plain, options.n_draft);
  return s;
}

}  // namespace bandwall
