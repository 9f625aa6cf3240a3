// Non-negative least squares for the few figures that one set of probes gives together, with
// intervals from a bootstrap, so that a figure that the probes do not determine is seen as such.
//   Fit f = fit_non_negative(terms, times);   // terms: rows x figures, times: seconds
//   if (!f.figures[0].identified) ...         // take it from a probe of its own
// Errors are relative: each row is divided by its time. Deterministic.
#pragma once

#include <vector>

namespace bandwall {

struct FittedFigure {
  double value = 0;          // as in times = terms * values
  double low = 0, high = 0;  // 5th and 95th percentile of the bootstrap
  double correlation = 0;    // the largest |r| of the estimate with that of another figure
  // Interval at most 30 % of the value either way, |r| at most 0.95.
  bool identified = false;
};
struct Fit {
  std::vector<FittedFigure> figures;
  double error = 0;  // median of |predicted / measured - 1|
};

// terms: one row per time, one column per figure (at most 8). times > 0. No rows: all figures 0.
using Terms = std::vector<std::vector<double>>;
Fit fit_non_negative(const Terms& terms, const std::vector<double>& times, std::size_t figures);

}  // namespace bandwall
