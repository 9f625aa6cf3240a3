// bandwall doctor: what this host offers, and what is missing.
#include <fmt/format.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "reports/cli/commands.h"
#include "reports/cli/common.h"
#include "reports/table.h"
#include "reports/version.h"
#include "runtime/host.h"
#include "runtime/thread_pool.h"

namespace bandwall {
namespace {

std::vector<std::string> advice(const HostInfo& host) {
  std::vector<std::string> lines;
  const std::string_view isa = best_kernels().isa;
  if (isa == "portable")
    lines.emplace_back(
        "no AVX2 or AVX-512 here: the portable kernels run, several times slower than the wall");
  if (host.load1 > 0.5 * host.physical_cores) {
    lines.push_back(
        fmt::format("other work is running (load {:.1f} on {} cores): measurements will be low",
                    host.load1, host.physical_cores));
  }
  if (host.huge_pages == "never")
    lines.emplace_back(
        "transparent huge pages are off: large caches stream slower (set them to madvise)");
  const std::string path = default_profile_path();
  if (path.empty() || !std::filesystem::exists(path))
    lines.emplace_back(
        "not calibrated: run 'bandwall calibrate' once, so that predictions need no quick probe");
  return lines;
}

std::string size(const std::optional<Bytes>& b) { return b ? human(*b) : "unknown"; }

int run_doctor(const Arguments& a) {
  const HostInfo host = host_info();
  const std::vector<std::string> missing = advice(host);
  if (a.choice("output", {"text", "json"}) == "json") {
    const auto number = [](const std::optional<Bytes>& b) {
      return b ? nlohmann::ordered_json(b->count()) : nlohmann::ordered_json(nullptr);
    };
    fmt::print("{}\n",
               nlohmann::ordered_json{{"version", version()},
                                      {"cpu", host.cpu},
                                      {"kernel", host.kernel},
                                      {"compiler", host.compiler},
                                      {"isa", host.isa},
                                      {"kernels", best_kernels().isa},
                                      {"logical_cpus", host.logical_cpus},
                                      {"physical_cores", host.physical_cores},
                                      {"threads", default_threads()},
                                      {"l1d_bytes", number(host.l1d)},
                                      {"l2_bytes", number(host.l2)},
                                      {"l3_bytes", number(host.l3)},
                                      {"memory_bytes", number(host.memory_total)},
                                      {"memory_available_bytes", number(host.memory_available)},
                                      {"huge_pages", host.huge_pages},
                                      {"load1", host.load1},
                                      {"advice", missing}}
                   .dump(2));
    return kExitDone;
  }
  Table table({{"what"}, {"this host"}});
  table.add({"bandwall", std::string(version()) + ", built with " + host.compiler});
  table.add({"cpu", host.cpu});
  table.add({"instruction sets", fmt::format("{}", fmt::join(host.isa, " "))});
  table.add({"kernels used", std::string(best_kernels().isa)});
  table.add({"cores", fmt::format("{} physical, {} logical; {} threads by default",
                                  host.physical_cores, host.logical_cpus, default_threads())});
  table.add({"caches", fmt::format("L1d {} and L2 {} per core, L3 {}", size(host.l1d),
                                   size(host.l2), size(host.l3))});
  table.add({"memory",
             fmt::format("{} installed, {} available",
                         host.memory_total ? gb_and_gib(*host.memory_total) : "unknown",
                         host.memory_available ? gb_and_gib(*host.memory_available) : "unknown")});
  table.add({"huge pages", host.huge_pages});
  table.add({"kernel", host.kernel});
  fmt::print("{}", table.text());
  for (const std::string& line : missing) fmt::print("- {}\n", line);
  if (missing.empty()) fmt::print("nothing is missing\n");
  return kExitDone;
}

}  // namespace

CommandSpec command_doctor() {
  return {"doctor",
          "doctor [-o text|json]",
          "what this host offers: cpu, caches, memory, threads; what is missing",
          0,
          0,
          {option_output("text", "text, json")},
          run_doctor};
}

}  // namespace bandwall
