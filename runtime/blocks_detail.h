// Steps that the blocks of several kinds share. Included by blocks*.cpp only.
#pragma once

#include "runtime/blocks.h"

namespace bandwall {

// Scratch::attended = attention of the rotated queries Scratch::q over the cache; metered.
void attention(Pass& p, std::int64_t layer, const LayerWeights& w);

// The 8-bit form of all rows of x, if the product with m wants it.
void quantize_rows(Pass& p, const Matrix& m, Rows& x);

}  // namespace bandwall
