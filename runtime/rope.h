// Rotary position embedding (Su et al. 2021) with linear, YaRN (Peng et al. 2023) and per-frequency
// scaling. Frequency i of d dimensions: base^(-2i/d) / factor[i] / scale.
//   Rope rope(hyper, factors);  rope.angles(position, cs);  rotate(rope, cs, head);
// angles writes rope_dims floats: cosines of all frequencies, then sines, both times YaRN's
// magnitude.
#pragma once

#include <cstdint>
#include <vector>

#include "workload/model_spec.h"

namespace bandwall {

// The same model with the frequencies of its sliding layers (Hyper::rope_base_sliding).
Hyper sliding_rope(Hyper hyper);

class Rope {
 public:
  Rope(const Hyper& hyper, const float* factors);  // factors: rope_dims / 2 divisors or nullptr
  std::int64_t dims() const { return dims_; }
  void angles(std::int64_t position, float* cos_sin) const;
  void rotate(const float* cos_sin, float* head) const;  // the first dims() values, in place

 private:
  std::int64_t dims_;
  RopeKind kind_;
  double magnitude_ = 1.0;
  std::vector<double> frequencies_;
};

}  // namespace bandwall
