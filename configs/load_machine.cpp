#include "configs/load.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "hwmodel/compute_capability.h"
#include "hwmodel/suggest.h"

namespace bandwall {
namespace {

const std::vector<std::string> kNumerics = {"fp4", "fp8", "bf16", "fp16", "tf32", "fp32", "int8"};

// Names that must differ inside one list.
class Names {
 public:
  std::string take(Reader& reader, std::string_view key) {
    std::string name = reader.text(key);
    if (!name.empty() && !seen_.insert(name).second) {
      reader.problem(key, fmt::format("\"{}\" stands twice in this list", name));
    }
    return name;
  }

 private:
  std::set<std::string> seen_;
};

MemoryPool read_pool(Reader& r, Names& names) {
  MemoryPool pool;
  pool.name = names.take(r, "name");
  pool.installed = r.figure<Bytes>("installed");
  pool.visible = r.figure<Bytes>("visible");
  pool.reserve = r.figure<Bytes>("reserve");
  pool.peak = r.figure<BytesPerSecond>("peak");
  pool.achievable = r.figure<BytesPerSecond>("achievable");
  // Memory is sold in round GB but built in powers of two, so a little more may be visible.
  if (pool.visible.value > pool.installed.value * 1.08) {
    r.problem("visible",
              fmt::format("{} is more than installed, {}", gb_and_gib(pool.visible.value),
                          gb_and_gib(pool.installed.value)));
  }
  if (pool.reserve.value >= pool.visible.value) {
    r.problem("reserve", "leaves nothing usable; it must be below visible");
  }
  if (pool.achievable.value > pool.peak.value) {
    r.problem("achievable", fmt::format("{} is above the peak, {}", human(pool.achievable.value),
                                        human(pool.peak.value)));
  }
  return pool;
}

ComputeRate read_compute(Reader& r, Names& names) {
  ComputeRate rate;
  rate.numeric = names.take(r, "numeric");
  if (!rate.numeric.empty()) check_key(r, "numeric", rate.numeric, kNumerics);
  rate.peak = r.figure<FlopsPerSecond>("peak");
  rate.achievable = r.optional_figure<FlopsPerSecond>("achievable");
  if (rate.achievable && rate.achievable->value > rate.peak.value) {
    r.problem("achievable", "is above the peak");
  }
  return rate;
}

KernelLimits read_limits(Reader r) {
  KernelLimits limits;
  limits.shared_per_block = r.figure<Bytes>("shared_per_block");
  limits.shared_per_sm = r.figure<Bytes>("shared_per_sm");
  limits.reserved_per_block = r.figure<Bytes>("reserved_per_block");
  limits.sm_count = r.figure<double>("sm_count");
  limits.registers_per_sm = r.figure<double>("registers_per_sm");
  limits.warps_per_sm = r.figure<double>("warps_per_sm");
  limits.blocks_per_sm = r.figure<double>("blocks_per_sm");
  limits.compute_capability = r.optional_text("compute_capability").value_or("");
  if (!limits.compute_capability.empty()) {
    check_key(r, "compute_capability", limits.compute_capability, compute_capability_names());
  }
  return limits;
}

Link read_link(Reader& r, Names& names) {
  Link link;
  link.name = names.take(r, "name");
  link.bandwidth = r.figure<BytesPerSecond>("bandwidth");
  link.latency = r.optional_figure<Seconds>("latency");
  return link;
}

EnergyFigures read_energy(Reader r) {
  EnergyFigures e;
  e.idle = r.figure<Watts>("idle");
  e.joules_per_byte = r.figure<double>("joules_per_byte");
  e.joules_per_flop = r.figure<double>("joules_per_flop");
  for (const auto& [key, figure] : {std::pair{"joules_per_byte", &e.joules_per_byte},
                                    std::pair{"joules_per_flop", &e.joules_per_flop}}) {
    if (!(figure->value >= 0 && figure->value < 1e-3)) r.problem(key, "is outside 0..0.001");
  }
  return e;
}

void check_machine(Reader& r, const Machine& m) {
  const bool plain = m.name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789.-_") ==
                     std::string::npos;
  if (!plain) r.problem("name", "may hold small letters, digits, '.', '-' and '_' only");
  if (m.pools.empty()) r.problem("pools", "at least one memory pool is wanted");
  for (std::size_t i = 1; i < m.pools.size(); ++i) {
    if (m.pools[i].name == "host") continue;
    r.problem("pools", fmt::format("\"{}\" stands after the first pool; only \"host\" may: memory "
                                   "of the computer around a card",
                                   m.pools[i].name));
  }
  if (m.device_link && m.link(*m.device_link) == nullptr) {
    r.problem("device_link", fmt::format("\"{}\" is none of links", *m.device_link));
  }
  if (m.devices > 1 && !m.device_link) {
    r.problem("device_link", "missing; several devices are joined by a link");
  }
}

}  // namespace

void check_key(Reader& r, std::string_view at, const std::string& key,
               const std::vector<std::string>& known) {
  if (std::find(known.begin(), known.end(), key) != known.end()) return;
  const std::string near = suggest(key, known);
  std::string list;
  for (const std::string& name : known) list += (list.empty() ? "" : ", ") + name;
  r.problem(at, near.empty() ? fmt::format("\"{}\" is unknown; known: {}", key, list)
                             : fmt::format("\"{}\" is unknown; did you mean {}?", key, near));
}

RateCurve read_curve(Reader& r) {
  RateCurve curve;
  curve.threads = static_cast<int>(r.integer("threads", 0, 4096));
  curve.source = r.source();
  for (Reader& point : r.children("points")) {
    RatePoint p;
    p.working_set = point.quantity<Bytes>("working_set");
    p.rate = point.quantity<BytesPerSecond>("rate");
    const Bytes least = curve.points.empty() ? Bytes(0) : curve.points.back().working_set;
    if (p.working_set <= least) point.problem("working_set", "must ascend from point to point");
    curve.points.push_back(p);
  }
  if (curve.points.empty()) r.problem("points", "at least one point is wanted");
  return curve;
}

Machine read_machine(Reader& r) {
  Machine m;
  m.name = r.text("name");
  m.title = r.optional_text("title").value_or("");
  m.devices = static_cast<int>(r.optional_integer("devices", 1, 64).value_or(1));
  Names pools, caches, numerics, links;
  for (Reader& pool : r.children("pools")) m.pools.push_back(read_pool(pool, pools));
  for (Reader& cache : r.children("caches")) {
    CacheLevel level;
    level.name = caches.take(cache, "name");
    level.capacity = cache.figure<Bytes>("capacity");
    m.caches.push_back(level);
  }
  for (Reader& curve : r.children("read_curves")) m.read_curves.push_back(read_curve(curve));
  for (Reader& rate : r.children("compute")) m.compute.push_back(read_compute(rate, numerics));
  if (auto limits = r.optional_child("kernel_limits")) m.kernel_limits = read_limits(*limits);
  for (Reader& link : r.children("links")) m.links.push_back(read_link(link, links));
  m.device_link = r.optional_text("device_link");
  m.power = r.optional_figure<Watts>("power");
  if (auto energy = r.optional_child("energy")) m.energy = read_energy(*energy);
  m.price_usd = r.optional_figure<double>("price_usd");
  m.default_backend = r.optional_text("default_backend").value_or("");
  check_machine(r, m);
  return m;
}

}  // namespace bandwall
