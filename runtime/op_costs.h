// Fixed cost of each op kind and the rate of its elementwise work, measured by running the engine
// itself on small made-up models (experts, dense, Mamba-2, gated delta net, latent attention), so
// that barriers, queues and call patterns are the real ones. Keys: workload/cost_key.h.
//   add_op_costs(2, OpCostEffort::Quick, backend);   // fills op_seconds, activation_stream
// What streams and products already explain (backend.stream_curves, backend.gemm) is taken off
// first.
#pragma once

#include "hwmodel/machine.h"

namespace bandwall {

enum class OpCostEffort { Quick, Full };

void add_op_costs(int threads, OpCostEffort effort, Backend& backend);

}  // namespace bandwall
