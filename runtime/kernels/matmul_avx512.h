// The two regimes of the AVX-512 products of quantized weights (*_avx512.cpp only).
// Below kManyRows rows of x each row of W is streamed once and multiplied as it comes; from there
// on tiles of W are unpacked once and used for all rows of x. The two add in different orders, so
// they may differ in the last bits of a result; each is the same for any division of the rows.
#pragma once

#include "runtime/kernels/kernels.h"

namespace bandwall::avx512 {

inline constexpr int kFewRows = 8;   // rows of x that share one pass over the weights
inline constexpr int kManyRows = 3;  // measured: where tiles become the faster way

void many_rows_matmul(const MatmulArgs& a);

// K-quants and few rows of x; false when it cannot: the scales of x are no multiples of a step
// (kernels.h), as where values are not finite, or the rows are very long.
bool kquant_matmul(const MatmulArgs& a);

}  // namespace bandwall::avx512
