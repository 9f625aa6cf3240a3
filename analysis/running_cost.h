// Load time, energy and money: what it takes to start and to run a model on a machine. A figure
// that the machine does not state makes its answer absent, never zero.
//   LoadTime l = load_time(machine, file_bytes);      Energy e = energy(machine, traffic, flops,
//   t);
#pragma once

#include <optional>

#include "hwmodel/machine.h"

namespace bandwall {

// From the link "nvme". sequential: large reads, bytes / bandwidth. read_ahead: a mapped file,
// faults served in the kernel's usual windows of 128 KiB, one after the other:
//   windows * (latency + 128 KiB / bandwidth). faults: a mapped file read in 4 KiB pages at random
// (madvise(MADV_RANDOM), or touched in no order): pages * latency.
struct LoadTime {
  Seconds sequential;
  std::optional<Seconds> read_ahead, faults;  // absent: the link has no latency
};
std::optional<LoadTime> load_time(const Machine& machine, Bytes file);

// P = idle + e_byte * bytes/s + e_flop * flops/s, at most the machine's power; energy = P * t.
// Without the machine's energy figures the upper bound power * t, and `bound` is set.
struct Energy {
  Watts power;
  Joules joules;
  bool bound = false;
};
std::optional<Energy> energy(const Machine& machine, Bytes moved, Flops flops, Seconds t);

// Money of one million tokens: electricity, and the price of the machine spread over its years of
// use. While the machine is not used it draws `idle`, where that is known.
struct CostOptions {
  double usd_per_kwh = 0.30;
  double years = 3;
  double utilization = 0.5;  // share of the time in which it works, 0..1
};
struct Cost {
  double usd_electricity = 0;         // per million tokens
  std::optional<double> usd_machine;  // absent: no price is known
};
Cost cost_per_million(const Machine& machine, const Energy& energy, Seconds t, double tokens,
                      const CostOptions& options);

}  // namespace bandwall
