// The rate of matrix products over their rows, from the time that products of 1 and more rows took.
//   GemmRate r = fit_gemm(seconds, 2.0 * rows_of_w * cols);   // seconds[n]: samples, one product
#pragma once

#include <cstdint>
#include <map>

#include "hwmodel/machine.h"
#include "runtime/probes.h"

namespace bandwall {

// The rows after the first run at F(n) = rate * n / (n + n_half). Always a positive rate: where a
// busy host made one row take longer than many, the largest product as a whole sets it. `seconds`
// has at least one entry; row_flops: of one row of activations.
GemmRate fit_gemm(const std::map<std::int64_t, Series>& seconds, double row_flops);

}  // namespace bandwall
