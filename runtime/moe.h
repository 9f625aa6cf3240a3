// Choice of experts, apart from the engine so that it can be tested.
//   choose_experts(hyper, scores, bias, ids, weights);   // one token
// scores: router products of all experts, overwritten by probabilities. ids: experts_used ids by
// falling score (equal: lower id), with the bias if there is one; weights: as the router kind says.
#pragma once

#include "runtime/pass.h"

namespace bandwall {

void choose_experts(const Hyper& hyper, float* scores, const float* selection_bias,
                    std::int32_t* ids, float* weights);

// Sorts the pairs (token, slot) of n tokens by expert, tokens in order within an expert.
void group_by_expert(const Hyper& hyper, std::int64_t n, Choice& choice);

}  // namespace bandwall
