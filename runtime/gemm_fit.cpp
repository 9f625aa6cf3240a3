#include "runtime/gemm_fit.h"

#include <algorithm>

#include <Eigen/Dense>

#include "hwmodel/error.h"

namespace bandwall {

// T(n) - T(1) = a (n - 1) + b (n - 1) / n with a = flops per row / rate and b = a * n_half. Least
// squares on relative errors.
GemmRate fit_gemm(const std::map<std::int64_t, Series>& seconds, double row_flops) {
  BANDWALL_CHECK(!seconds.empty());
  const auto time = [](const Series& s) { return std::max(1e-12, s.median()); };
  const auto& [most, longest] = *seconds.rbegin();
  const GemmRate whole{FlopsPerSecond(row_flops * static_cast<double>(most) / time(longest)), 0};
  const auto one = seconds.find(1);
  if (one == seconds.end()) return whole;
  Eigen::MatrixX2d terms(static_cast<Eigen::Index>(seconds.size()), 2);
  Eigen::VectorXd extra(terms.rows());
  Eigen::Index used = 0;
  for (const auto& [n, series] : seconds) {
    if (n == 1) continue;
    const double t = time(series), more = static_cast<double>(n - 1) / t;
    terms.row(used) << more, more / static_cast<double>(n);
    extra(used++) = (t - time(one->second)) / t;
  }
  if (used == 0) return whole;
  const auto x = terms.topRows(used);
  const auto y = extra.head(used);
  const Eigen::Vector2d fitted = x.colPivHouseholderQr().solve(y);
  double a = fitted(0), b = fitted(1);
  if (b < 0 || a <= 0) {  // no half-saturation can be seen: the rate alone
    b = 0;
    a = x.col(0).dot(y) / x.col(0).squaredNorm();
  }
  return a > 0 ? GemmRate{FlopsPerSecond(row_flops / a), b / a} : whole;
}

}  // namespace bandwall
