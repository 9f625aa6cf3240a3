// How many positions of a prompt go through the model at once when nobody says so.
//   EngineOptions o;  o.n_ubatch = usual_ubatch(model.spec().hyper);
#pragma once

#include <cstdint>

#include "workload/model_spec.h"

namespace bandwall {

// Positions, a multiple of 256 in 512 .. 2048: each expert is to meet 64 of them on average,
// because its weights are read from memory and unpacked once for all; fewer where the buffers of
// the engine would take more than 270 MB. Models without experts gain nothing beyond 512.
std::int64_t usual_ubatch(const Hyper& hyper);

}  // namespace bandwall
