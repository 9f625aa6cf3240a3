#include "hwmodel/machine.h"

#include <algorithm>
#include <cmath>

#include "hwmodel/error.h"

namespace bandwall {
namespace {

// "gb10" for "2xgb10".
std::string_view single_name(std::string_view name) {
  const std::size_t digits = name.find_first_not_of("0123456789");
  if (digits == 0 || digits == std::string_view::npos || name[digits] != 'x') return name;
  return name.substr(digits + 1);
}

class Borrower {
 public:
  Borrower(const Backend& backend, const Machine& machine) : from_(backend.machine) {
    if (backend.reference_bandwidth && !machine.pools.empty()) {
      bandwidth_ = machine.pool().achievable.value / backend.reference_bandwidth->value;
    }
    const ComputeRate* bf16 = machine.rate("bf16");
    if (backend.reference_compute && bf16 != nullptr) {
      compute_ = bf16->peak.value / backend.reference_compute->value;
    }
  }

  std::optional<double> bandwidth() const { return bandwidth_; }
  std::optional<double> compute() const { return compute_; }

  void refer(Backend& b) const {
    if (bandwidth_) b.reference_bandwidth->value = b.reference_bandwidth->value * *bandwidth_;
    if (compute_) b.reference_compute->value = b.reference_compute->value * *compute_;
  }

  void mark(Source& source) const {
    source.kind = Source::Kind::Derived;
    source.note = "borrowed from " + from_ + ", scaled to this machine: " + source.note;
  }
  template <class T>
  void scale(std::map<std::string, Sourced<T>>& rows, std::optional<double> ratio) const {
    if (!ratio) rows.clear();
    for (auto& [key, row] : rows) {
      row.value = row.value * *ratio;
      mark(row.source);
    }
  }
  void scale(std::map<std::string, Sourced<GemmRate>>& rows, std::optional<double> ratio) const {
    if (!ratio) rows.clear();
    for (auto& [key, row] : rows) {
      row.value.rate = row.value.rate * *ratio;
      for (GemmPoint& p : row.value.points) p.rate = p.rate * *ratio;
      mark(row.source);
    }
  }

 private:
  std::string from_;
  std::optional<double> bandwidth_, compute_;
};

}  // namespace

std::string_view name(Source::Kind kind) {
  switch (kind) {
    case Source::Kind::Datasheet: return "datasheet";
    case Source::Kind::Measured: return "measured";
    case Source::Kind::Derived: return "derived";
    case Source::Kind::Assumed: return "assumed";
  }
  return "assumed";
}

BytesPerSecond RateCurve::at(Bytes working_set) const {
  BANDWALL_CHECK(!points.empty());
  if (!(working_set > points.front().working_set)) return points.front().rate;
  for (std::size_t i = 1; i < points.size(); ++i) {
    const RatePoint& low = points[i - 1];
    const RatePoint& high = points[i];
    if (working_set > high.working_set) continue;
    const double from = std::log(std::max(low.working_set.value(), 1.0));
    const double span = std::log(high.working_set.value()) - from;
    const double share = span > 0 ? (std::log(working_set.value()) - from) / span : 1.0;
    return low.rate + (high.rate - low.rate) * share;
  }
  return points.back().rate;
}

FlopsPerSecond GemmRate::at(double n) const {
  if (points.empty()) return rate * (n / (n + n_half));
  if (n <= points.front().rows) return points.front().rate;
  for (std::size_t i = 1; i < points.size(); ++i) {
    const GemmPoint& low = points[i - 1];
    const GemmPoint& high = points[i];
    if (n > high.rows) continue;
    const double share = (n - low.rows) / (high.rows - low.rows);
    const double below = (low.rows - 1) / low.rate.value();
    const double above = (high.rows - 1) / high.rate.value();
    return FlopsPerSecond((n - 1) / (below + (above - below) * share));
  }
  return points.back().rate;
}

const ComputeRate* Machine::rate(std::string_view numeric) const {
  for (const ComputeRate& rate : compute) {
    if (rate.numeric == numeric) return &rate;
  }
  return nullptr;
}

const Link* Machine::link(std::string_view wanted) const {
  for (const Link& link : links) {
    if (link.name == wanted) return &link;
  }
  return nullptr;
}

const std::vector<std::string>& limit_words() {
  static const std::vector<std::string> words = {
      "prefill",   "decode", "batch", "experts",  "dense",      "latent",
      "recurrent", "window", "deep",  "borrowed", "wide_memory"};
  return words;
}

bool is_fitted(const Backend& backend, const Machine& machine) {
  return backend.machine.empty() || backend.machine == single_name(machine.name);
}

Backend backend_for(const Backend& backend, const Machine& machine) {
  if (is_fitted(backend, machine)) return backend;
  const Borrower borrower(backend, machine);
  Backend b = backend;
  b.calibrated = false;
  borrower.scale(b.stream, borrower.bandwidth());
  borrower.scale(b.kv_stream, borrower.bandwidth());
  borrower.scale(b.activation_stream, borrower.bandwidth());
  borrower.scale(b.kv_elements, borrower.compute());
  borrower.scale(b.kv_scores, borrower.compute());
  borrower.scale(b.gemm, borrower.compute());
  // Curves end in the caches of the machine they were measured on.
  b.stream_curves.clear();
  b.page_reading.reset();
  if (b.attention_rate && borrower.compute()) {
    b.attention_rate->value = b.attention_rate->value * *borrower.compute();
    borrower.mark(b.attention_rate->source);
  } else {
    b.attention_rate.reset();
  }
  for (auto& [op, cost] : b.op_seconds) borrower.mark(cost.source);
  for (auto& [op, cost] : b.cached_op_seconds) borrower.mark(cost.source);
  for (auto& [op, cost] : b.batch_op_seconds) borrower.mark(cost.source);
  if (b.layer_seconds) borrower.mark(b.layer_seconds->source);
  if (b.step_seconds) borrower.mark(b.step_seconds->source);
  // The rates are this machine's now: borrowing again must not scale them again.
  b.machine = single_name(machine.name);
  borrower.refer(b);
  return b;
}

}  // namespace bandwall
