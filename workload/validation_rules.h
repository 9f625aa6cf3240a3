// By what predictions are judged: the bars that classes of measured rows must meet, and the classes
// that are known to fail, each with its mechanism. Pure data: configs/ reads it from YAML
// (configs/validation/classes.yaml).
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bandwall {

// What is known of a row, by name: machine, backend, engine, regime, attention, marks, ...
using RowAttributes = std::map<std::string, std::string>;

// The names a filter may use.
const std::vector<std::string>& row_attribute_names();

// Holds when every attribute named matches one of its patterns (*, ?; letter case counts) and none
// of those with a leading "!". An attribute with only such patterns matches anything else.
struct RowFilter {
  std::vector<std::pair<std::string, std::vector<std::string>>> where;
  bool holds(const RowAttributes& row) const;
};

struct Bar {
  std::string name;
  RowFilter where;
  double median = 0, p90 = 0, worst = 0;  // absolute relative errors; 0: no limit
};

struct FailingClass {
  std::string name;
  RowFilter where;
  std::string bar;      // the one its rows would otherwise count for; empty: of no bar
  std::string because;  // the mechanism, one sentence
};

struct ValidationRules {
  std::vector<Bar> bars;                       // a row counts for the first that holds
  std::vector<FailingClass> failing;           // likewise, before the bars
  double coverage_low = 0, coverage_high = 1;  // share of rows inside their band
};

}  // namespace bandwall
