// Throughputs from step predictions: decode in the middle of its tokens, prefill chunk by chunk.
#include <algorithm>

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

}  // namespace

Throughput predict_decode(const Machine& machine, const Backend& backend, const ModelSpec& model,
                          const Scenario& s) {
  check_scenario(s);
  const std::int64_t tokens = std::max<std::int64_t>(1, s.n_gen);
  const Step step{s.batch, 1, s.depth + (tokens - 1) / 2, s.batch};
  const Prediction p = predict(machine, backend, model, s.kv, step,
                               expected_routing(model, step), s.threads);
  Throughput t;
  set_rates(t, static_cast<double>(s.batch), p.step, p.speed_of_light, p.low, p.high);
  t.total = p.step * static_cast<double>(tokens);
  t.bound = p.bound;
  t.basis = p.basis;
  t.notes = p.notes;
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
  const std::int64_t full = s.n_prompt / chunk, rest = s.n_prompt % chunk;
  const std::int64_t places = std::min(full, kMostChunks);
  Seconds likely, light;
  double low = 1, high = 1;
  Seconds most(-1);
  const auto add = [&](std::int64_t n, std::int64_t past, bool last, double times) {
    const Step step{1, n, s.depth + past, last ? 1 : 0};
    const Prediction p =
        predict(machine, backend, model, s.kv, step, expected_routing(model, step), s.threads);
    likely += p.step * times;
    light += p.speed_of_light * times;
    const Traffic traffic = p.ledger.traffic();
    t.bytes_weights += traffic.weights * times;
    t.bytes_kv += (traffic.kv_read + traffic.kv_written + traffic.state) * times;
    t.flops += p.ledger.flops() * times;
    if (p.step > most) {
      most = p.step;
      t.bound = p.bound;
      t.basis = p.basis;
      t.notes = p.notes;
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
  const double sequences = static_cast<double>(s.batch);   // one after the other
  set_rates(t, static_cast<double>(s.n_prompt) * sequences, likely * sequences, light * sequences,
            low, high);
  t.bytes_weights = t.bytes_weights * sequences;
  t.bytes_kv = t.bytes_kv * sequences;
  t.flops = t.flops * sequences;
  return t;
}

}  // namespace bandwall
