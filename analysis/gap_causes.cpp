#include "analysis/gap_causes.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace bandwall {
namespace {

using Causes = std::vector<GapCause>;

constexpr double kMostRoundTrip = 0.1;  // seconds that a server on the way may plausibly cost

// One decode step or one prompt, in seconds.
struct Times {
  double measured = 0, predicted = 0;
  double more() const { return measured - predicted; }
};

double usable_bytes(const RowInputs& in) {
  return in.machine->pool().usable().value() * in.machine->devices;
}

double read_bandwidth(const RowInputs& in) {
  return in.machine->pool().achievable.value.value() * in.machine->devices;
}

Scenario decode_scenario(const RowInputs& in) {
  Scenario s;
  s.kv = in.kv;
  s.batch = in.row->batch;
  s.depth = in.row->depth.value_or(0);
  s.n_gen = in.row->n_tokens.value_or(kUnstatedTokens);
  return s;
}

void does_not_fit(const RowInputs& in, Causes& causes) {
  const double weights = static_cast<double>(in.model->weight_bytes());
  if (weights <= usable_bytes(in)) return;
  causes.push_back({"the weights do not fit: a part is read from slower memory or from disk",
                    fmt::format("{} of weights, {} usable", gb_and_gib(Bytes(weights)),
                                gb_and_gib(Bytes(usable_bytes(in))))});
}

// Faster than expected: what the weights would have to weigh.
void other_weights(const RowInputs& in, const Times& t, const Throughput& p, Causes& causes) {
  const double weights = p.bytes_weights.value();
  const double bytes = weights + t.more() * read_bandwidth(in);
  const double share = bytes / weights;
  if (share <= 0.05) return;
  const double bits = 8 * static_cast<double>(in.model->weight_bytes()) /
                      static_cast<double>(in.model->parameters());
  causes.push_back(
      {share < 1 ? "the weights are smaller than the label says: another quantization"
                 : "the weights are larger than the label says: another quantization",
       fmt::format("{:.2f} ms {} x {} read rate: {} instead of {} per step, {:.2f} bits per value "
                   "instead of {:.2f}",
                   1e3 * std::fabs(t.more()), share < 1 ? "less" : "more",
                   human(BytesPerSecond(read_bandwidth(in))), human(Bytes(bytes)),
                   human(Bytes(weights)), bits * share, bits)});
}

bool says(const Measurement& m, std::string_view word) {
  return m.engine.find(word) != std::string::npos;
}

// Tools that compute every token they count: no cache of prompts, no drafts.
bool computes_all(const Measurement& m) {
  return says(m, "llama-bench") || says(m, "batched-bench") || says(m, "bandwall");
}

void faster_decode(const RowInputs& in, const RowResult& r, const Times& t, const Throughput& p,
                   Causes& causes) {
  if (computes_all(*in.row)) {
    causes.push_back({"a smaller fixed cost per layer or a better kernel (newer build)",
                      fmt::format("{:.2f} ms less per step / {} layers = {:.0f} us per layer",
                                  -1e3 * t.more(), in.model->hyper.layers,
                                  -1e6 * t.more() / static_cast<double>(in.model->hyper.layers))});
  } else if (!in.row->marks.speculative && in.row->batch == 1) {
    causes.push_back({"drafted tokens (speculative decoding, MTP)",
                      fmt::format("{:.2f} tokens would have to be accepted per step",
                                  r.measured / r.predicted)});
  }
  if (in.row->batch > 1 && in.model->hyper.experts > 0) return;  // its own rule
  other_weights(in, t, p, causes);
  if (p.ts_speed_of_light > 0 && r.measured > p.ts_speed_of_light) {
    causes.insert(
        causes.begin(),
        {"no single stream of these weights can do this: the figure counts something else",
         fmt::format("{:.1f} tok/s at peak bandwidth and no other cost; measured {:.1f}",
                     p.ts_speed_of_light, r.measured)});
  }
}

// Experts that a batch would have to touch for its time to be what was measured.
void shared_experts(const RowInputs& in, const Times& t, const Throughput& p, Causes& causes) {
  const Hyper& h = in.model->hyper;
  if (in.row->batch < 2 || h.experts < 1) return;
  double bytes = 0;
  for (const TensorSpec& s : in.model->tensors) {
    const bool expert =
        s.role == Role::ExpertGate || s.role == Role::ExpertUp || s.role == Role::ExpertDown;
    if (expert) bytes += static_cast<double>(s.bytes) / static_cast<double>(h.experts);
  }
  const Step step{in.row->batch, 1, in.row->depth.value_or(0), in.row->batch};
  double expected = 0, layers = 0;
  for (const double n : routing_of(*in.backend, *in.model, step).distinct_experts) {
    expected += n;
    layers += n > 0 ? 1 : 0;
  }
  if (!(bytes > 0) || !(layers > 0)) return;
  expected /= layers;
  const double implied = expected + t.more() * read_bandwidth(in) / bytes;
  if (implied < static_cast<double>(h.experts_used) || implied > static_cast<double>(h.experts)) {
    return;
  }
  causes.push_back(
      {t.more() < 0 ? "the sequences share experts: real routing is skewed"
                    : "the sequences share fewer experts than expected",
       fmt::format("{:.1f} distinct experts per layer instead of {:.1f} of {} ({} per step in all)",
                   implied, expected, h.experts, human(p.bytes_weights))});
}

// Right at low depth and wrong here: the cache, its kernel or its format.
void cache_rate(const RowInputs& in, const Times& t, const ShallowRow& shallow, Causes& causes) {
  if (shallow.row == nullptr || in.row->depth.value_or(0) <= shallow.row->depth.value_or(0)) return;
  if (std::fabs(shallow.result->error) > std::fabs(t.predicted / t.measured - 1) / 2) return;
  Scenario here = decode_scenario(in), there = here;
  there.depth = shallow.row->depth.value_or(0);
  const double bytes = predict_decode(*in.machine, *in.backend, *in.model, here).bytes_kv.value() -
                       predict_decode(*in.machine, *in.backend, *in.model, there).bytes_kv.value();
  const double b = static_cast<double>(in.row->batch);
  const double growth = t.measured - b / shallow.result->measured;
  if (!(bytes > 0) || !(growth > 0)) return;
  const bool no_flash = in.row->flash_attention && !*in.row->flash_attention;
  const bool packed = in.kv.k->quantized || in.kv.v->quantized;
  causes.push_back(
      {no_flash ? "attention without flash attention reads the cache and its scores several times"
       : packed ? "unpacking the cache, not its bytes, takes the time"
                : "the cache is read at another rate: kernel of this attention kind, or no flash "
                  "attention",
       fmt::format("{:.2f} ms more than at depth {} for {} more of cache: {}", 1e3 * growth,
                   there.depth, human(Bytes(bytes)), human(BytesPerSecond(bytes / growth)))});
}

void slower_decode(const RowInputs& in, const Times& t, const Throughput& p, Causes& causes) {
  const double layers = static_cast<double>(in.model->hyper.layers);
  const double per_layer = t.more() / layers;
  const double rate =
      p.bytes_weights.value() / (p.bytes_weights.value() / read_bandwidth(in) + t.more());
  const GapCause launches = {
      in.row->marks.eager ? "kernels started one by one, as the row says (eager)"
                          : "a larger fixed cost per layer: kernels started one by one (eager), an "
                            "older build, another program",
      fmt::format("{:.2f} ms more per step / {:.0f} layers = {:.0f} us per layer", 1e3 * t.more(),
                  layers, 1e6 * per_layer)};
  const GapCause bandwidth = {
      "weights stream at a lower rate (power limit, shared memory)",
      fmt::format("{} per step would come at {} instead of {}; a format may cost unpacking too",
                  human(p.bytes_weights), human(BytesPerSecond(rate)),
                  human(BytesPerSecond(read_bandwidth(in))))};
  // Fixed costs show in light steps, bandwidth in heavy ones.
  const bool light = p.bytes_weights.value() / read_bandwidth(in) < 0.02;
  const bool plausible = per_layer > 10e-6 && per_layer < 2e-3;
  if (plausible && (light || in.row->marks.eager)) causes.push_back(launches);
  causes.push_back(bandwidth);
  if (plausible && !light && !in.row->marks.eager) causes.push_back(launches);
}

void decode_causes(const RowInputs& in, const RowResult& r, const ShallowRow& shallow,
                   Causes& causes) {
  const Throughput p = predict_decode(*in.machine, *in.backend, *in.model, decode_scenario(in));
  const double b = static_cast<double>(in.row->batch);
  const Times t{b / r.measured, b / r.predicted};
  if (t.more() > 0) does_not_fit(in, causes);
  cache_rate(in, t, shallow, causes);
  shared_experts(in, t, p, causes);
  if (t.more() > 0) {
    slower_decode(in, t, p, causes);
  } else {
    faster_decode(in, r, t, p, causes);
  }
}

// The gap of a prompt that grows with the cache before it.
void attention_rate(const RowInputs& in, const RowResult& r, const ShallowRow& shallow,
                    Causes& causes) {
  if (shallow.row == nullptr || shallow.row->n_tokens != in.row->n_tokens) return;
  const double n = static_cast<double>(*in.row->n_tokens);
  const double measured = n / r.measured - n / shallow.result->measured;
  const double predicted = n / r.predicted - n / shallow.result->predicted;
  if (!(predicted > 0) || !(measured > 1.3 * predicted)) return;
  causes.push_back(
      {"attention over the cache runs at a lower rate",
       fmt::format(
           "{:.1f} ms more than at depth {}, {:.1f} ms expected: {:.2f} of the rate; no flash "
           "attention, or a kernel without matrix units",
           1e3 * measured, shallow.row->depth.value_or(0), 1e3 * predicted, predicted / measured)});
}

void prefill_causes(const RowInputs& in, const RowResult& r, const ShallowRow& shallow,
                    Causes& causes) {
  const double n = static_cast<double>(*in.row->n_tokens);
  if (r.measured > r.high) {
    if (!computes_all(*in.row) && !says(*in.row, "reuse counted")) {
      causes.push_back({"a part of the prompt was in the cache already (prefix cache)",
                        fmt::format("as if {:.0f} of {:.0f} tokens had been computed",
                                    n * r.predicted / r.measured, n)});
    }
    causes.push_back(
        {"faster arithmetic than the backend is known for",
         fmt::format("{:.2f} times the predicted rate: a newer build, or products in a "
                     "narrower format",
                     r.measured / r.predicted)});
    return;
  }
  does_not_fit(in, causes);
  attention_rate(in, r, shallow, causes);
  const double more = n * (1 / r.measured - 1 / r.predicted);
  const bool by_client = (says(*in.row, "probe") || says(*in.row, "bench serve")) &&
                         !says(*in.row, "server's clock agrees");
  if (by_client && more < kMostRoundTrip) {
    causes.push_back(
        {"time before the first token outside the model: tokenizing, queue, network, sampling",
         fmt::format("{:.1f} ms more than predicted", 1e3 * more)});
  }
  Scenario s;
  s.kv = in.kv;
  s.depth = in.row->depth.value_or(0);
  s.n_prompt = *in.row->n_tokens;
  const std::int64_t now = in.n_ubatch;  // a row that states its own leaves nothing to ask
  const std::int64_t most = in.row->ubatch ? 0 : std::min(now, s.n_prompt) / 2;
  for (std::int64_t ubatch = most; ubatch >= 32; ubatch /= 2) {
    s.n_ubatch = ubatch;
    const double ts = predict_prefill(*in.machine, *in.backend, *in.model, s).ts;
    if (std::fabs(ts / r.measured - 1) < 0.10) {
      causes.push_back({"the prompt was read in smaller micro-batches",
                        fmt::format("{:.0f} tok/s are expected with {} tokens at a time, {:.0f} "
                                    "with {}",
                                    ts, ubatch, r.predicted, now)});
      break;
    }
  }
  causes.push_back(
      {"the products run at a lower rate",
       fmt::format(
           "{:.2f} of the predicted rate, {:.1f} ms more for the prompt: clock limit, small "
           "experts, another kernel, warm-up inside the time",
           r.measured / r.predicted, 1e3 * more)});
}

}  // namespace

std::vector<GapCause> likely_causes(const RowInputs& in, const RowResult& r,
                                    const ShallowRow& shallow) {
  Causes causes;
  if (r.inside || !(r.measured > 0) || !(r.predicted > 0)) return causes;
  if (in.row->phase == MeasuredPhase::Prefill) {
    prefill_causes(in, r, shallow, causes);
  } else {
    decode_causes(in, r, shallow, causes);
  }
  return causes;
}

}  // namespace bandwall
