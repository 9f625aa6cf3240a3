#include "analysis/offload_speed.h"

#include <algorithm>

#include "hwmodel/error.h"

namespace bandwall {
namespace {

double real(std::int64_t n) { return static_cast<double>(n); }

class Walk {
 public:
  Walk(const PricingContext& c, const Plan& plan, const Placement& p, const HostSide& host)
      : c_(c), plan_(plan), p_(p), host_(host), prices_(c), dense_(p.host_layers.size()) {
    for (const Op& op : plan.ops) {
      if (op.key.kind != OpKind::Experts) dense_[block(op)] += op.traffic.weights;
    }
  }

  Seconds run() {
    for (const Op& op : plan_.ops) add(op);
    return c_.backend->step_seconds ? sum_ + c_.backend->step_seconds->value : sum_;
  }

 private:
  std::size_t block(const Op& op) const {
    const std::size_t output = p_.host_layers.size() - 1;
    return op.key.layer < 0 ? output : std::min(static_cast<std::size_t>(op.key.layer), output);
  }

  bool outside(const Op& op) const { return p_.layer_where[block(op)] == kHost; }

  // Share of the op's weights that the step reads from host memory.
  double share(const Op& op) const {
    if (op.key.kind == OpKind::Embedding) return 0;  // one row, wherever the table lies
    if (outside(op)) return 1;
    const Placement::InHost& in = p_.host_layers[block(op)];
    if (op.key.kind == OpKind::Experts) {
      const Hyper& h = c_.model->hyper;
      const double used =
          real(in.experts) * real(h.experts_used) / real(std::max<std::int64_t>(1, h.experts));
      return part(used, op.traffic.weights);
    }
    return part(real(in.dense), dense_[block(op)]);
  }
  static double part(double bytes, Bytes all) {
    return all > Bytes(0) ? std::min(1.0, bytes / all.value()) : 0.0;
  }

  void add(const Op& op) {
    const double s = share(op);
    if (s < 1) sum_ += prices_.of(op).expected() * (1 - s);
    if (s > 0) {
      const BytesPerSecond rate = host_.pool->achievable.value * c_.backend->efficiency_default;
      const Bytes read = outside(op) ? op.traffic.from_memory() : op.traffic.weights * s;
      sum_ += read / rate;
    }
    if (op.key.kind == OpKind::Embedding) return;
    const bool now = s > 0.5;
    if (now != on_host_) cross();
    on_host_ = now;
  }

  void cross() {
    if (host_.link == nullptr) return;
    const Bytes message(4.0 * real(c_.step.tokens()) * real(c_.model->hyper.hidden));
    sum_ += message / host_.link->bandwidth.value;
    if (host_.link->latency) sum_ += host_.link->latency->value;
  }

  const PricingContext& c_;
  const Plan& plan_;
  const Placement& p_;
  const HostSide& host_;
  Prices prices_;
  std::vector<Bytes> dense_;  // what the step reads of each block besides experts
  bool on_host_ = true;       // where the token's row comes from
  Seconds sum_;
};

}  // namespace

Seconds offloaded_step(const PricingContext& context, const Plan& plan, const Placement& placement,
                       const HostSide& host) {
  BANDWALL_CHECK(host.pool != nullptr && !placement.host_layers.empty());
  return Walk(context, plan, placement, host).run();
}

}  // namespace bandwall
