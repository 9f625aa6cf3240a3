// Prefetching of weights that one call reads from end to end (*_avx512.cpp only).
//   const Stream s(a);  s.fetch(at, bytes);   // the next `bytes` it reads lie at `at`
// Two distances: into the second level far ahead, where many lines may be under way, and from there
// into the first level. Straight into the first level, lines would wait for the few buffers of that
// level; without any, the hardware sees the rows that are read side by side as no stream. Both in
// runs of whole lines one after the other, which the hardware then follows.
#pragma once

#include <immintrin.h>

#include "runtime/kernels/kernels.h"

namespace bandwall::avx512 {
namespace {

class Stream {
 public:
  explicit Stream(const MatmulArgs& a)
      : end_(reinterpret_cast<const char*>(a.w) + a.row_end * a.row_bytes),
        next_(reinterpret_cast<const char*>(a.next)),
        far_(a.row_bytes < kLongRow ? kFar : kFar + (kRows - 1) * a.row_bytes) {}

  __attribute__((always_inline)) void fetch(const std::uint8_t* from, std::int64_t bytes) const {
    const char* at = reinterpret_cast<const char*>(from);
    const char* near = after(at, kNear);
    const char* far = after(at, far_);
    for (std::int64_t line = 0; line < bytes; line += 64) _mm_prefetch(near + line, _MM_HINT_T0);
    for (std::int64_t line = 0; line < bytes; line += 64) _mm_prefetch(far + line, _MM_HINT_T1);
  }

 private:
  static constexpr std::int64_t kNear = 8192, kFar = 32768, kRows = 4, kLongRow = 12288;

  // Past the end of this call its thread reads at next_; unknown: nothing new is fetched.
  const char* after(const char* at, std::int64_t distance) const {
    const std::int64_t beyond = distance - (end_ - at);
    if (beyond < 0) return at + distance;
    return next_ == nullptr ? at : next_ + beyond;
  }

  const char* end_;
  const char* next_;
  std::int64_t far_;
};

}  // namespace
}  // namespace bandwall::avx512
