#include "analysis/fit.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "hwmodel/error.h"

namespace bandwall {
namespace {

constexpr std::int64_t kCellStep = 256, kMostSlots = 65'536;
// Share of the usable memory within which nobody should promise either way: the estimate itself is
// good to about 1 %, and driver versions alone move the visible memory of one machine by 1.6 %.
constexpr double kCloseMargin = 0.025;

int devices(const Machine& machine) { return std::max(1, machine.devices); }

Verdict judge(const PoolReport& p) {
  const Bytes margin = p.usable * kCloseMargin;
  if (p.needed + margin <= p.usable) return Verdict::Fits;
  const Bytes most = std::max(p.usable + p.reserve, p.usable + margin);
  return p.needed <= most ? Verdict::TooClose : Verdict::DoesNotFit;
}

PoolReport pool_report(const MemoryPool& pool, std::string name, Bytes needed,
                       double memory_share) {
  PoolReport p;
  p.name = std::move(name);
  p.installed = pool.installed.value;
  p.visible = pool.visible.value;
  p.reserve = pool.reserve.value;
  p.usable = Bytes(std::floor(pool.usable().value()));
  if (memory_share > 0) {
    p.usable = std::min(p.usable, Bytes(std::floor(p.visible.value() * memory_share)));
    p.reserve = Bytes(0);  // the engine keeps to its share: nothing beyond it can be had
  }
  p.needed = needed;
  return p;
}

void add_pools(const Machine& machine, const MemoryLedger& ledger, double memory_share,
               FitReport& r) {
  const int count = devices(machine);
  const bool one = has_one_pool(machine);
  for (int d = 0; d < count; ++d) {
    const Bytes host = one && d == 0 ? ledger.on(kHost) : Bytes(0);
    std::string name = machine.pool().name;
    if (count > 1) name += fmt::format(" {}", d);
    r.pools.push_back(
        pool_report(machine.pool(), std::move(name), ledger.on(d) + host, memory_share));
  }
  if (const MemoryPool* host = host_pool(machine); host != nullptr && !one) {
    r.pools.push_back(pool_report(*host, host->name, ledger.on(kHost), 0));
  }
  judge_pools(r);
}

FitReport report(const Machine& machine, const ModelSpec& model, const Placement& placement,
                 const FitOptions& o, bool explain) {
  FitReport r;
  MemoryLedger ledger = memory_ledger(model, placement, o, explain);
  add_pools(machine, ledger, o.engine.memory_share.value, r);
  if (explain) r.lines = std::move(ledger.lines);
  return r;
}

// The largest n of 0..high for which fits(n): the need grows with n, so halving works.
template <class Fits>
std::int64_t largest(std::int64_t high, Fits fits) {
  std::int64_t low = 0;
  while (low < high) {
    const std::int64_t middle = low + (high - low + 1) / 2;
    if (fits(middle)) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  return low;
}

// Slots that share the context each see only their part of it.
std::int64_t sharers(const FitOptions& o) { return o.engine.shared_context ? o.slots : 1; }

std::optional<std::int64_t> largest_context(const Machine& machine, const ModelSpec& model,
                                            const Placement& placement, FitOptions o) {
  const std::int64_t step = kCellStep * (o.unified ? 1 : sharers(o));
  const std::int64_t trained = model.hyper.context_train;
  const std::int64_t limit = (trained > 0 ? trained : std::int64_t{1} << 30) * sharers(o) / step;
  const std::int64_t steps = largest(std::max<std::int64_t>(1, limit), [&](std::int64_t n) {
    o.context = n * step;
    return report(machine, model, placement, o, false).verdict == Verdict::Fits;
  });
  if (steps == 0) return std::nullopt;
  return steps * step;
}

std::optional<std::int64_t> most_slots(const Machine& machine, const ModelSpec& model,
                                       const Placement& placement, FitOptions o) {
  const bool shared = o.engine.shared_context;
  const std::int64_t each = shared ? std::max<std::int64_t>(1, o.context / o.slots) : o.context;
  const std::int64_t n = largest(kMostSlots, [&](std::int64_t slots) {
    o.slots = slots;
    o.context = shared ? each * slots : each;
    return report(machine, model, placement, o, false).verdict == Verdict::Fits;
  });
  if (n == 0) return std::nullopt;
  return n;
}

void add_context_notes(const ModelSpec& model, const FitOptions& o, FitReport& r) {
  const std::int64_t trained = model.hyper.context_train;
  const std::int64_t each = o.context / sharers(o);
  if (trained > 0 && each > trained) {
    r.notes.push_back(fmt::format("context {} is beyond the {} positions the model was trained for",
                                  each, trained));
  }
  if (r.max_context && trained > 0 && *r.max_context / sharers(o) + kCellStep > trained) {
    r.notes.push_back(
        fmt::format("max_context is the model's training context ({}), not memory", trained));
  }
}

void add_machine_notes(const Machine& machine, const FitOptions& o, FitReport& r) {
  const bool one = has_one_pool(machine);
  Bytes host;
  for (const MemoryLine& l : r.lines) host += l.where == kHost ? l.bytes : Bytes(0);
  if (!one && host_pool(machine) == nullptr) {
    r.notes.push_back(
        fmt::format("host memory of {} is needed besides; the machine's file does not "
                    "describe it (--host-memory)",
                    gb_and_gib(host)));
  }
  const Bytes first = r.pools.front().usable;
  if (one && !o.engine.page_cache_weights && r.verdict != Verdict::DoesNotFit &&
      r.loading.mapped > first) {
    r.notes.push_back(fmt::format(
        "while loading a mapped file, its pages lie beside the copy on the device: {} against {} "
        "usable; read it directly (--no-mmap), which takes {}",
        gb_and_gib(r.loading.mapped), gb_and_gib(first), gb_and_gib(r.loading.direct)));
  }
  if (machine.devices > 1 && o.offload.split == Split::Layer && o.offload.shares.empty()) {
    r.notes.push_back(fmt::format("layers are split evenly over {} devices", machine.devices));
  }
}

void add_notes(const Machine& machine, const ModelSpec& model, const FitOptions& o, FitReport& r) {
  if (!model.bytes_note.empty()) r.notes.push_back(model.bytes_note);
  add_context_notes(model, o, r);
  const bool slots = o.engine.layout == CacheLayout::Slots;
  if (!o.runtime_bytes && slots) {
    r.notes.push_back(
        "not counted: the runtime's own context and kernels (unknown here, often hundreds of MiB)");
  }
  if (slots && !(o.prompt_cache > Bytes(0))) {
    r.notes.push_back(
        "not counted: a server's prompt cache (up to 8192 MiB by default; --cache-ram)");
  }
  add_machine_notes(machine, o, r);
  if (r.verdict == Verdict::TooClose) {
    const PoolReport& p = r.pools[r.tightest];
    r.notes.push_back(
        fmt::format("too close to call: needed is within {:.1f} % of usable, or between usable "
                    "({}) and visible "
                    "({})",
                    100 * kCloseMargin, gb_and_gib(p.usable), gb_and_gib(p.visible)));
  }
}

}  // namespace

std::string_view name(Verdict verdict) {
  switch (verdict) {
    case Verdict::Fits:
      return "fits";
    case Verdict::TooClose:
      return "too_close";
    case Verdict::DoesNotFit:
      return "does_not_fit";
  }
  return "?";
}

void judge_pools(FitReport& r) {
  r.needed = r.usable = Bytes(0);
  r.tightest = 0;
  for (std::size_t i = 0; i < r.pools.size(); ++i) {
    PoolReport& p = r.pools[i];
    p.headroom = p.usable - p.needed;
    p.verdict = judge(p);
    r.needed += p.needed;
    r.usable += p.usable;
    const PoolReport& worst = r.pools[r.tightest];
    const bool worse =
        p.verdict > worst.verdict || (p.verdict == worst.verdict && p.headroom < worst.headroom);
    if (worse) r.tightest = i;
  }
  r.headroom = r.usable - r.needed;
  r.verdict = r.pools[r.tightest].verdict;
}

Deciding deciding(const FitReport& r) {
  const bool host_decides = r.pools[r.tightest].name == "host";
  Deciding d;
  for (const PoolReport& p : r.pools) {
    if (r.pools.size() > 1 && (p.name == "host") != host_decides) continue;
    d.needed += p.needed;
    d.usable += p.usable;
  }
  d.headroom = d.usable - d.needed;
  return d;
}

bool has_one_pool(const Machine& machine) {
  return machine.pool().name != "vram" && machine.pools.size() == 1;
}

const MemoryPool* host_pool(const Machine& machine) {
  for (const MemoryPool& p : machine.pools) {
    if (p.name == "host" && &p != &machine.pool()) return &p;
  }
  return nullptr;
}

Placement placed(const Machine& machine, const ModelSpec& model, const FitOptions& o) {
  return place(model, devices(machine), o.offload, o.engine);
}

FitReport fit_quick(const Machine& machine, const ModelSpec& model, const Placement& placement,
                    const FitOptions& options) {
  return report(machine, model, placement, options, false);
}

FitReport fit(const Machine& machine, const ModelSpec& model, const FitOptions& options) {
  BANDWALL_CHECK(!machine.pools.empty());
  check_fit_options(options);
  const Placement placement = placed(machine, model, options);
  FitReport r = report(machine, model, placement, options, true);
  r.max_context = largest_context(machine, model, placement, options);
  r.max_slots = most_slots(machine, model, placement, options);
  r.loading = load_peak(model, placement, options, has_one_pool(machine));
  add_notes(machine, model, options, r);
  return r;
}

}  // namespace bandwall
