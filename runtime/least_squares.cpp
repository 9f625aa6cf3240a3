#include "runtime/least_squares.h"

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "hwmodel/error.h"

namespace bandwall {
namespace {

// Few figures: every subset of them that may be above zero is tried, the best that gives no
// negative value is taken.
Eigen::VectorXd solve(const Eigen::MatrixXd& a, const Eigen::VectorXd& b) {
  const Eigen::Index n = a.cols();
  Eigen::VectorXd best = Eigen::VectorXd::Zero(n);
  double least = b.squaredNorm();
  for (std::uint32_t subset = 1; subset < (1u << n); ++subset) {
    std::vector<Eigen::Index> used;
    for (Eigen::Index i = 0; i < n; ++i) {
      if ((subset >> i & 1u) != 0) used.push_back(i);
    }
    const Eigen::MatrixXd part = a(Eigen::all, used);
    const Eigen::VectorXd x = part.colPivHouseholderQr().solve(b);
    if (!x.allFinite() || x.minCoeff() < 0) continue;
    const double error = (part * x - b).squaredNorm();
    if (error >= least) continue;
    least = error;
    best.setZero();
    for (std::size_t i = 0; i < used.size(); ++i) best(used[i]) = x(static_cast<Eigen::Index>(i));
  }
  return best;
}

double at_share(std::vector<double> sorted, double share) {
  std::sort(sorted.begin(), sorted.end());
  return sorted[static_cast<std::size_t>(share * static_cast<double>(sorted.size() - 1))];
}

double correlation(const std::vector<double>& x, const std::vector<double>& y) {
  const double n = static_cast<double>(x.size());
  double mx = 0, my = 0, xy = 0, xx = 0, yy = 0;
  for (std::size_t i = 0; i < x.size(); ++i) mx += x[i] / n, my += y[i] / n;
  for (std::size_t i = 0; i < x.size(); ++i) {
    xy += (x[i] - mx) * (y[i] - my);
    xx += (x[i] - mx) * (x[i] - mx);
    yy += (y[i] - my) * (y[i] - my);
  }
  return xx > 0 && yy > 0 ? xy / std::sqrt(xx * yy) : 0;
}

// Values of each figure when rows are drawn again with replacement.
std::vector<std::vector<double>> resampled(const Eigen::MatrixXd& a, const Eigen::VectorXd& b) {
  constexpr int kDraws = 200;
  std::vector<std::vector<double>> values(static_cast<std::size_t>(a.cols()));
  std::uint64_t state = 0x9E3779B97F4A7C15ull;
  std::vector<Eigen::Index> rows(static_cast<std::size_t>(a.rows()));
  for (int draw = 0; draw < kDraws; ++draw) {
    for (Eigen::Index& row : rows) {
      state = state * 6364136223846793005u + 1442695040888963407u;
      row = static_cast<Eigen::Index>((state >> 33) % static_cast<std::uint64_t>(a.rows()));
    }
    const Eigen::VectorXd x = solve(a(rows, Eigen::all), b(rows));
    for (std::size_t i = 0; i < values.size(); ++i)
      values[i].push_back(x(static_cast<Eigen::Index>(i)));
  }
  return values;
}

}  // namespace

Fit fit_non_negative(const Eigen::MatrixXd& terms, const Eigen::VectorXd& times) {
  BANDWALL_CHECK(terms.rows() == times.size() && terms.cols() <= 8);
  Fit fit;
  fit.figures.resize(static_cast<std::size_t>(terms.cols()));
  if (terms.rows() == 0) return fit;
  const Eigen::MatrixXd a = times.cwiseInverse().asDiagonal() * terms;
  const Eigen::VectorXd b = Eigen::VectorXd::Ones(times.size());
  const Eigen::VectorXd x = solve(a, b);
  const auto draws = resampled(a, b);
  for (std::size_t i = 0; i < fit.figures.size(); ++i) {
    FittedFigure& f = fit.figures[i];
    f.value = x(static_cast<Eigen::Index>(i));
    f.low = at_share(draws[i], 0.05);
    f.high = at_share(draws[i], 0.95);
    for (std::size_t j = 0; j < draws.size(); ++j) {
      if (j != i) f.correlation = std::max(f.correlation, std::fabs(correlation(draws[i], draws[j])));
    }
    const bool narrow = f.high - f.value <= 0.3 * f.value && f.value - f.low <= 0.3 * f.value;
    f.identified = f.value > 0 && narrow && f.correlation <= 0.95;
  }
  std::vector<double> errors;
  const Eigen::VectorXd predicted = a * x;
  for (Eigen::Index i = 0; i < predicted.size(); ++i)
    errors.push_back(std::fabs(predicted(i) - 1));
  fit.error = at_share(errors, 0.5);
  return fit;
}

}  // namespace bandwall
