// The KV cache: per layer, sequence and KV head, keys and values of all cells lie one after the
// other ([layer][sequence][head][cell][dim]), so that attention over one head is one stream.
//   KvCache kv(hyper, *f16, *f16, {.context = 4096, .n_ubatch = 512});
//   std::byte* key = kv.k(layer, head) + kv.place(layer, position) * kv.k_stride();
// Layers with a window keep kv_cells() of workload/plan.h: a ring in which a position overwrites
// the one that lies ring(layer) before it. Memory is reserved at once and touched when written.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "runtime/kernels/kernels.h"
#include "workload/model_spec.h"

namespace bandwall {

struct KvSize {
  std::int64_t context = 0;   // positions of each sequence
  std::int64_t n_ubatch = 0;  // positions of a sequence that one step writes, at most
  std::int64_t sequences = 1;
  bool rotate = true;  // quantized types: see kv_rotation
};

class KvCache {
 public:
  // Throws Error (Input) as require_kv_formats does, Error (Running) when there is no memory.
  KvCache(const Hyper& hyper, const KvFormat& k, const KvFormat& v, const KvSize& size);
  ~KvCache();
  KvCache(const KvCache&) = delete;
  KvCache& operator=(const KvCache&) = delete;

  // First cell of a layer that attends.
  std::byte* k(std::int64_t layer, std::int64_t head, std::int64_t sequence = 0) const {
    const Layer& l = layers_[static_cast<std::size_t>(layer)];
    return data_ + l.k_offset + (sequence * kv_heads_ + head) * l.cells * k_stride_;
  }
  std::byte* v(std::int64_t layer, std::int64_t head, std::int64_t sequence = 0) const {
    const Layer& l = layers_[static_cast<std::size_t>(layer)];
    return data_ + l.v_offset + (sequence * kv_heads_ + head) * l.cells * v_stride_;
  }
  // Cells of a sequence and head; the cell of a position is position % ring(layer).
  std::int64_t ring(std::int64_t layer) const {
    return layers_[static_cast<std::size_t>(layer)].cells;
  }
  std::int64_t place(std::int64_t layer, std::int64_t position) const {
    return position % ring(layer);
  }
  std::int64_t k_stride() const { return k_stride_; }  // bytes from one cell of a head to the next
  std::int64_t v_stride() const { return v_stride_; }
  const KvFormat& k_type() const { return *k_type_; }
  const KvFormat& v_type() const { return *v_type_; }
  // What is done to queries and keys, and to values before they are packed; the attention's output
  // needs the way back of v_rotation.
  const KvRotation& k_rotation() const { return k_rotation_; }
  const KvRotation& v_rotation() const { return v_rotation_; }
  const KvSize& size() const { return size_; }
  std::int64_t bytes() const { return bytes_; }  // of all cells

  // True when every cell that position `next` and its successors see still holds what was written
  // for it, although positions up to `written` (exclusive) have been.
  bool can_continue(std::int64_t next, std::int64_t written) const;

 private:
  struct Layer {
    std::int64_t k_offset = 0, v_offset = 0, cells = 0;
  };
  std::vector<Layer> layers_;
  std::byte* data_ = nullptr;
  KvSize size_;
  std::int64_t kv_heads_ = 0, k_stride_ = 0, v_stride_ = 0, bytes_ = 0, mapped_ = 0;
  std::int64_t window_ = 0, least_ring_ = 0;  // of the layers with a window
  const KvFormat* k_type_ = nullptr;
  const KvFormat* v_type_ = nullptr;
  KvRotation k_rotation_, v_rotation_;
};

// Throws Error (Input) when the heads of the model cannot be kept in these formats: a head must be
// whole blocks, and of other types than f32 and f16 not too wide (kMostKeyDims).
void require_kv_formats(const Hyper& hyper, const KvFormat& k, const KvFormat& v);

// The rotation that goes with a format: a codebook type turns each block, signs first; other
// quantized types turn heads of a multiple of 64 values, when `rotate`, by the largest of 256, 128
// and 64 that divides them, which spreads outliers over the head (what llama.cpp does too).
KvRotation kv_rotation(const KvFormat& type, std::int64_t head_dim, bool rotate);

// Bytes that a cache of this shape takes; a double, because untrusted counts may pass 2^63.
double kv_cache_size(const Hyper& hyper, const KvFormat& k, const KvFormat& v, const KvSize& size);

}  // namespace bandwall
