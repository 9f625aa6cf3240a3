#include "analysis/compare.h"

#include <set>

namespace bandwall {

Comparison compare(const Ledger& predicted, const Ledger& measured) {
  Comparison result;
  result.bytes_equal = true;
  std::set<OpKey> keys;
  for (const auto& [key, row] : predicted.rows) keys.insert(key);
  for (const auto& [key, row] : measured.rows) keys.insert(key);
  for (const OpKey& key : keys) {
    const auto p = predicted.rows.find(key);
    const auto m = measured.rows.find(key);
    const bool equal = p != predicted.rows.end() && m != measured.rows.end() &&
                       p->second.traffic == m->second.traffic;
    if (!equal) {
      result.bytes_equal = false;
      result.unequal.push_back(key);
    }
  }
  const auto predicted_kinds = predicted.by_kind();
  for (const auto& [kind, m] : measured.by_kind()) {
    ComparisonRow row;
    row.kind = kind;
    row.calls = m.calls;
    row.bytes = m.traffic.from_memory();
    row.measured = m.time;
    if (const auto p = predicted_kinds.find(kind); p != predicted_kinds.end()) {
      row.predicted = p->second.time;
    }
    if (m.time > Seconds(0)) {
      row.ratio = row.predicted / row.measured;
      row.achieved = row.bytes / row.measured;
    }
    result.rows.push_back(row);
  }
  if (measured.wall > Seconds(0)) result.time_ratio = predicted.wall / measured.wall;
  return result;
}

}  // namespace bandwall
