// What the engine of runtime/ allocates beside weights and KV cache, by formula: runtime reserves
// by it and refuses what cannot be had, analysis/ adds it up before anything runs.
#pragma once

#include "workload/model_spec.h"

namespace bandwall {

// Bytes of the activation buffers for `rows` rows of a step, all touched. A row of quantized
// activations takes 5.3 bytes a value (float32, int8, a scale for 32 and a sum for 16 values).
double scratch_bytes(const Hyper& hyper, std::int64_t rows);

// float32 values of state that one recurrent layer keeps for a sequence, in lines of 64 bytes.
std::int64_t padded_state_values(const Hyper& hyper);

}  // namespace bandwall
