#include "runtime/micro_batch.h"

#include <algorithm>

#include "runtime/pass.h"

namespace bandwall {

std::int64_t usual_ubatch(const Hyper& h) {
  constexpr std::int64_t kLeast = 512, kMost = 2048, kStep = 256, kRowsPerExpert = 64;
  constexpr double kMostBytes = 270e6;
  if (h.experts == 0 || h.experts_used == 0) return kLeast;
  const std::int64_t wanted = kRowsPerExpert * h.experts / h.experts_used;
  std::int64_t n = std::clamp((wanted + kStep - 1) / kStep * kStep, kLeast, kMost);
  while (n > kLeast && Scratch::size(h, n) > kMostBytes) n -= kStep;
  return n;
}

}  // namespace bandwall
