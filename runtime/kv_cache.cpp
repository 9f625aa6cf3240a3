#include "runtime/kv_cache.h"

#include <cerrno>
#include <cstring>
#include <string>

#include <sys/mman.h>

#include <fmt/format.h>

#include "hwmodel/error.h"

namespace bandwall {
namespace {

void require_support(const KvFormat& format) {
  if (format.name == "f32" || format.name == "f16") return;
  throw Error::input("KV cache type",
                     fmt::format("'{}' can be counted but not yet run by the engine; supported are "
                                 "f32 and f16",
                                 format.name));
}

std::int64_t padded(std::int64_t n) { return (n + 63) / 64 * 64; }

}  // namespace

double kv_cache_size(const Hyper& h, const KvFormat& k, const KvFormat& v, std::int64_t cells) {
  const double per_cell = k.bytes_for(static_cast<double>(h.k_width())).value() +
                          v.bytes_for(static_cast<double>(h.v_width())).value();
  return per_cell * static_cast<double>(h.layers) * static_cast<double>(cells);
}

KvCache::KvCache(const Hyper& h, const KvFormat& k, const KvFormat& v, std::int64_t cells)
    : kv_heads_(h.kv_heads), cells_(cells), k_type_(k.name), v_type_(v.name) {
  require_support(k);
  require_support(v);
  BANDWALL_CHECK(cells > 0 && kv_cache_size(h, k, v, cells) < 1e18);
  k_stride_ = h.head_dim_k * k.bytes_per_block;
  v_stride_ = h.head_dim_v * v.bytes_per_block;
  v_offset_ = padded(h.layers * kv_heads_ * cells_ * k_stride_);
  bytes_ = v_offset_ + h.layers * kv_heads_ * cells_ * v_stride_;
  void* at = mmap(nullptr, static_cast<std::size_t>(bytes_), PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (at == MAP_FAILED) {
    throw Error::input("context", fmt::format("a KV cache of {} bytes cannot be reserved ({}); ask "
                                              "for a smaller context",
                                              bytes_, std::strerror(errno)));
  }
  data_ = static_cast<std::byte*>(at);
  madvise(at, static_cast<std::size_t>(bytes_), MADV_HUGEPAGE);  // fewer page walks; may be refused
}

KvCache::~KvCache() {
  if (data_ != nullptr) munmap(data_, static_cast<std::size_t>(bytes_));
}

}  // namespace bandwall
