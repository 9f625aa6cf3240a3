#include "analysis/running_cost.h"

#include <algorithm>
#include <cmath>

namespace bandwall {

std::optional<LoadTime> load_time(const Machine& machine, Bytes file) {
  const Link* disk = machine.link("nvme");
  if (disk == nullptr || !(disk->bandwidth.value > BytesPerSecond(0))) return std::nullopt;
  constexpr double kPage = 4 * kKiB, kWindow = 128 * kKiB;
  LoadTime t;
  t.sequential = file / disk->bandwidth.value;
  if (disk->latency) {
    const Seconds latency = disk->latency->value;
    t.read_ahead = t.sequential + latency * std::ceil(file.value() / kWindow);
    t.faults = latency * std::ceil(file.value() / kPage);
  }
  return t;
}

std::optional<Energy> energy(const Machine& machine, Bytes moved, Flops flops, Seconds t) {
  const double count = std::max(1, machine.devices);
  if (!machine.energy) {
    if (!machine.power) return std::nullopt;
    const Watts most = machine.power->value * count;
    return Energy{most, most * t, true};
  }
  const EnergyFigures& e = *machine.energy;
  Joules joules = e.idle.value * count * t;
  joules += Joules(e.joules_per_byte.value * moved.value());
  joules += Joules(e.joules_per_flop.value * flops.value());
  Watts power = joules / t;
  if (machine.power && power > machine.power->value * count) {
    power = machine.power->value * count;
    joules = power * t;
  }
  return Energy{power, joules, false};
}

Cost cost_per_million(const Machine& machine, const Energy& energy, Seconds t, double tokens,
                      const CostOptions& o) {
  constexpr double kJoulesPerKwh = 3.6e6, kSecondsPerYear = 365.25 * 86400;
  const double count = std::max(1, machine.devices);
  const double per_token = t.value() / tokens, idle_share = 1 / o.utilization - 1;
  double joules = energy.joules.value() / tokens;
  if (machine.energy) {
    joules += machine.energy->idle.value.value() * count * per_token * idle_share;
  }
  Cost c;
  c.usd_electricity = 1e6 * joules / kJoulesPerKwh * o.usd_per_kwh;
  if (machine.price_usd) {
    c.usd_machine = 1e6 * per_token / o.utilization * machine.price_usd->value * count /
                    (o.years * kSecondsPerYear);
  }
  return c;
}

}  // namespace bandwall
