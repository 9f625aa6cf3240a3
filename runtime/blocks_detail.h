// Steps that the blocks of several kinds share. Included by blocks*.cpp only.
#pragma once

#include "runtime/blocks.h"

namespace bandwall {

// One row of keys or values of a head in the type of the cache.
void store_cell(const Pass& p, const float* values, std::int64_t dim, std::string_view type,
                std::byte* cell);

// Scratch::attended = attention of the rotated queries Scratch::q over the cache; metered.
void attention(Pass& p, std::int64_t layer, const LayerWeights& w);

// The 8-bit form of all rows of x, if the product with m wants it.
void quantize_rows(Pass& p, const Matrix& m, Rows& x);

}  // namespace bandwall
