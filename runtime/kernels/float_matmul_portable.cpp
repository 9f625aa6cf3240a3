#include "runtime/kernels/detail.h"
#include "runtime/kernels/float_matmul_lanes.h"
#include "runtime/kernels/lanes_portable.h"

namespace bandwall::portable {

void float_matmul(const MatmulArgs& a) { float_matmul_lanes<Lanes>(a); }

}  // namespace bandwall::portable
