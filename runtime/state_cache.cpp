#include "runtime/state_cache.h"

#include <algorithm>
#include <cstdlib>

#include "hwmodel/error.h"
#include "runtime/host.h"

namespace bandwall {
namespace {

constexpr std::int64_t kAlignment = 64, kFloatsPerLine = kAlignment / 4;

std::int64_t padded(std::int64_t n) {
  return (n + kFloatsPerLine - 1) / kFloatsPerLine * kFloatsPerLine;
}

}  // namespace

void StateCache::Free::operator()(float* p) const { std::free(p); }

StateCache::StateCache(const Hyper& h, std::int64_t sequences) : sequences_(sequences) {
  BANDWALL_CHECK(sequences > 0);
  for (std::int64_t l = 0; l < h.layers; ++l) slot_.push_back(h.recurs(l) ? layers_++ : -1);
  if (layers_ == 0) return;
  tail_values_ = padded(h.conv_tail_values());
  layer_values_ = tail_values_ + padded(h.ssm_state * h.ssm_inner);
  const double wanted = 4.0 * static_cast<double>(layers_) * static_cast<double>(sequences) *
                        static_cast<double>(layer_values_);
  void* memory =
      wanted < 1e18 ? std::aligned_alloc(kAlignment, static_cast<std::size_t>(bytes())) : nullptr;
  if (memory == nullptr) {
    throw_no_memory("sequences", "recurrent state", wanted, "use fewer sequences");
  }
  data_.reset(static_cast<float*>(memory));
  for (std::int64_t s = 0; s < sequences; ++s) clear(s);
}

void StateCache::clear(std::int64_t sequence) {
  if (empty()) return;
  float* from = data_.get() + sequence * layers_ * layer_values_;
  std::fill(from, from + layers_ * layer_values_, 0.0f);
}

std::int64_t StateCache::bytes() const { return 4 * sequences_ * layers_ * layer_values_; }

}  // namespace bandwall
