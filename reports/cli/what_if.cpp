#include "reports/cli/what_if.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>

#include <fmt/format.h>

#include "analysis/what_if.h"
#include "configs/settings.h"
#include "hwmodel/error.h"
#include "hwmodel/suggest.h"

namespace bandwall {
namespace {

// "2x", "0.5x".
std::optional<double> factor(std::string_view text) {
  if (text.empty() || text.back() != 'x') return std::nullopt;
  double value = 0;
  const char* end = text.data() + text.size() - 1;
  const auto [at, code] = std::from_chars(text.data(), end, value);
  if (code != std::errc() || at != end || !std::isfinite(value)) return std::nullopt;
  return value;
}

double checked_factor(const std::string& setting, std::string_view text) {
  const auto value = factor(text);
  if (!value || !(*value >= 1e-6 && *value <= 1e6)) {
    throw Error::input("--set " + setting, "wants a factor such as 2x, from 0.000001x to 1000000x");
  }
  return *value;
}

BytesPerSecond bandwidth(const std::string& setting, const std::string& text) {
  try {
    return parse_quantity<BytesPerSecond>(text);
  } catch (const Error& e) {
    throw Error::input("--set " + setting, e.diagnostics().front().message);
  }
}

bool apply_lever(const std::string& setting, std::string_view path, const std::string& value,
                 Target& target) {
  if (path == "memory.bandwidth") {
    const BytesPerSecond old = target.machine.pool().peak.value;
    const BytesPerSecond wanted =
        factor(value) ? old * checked_factor(setting, value) : bandwidth(setting, value);
    if (!(wanted.value() > 0 && wanted.value() < 1e18)) {
      throw Error::input("--set " + setting, "must be above 0 and below 1e18 B/s");
    }
    set_memory_bandwidth(target.machine, target.backend, wanted);
  } else if (path == "compute") {
    scale_compute(target.machine, target.backend, checked_factor(setting, value));
  } else if (path == "overhead") {
    scale_overhead(target.machine, target.backend, checked_factor(setting, value));
  } else {
    return false;
  }
  return true;
}

std::string_view first_key(std::string_view path) { return path.substr(0, path.find('.')); }

// By the first key: the backend's own, or one that was probably meant.
bool is_nearer_to_backend(std::string_view path, const Target& target) {
  const std::string key(first_key(path));
  if (key == "memory" || has_figure(target.machine, key)) return false;
  const std::vector<std::string> own = figure_groups(target.backend);
  const bool known = std::find(own.begin(), own.end(), key) != own.end();
  return known || !suggest(key, own).empty();
}

void apply_figure(std::string_view path, const std::string& value, Target& target) {
  const auto behind = [&](std::string_view prefix) -> std::optional<std::string_view> {
    if (path.substr(0, prefix.size()) != prefix) return std::nullopt;
    return path.substr(prefix.size());
  };
  if (const auto rest = behind("machine.")) {
    target.machine = with_figure(target.machine, *rest, value);
  } else if (const auto own = behind("backend.")) {
    target.backend = with_figure(target.backend, *own, value);
  } else if (has_figure(target.machine, path) || !is_nearer_to_backend(path, target)) {
    target.machine = with_figure(target.machine, path, value);
  } else {
    target.backend = with_figure(target.backend, path, value);
  }
}

}  // namespace

OptionSpec option_set() {
  return {
      "set", "FIGURE=VALUE", "",
      "what if: memory.bandwidth=546GB/s or 2x, compute=2x, overhead=0.5x, or any figure of the "
      "machine or backend by its path (stream.Q4_K=220GB/s); may be repeated"};
}

std::vector<std::string> apply_settings(const Arguments& a, Target& target) {
  std::vector<std::string> notes;
  if (!a.has("set")) return notes;
  for (const std::string& setting : a.list("set")) {
    const std::size_t equals = setting.find('=');
    if (equals == std::string::npos || equals == 0 || equals + 1 == setting.size()) {
      throw Error::input("--set " + setting, "wants FIGURE=VALUE, as in memory.bandwidth=546GB/s");
    }
    const std::string path = setting.substr(0, equals), value = setting.substr(equals + 1);
    if (!apply_lever(setting, path, value, target)) apply_figure(path, value, target);
    notes.push_back(fmt::format("what if: {} = {}", path, value));
  }
  target.backend.calibrated = false;
  return notes;
}

}  // namespace bandwall
