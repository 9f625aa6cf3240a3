#include "analysis/predict.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "analysis/pricing.h"
#include "hwmodel/error.h"

namespace bandwall {
namespace {

Bound largest(const OpCost& cost) {
  const std::pair<Seconds, Bound> shares[] = {{cost.weights, Bound::WeightBandwidth},
                                              {cost.kv, Bound::KvBandwidth},
                                              {cost.compute, Bound::Compute},
                                              {cost.dequantization, Bound::Dequantization},
                                              {cost.overhead, Bound::Overhead}};
  Bound best = Bound::WeightBandwidth;
  Seconds most(-1);
  for (const auto& [t, bound] : shares) {
    if (t > most) {
      most = t;
      best = bound;
    }
  }
  return best;
}

// `fitted` is backend_for(backend, machine): it has lost `calibrated` when it was borrowed.
Basis basis_of(const Machine& machine, const Backend& fitted) {
  if (fitted.stream.empty() && fitted.stream_curves.empty()) return Basis::DatasheetOnly;
  if (!fitted.calibrated || fitted.machine.empty()) return Basis::SameClass;
  return machine.read_curves.empty() ? Basis::CalibratedBackend : Basis::MeasuredHere;
}

// Bands are factors on the step time. They are the errors this model was seen to make, not wishes
// (configs/measurements, failing classes left out; "bandwall validate" counts how many rows lie
// inside):
//   MeasuredHere, decode: probes and runs of one host repeat within 5-9 % (single runs).
//   CalibratedBackend: decode 1.4 % median, 3.5 % for nine of ten (models that were left out: 2 and
//   5 %); batches 3 and 10 %; prompts 6 and 13 %, more often too slow than too fast.
//   SameClass: decode of cards whose rates were carried over from a GB10, 3 to 16 %.
//   DatasheetOnly: end-to-end efficiencies of engines spread from 0.60 to 0.86 of the peak.
struct Band {
  double low, high;
};
Band band_of(Basis basis, const Step& step) {
  const bool prefill = step.tokens_per_sequence > 2, batch = step.sequences > 1;
  switch (basis) {
    case Basis::MeasuredHere:
      return prefill ? Band{0.85, 1.15} : Band{0.90, 1.10};
    case Basis::CalibratedBackend:
      if (prefill) return {0.86, 1.30};
      return batch ? Band{0.91, 1.12} : Band{0.95, 1.05};
    case Basis::SameClass:
      return prefill ? Band{0.67, 1.50} : Band{0.83, 1.20};
    case Basis::DatasheetOnly:
      return prefill ? Band{0.50, 2.00} : Band{0.85, 1.40};
  }
  return {0.5, 2.0};
}

std::string joined(const std::set<std::string>& names) {
  std::string text;
  for (const std::string& n : names) text += (text.empty() ? "" : ", ") + n;
  return text;
}

void widen(Prediction& p, double low, double high, std::string why) {
  p.low *= low;
  p.high *= high;
  p.notes.push_back(std::move(why));
}

bool has_window(const ModelSpec& model) {
  for (std::int64_t l = 0; l < model.hyper.layers; ++l) {
    if (model.hyper.slides(l)) return true;
  }
  return false;
}

bool holds(const std::string& word, const Machine& machine, const Backend& backend,
           const ModelSpec& model, const Step& step) {
  const Hyper& h = model.hyper;
  if (word == "prefill") return step.tokens_per_sequence > 2;
  if (word == "decode") return step.tokens_per_sequence <= 2;
  if (word == "batch") return step.sequences > 1;
  if (word == "experts") return h.experts > 0;
  if (word == "dense") return h.experts == 0;
  if (word == "latent") return h.kv_rank > 0;
  if (word == "recurrent") return !h.pattern.empty() || h.attention_interval > 0;
  if (word == "window") return has_window(model);
  if (word == "deep") return step.past + step.tokens_per_sequence > 8192;
  if (word == "borrowed") return !backend.calibrated || machine.name != backend.machine;
  if (word == "wide_memory") return machine.pool().peak.value >= BytesPerSecond(1.9e12);
  return false;
}

void add_known_limits(const Machine& machine, const Backend& backend, const ModelSpec& model,
                      const Step& step, Prediction& p) {
  for (const KnownLimit& limit : backend.known_limits) {
    const bool all = std::all_of(limit.when.begin(), limit.when.end(), [&](const std::string& w) {
      return holds(w, machine, backend, model, step);
    });
    if (!all) continue;
    p.known_limit = true;
    p.low *= limit.low;
    p.high *= limit.high;
    p.notes.push_back("known limit: " + limit.mechanism);
  }
}

bool has_latent_or_state(const ModelSpec& model) {
  const Hyper& h = model.hyper;
  return !h.pattern.empty() || h.attention_interval > 0 || h.kv_rank > 0;
}

void add_notes(const Machine& machine, const Backend& fitted, const ModelSpec& model,
               const Plan& plan, const Routing& routing, const PricingGaps& gaps, Prediction& p) {
  if (!gaps.formats.empty()) {
    // K-quants stream 10-15 % below Q8_0 on the same chip; an unknown format may do as badly.
    widen(p, 0.95, 1.15,
          fmt::format("structural extrapolation: no measured stream rate for {}; default used",
                      joined(gaps.formats)));
  }
  if (!gaps.kv_formats.empty() && plan.kv() > Bytes(0)) {
    widen(p, 1.0, 1.05,
          fmt::format("no measured KV rate for {}; default used", joined(gaps.kv_formats)));
  }
  if (!gaps.slower_than_bytes.empty()) {
    // Five points of two sources lie within +-15 % of 3e11 elements per second.
    widen(p, 0.9, 1.1,
          fmt::format("KV {}: the unpacking rate, not its bytes, sets the time of attention",
                      joined(gaps.slower_than_bytes)));
  }
  if (has_latent_or_state(model)) {
    widen(
        p, 0.95, 1.15,
        "structural extrapolation: latent attention or recurrent layers have more and smaller ops "
        "than the models this backend was calibrated on");
  }
  const bool batch_of_experts =
      plan.step.sequences > 1 && model.hyper.experts > 0 && !routing.recorded;
  if (batch_of_experts && fitted.routing_concentration) {
    widen(p, 0.9, 1.05,
          fmt::format("expert routing as skewed as in the backend's rows (concentration {}); other "
                      "texts and models differ",
                      fitted.routing_concentration->value));
  } else if (batch_of_experts) {
    widen(p, 0.6, 1.0,
          "expert routing taken as uniform; real batches share experts and touch fewer");
  }
  if (gaps.no_gemm_rate) {
    widen(p, 0.7, 1.5, "no compute rate in the backend; 0.31 of the best ceiling used");
  }
  if (machine.devices > 1) {
    widen(p, 0.9, 1.25,
          gaps.no_link_latency ? "split over devices: link latency unknown, taken as none"
                               : "split over devices: two all-reduces per layer at the link's "
                                 "latency, not overlapped");
  }
}

}  // namespace

std::string_view name(Bound bound) {
  switch (bound) {
    case Bound::WeightBandwidth:
      return "weight_bandwidth";
    case Bound::KvBandwidth:
      return "kv_bandwidth";
    case Bound::Compute:
      return "compute";
    case Bound::Dequantization:
      return "dequantization";
    case Bound::Overhead:
      return "overhead";
  }
  return "?";
}

std::string_view name(Basis basis) {
  switch (basis) {
    case Basis::MeasuredHere:
      return "measured_here";
    case Basis::CalibratedBackend:
      return "calibrated_backend";
    case Basis::SameClass:
      return "same_class";
    case Basis::DatasheetOnly:
      return "datasheet_only";
  }
  return "?";
}

Routing routing_of(const Backend& backend, const ModelSpec& model, const Step& step) {
  const auto& skew = backend.routing_concentration;
  return expected_routing(model, step, skew ? skew->value : 0.0);
}

Prediction predict(const Machine& machine, const Backend& backend, const ModelSpec& model,
                   const KvConfig& kv, const Step& step, const Routing& routing, int threads) {
  const Plan plan = plan_step(model, kv, step, routing);
  const FittedBackend kept(backend, machine);
  const Backend& fitted = *kept;
  const PricingContext context =
      pricing_context(machine, fitted, model, kv, plan, routing, threads);
  Prediction p;
  p.ledger = ledger_of(plan);
  p.ops.reserve(plan.ops.size());
  Prices prices(context);
  OpCost sum;
  for (const Op& op : plan.ops) {
    const PricedOp priced = prices.of(op);
    sum += priced.cost;
    p.ops.push_back({op.key, priced.expected(), priced.speed_of_light, largest(priced.cost)});
    p.ledger.rows[op.key].time += priced.expected();
    p.step += priced.expected();
    p.speed_of_light += priced.speed_of_light;
  }
  if (fitted.step_seconds) {
    p.step += fitted.step_seconds->value;
    sum.overhead += fitted.step_seconds->value;
  }
  p.ledger.wall = p.step;
  p.bound = largest(sum);
  p.basis = basis_of(machine, fitted);
  const Band band = band_of(p.basis, step);
  p.low = band.low;
  p.high = band.high;
  add_notes(machine, fitted, model, plan, routing, prices.gaps(), p);
  add_known_limits(machine, fitted, model, step, p);
  return p;
}

}  // namespace bandwall
