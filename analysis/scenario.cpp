// Throughputs from step predictions: decode in the middle of its tokens, prefill chunk by chunk.
#include <algorithm>
#include <cmath>

#include "analysis/predict.h"
#include "hwmodel/error.h"

namespace bandwall {
namespace {

// Prompts of more chunks than this are evaluated at this many places and scaled: the time of a
// chunk is linear in its position (piecewise with windows), so nothing is lost.
constexpr std::int64_t kMostChunks = 64;

void check_scenario(const Scenario& s) {
  constexpr std::int64_t kMost = 1'000'000'000;
  const auto bad = [](const char* field, std::int64_t value, const char* range) {
    throw Error::input(field, std::string("value ") + std::to_string(value) + " is outside " +
                                  range + "; give a number inside it");
  };
  if (s.n_prompt < 0 || s.n_prompt > kMost) bad("n_prompt", s.n_prompt, "0..1000000000");
  if (s.n_gen < 0 || s.n_gen > kMost) bad("n_gen", s.n_gen, "0..1000000000");
  if (s.depth < 0 || s.depth > kMost) bad("depth", s.depth, "0..1000000000");
  if (s.batch < 1 || s.batch > 1'000'000) bad("batch", s.batch, "1..1000000");
  if (s.n_ubatch < 1 || s.n_ubatch > 1'000'000) bad("n_ubatch", s.n_ubatch, "1..1000000");
}

void set_rates(Throughput& t, double tokens, Seconds likely, Seconds light, double low,
               double high) {
  t.total = likely;
  if (!(likely > Seconds(0))) return;
  t.ts = tokens / likely.value();
  t.ts_low = t.ts / high;
  t.ts_high = t.ts / low;
  if (light > Seconds(0)) {
    t.ts_speed_of_light = tokens / light.value();
    t.ts_high = std::min(t.ts_high, t.ts_speed_of_light);   // nothing is faster than light
  }
}

// The account of one step in the throughput: its notes, basis, bound.
void adopt(Throughput& t, const Prediction& p) {
  t.bound = p.bound;
  t.basis = p.basis;
  t.notes = p.notes;
  t.known_limit = p.known_limit;
}

Prediction step_of(const Machine& machine, const Backend& backend, const ModelSpec& model,
                   const Scenario& s, const Step& step) {
  return predict(machine, backend, model, s.kv, step, routing_of(backend, model, s, step),
                 s.threads);
}

}  // namespace

Routing routing_of(const Backend& backend, const ModelSpec& model, const Scenario& scenario,
                   const Step& step) {
  return scenario.shares ? recorded_routing(model, step, *scenario.shares)
                         : routing_of(backend, model, step);
}

Throughput predict_decode(const Machine& machine, const Backend& backend, const ModelSpec& model,
                          const Scenario& s) {
  check_scenario(s);
  const std::int64_t tokens = std::max<std::int64_t>(1, s.n_gen);
  const Step step{s.batch, 1, s.depth + (tokens - 1) / 2, s.batch};
  const Prediction p = step_of(machine, backend, model, s, step);
  Throughput t;
  set_rates(t, static_cast<double>(s.batch), p.step, p.speed_of_light, p.low, p.high);
  t.total = p.step * static_cast<double>(tokens);
  adopt(t, p);
  const Traffic traffic = p.ledger.traffic();
  t.bytes_weights = traffic.weights;
  t.bytes_kv = traffic.kv_read + traffic.kv_written + traffic.state;
  t.flops = p.ledger.flops();
  return t;
}

Throughput predict_prefill(const Machine& machine, const Backend& backend, const ModelSpec& model,
                           const Scenario& s) {
  check_scenario(s);
  Throughput t;
  if (s.n_prompt == 0) return t;
  const std::int64_t chunk = std::min(s.n_ubatch, s.n_prompt);
  // Short prompts are put into one micro-batch together.
  const std::int64_t shared = std::clamp<std::int64_t>(s.n_ubatch / s.n_prompt, 1, s.batch);
  const std::int64_t full = s.n_prompt / chunk, rest = s.n_prompt % chunk;
  const std::int64_t places = std::min(full, kMostChunks);
  Seconds likely, light;
  double low = 1, high = 1;
  Seconds most(-1);
  const auto add = [&](std::int64_t n, std::int64_t past, bool last, double times) {
    const Step step{shared, n, s.depth + past, last ? shared : 0};
    const Prediction p = step_of(machine, backend, model, s, step);
    likely += p.step * times;
    light += p.speed_of_light * times;
    const Traffic traffic = p.ledger.traffic();
    t.bytes_weights += traffic.weights * times;
    t.bytes_kv += (traffic.kv_read + traffic.kv_written + traffic.state) * times;
    t.flops += p.ledger.flops() * times;
    if (p.step > most) {
      most = p.step;
      adopt(t, p);
      low = p.low;
      high = p.high;
    }
  };
  for (std::int64_t i = 0; i < places; ++i) {
    // The middle of the i-th of `places` equal groups of chunks; itself when each is evaluated.
    const std::int64_t index = (2 * i + 1) * full / (2 * places);
    const bool last = rest == 0 && i + 1 == places && places == full;
    add(chunk, index * chunk, last, static_cast<double>(full) / static_cast<double>(places));
  }
  if (rest > 0) add(rest, full * chunk, true, 1.0);
  // Groups of prompts, one after the other; a last, smaller group counts in proportion.
  const double groups = static_cast<double>(s.batch) / static_cast<double>(shared);
  set_rates(t, static_cast<double>(s.n_prompt * s.batch), likely * groups, light * groups, low,
            high);
  t.bytes_weights = t.bytes_weights * groups;
  t.bytes_kv = t.bytes_kv * groups;
  t.flops = t.flops * groups;
  return t;
}

}  // namespace bandwall
