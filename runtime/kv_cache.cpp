#include "runtime/kv_cache.h"

#include <algorithm>
#include <string_view>
#include <vector>

#include <sys/mman.h>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "hwmodel/error.h"
#include "runtime/host.h"
#include "workload/plan.h"

namespace bandwall {
namespace {

bool can_hold(const KvFormat& format, std::int64_t dim, std::int64_t most) {
  const bool plain =
      format.index_bits == 0 && (format.storage == Format::F32 || format.storage == Format::F16);
  return dim % format.values_per_block == 0 && (plain || dim <= most);
}

void require_head(const char* which, const KvFormat& format, std::int64_t dim, std::int64_t most) {
  if (can_hold(format, dim, most)) return;
  std::vector<std::string_view> names;
  for (const KvFormat& f : all_kv_formats()) {
    if (can_hold(f, dim, most)) names.push_back(f.name);
  }
  throw Error::input(
      "KV cache type",
      fmt::format("{} cannot hold {} of this model: a head has {} values, {} packs blocks of {}{}; "
                  "possible are {}",
                  format.name, which, dim, format.name, format.values_per_block,
                  dim > most ? fmt::format(" in heads of up to {}", most) : "",
                  fmt::join(names, ", ")));
}

std::int64_t padded(std::int64_t n) { return (n + 63) / 64 * 64; }

}  // namespace

void require_kv_formats(const Hyper& h, const KvFormat& k, const KvFormat& v) {
  require_head("the keys", k, h.head_dim_k, kMostKeyDims);
  // Latent attention: the first part of a key is the value, in the same blocks.
  require_head("the values", h.kv_rank > 0 ? k : v, h.head_dim_v, kMostValueDims);
  if (h.kv_rank > 0 && k.index_bits > 0) {
    throw Error::input("KV cache type", fmt::format("{} rotates keys as a whole, but latent "
                                                    "attention takes its values out of them; take "
                                                    "f16 or q8_0",
                                                    k.name));
  }
}

KvRotation kv_rotation(const KvFormat& type, std::int64_t head_dim, bool rotate) {
  if (type.index_bits > 0) return {type.values_per_block, true};
  if (!type.quantized || !rotate || head_dim % 64 != 0) return {};
  return {head_dim % 256 == 0 ? 256 : head_dim % 128 == 0 ? 128 : 64, false};
}

double kv_cache_size(const Hyper& h, const KvFormat& k, const KvFormat& v, const KvSize& size) {
  const double per_cell = k.bytes_for(static_cast<double>(h.k_width())).value() +
                          v.bytes_for(static_cast<double>(h.v_width())).value();
  double cells = 0;
  for (std::int64_t l = 0; l < h.layers; ++l) {
    cells += static_cast<double>(kv_cells(h, l, size.context, size.n_ubatch));
  }
  return per_cell * cells * static_cast<double>(size.sequences);
}

KvCache::KvCache(const Hyper& h, const KvFormat& k, const KvFormat& v, const KvSize& size)
    : size_(size),
      kv_heads_(h.kv_heads),
      k_type_(&k),
      v_type_(&v),
      k_rotation_(kv_rotation(k, h.head_dim_k, size.rotate && h.kv_rank == 0)),
      v_rotation_(h.kv_rank > 0 ? KvRotation{} : kv_rotation(v, h.head_dim_v, size.rotate)) {
  require_kv_formats(h, k, v);
  BANDWALL_CHECK(size.context > 0 && size.n_ubatch > 0 && size.sequences > 0);
  BANDWALL_CHECK(kv_cache_size(h, k, v, size) < 1e18);
  k_stride_ = h.head_dim_k / k.values_per_block * k.bytes_per_block;
  // Latent attention: the values lie in the rows of the keys.
  if (h.kv_rank == 0) v_stride_ = h.head_dim_v / v.values_per_block * v.bytes_per_block;
  for (std::int64_t l = 0; l < h.layers; ++l) {
    Layer layer;
    layer.cells = kv_cells(h, l, size.context, size.n_ubatch);
    const std::int64_t cells = layer.cells * size.sequences * kv_heads_;
    layer.k_offset = mapped_;
    layer.v_offset = padded(layer.k_offset + cells * k_stride_);
    mapped_ = padded(layer.v_offset + cells * v_stride_);
    bytes_ += cells * (k_stride_ + v_stride_);
    if (layer.cells > 0 && h.slides(l)) {
      window_ = h.window;
      least_ring_ = least_ring_ == 0 ? layer.cells : std::min(least_ring_, layer.cells);
    }
    layers_.push_back(layer);
  }
  mapped_ = std::max<std::int64_t>(mapped_, 1);
  void* at = mmap(nullptr, static_cast<std::size_t>(mapped_), PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (at == MAP_FAILED) {
    throw_no_memory("context", "a KV cache", static_cast<double>(bytes_),
                    "ask for a smaller context (-c) or smaller cells (-ctk, -ctv)");
  }
  data_ = static_cast<std::byte*>(at);
  madvise(at, static_cast<std::size_t>(mapped_),
          MADV_HUGEPAGE);  // fewer page walks; may be refused
}

bool KvCache::can_continue(std::int64_t next, std::int64_t written) const {
  if (window_ == 0) return true;
  const std::int64_t oldest = std::max<std::int64_t>(0, next + 1 - window_);
  return oldest >= next || oldest + least_ring_ >= written;
}

KvCache::~KvCache() {
  if (data_ != nullptr) munmap(data_, static_cast<std::size_t>(mapped_));
}

}  // namespace bandwall
