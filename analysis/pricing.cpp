#include "analysis/pricing.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "hwmodel/error.h"
#include "workload/cost_key.h"

namespace bandwall {
namespace {

// The curve measured with the wanted number of threads; without one, the nearest below, then the
// nearest above. A curve of 0 threads stands for the whole device and serves every wish.
const RateCurve* pick_curve(const std::vector<RateCurve>& curves, int threads) {
  const RateCurve* below = nullptr;
  const RateCurve* above = nullptr;
  for (const RateCurve& curve : curves) {
    if (curve.points.empty()) continue;
    if (curve.threads == threads || curve.threads == 0) return &curve;
    if (curve.threads < threads || threads == 0) {
      if (below == nullptr || curve.threads > below->threads) below = &curve;
    } else if (above == nullptr || curve.threads < above->threads) {
      above = &curve;
    }
  }
  return below != nullptr ? below : above;
}

double devices(const PricingContext& c) { return std::max(1, c.machine->devices); }

struct FoundRate {
  BytesPerSecond rate;  // of one device
  bool own = false;     // a row of this very format
};

std::optional<BytesPerSecond> stream_row(const PricingContext& c, const std::string& key,
                                         Bytes working_set) {
  const Backend& b = *c.backend;
  if (const auto it = b.stream_curves.find(key); it != b.stream_curves.end()) {
    if (const RateCurve* curve = pick_curve(it->second, c.threads)) {
      return curve->at(working_set / devices(c));
    }
  }
  if (const auto it = b.stream.find(key); it != b.stream.end()) return it->second.value;
  return std::nullopt;
}

// Rows of a format may have a twin for the matrices of experts and of dense feed-forward blocks.
bool may_differ(OpKind kind) { return kind == OpKind::Experts || kind == OpKind::DenseFfn; }

std::string key_for(std::string_view format, OpKind kind) {
  return fmt::format("{}.{}", format, name(kind));
}

FoundRate weight_rate(const PricingContext& c, Format format, OpKind kind, Bytes working_set) {
  if (may_differ(kind)) {
    const std::string key = key_for(name(format), kind);
    if (auto own = stream_row(c, key, working_set)) return {*own, true};
  }
  if (auto own = stream_row(c, std::string(name(format)), working_set)) return {*own, true};
  if (auto other = stream_row(c, "default", working_set)) return {*other, false};
  const BytesPerSecond memory = achievable_bandwidth(*c.machine, working_set, c.threads);
  return {memory * (c.backend->efficiency_default / devices(c)), false};
}

template <class T>
const Sourced<T>* row(const std::map<std::string, Sourced<T>>& rows, std::string_view key) {
  const auto it = rows.find(std::string(key));
  return it == rows.end() ? nullptr : &it->second;
}

// Rates of KV streams are of memory; cells that stay in a cache between two steps are read faster,
// by as much as plain reading is.
double cache_gain(const PricingContext& c) {
  if (c.machine->read_curves.empty()) return 1;
  const BytesPerSecond here = achievable_bandwidth(*c.machine, c.working_set, c.threads);
  const BytesPerSecond far = achievable_bandwidth(*c.machine, Bytes(1e15), c.threads);
  return std::max(1.0, here / far);
}

BytesPerSecond kv_rate(const PricingContext& c, std::string_view format, PricingGaps& gaps) {
  if (const auto* own = row(c.backend->kv_stream, format)) return own->value * cache_gain(c);
  gaps.kv_formats.insert(std::string(format));
  if (const auto* other = row(c.backend->kv_stream, "default")) return other->value;
  return achievable_bandwidth(*c.machine, c.working_set, c.threads) *
         (c.backend->efficiency_default / devices(c));
}

// The third roof: quantised cells are unpacked once per query head, which costs instructions, not
// bytes. It holds for steps of at most two tokens per sequence; longer steps expand the cells first
// and use the matrix path.
const Sourced<ElementsPerSecond>* element_roof(const PricingContext& c, const KvFormat& format) {
  if (c.step.tokens_per_sequence > 2 || row(c.backend->kv_scores, format.name)) return nullptr;
  if (const auto* own = row(c.backend->kv_elements, format.name)) return own;
  return format.quantized ? row(c.backend->kv_elements, "default") : nullptr;
}

struct KvPart {
  const KvFormat* format;
  double share;     // of the bytes
  double elements;  // of the scores
};

Seconds score_time(const PricingContext& c, const Op& op, const KvPart& part) {
  const auto* rate = row(c.backend->kv_scores, part.format->name);
  if (rate == nullptr || c.step.tokens_per_sequence > 2) return Seconds(0);
  return op.kv_scores * part.elements / (rate->value * devices(c));
}

void price_kv(const PricingContext& c, const Op& op, OpCost& cost, PricingGaps& gaps) {
  const Bytes moved = op.traffic.kv_read + op.traffic.kv_written;
  if (!(moved > Bytes(0)) || c.kv.k == nullptr || c.kv.v == nullptr) return;
  const Hyper& h = c.model->hyper;
  const double dk = std::max<double>(1, h.head_dim_k), dv = std::max<double>(1, h.head_dim_v);
  const bool latent = h.kv_rank > 0;  // values are read with the keys that hold them
  const double bk = dk * c.kv.k->bits_per_value();
  const double bv = latent ? 0 : dv * c.kv.v->bits_per_value();
  const KvPart parts[2] = {{c.kv.k, bk / (bk + bv), latent ? 1.0 : dk / (dk + dv)},
                           {c.kv.v, bv / (bk + bv), latent ? 0.0 : dv / (dk + dv)}};
  for (const KvPart& part : parts) {
    const Seconds by_bytes =
        moved * part.share / (kv_rate(c, part.format->name, gaps) * devices(c));
    cost.kv += by_bytes;
    cost.compute += score_time(c, op, part);
    if (const auto* roof = element_roof(c, *part.format)) {
      const Seconds by_elements = op.kv_scores * part.elements / (roof->value * devices(c));
      if (!(by_elements > by_bytes)) continue;
      if (part.format->quantized) {
        cost.dequantization += by_elements - by_bytes;
        gaps.slower_than_bytes.insert(std::string(part.format->name));
      } else {
        cost.compute += by_elements - by_bytes;  // plain cells: many query heads share one KV head
      }
    }
  }
}

// Compute rate when the backend has none: a third of the best ceiling, the share that llama.cpp
// reaches of a GB10's bf16 rate (33 of 107 TFLOP/s).
std::optional<GemmRate> borrowed_gemm(const Machine& machine) {
  const ComputeRate* best = machine.rate("bf16");
  if (best == nullptr && !machine.compute.empty()) best = &machine.compute.front();
  if (best == nullptr) return std::nullopt;
  const FlopsPerSecond rate = best->achievable ? best->achievable->value : best->peak.value;
  return GemmRate{rate * 0.31, 0};
}

std::optional<GemmRate> gemm_rate(const PricingContext& c, std::string_view format,
                                  PricingGaps& gaps, OpKind kind = OpKind::QkvProj) {
  if (may_differ(kind)) {
    if (const auto* own = row(c.backend->gemm, key_for(format, kind))) return own->value;
  }
  if (const auto* own = row(c.backend->gemm, format)) return own->value;
  if (const auto* other = row(c.backend->gemm, "default")) return other->value;
  gaps.no_gemm_rate = true;
  return borrowed_gemm(*c.machine);
}

// Flops of the rows after the first of n, at the rate that n rows reach.
Seconds after_first_row(Flops flops, double n, const GemmRate& gemm, double device_count) {
  if (!(n > 1) || !(gemm.rate > FlopsPerSecond(0))) return Seconds(0);
  return flops * ((n - 1) / n) / (gemm.at(n) * device_count);
}

void price_streams(const PricingContext& c, const Op& op, OpCost& cost, PricingGaps& gaps) {
  const bool expert = op.key.kind == OpKind::Experts;
  const Bytes working_set = expert ? c.expert_working_set : c.working_set;
  const BytesPerSecond memory = achievable_bandwidth(*c.machine, working_set, c.threads);
  for (const WeightStream& stream : op.streams) {
    if (!(stream.bytes > Bytes(0))) continue;
    const FoundRate found = weight_rate(c, stream.format, op.key.kind, working_set);
    // Vectors of a norm or a bias ride on the op's fixed cost; a missing F32 row is no gap there.
    if (!found.own && stream.matrices > 0) gaps.formats.insert(std::string(name(stream.format)));
    const Seconds streamed = stream.bytes / (found.rate * devices(c));
    const Seconds by_memory = stream.bytes / memory;
    if (info(stream.format).quantized && by_memory < streamed) {
      cost.weights += by_memory;
      cost.dequantization += streamed - by_memory;
    } else {
      cost.weights += streamed;
    }
    if (stream.rows_of_x > 1 && stream.flops > Flops(0)) {
      if (const auto gemm = gemm_rate(c, name(stream.format), gaps, op.key.kind)) {
        cost.compute += after_first_row(stream.flops, stream.rows_of_x, *gemm, devices(c));
      }
    }
  }
}

void price_attention(const PricingContext& c, const Op& op, OpCost& cost, PricingGaps& gaps) {
  if (op.key.kind != OpKind::Attention || c.step.tokens_per_sequence < 2) return;
  const double n = static_cast<double>(c.step.tokens_per_sequence);
  std::optional<GemmRate> rate;
  if (c.backend->attention_rate) {
    rate = GemmRate{c.backend->attention_rate->value, 0};
  } else {
    rate = gemm_rate(c, "default", gaps);
  }
  if (rate) cost.compute += after_first_row(op.flops, n, *rate, devices(c));
}

bool ends_in_all_reduce(OpKind kind) {
  return kind == OpKind::AttnOut || kind == OpKind::SsmOut || kind == OpKind::Experts ||
         kind == OpKind::DenseFfn;
}

// Tensor split over devices: an all-reduce after attention and one after the feed-forward part of
// every layer; latency plus the hidden state of the step's tokens as float16.
Seconds link_cost(const PricingContext& c, const Op& op, PricingGaps& gaps) {
  if (c.machine->devices < 2 || !ends_in_all_reduce(op.key.kind)) return Seconds(0);
  const Link* link = c.machine->device_link ? c.machine->link(*c.machine->device_link) : nullptr;
  if (link == nullptr || !link->latency) gaps.no_link_latency = true;
  if (link == nullptr) return Seconds(0);
  const Bytes message(2.0 * static_cast<double>(c.step.tokens()) *
                      static_cast<double>(c.model->hyper.hidden));
  Seconds t = message / link->bandwidth.value;
  if (link->latency) t += link->latency->value;
  return t;
}

// The row of this op, of its kind, or "default".
template <class T>
const Sourced<T>* cost_row(const Hyper& hyper, const std::map<std::string, Sourced<T>>& rows,
                           OpKind kind) {
  for (const std::string& key :
       {cost_key(hyper, kind), std::string(name(kind)), std::string("default")}) {
    if (const auto* found = row(rows, key)) return found;
  }
  return nullptr;
}

// Where a step's bytes lie between the first cache that threads share and the last, in logarithms.
double cached_share(const Machine& machine, Bytes working_set) {
  if (machine.caches.empty() || !(working_set > Bytes(0))) return 0;
  const Bytes first = machine.caches.front().capacity.value;
  const Bytes last = machine.caches.back().capacity.value;
  if (working_set <= first) return 1;
  if (working_set >= last) return 0;
  return std::log(last / working_set) / std::log(last / first);
}

void find_figures(const Backend& backend, const Hyper& hyper, bool several, PricingContext& c) {
  for (int i = 0; i < kOpKinds; ++i) {
    const auto kind = static_cast<OpKind>(i);
    OpFigures& f = c.figures[static_cast<std::size_t>(i)];
    f.seconds = cost_row(hyper, backend.op_seconds, kind);
    if (c.cached > 0) f.cached_seconds = cost_row(hyper, backend.cached_op_seconds, kind);
    if (several) f.batch_seconds = cost_row(hyper, backend.batch_op_seconds, kind);
    f.elementwise = cost_row(hyper, backend.activation_stream, kind);
  }
}

Seconds fixed_cost(const PricingContext& c, const Op& op) {
  const OpFigures& f = c.figures[static_cast<std::size_t>(op.key.kind)];
  Seconds t;
  if (f.seconds != nullptr) t += f.seconds->value;
  if (f.cached_seconds != nullptr) t += (f.cached_seconds->value - t) * c.cached;
  if (f.batch_seconds != nullptr) t += f.batch_seconds->value;
  if (op.key.layer >= 0) t += c.layer_share;
  return t;
}

Seconds elementwise_cost(const PricingContext& c, const Op& op) {
  const auto* rate = c.figures[static_cast<std::size_t>(op.key.kind)].elementwise;
  if (rate == nullptr || !(rate->value > BytesPerSecond(0))) return Seconds(0);
  return op.traffic.activations / (rate->value * devices(c));
}

// Memory and compute of an op run together to a degree: (m^p + c^p)^(1/p) instead of m + c. Each
// part shrinks in proportion, so that shares still add up.
void overlap(const Backend& backend, OpCost& cost) {
  const double m = (cost.weights + cost.dequantization + cost.kv).value();
  const double c = cost.compute.value();
  if (!backend.overlap || !(backend.overlap->value > 1) || !(m > 0) || !(c > 0)) return;
  const double p = backend.overlap->value;
  const double most = std::max(m, c);
  const double both = most * std::pow(std::pow(m / most, p) + std::pow(c / most, p), 1 / p);
  const double share = both / (m + c);
  for (Seconds* part : {&cost.weights, &cost.dequantization, &cost.kv, &cost.compute}) {
    *part = *part * share;
  }
}

void find_working_sets(const Plan& plan, const ModelSpec& model, const Routing& routing,
                       PricingContext& context) {
  const double experts = static_cast<double>(model.hyper.experts);
  for (const Op& op : plan.ops) {
    const Bytes touched = op.traffic.from_memory();
    context.working_set += touched;
    Bytes between = touched;
    const auto layer = static_cast<std::size_t>(std::max(0, op.key.layer));
    if (op.key.kind == OpKind::Experts && experts > 0 && layer < routing.distinct_experts.size()) {
      // An expert is used with probability p per step, so the steps between two uses are geometric
      // and E / (2 - p) different experts are touched meanwhile.
      const double p = std::clamp(routing.distinct_experts[layer] / experts, 1e-6, 1.0);
      between = touched / (p * (2 - p));
    }
    context.expert_working_set += between;
  }
}

}  // namespace

OpCost& OpCost::operator+=(const OpCost& o) {
  weights += o.weights;
  dequantization += o.dequantization;
  kv += o.kv;
  compute += o.compute;
  overhead += o.overhead;
  return *this;
}

BytesPerSecond achievable_bandwidth(const Machine& machine, Bytes working_set, int threads) {
  const double count = std::max(1, machine.devices);
  if (const RateCurve* curve = pick_curve(machine.read_curves, threads)) {
    return curve->at(working_set / count) * count;
  }
  return machine.pool().achievable.value * count;
}

BytesPerSecond ceiling_bandwidth(const Machine& machine, Bytes working_set) {
  const double count = std::max(1, machine.devices);
  BytesPerSecond best = machine.pool().peak.value;
  for (const RateCurve& curve : machine.read_curves) {
    if (!curve.points.empty()) best = std::max(best, curve.at(working_set / count));
  }
  return best * count;
}

PricingContext pricing_context(const Machine& machine, const Backend& backend,
                               const ModelSpec& model, const KvConfig& kv, const Plan& plan,
                               const Routing& routing, int threads) {
  BANDWALL_CHECK(!machine.pools.empty());
  PricingContext c;
  c.machine = &machine;
  c.backend = &backend;
  c.model = &model;
  c.kv = kv;
  c.step = plan.step;
  c.threads = threads > 0 ? threads : backend.threads;
  find_working_sets(plan, model, routing, c);
  c.cached = cached_share(machine, c.working_set);
  find_figures(backend, model.hyper, plan.step.tokens() > 1, c);
  if (!backend.layer_seconds) return c;
  std::map<int, int> ops_of_layer;
  for (const Op& op : plan.ops) {
    if (op.key.layer >= 0) ++ops_of_layer[op.key.layer];
  }
  if (!ops_of_layer.empty()) {
    double ops = 0;
    for (const auto& [layer, count] : ops_of_layer) ops += count;
    c.layer_share = backend.layer_seconds->value * (static_cast<double>(ops_of_layer.size()) / ops);
  }
  return c;
}

OpCost price(const PricingContext& context, const Op& op, PricingGaps& gaps) {
  OpCost cost;
  price_streams(context, op, cost, gaps);
  price_kv(context, op, cost, gaps);
  price_attention(context, op, cost, gaps);
  overlap(*context.backend, cost);
  if (op.traffic.state > Bytes(0)) {
    cost.kv += op.traffic.state /
               achievable_bandwidth(*context.machine, context.working_set, context.threads);
  }
  cost.overhead =
      fixed_cost(context, op) + elementwise_cost(context, op) + link_cost(context, op, gaps);
  return cost;
}

Seconds speed_of_light(const PricingContext& context, const Op& op) {
  const Bytes moved = op.traffic.from_memory();
  Seconds t = moved / ceiling_bandwidth(*context.machine, context.working_set);
  FlopsPerSecond best;
  for (const ComputeRate& rate : context.machine->compute) best = std::max(best, rate.peak.value);
  if (best > FlopsPerSecond(0)) t = std::max(t, op.flops / (best * devices(context)));
  return t;
}

bool priced_alike(const Op& a, const Op& b) {
  const auto same_stream = [](const WeightStream& x, const WeightStream& y) {
    return x.format == y.format && x.bytes == y.bytes && x.matrices == y.matrices &&
           x.rows_of_x == y.rows_of_x && x.flops == y.flops;
  };
  return a.key.kind == b.key.kind && (a.key.layer < 0) == (b.key.layer < 0) &&
         a.traffic == b.traffic && a.flops == b.flops && a.kv_scores == b.kv_scores &&
         std::equal(a.streams.begin(), a.streams.end(), b.streams.begin(), b.streams.end(),
                    same_stream);
}

PricedOp Prices::of(const Op& op) {
  Kind& kind = kinds_[static_cast<std::size_t>(op.key.kind)];
  for (const Known& k : kind.known) {
    if (k.op != nullptr && priced_alike(*k.op, op)) return k.priced;
  }
  Known& place = kind.known[kind.next++ % kind.known.size()];
  place = {&op, {price(context_, op, gaps_), bandwall::speed_of_light(context_, op)}};
  return place.priced;
}

FittedBackend::FittedBackend(const Backend& backend, const Machine& machine) : own_(backend) {
  if (!is_fitted(backend, machine)) borrowed_ = backend_for(backend, machine);
}

Seconds step_time(const PricingContext& context, const Plan& plan) {
  Prices prices(context);
  Seconds sum;
  for (const Op& op : plan.ops) sum += prices.of(op).expected();
  return context.backend->step_seconds ? sum + context.backend->step_seconds->value : sum;
}

}  // namespace bandwall
