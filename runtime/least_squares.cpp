#include "runtime/least_squares.h"

#include <algorithm>
#include <cmath>
#include <cstdint>

#include <Eigen/Dense>

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

// Correlation of the estimates, the largest of each figure with another: of the inverse of the
// normal matrix. Columns that are multiples of each other have 1; columns of zeros have none.
std::vector<double> correlations(const Eigen::MatrixXd& a) {
  std::vector<double> largest(static_cast<std::size_t>(a.cols()), 0);
  std::vector<Eigen::Index> used;
  for (Eigen::Index i = 0; i < a.cols(); ++i) {
    if (a.col(i).squaredNorm() > 0) used.push_back(i);
  }
  if (used.size() < 2) return largest;
  const Eigen::MatrixXd part = a(Eigen::all, used);
  const Eigen::VectorXd size = part.colwise().norm();
  const Eigen::MatrixXd unit = part * size.cwiseInverse().asDiagonal();
  const Eigen::FullPivLU<Eigen::MatrixXd> normal(unit.transpose() * unit);
  Eigen::MatrixXd inverse = Eigen::MatrixXd::Ones(normal.rows(), normal.cols());
  if (normal.isInvertible()) inverse = normal.inverse();
  for (Eigen::Index i = 0; i < inverse.rows(); ++i) {
    double& most = largest[static_cast<std::size_t>(used[static_cast<std::size_t>(i)])];
    for (Eigen::Index j = 0; j < inverse.cols(); ++j) {
      if (i == j) continue;
      most = std::max(most, std::fabs(inverse(i, j)) / std::sqrt(inverse(i, i) * inverse(j, j)));
    }
  }
  return largest;
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

Fit fit_non_negative(const Terms& terms, const std::vector<double>& times, std::size_t figures) {
  BANDWALL_CHECK(terms.size() == times.size() && figures <= 8);
  Fit fit;
  fit.figures.resize(figures);
  if (terms.empty()) return fit;
  Eigen::MatrixXd a(static_cast<Eigen::Index>(terms.size()), static_cast<Eigen::Index>(figures));
  for (std::size_t i = 0; i < terms.size(); ++i) {
    for (std::size_t j = 0; j < figures; ++j) {
      a(static_cast<Eigen::Index>(i), static_cast<Eigen::Index>(j)) = terms[i][j] / times[i];
    }
  }
  const Eigen::VectorXd b = Eigen::VectorXd::Ones(a.rows());
  const Eigen::VectorXd x = solve(a, b);
  const auto draws = resampled(a, b);
  const std::vector<double> tied = correlations(a);
  for (std::size_t i = 0; i < fit.figures.size(); ++i) {
    FittedFigure& f = fit.figures[i];
    f.value = x(static_cast<Eigen::Index>(i));
    f.low = at_share(draws[i], 0.05);
    f.high = at_share(draws[i], 0.95);
    f.correlation = tied[i];
    const bool narrow = f.high - f.value <= 0.3 * f.value && f.value - f.low <= 0.3 * f.value;
    f.identified = f.value > 0 && narrow && f.correlation <= 0.95;
  }
  std::vector<double> errors;
  const Eigen::VectorXd predicted = a * x;
  for (Eigen::Index i = 0; i < predicted.size(); ++i) errors.push_back(std::fabs(predicted(i) - 1));
  fit.error = at_share(errors, 0.5);
  return fit;
}

}  // namespace bandwall
