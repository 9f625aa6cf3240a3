#include "workload/validation_rules.h"

#include <algorithm>

#include "workload/name_patterns.h"

namespace bandwall {

const std::vector<std::string>& row_attribute_names() {
  static const std::vector<std::string> names = {"device",
                                                 "machine",
                                                 "devices",
                                                 "engine",
                                                 "stack",
                                                 "backend",
                                                 "model",
                                                 "quant",
                                                 "format",
                                                 "experts",
                                                 "regime",
                                                 "phase",
                                                 "test",
                                                 "attention",
                                                 "marks",
                                                 "basis",
                                                 "kv",
                                                 "expert_width",
                                                 "head_width",
                                                 "heads_per_kv_head",
                                                 "known_limit",
                                                 "flash_attention",
                                                 "faster_than_light"};
  return names;
}

bool RowFilter::holds(const RowAttributes& row) const {
  return std::all_of(where.begin(), where.end(), [&](const auto& condition) {
    const auto found = row.find(condition.first);
    const std::string value = found == row.end() ? "" : found->second;
    bool wanted = true, any = false;
    for (const std::string& pattern : condition.second) {
      const bool not_this = pattern.starts_with('!');
      const bool same = matches(std::string_view(pattern).substr(not_this ? 1 : 0), value);
      if (not_this && same) return false;
      if (!not_this) {
        wanted = any || same;
        any = wanted;
      }
    }
    return wanted;
  });
}

}  // namespace bandwall
