#include "runtime/rope.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace bandwall {
namespace {

// The dimension pair that turns `turns` times within the original context (YaRN, section 3.2).
double pair_of_turns(const Hyper& h, double turns) {
  return static_cast<double>(h.rope_dims) *
         std::log(static_cast<double>(h.yarn_original_context) / (turns * 2 * std::numbers::pi)) /
         (2 * std::log(h.rope_base));
}

}  // namespace

Hyper sliding_rope(Hyper h) {
  if (h.rope_base_sliding > 0) h.rope_base = h.rope_base_sliding;
  h.rope_scale = 1.0;
  return h;
}

Rope::Rope(const Hyper& h, const float* factors) : dims_(h.rope_dims), kind_(h.rope) {
  const auto d = static_cast<double>(dims_);
  double low = 0, high = 0;
  if (h.yarn) {
    low = std::max(0.0, std::floor(pair_of_turns(h, h.yarn_beta_fast)));
    high = std::min(d - 1, std::ceil(pair_of_turns(h, h.yarn_beta_slow)));
    magnitude_ = h.yarn_attn_factor * (1.0 + 0.1 * std::log(h.yarn_factor));
  }
  for (std::int64_t i = 0; i < dims_ / 2; ++i) {
    double f = std::pow(h.rope_base, -2.0 * static_cast<double>(i) / d);
    if (factors != nullptr) f /= factors[i];
    if (h.yarn) {
      // Fast pairs keep their frequency, slow ones are stretched by the factor, between: a ramp.
      const double at = (static_cast<double>(i) - low) / std::max(0.001, high - low);
      const double keep = 1.0 - std::clamp(at, 0.0, 1.0);
      f = f / h.yarn_factor * (1.0 - keep) + f * keep;
    }
    frequencies_.push_back(f / h.rope_scale);
  }
}

void Rope::angles(std::int64_t position, float* cos_sin) const {
  const std::int64_t half = dims_ / 2;
  for (std::int64_t i = 0; i < half; ++i) {
    const double angle = static_cast<double>(position) * frequencies_[static_cast<std::size_t>(i)];
    cos_sin[i] = static_cast<float>(std::cos(angle) * magnitude_);
    cos_sin[half + i] = static_cast<float>(std::sin(angle) * magnitude_);
  }
}

void Rope::rotate(const float* cos_sin, float* head) const {
  const std::int64_t half = dims_ / 2;
  const float* cosines = cos_sin;
  const float* sines = cos_sin + half;
  if (kind_ == RopeKind::Neighbours) {
    for (std::int64_t i = 0; i < half; ++i) {
      const float a = head[2 * i], b = head[2 * i + 1];
      head[2 * i] = a * cosines[i] - b * sines[i];
      head[2 * i + 1] = a * sines[i] + b * cosines[i];
    }
    return;
  }
  for (std::int64_t i = 0; i < half; ++i) {
    const float a = head[i], b = head[half + i];
    head[i] = a * cosines[i] - b * sines[i];
    head[half + i] = a * sines[i] + b * cosines[i];
  }
}

}  // namespace bandwall
