// Non-negative least squares for the few figures that one set of probes gives together, with
// intervals from a bootstrap, so that a figure that the probes do not determine is seen as such.
//   Fit f = fit_non_negative(terms, times);   // terms: rows x figures, times: seconds
//   if (!f.figures[0].identified) ...         // take it from a probe of its own
// Errors are relative: each row is divided by its time. Deterministic.
#pragma once

#include <vector>

#include <Eigen/Dense>

namespace bandwall {

struct FittedFigure {
  double value = 0;           // as in times = terms * values
  double low = 0, high = 0;   // 5th and 95th percentile of the bootstrap
  double correlation = 0;     // the largest |r| with another figure that is not zero
  // Interval at most 30 % of the value either way, |r| at most 0.95.
  bool identified = false;
};
struct Fit {
  std::vector<FittedFigure> figures;
  double error = 0;  // median of |predicted / measured - 1|
};

// times > 0, as many as rows of terms; no rows: all figures 0.
Fit fit_non_negative(const Eigen::MatrixXd& terms, const Eigen::VectorXd& times);

}  // namespace bandwall
