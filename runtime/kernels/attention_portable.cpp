#include "runtime/kernels/attention_lanes.h"
#include "runtime/kernels/detail.h"
#include "runtime/kernels/lanes_portable.h"

namespace bandwall::portable {

void attention(const AttentionArgs& a) { attention_lanes<Lanes>(a, expand_cells); }

}  // namespace bandwall::portable
