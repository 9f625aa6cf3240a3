#include "bench/bench.h"

#include <algorithm>
#include <cstring>

#include "runtime/host.h"
#include "runtime/probes.h"

namespace bandwall::bench {
namespace {

std::int64_t or_else(const std::optional<Bytes>& known, std::int64_t otherwise) {
  return known ? static_cast<std::int64_t>(known->value()) : otherwise;
}

std::vector<Size> find_sizes() {
  const HostInfo host = host_info();
  const std::int64_t l1 = or_else(host.l1d, 32 << 10), l2 = or_else(host.l2, 1 << 20);
  const std::int64_t last = or_else(host.l3, l2);
  std::vector<Size> found = {{"L1", l1 / 2}, {"L2", l2 / 2}};
  if (last > 4 * l2) found.push_back({"L3", last / 4});
  found.push_back({"memory", std::min<std::int64_t>(4 * last, std::int64_t{2} << 30)});
  return found;
}

// Bytes of 48 to 63: halves from 0.13 to 1.9, exponents of all formats that keep products normal.
void fill(std::byte* to, std::size_t size) {
  std::uint64_t state = 1;
  for (std::size_t i = 0; i + 8 <= size; i += 8) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    const std::uint64_t v = ((state >> 7) & 0x0f0f0f0f0f0f0f0fu) | 0x3030303030303030u;
    std::memcpy(to + i, &v, 8);
  }
}

const int described = [] {
  std::string text;
  for (const Size& s : sizes()) {
    text += (text.empty() ? "" : ", ") + s.name + " " + std::to_string(s.bytes >> 10) + " KiB";
  }
  benchmark::AddCustomContext("bandwall_sizes", text);
  benchmark::AddCustomContext("bandwall_flags", BANDWALL_BENCH_FLAGS);
  benchmark::AddCustomContext("bandwall_best_isa", std::string(best_kernels().isa));
  return 0;
}();

}  // namespace

const std::vector<Size>& sizes() {
  static const std::vector<Size> list = find_sizes();
  return list;
}

const Size& size_named(std::string_view name) {
  return *std::find_if(sizes().begin(), sizes().end(),
                       [&](const Size& s) { return s.name == name; });
}

const std::byte* input() {
  static Arena region(static_cast<std::size_t>(sizes().back().bytes), Pages::Plain);
  static const bool filled = (fill(region.data(), region.size()), true);
  return filled ? region.data() : nullptr;
}

std::byte* output() {
  static Arena region(static_cast<std::size_t>(sizes().back().bytes), Pages::Plain);
  return region.data();
}

Walk::Walk(std::int64_t region, std::int64_t step)
    : places_(std::max<std::int64_t>(1, region / step)), step_(step) {}

std::int64_t Walk::next() {
  const std::int64_t at = at_ * step_;
  at_ = (at_ + 1) % places_;
  return at;
}

std::vector<const KernelTable*> tables() {
  std::vector<const KernelTable*> list = usable_kernels();
  std::erase_if(list, [](const KernelTable* t) { return t->isa == "reference"; });
  return list;
}

void report_bytes(benchmark::State& state, double per_iteration, const std::string& size) {
  state.SetBytesProcessed(
      static_cast<std::int64_t>(per_iteration * static_cast<double>(state.iterations())));
  state.SetLabel("read/" + size);
}

void report_operations(benchmark::State& state, double per_iteration, const std::string& peak,
                       const KernelTable& table) {
  state.counters["op/s"] = benchmark::Counter(
      per_iteration * static_cast<double>(state.iterations()), benchmark::Counter::kIsRate);
  state.SetLabel("peak/" + peak + "/" + std::string(table.isa));
}

}  // namespace bandwall::bench
