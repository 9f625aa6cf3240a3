// Recurrent state of sequences: per recurrent layer the last inputs of its convolution and the
// state of its heads, float32.
//   StateCache states(hyper, 1);   float* h = states.state(layer, 0);
// A new sequence begins with zeros. State holds all that was seen and cannot be cut back: a
// sequence is cleared or goes on.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "workload/model_spec.h"

namespace bandwall {

class StateCache {
 public:
  // Throws Error (Running) when memory cannot be had. Models without recurrent layers take none.
  StateCache(const Hyper& hyper, std::int64_t sequences);

  // conv - 1 rows of conv_channels, oldest first; only layers that recur have one.
  float* conv_tail(std::int64_t layer, std::int64_t sequence) const { return at(layer, sequence); }
  // ssm_state rows of inner width / heads values, head after head (delta nets: in blocks of
  // columns, blocks_recurrent.cpp).
  float* state(std::int64_t layer, std::int64_t sequence) const {
    return at(layer, sequence) + tail_values_;
  }
  void clear(std::int64_t sequence);
  std::int64_t bytes() const;
  bool empty() const { return layers_ == 0; }

 private:
  float* at(std::int64_t layer, std::int64_t sequence) const {
    const std::int64_t index = slot_[static_cast<std::size_t>(layer)];
    return data_.get() + (sequence * layers_ + index) * layer_values_;
  }

  std::int64_t layers_ = 0, sequences_ = 0, tail_values_ = 0, layer_values_ = 0;
  std::vector<std::int64_t> slot_;  // layer -> its place among the recurrent layers
  struct Free {
    void operator()(float* p) const;
  };
  std::unique_ptr<float, Free> data_;
};

}  // namespace bandwall
