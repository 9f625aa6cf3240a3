// The KV cache of one sequence: per layer and KV head, keys and values of all cells lie one after
// the other ([layer][head][cell][dim]), so that attention over one head is one stream.
//   KvCache kv(hyper, *f16, *f16, 4096);   kv.k(layer, head) + cell * kv.k_stride()
// Memory is reserved at once and touched when written. float32 and float16 only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "workload/model_spec.h"

namespace bandwall {

class KvCache {
 public:
  // Throws Error (Input) for a format without engine support, or when memory cannot be reserved.
  KvCache(const Hyper& hyper, const KvFormat& k, const KvFormat& v, std::int64_t cells);
  ~KvCache();
  KvCache(const KvCache&) = delete;
  KvCache& operator=(const KvCache&) = delete;

  std::byte* k(std::int64_t layer, std::int64_t head) const {
    return data_ + (layer * kv_heads_ + head) * cells_ * k_stride_;
  }
  std::byte* v(std::int64_t layer, std::int64_t head) const {
    return data_ + v_offset_ + (layer * kv_heads_ + head) * cells_ * v_stride_;
  }
  std::int64_t k_stride() const { return k_stride_; }  // bytes from one cell of a head to the next
  std::int64_t v_stride() const { return v_stride_; }
  std::string_view k_type() const { return k_type_; }
  std::string_view v_type() const { return v_type_; }
  std::int64_t cells() const { return cells_; }
  std::int64_t bytes() const { return bytes_; }

 private:
  std::byte* data_ = nullptr;
  std::int64_t kv_heads_ = 0, cells_ = 0, k_stride_ = 0, v_stride_ = 0, v_offset_ = 0, bytes_ = 0;
  std::string_view k_type_, v_type_;
};

// Bytes that a cache of this shape takes; a double, because untrusted counts may pass 2^63.
double kv_cache_size(const Hyper& hyper, const KvFormat& k, const KvFormat& v, std::int64_t cells);

}  // namespace bandwall
