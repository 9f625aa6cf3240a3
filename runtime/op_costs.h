// Fixed cost of each op kind and the rate of its elementwise work, measured by running the engine
// itself on small made-up models (experts, dense, Mamba-2, gated delta net, latent attention), so
// that barriers, queues and call patterns are the real ones. Keys: workload/cost_key.h.
//   const OpCosts costs(2, OpCostEffort::Quick);
//   costs.add_fixed(backend);        // op_seconds of every key; needs stream_curves of the caches
//   costs.add_elementwise(backend);  // of keys without a row yet; needs the rates of products
// What streams and products explain (backend.stream_curves, backend.gemm) is taken off.
#pragma once

#include <map>
#include <string>

#include "hwmodel/machine.h"
#include "runtime/probes.h"
#include "workload/ledger.h"

namespace bandwall {

enum class OpCostEffort { Quick, Full };

class OpCosts {
 public:
  OpCosts(int threads, OpCostEffort effort);
  void add_fixed(Backend& backend) const;        // and step_seconds
  void add_elementwise(Backend& backend) const;  // activation_stream

 private:
  // Time of one op of a kind in decode and in a prompt, with what it moved.
  struct Kind {
    OpKind kind;
    double model_bytes = 0;
    Series decode, prompt;
    LedgerRow decode_row, prompt_row;  // of one call
  };
  int threads_;
  std::map<std::string, Kind> kinds_;  // by cost key
  Series residual_;
};

}  // namespace bandwall
