#include "runtime/host.h"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <iterator>
#include <set>
#include <sstream>
#include <string_view>

#include <fmt/format.h>

#include "hwmodel/error.h"

namespace bandwall {
namespace {

std::string read_text(const std::string& path) {
  std::ifstream in(path);
  std::ostringstream out;
  if (in) out << in.rdbuf();
  return out.str();
}

std::string first_line(const std::string& path) {
  std::string text = read_text(path);
  text.erase(std::min(text.find('\n'), text.size()));
  return text;
}

std::optional<double> leading_number(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end == text.data()) return std::nullopt;
  return static_cast<double>(value);
}

// "32768K", "32M" or plain bytes, as the cache folders write sizes.
std::optional<Bytes> size_text(const std::string& text) {
  const auto number = leading_number(text);
  if (!number) return std::nullopt;
  const char unit = text.find_first_not_of("0123456789") == std::string::npos
                        ? ' '
                        : text[text.find_first_not_of("0123456789")];
  const double scale = unit == 'K' ? kKiB : unit == 'M' ? kMiB : unit == 'G' ? kGiB : 1.0;
  return Bytes(*number * scale);
}

// Calls f(key, value) for the lines "key<separator>value" of a text.
template <class F>
void for_each_pair(const std::string& text, char separator, F f) {
  std::istringstream in(text);
  std::string line;
  while (std::getline(in, line)) {
    const auto at = line.find(separator);
    if (at == std::string::npos) continue;
    const auto trim = [](std::string s) {
      const auto a = s.find_first_not_of(" \t"), b = s.find_last_not_of(" \t\r");
      return a == std::string::npos ? std::string() : s.substr(a, b - a + 1);
    };
    f(trim(line.substr(0, at)), trim(line.substr(at + 1)));
  }
}

void keep_known_isa(const std::string& flags, HostInfo& info) {
  static constexpr std::string_view kShown[] = {
      "sse4_2",   "avx",         "avx2",       "fma",         "f16c",     "avx512f",  "avx512bw",
      "avx512vl", "avx512_vnni", "avx512vbmi", "avx512_bf16", "avx_vnni", "amx_int8", "asimd",
      "asimddp",  "asimdhp",     "i8mm",       "bf16",        "sve",      "sve2"};
  std::istringstream in(flags);
  const std::set<std::string> present{std::istream_iterator<std::string>(in), {}};
  for (const std::string_view flag : kShown) {
    if (present.count(std::string(flag)) != 0) info.isa.emplace_back(flag);
  }
}

void read_cpu(const std::string& root, HostInfo& info) {
  int processors = 0;
  std::string flags, package = "0", core;
  std::set<std::string> cores;
  for_each_pair(read_text(root + "/proc/cpuinfo"), ':',
                [&](const std::string& key, const std::string& value) {
                  if (key == "processor") ++processors;
                  if (key == "model name" && info.cpu.empty()) info.cpu = value;
                  if (key == "physical id") package = value;
                  if (key == "core id") cores.insert(package + ":" + value);
                  if ((key == "flags" || key == "Features") && flags.empty()) flags = value;
                });
  keep_known_isa(flags, info);
  info.logical_cpus = std::max(1, processors);
  info.physical_cores = cores.empty() ? info.logical_cpus : static_cast<int>(cores.size());
}

void read_caches(const std::string& root, HostInfo& info) {
  for (int index = 0; index < 8; ++index) {
    const std::string folder =
        root + "/sys/devices/system/cpu/cpu0/cache/index" + std::to_string(index);
    const std::string level = first_line(folder + "/level"), type = first_line(folder + "/type");
    if (type == "Instruction") continue;
    const auto size = size_text(first_line(folder + "/size"));
    if (!size) continue;
    if (level == "1") info.l1d = size;
    if (level == "2") info.l2 = size;
    if (level == "3") info.l3 = size;
  }
}

struct MemoryGroup {
  double limit = 0, used = 0;
};

// Memory used by a group that the kernel cannot simply drop: usage without inactive file pages.
double held(const std::string& folder, const std::string& usage_file, const char* stat_key) {
  const double used = leading_number(first_line(folder + usage_file)).value_or(0);
  double droppable = 0;
  for_each_pair(read_text(folder + "/memory.stat"), ' ',
                [&](const std::string& key, const std::string& value) {
                  if (key == stat_key) droppable = leading_number(value).value_or(0);
                });
  return std::max(0.0, used - droppable);
}

std::string parent(const std::string& path) {
  const auto at = path.find_last_of('/');
  return at == std::string::npos ? std::string() : path.substr(0, at);
}

// Limits of the process's own memory group and all groups above it, version 2 and version 1. In a
// container the path may not exist under the mount; the mount's own root is then the group.
std::vector<MemoryGroup> memory_groups(const std::string& root) {
  std::vector<MemoryGroup> groups;
  const auto add = [&](const std::string& folder, const char* limit_file, const char* usage_file,
                       const char* stat_key) {
    const auto limit = leading_number(first_line(folder + limit_file));  // "max" is no number
    if (limit) groups.push_back({*limit, held(folder, usage_file, stat_key)});
  };
  std::istringstream in(read_text(root + "/proc/self/cgroup"));
  std::string line;
  while (std::getline(in, line)) {
    const auto first = line.find(':'), second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    std::string path = line.substr(second + 1);
    if (path == "/") path.clear();
    const bool is_v2 = controllers.empty();
    if (!is_v2 && ("," + controllers + ",").find(",memory,") == std::string::npos) continue;
    const std::string mount = root + (is_v2 ? "/sys/fs/cgroup" : "/sys/fs/cgroup/memory");
    while (true) {
      if (is_v2) {
        add(mount + path, "/memory.max", "/memory.current", "inactive_file");
      } else {
        add(mount + path, "/memory.limit_in_bytes", "/memory.usage_in_bytes",
            "total_inactive_file");
      }
      if (path.empty()) break;
      path = parent(path);
    }
  }
  return groups;
}

// The limit on the address space of this process (ulimit -v) acts like that of a memory group.
std::optional<MemoryGroup> address_space(const std::string& root) {
  std::optional<MemoryGroup> space;
  std::istringstream in(read_text(root + "/proc/self/limits"));
  const std::string field = "Max address space";
  for (std::string line; std::getline(in, line);) {
    if (line.rfind(field, 0) != 0) continue;
    const auto at = line.find_first_not_of(' ', field.size());
    if (at == std::string::npos) continue;
    if (const auto limit = leading_number(std::string_view(line).substr(at))) {
      space = {*limit, 0};  // "unlimited" is no number
    }
  }
  if (!space) return space;
  for_each_pair(read_text(root + "/proc/self/status"), ':',
                [&](const std::string& key, const std::string& value) {
                  if (key == "VmSize") space->used = leading_number(value).value_or(0) * kKiB;
                });
  return space;
}

void read_memory(const std::string& root, HostInfo& info) {
  for_each_pair(read_text(root + "/proc/meminfo"), ':',
                [&](const std::string& key, const std::string& value) {
                  const auto number = leading_number(value);
                  if (!number) return;
                  if (key == "MemTotal") info.memory_total = Bytes(*number * kKiB);
                  if (key == "MemAvailable") info.memory_available = Bytes(*number * kKiB);
                });
  std::vector<MemoryGroup> groups = memory_groups(root);
  if (const auto space = address_space(root)) groups.push_back(*space);
  for (const MemoryGroup& group : groups) {
    const Bytes limit(group.limit), left(std::max(0.0, group.limit - group.used));
    if (info.memory_total && limit < *info.memory_total) info.memory_total = limit;
    if (info.memory_available && left < *info.memory_available) info.memory_available = left;
  }
}

std::string bracketed(const std::string& text) {
  const auto a = text.find('['), b = text.find(']');
  return a == std::string::npos || b == std::string::npos || b < a ? std::string()
                                                                   : text.substr(a + 1, b - a - 1);
}

std::string compiler_text() {
#if defined(__clang__)
  return std::string("clang ") + __clang_version__;
#elif defined(__GNUC__)
  return std::string("g++ ") + __VERSION__;
#else
  return "";
#endif
}

}  // namespace

HostInfo host_info_at(const std::string& root) {
  HostInfo info;
  read_cpu(root, info);
  read_caches(root, info);
  read_memory(root, info);
  info.kernel = first_line(root + "/proc/sys/kernel/osrelease");
  info.compiler = compiler_text();
  info.huge_pages = bracketed(first_line(root + "/sys/kernel/mm/transparent_hugepage/enabled"));
  const std::string load = first_line(root + "/proc/loadavg");
  std::istringstream(load) >> info.load1;
  return info;
}

HostInfo host_info() { return host_info_at(""); }

std::string available_memory() {
  const std::optional<Bytes> available = host_info().memory_available;
  return available ? gb_and_gib(*available) : "an unknown amount";
}

void throw_no_memory(const std::string& where, const std::string& what, double bytes,
                     const std::string& way_out) {
  throw Error::running(where, fmt::format("{} of {} cannot be had, {} is available; {}", what,
                                          gb_and_gib(Bytes(bytes)), available_memory(), way_out));
}

std::string_view kernel_build() { return BANDWALL_KERNELS; }

}  // namespace bandwall
