// Several models at once: which machine holds what, with what headroom.
//   Together t = fit_together({{"brain", &brain, o}, {"ears", &ears, o}}, {gb10, gb10});
// Exact: every assignment is tried. Best is the one with the best worst verdict, then the most
// headroom on its tightest pool. Each model runs as a program of its own: its runtime is counted
// again. A machine of several joined devices ("2xgb10") is tried as its single boxes, and joined,
// with every model split over them, when that is better.
// Throws Error (Input) when there are more than kMostAssignments ways.
#pragma once

#include <string>
#include <vector>

#include "analysis/fit.h"

namespace bandwall {

inline constexpr double kMostAssignments = 2e6;

struct Resident {
  std::string title;
  const ModelSpec* model = nullptr;  // nullptr: something else that takes `size` bytes
  FitOptions options;
  Bytes size;
};

struct TogetherMachine {
  Machine machine;
  std::vector<std::size_t> holds;  // of the residents
  FitReport fit;                   // of all of them; pools are those of the machine, no lines
};

struct Together {
  Verdict verdict = Verdict::DoesNotFit;
  std::vector<TogetherMachine> machines;
  bool joined = false;  // devices work as one machine: every model lies on all of them
};

Together fit_together(const std::vector<Resident>& residents, const std::vector<Machine>& machines);

}  // namespace bandwall
