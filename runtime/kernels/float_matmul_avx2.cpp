#if defined(__x86_64__)
#include "runtime/kernels/detail.h"
#include "runtime/kernels/float_matmul_lanes.h"
#include "runtime/kernels/lanes_avx2.h"

namespace bandwall::avx2 {

void float_matmul(const MatmulArgs& a) { float_matmul_lanes<Lanes>(a); }

}  // namespace bandwall::avx2
#endif  // x86-64
