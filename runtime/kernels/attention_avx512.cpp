#if defined(__x86_64__)
#include "runtime/kernels/attention_lanes.h"
#include "runtime/kernels/detail.h"
#include "runtime/kernels/lanes_avx512.h"

namespace bandwall::avx512 {

void attention(const AttentionArgs& a) { attention_lanes<Lanes>(a, expand_cells); }

}  // namespace bandwall::avx512
#endif  // x86-64
