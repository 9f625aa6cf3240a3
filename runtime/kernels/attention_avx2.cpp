#if defined(__x86_64__)
#include "runtime/kernels/attention_lanes.h"
#include "runtime/kernels/detail.h"
#include "runtime/kernels/lanes_avx2.h"

namespace bandwall::avx2 {

void attention(const AttentionArgs& a) { attention_lanes<Lanes>(a, expand_cells); }

}  // namespace bandwall::avx2
#endif  // x86-64
