// The price of one op: what each of its parts costs on a machine under a backend, in seconds.
//   t = weights + dequantization + kv + compute + overhead      (a serial sum, unless the backend
//       says that memory and compute overlap: then (memory^p + compute^p)^(1/p) + overhead)
// weights: bytes at the lower of the format's stream rate and what memory gives; dequantization:
// the time above that, because the kernel is slower than memory; kv: cells read and written;
// compute: flops of the rows after the first (the first is inside the stream rate, which is
// measured by matrix x vector) at rate * n / (n + n_half); overhead: fixed cost of op, layer and
// link, and the elementwise work.
#pragma once

#include <algorithm>
#include <array>
#include <optional>
#include <set>
#include <string>

#include "hwmodel/machine.h"
#include "workload/plan.h"

namespace bandwall {

struct OpCost {
  Seconds weights, dequantization, kv, compute, overhead;
  Seconds total() const { return weights + dequantization + kv + compute + overhead; }
  OpCost& operator+=(const OpCost& o);
};

// What the backend says of ops of one kind; nullptr: nothing.
struct OpFigures {
  const Sourced<Seconds>* seconds = nullptr;
  const Sourced<Seconds>* cached_seconds = nullptr;  // in the caches
  const Sourced<Seconds>* batch_seconds = nullptr;  // in steps of several tokens
  const Sourced<BytesPerSecond>* elementwise = nullptr;
};

// Everything that stays the same for all ops of one step. Points into machine, backend and model.
struct PricingContext {
  const Machine* machine = nullptr;
  const Backend* backend = nullptr;
  const ModelSpec* model = nullptr;
  KvConfig kv;
  Step step;
  int threads = 0;
  Bytes working_set;         // bytes touched between two uses of a dense tensor
  Bytes expert_working_set;  // ... of the weights of one expert
  double cached = 0;         // 1: the step stays in the first shared cache; 0: beyond the last
  Seconds layer_share;       // layer_seconds / ops of a layer
  std::array<OpFigures, kOpKinds> figures;
};

// Facts met while pricing that lower the confidence; names are sorted, each once.
struct PricingGaps {
  std::set<std::string> formats;            // no stream rate: the default was used
  std::set<std::string> kv_formats;         // no KV rate of their own
  std::set<std::string> slower_than_bytes;  // KV formats whose element rate, not bytes, decided
  bool no_gemm_rate = false;
  bool no_link_latency = false;
};

PricingContext pricing_context(const Machine& machine, const Backend& backend,
                               const ModelSpec& model, const KvConfig& kv, const Plan& plan,
                               const Routing& routing, int threads);

OpCost price(const PricingContext& context, const Op& op, PricingGaps& gaps);

// True when the ops differ in nothing that price() and speed_of_light() look at.
bool priced_alike(const Op& a, const Op& b);

struct PricedOp {
  OpCost cost;
  Seconds speed_of_light;
  // A rate above the machine's own ceiling would break physics; the ceiling wins.
  Seconds expected() const { return std::max(cost.total(), speed_of_light); }
};

// Prices the ops of one step. The layers of a model are alike, so the last few different ops of
// each kind are remembered: they and the context must outlive it.
class Prices {
 public:
  explicit Prices(const PricingContext& context) : context_(context) {}
  PricedOp of(const Op& op);
  const PricingGaps& gaps() const { return gaps_; }

 private:
  struct Known {
    const Op* op = nullptr;
    PricedOp priced;
  };
  struct Kind {
    std::array<Known, 4> known;
    std::size_t next = 0;
  };
  const PricingContext& context_;
  PricingGaps gaps_;
  std::array<Kind, kOpKinds> kinds_;
};

// backend_for() without a copy where it changes nothing. The backend must outlive it.
class FittedBackend {
 public:
  FittedBackend(const Backend& backend, const Machine& machine);
  FittedBackend(const FittedBackend&) = delete;
  FittedBackend& operator=(const FittedBackend&) = delete;
  const Backend& operator*() const { return borrowed_ ? *borrowed_ : own_; }

 private:
  const Backend& own_;
  std::optional<Backend> borrowed_;
};

// Expected time of the whole step: of each op its price, or the speed of light where that is
// longer, and the backend's time for a step. What predict() says, without its account by op.
Seconds step_time(const PricingContext& context, const Plan& plan);

// Bytes at the highest bandwidth or flops at the highest compute rate, whichever takes longer.
Seconds speed_of_light(const PricingContext& context, const Op& op);

// Bandwidth that a plain read gets at this working set, all devices together.
BytesPerSecond achievable_bandwidth(const Machine& machine, Bytes working_set, int threads);
// The highest bandwidth this machine can show: peak, or a cache level above it when measured.
BytesPerSecond ceiling_bandwidth(const Machine& machine, Bytes working_set);

}  // namespace bandwall
