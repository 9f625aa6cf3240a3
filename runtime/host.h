// What this host is: CPU, instruction sets, caches, memory, cores. Read from /proc and /sys;
// unknown figures are empty, never guessed.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "hwmodel/units.h"

namespace bandwall {

struct HostInfo {
  std::string cpu, kernel, compiler;
  std::vector<std::string> isa;             // "avx2", "fma", "avx512f", "avx512_vnni", ...
  int logical_cpus = 1, physical_cores = 1;
  std::optional<Bytes> l1d, l2, l3;         // per core, per core, whole
  std::optional<Bytes> memory_total, memory_available;   // cgroup limit respected
  double load1 = 0;                         // 1-minute load average
  std::string huge_pages;                   // "madvise", "always", "never"
};

HostInfo host_info();
// The kernels that this program was built with: 8 hex digits of their sources.
std::string_view kernel_build();
// The system has refused memory. Throws Error (Running): "WHAT of BYTES cannot be had, BYTES is
// available; WAY_OUT".
[[noreturn]] void throw_no_memory(const std::string& where, const std::string& what, double bytes,
                                  const std::string& way_out);
std::string available_memory();  // "1.00 GB (0.93 GiB)", or "an unknown amount"
// The same from <root>/proc and <root>/sys: a recorded tree in tests.
HostInfo host_info_at(const std::string& root);

}  // namespace bandwall
