// The ops of a transformer block and the ops around the blocks, each over one micro-batch. Each
// adds its result to the residual rows and books time and traffic under its OpKind.
#pragma once

#include "runtime/pass.h"

namespace bandwall {

void embed(Pass& p, const std::int32_t* tokens);
void attend(Pass& p, std::int64_t layer);  // norm, q k v, rotation and cache, attention, output
void recur(Pass& p, std::int64_t layer);  // norm, recurrent mixer (blocks_recurrent.cpp)
void feed_forward(Pass& p, std::int64_t layer);      // norm, dense matrices
void route_to_experts(Pass& p, std::int64_t layer);  // norm, router, experts (moe.cpp)
// Latent attention (blocks_mla.cpp): norm, queries and latent row, rotation and cache, attention,
// output.
void attend_latent(Pass& p, std::int64_t layer);
// The expert of every token, over the normed rows of the routed ones; quantized: they have an 8-bit
// form.
void shared_expert(Pass& p, std::int64_t layer, bool quantized);
// residual += scale of the row x W x, metered but for the reading of x; scales nullptr: 1.
void add_product(Pass& p, const Matrix& m, const Rows& x, const float* scales = nullptr);
// Logits of the last `rows` rows of the micro-batch.
void head(Pass& p, std::int64_t rows, float* logits);

}  // namespace bandwall
