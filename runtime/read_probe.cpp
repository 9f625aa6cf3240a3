#include <algorithm>
#include <vector>

#include "runtime/calibrate.h"
#include "runtime/host.h"
#include "runtime/probes.h"

namespace bandwall {
namespace {

using Slice = std::span<const std::byte>;

double last_cache() {
  const HostInfo host = host_info();
  return host.l3 ? host.l3->value() : 32 * kMiB;
}

std::size_t arena_bytes() {
  double bytes = std::clamp(2 * last_cache(), 32 * kMiB, 512 * kMiB);
  const HostInfo host = host_info();
  if (host.memory_available) bytes = std::min(bytes, host.memory_available->value() / 8);
  return static_cast<std::size_t>(std::max(bytes, 16 * kMiB));
}

constexpr std::size_t kSlice = std::size_t{1} << 20;  // small, so that many places are seen

void cut(std::span<const std::byte> bytes, std::vector<Slice>& into) {
  for (std::size_t at = 0; at + kSlice <= bytes.size(); at += kSlice) {
    into.push_back(bytes.subspan(at, kSlice));
  }
}

// Matrices in slices; none of a model that is not much larger than the last cache.
std::vector<Slice> slices_of(const LoadedModel& model) {
  std::vector<Slice> slices;
  for (const TensorSpec& t : model.spec().tensors) {
    const auto address = reinterpret_cast<std::uintptr_t>(model.data(t));
    const std::size_t skip = (64 - address % 64) % 64;
    const auto size = static_cast<std::size_t>(t.bytes);
    if (size > skip) cut({model.data(t) + skip, size - skip}, slices);
  }
  const double bytes = static_cast<double>(slices.size() * kSlice);
  if (bytes < 3 * last_cache()) return {};
  // Of large models every second, third ... slice: 8 GiB take half a second to read.
  constexpr std::size_t kMost = 8192;
  const std::size_t step = (slices.size() + kMost - 1) / kMost;
  std::vector<Slice> some;
  for (std::size_t i = 0; i < slices.size(); i += step) some.push_back(slices[i]);
  return some;
}

// Slices that are read in turn, evenly over all of them.
class Places {
 public:
  std::vector<Slice> slices;

  // Three passes of so many slices each: bytes per second go to `rates`.
  void read(ThreadPool& pool, std::size_t count, Series& rates) {
    count = std::min(count, slices.size());
    for (int pass = 0; pass < 3; ++pass, first_ += kStride) {
      std::vector<Slice> chosen;
      for (std::size_t i = 0; i < count; ++i) {
        chosen.push_back(slices[(first_ + i * slices.size() / count) % slices.size()]);
      }
      rates.add(read_slices_rate(pool, chosen));
    }
  }

 private:
  static constexpr std::size_t kStride = 3;  // what was read goes out of the caches before its turn
  std::size_t first_ = 0;
};

}  // namespace

struct ReadProbe::Impl {
  Impl(int threads, const LoadedModel* model)
      : of_memory(static_cast<std::size_t>(last_cache() / 2.5 / static_cast<double>(kSlice)) + 8),
        arena(arena_bytes()),
        pool(threads > 0 ? threads : default_threads(), Pinning::On) {
    cut({arena.data(), arena.size()}, memory.slices);
    if (model == nullptr) return;
    // The first visit of a page is slower than all later ones, which steps are made of.
    pages.slices = slices_of(*model);
    read_slices_rate(pool, pages.slices);
  }

  const std::size_t of_memory;  // slices of a pass: three of them fill the last cache
  Arena arena;
  ThreadPool pool;
  Places memory, pages;
};

ReadProbe::ReadProbe(int threads, const LoadedModel* model)
    : impl_(std::make_unique<Impl>(threads, model)) {}
ReadProbe::~ReadProbe() = default;

// Memory first and last: what a step has just read leaves the caches before its pages are read, and
// what was read of them before the next step.
PlainReading ReadProbe::sample() {
  constexpr std::size_t kOfPages = 128;
  Series memory, pages;
  impl_->memory.read(impl_->pool, impl_->of_memory, memory);
  if (!impl_->pages.slices.empty()) {
    impl_->pages.read(impl_->pool, kOfPages, pages);
    impl_->memory.read(impl_->pool, impl_->of_memory, memory);
  }
  return {BytesPerSecond(memory.median()), BytesPerSecond(pages.median())};
}

BandwidthNow probe_bandwidth(int threads, const LoadedModel* model) {
  ReadProbe probe(threads, model);
  Series memory, pages;
  for (int i = 0; i < 15; ++i) {
    const PlainReading r = probe.sample();
    memory.add(r.memory.value());
    pages.add(r.pages.value());
  }
  return {{BytesPerSecond(memory.median()), BytesPerSecond(pages.median())},
          BytesPerSecond(memory.best())};
}

}  // namespace bandwall
