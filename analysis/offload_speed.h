// A decode step of a model that lies partly in host memory, as llama.cpp runs it: each op is
// computed where its weights lie, one after the other (ggml-org/llama.cpp ggml-backend.cpp splits
// the graph there), so nothing but activations crosses the link:
//   T = sum over ops of (1 - s) x price on the device + s x bytes / host rate
//       + crossings x (4 B x hidden x tokens / link bandwidth + link latency) + the backend's time
//         for a step
//   s: share of the op's weights in host memory; a block in host memory has its cache there too.
//   host rate: achievable bandwidth of the pool "host" x the backend's efficiency_default.
// Not in it: a fixed time of the CPU for each op, which no source separates from its rate. Small
// experts suffer: an RTX 2080 with 102 GB/s of host memory runs Qwen3-30B-A3B Q4_K_M with
// -ncmoe 36 at 36.7 tok/s (AlexsJones/llmfit PR 755), half of what this gives. Pure: no I/O.
#pragma once

#include "analysis/memory_placement.h"
#include "analysis/pricing.h"

namespace bandwall {

// Host memory and what joins it to the devices; link: nullptr where no link "pcie" is described,
// then crossings cost nothing.
struct HostSide {
  const MemoryPool* pool = nullptr;
  const Link* link = nullptr;
};

Seconds offloaded_step(const PricingContext& context, const Plan& plan, const Placement& placement,
                       const HostSide& host);

}  // namespace bandwall
