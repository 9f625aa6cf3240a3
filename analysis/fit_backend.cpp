#include "analysis/fit_backend.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <set>

#include <fmt/format.h>
#include <Eigen/Dense>

#include "analysis/pricing.h"
#include "analysis/quantile.h"
#include "hwmodel/error.h"

namespace bandwall {
namespace {

constexpr double kNudge = 0.02;       // for shares
constexpr double kLeastShare = 0.02;  // of a row's time, to be worth a factor
constexpr double kWidestInterval = 0.30;
constexpr double kMostCorrelation = 0.95;
constexpr int kRounds = 3;  // until roofs have settled
constexpr int kResamples = 200;

using Matrix = Eigen::MatrixXd;
using Vector = Eigen::VectorXd;
using Factors = std::array<double, kFitted>;

template <class T>
void slower(std::map<std::string, Sourced<T>>& rates, double x) {
  for (auto& [key, row] : rates) row.value = row.value / x;
}
void longer(std::map<std::string, Sourced<Seconds>>& costs, double x) {
  for (auto& [key, row] : costs) row.value = row.value * x;
}
void longer(std::optional<Sourced<Seconds>>& cost, double x) {
  if (cost) cost->value = cost->value * x;
}

// The times that `what` stands for, times x. A factor of 0 would be an infinite rate.
void stretch(Backend& b, Fitted what, double x) {
  const double rate_x = std::max(x, 1e-3);
  switch (what) {
    case Fitted::Weights:
      slower(b.stream, rate_x);
      for (auto& [format, curves] : b.stream_curves) {
        for (RateCurve& curve : curves) {
          for (RatePoint& p : curve.points) p.rate = p.rate / rate_x;
        }
      }
      if (b.stream.empty()) b.efficiency_default = std::min(1.0, b.efficiency_default / rate_x);
      return;
    case Fitted::Kv:
      slower(b.kv_stream, rate_x);
      slower(b.kv_elements, rate_x);
      return;
    case Fitted::FixedCosts:
      longer(b.op_seconds, x);
      longer(b.layer_seconds, x);
      longer(b.step_seconds, x);
      return;
    case Fitted::BatchCosts:
      longer(b.cached_op_seconds, x);
      longer(b.batch_op_seconds, x);
      return;
    case Fitted::Gemm:
      for (auto& [format, row] : b.gemm) row.value.rate = row.value.rate / rate_x;
      return;
    case Fitted::Attention:
      if (b.attention_rate) b.attention_rate->value = b.attention_rate->value / rate_x;
      return;
  }
}

class Fitter {
 public:
  Fitter(const Machine& machine, std::span<const FitRow> rows, double concentration)
      : machine_(machine), rows_(rows) {
    for (const FitRow& row : rows) {
      std::vector<std::pair<Plan, Routing>> plans;
      for (const Step& step : row.steps) {
        Routing routing = expected_routing(*row.model, step, concentration);
        Plan plan = plan_step(*row.model, row.kv, step, routing);
        plans.emplace_back(std::move(plan), std::move(routing));
      }
      plans_.push_back(std::move(plans));
    }
  }

  // Predicted over measured time of each row.
  Vector ratios(const Backend& backend) const {
    Vector r(static_cast<Eigen::Index>(rows_.size()));
    for (std::size_t i = 0; i < rows_.size(); ++i) {
      Seconds sum;
      for (const auto& [plan, routing] : plans_[i]) {
        sum += step_time(
            pricing_context(machine_, backend, *rows_[i].model, rows_[i].kv, plan, routing, 0),
            plan);
      }
      r[static_cast<Eigen::Index>(i)] = sum / rows_[i].measured;
    }
    return r;
  }

  // Column j: share of factor j in each row's ratio.
  Matrix shares(const Backend& backend, const std::vector<Fitted>& free) const {
    const Vector now = ratios(backend);
    Matrix a(now.size(), static_cast<Eigen::Index>(free.size()));
    for (std::size_t j = 0; j < free.size(); ++j) {
      Backend nudged = backend;
      stretch(nudged, free[j], 1 + kNudge);
      a.col(static_cast<Eigen::Index>(j)) = (ratios(nudged) - now) / kNudge;
    }
    return a;
  }

 private:
  const Machine& machine_;
  std::span<const FitRow> rows_;
  std::vector<std::vector<std::pair<Plan, Routing>>> plans_;
};

// Least |a x - b| with x >= 0: the best of the plain solutions over all subsets of columns, exact
// and cheap with six columns at most.
Vector non_negative(const Matrix& a, const Vector& b) {
  const auto columns = static_cast<unsigned>(a.cols());
  Vector best = Vector::Zero(a.cols());
  double least = b.squaredNorm();
  for (unsigned set = 1; set < (1U << columns); ++set) {
    std::vector<Eigen::Index> used;
    for (unsigned j = 0; j < columns; ++j) {
      if ((set >> j & 1U) != 0) used.push_back(j);
    }
    Matrix part(a.rows(), static_cast<Eigen::Index>(used.size()));
    for (std::size_t j = 0; j < used.size(); ++j) {
      part.col(static_cast<Eigen::Index>(j)) = a.col(used[j]);
    }
    const Vector x = part.colPivHouseholderQr().solve(b);
    if (!x.allFinite() || x.minCoeff() < 0) continue;
    const double error = (part * x - b).squaredNorm();
    if (error >= least) continue;
    least = error;
    best.setZero();
    for (std::size_t j = 0; j < used.size(); ++j) {
      best[used[j]] = x[static_cast<Eigen::Index>(j)];
    }
  }
  return best;
}

using Rows = std::vector<Eigen::Index>;

// One solution from shares: factors of the free figures on those rows.
Vector solve(const Matrix& a, const Vector& ratios, const Rows& rows) {
  Matrix part(static_cast<Eigen::Index>(rows.size()), a.cols());
  Vector wanted(part.rows());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const Eigen::Index r = rows[i], at = static_cast<Eigen::Index>(i);
    part.row(at) = a.row(r);
    wanted[at] = 1 - (ratios[r] - a.row(r).sum());
  }
  return non_negative(part, wanted);
}

Backend fitted_on(const Fitter& fitter, const Backend& start, const std::vector<Fitted>& free,
                  const Rows& rows, Factors* total) {
  Backend now = start;
  Factors factors;
  factors.fill(1);
  for (int round = 0; round < kRounds && !free.empty(); ++round) {
    const Vector x = solve(fitter.shares(now, free), fitter.ratios(now), rows);
    for (std::size_t j = 0; j < free.size(); ++j) {
      const double step = std::max(x[static_cast<Eigen::Index>(j)], 1e-3);
      stretch(now, free[j], step);
      factors[static_cast<std::size_t>(free[j])] *= step;
    }
  }
  if (total != nullptr) *total = factors;
  return now;
}

FitErrors summary(std::vector<double> errors) {
  FitErrors e;
  e.n = errors.size();
  if (errors.empty()) return e;
  for (double& x : errors) x = std::fabs(x);
  e.median = median(errors);
  for (const double x : errors) e.mean += x / static_cast<double>(errors.size());
  e.worst = *std::max_element(errors.begin(), errors.end());
  return e;
}

std::vector<double> errors_of(const Vector& ratios) {
  std::vector<double> errors(static_cast<std::size_t>(ratios.size()));
  for (Eigen::Index i = 0; i < ratios.size(); ++i) {
    errors[static_cast<std::size_t>(i)] = ratios[i] - 1;
  }
  return errors;
}

// Groups of rows that are drawn together: of a model, or single rows where models are few.
std::vector<Rows> groups_of(std::span<const FitRow> rows, std::size_t models) {
  std::vector<Rows> groups;
  std::map<std::string, std::size_t> place;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const std::string key = models >= 3 ? rows[i].model_name : std::to_string(i);
    const auto [it, added] = place.emplace(key, groups.size());
    if (added) groups.emplace_back();
    groups[it->second].push_back(static_cast<Eigen::Index>(i));
  }
  return groups;
}

struct Spread {
  std::vector<double> low, high;
  Matrix correlation;
};

Spread bootstrap(const Matrix& a, const Vector& ratios, const std::vector<Rows>& groups) {
  const auto columns = static_cast<std::size_t>(a.cols());
  std::vector<std::vector<double>> drawn(columns);
  std::uint64_t state = 0x9e3779b97f4a7c15ULL;
  for (int sample = 0; sample < kResamples; ++sample) {
    Rows rows;
    for (std::size_t g = 0; g < groups.size(); ++g) {
      state = state * 6364136223846793005ULL + 1442695040888963407ULL;
      const Rows& group = groups[static_cast<std::size_t>(state >> 33U) % groups.size()];
      rows.insert(rows.end(), group.begin(), group.end());
    }
    const Vector x = solve(a, ratios, rows);
    for (std::size_t j = 0; j < columns; ++j) drawn[j].push_back(x[static_cast<Eigen::Index>(j)]);
  }
  Spread s;
  for (std::vector<double>& values : drawn) {
    std::sort(values.begin(), values.end());
    s.low.push_back(values[values.size() / 20]);
    s.high.push_back(values[values.size() - 1 - values.size() / 20]);
  }
  const Matrix inverse = (a.transpose() * a).completeOrthogonalDecomposition().pseudoInverse();
  const Vector deviation = inverse.diagonal().cwiseMax(1e-30).cwiseSqrt();
  s.correlation = (inverse.array() / (deviation * deviation.transpose()).array()).matrix();
  return s;
}

// The figure that the rows tell least of, with the reason; none when all are identified.
std::optional<std::size_t> least_identified(const Spread& s, std::string& why) {
  std::optional<std::size_t> worst;
  double widest = kWidestInterval;
  for (std::size_t j = 0; j < s.low.size(); ++j) {
    const double middle = std::max((s.low[j] + s.high[j]) / 2, 1e-9);
    const double width = (s.high[j] - s.low[j]) / middle;
    double correlation = 0;
    for (std::size_t k = 0; k < s.low.size(); ++k) {
      const double r = s.correlation(static_cast<Eigen::Index>(j), static_cast<Eigen::Index>(k));
      if (k != j) correlation = std::max(correlation, std::fabs(r));
    }
    // Of a correlated pair the wider one goes.
    const double score = correlation > kMostCorrelation ? width + kWidestInterval : width;
    if (!(score > widest)) continue;
    widest = score;
    worst = j;
    why = correlation > kMostCorrelation
              ? fmt::format("correlated by {:.2f} with another figure", correlation)
              : fmt::format("interval {:.2f} to {:.2f}", s.low[j], s.high[j]);
  }
  return worst;
}

// The sources of the figures behind `what`.
std::vector<Source*> sources_of(Backend& b, Fitted what) {
  std::vector<Source*> out;
  const auto all = [&](auto& rows) {
    for (auto& [key, row] : rows) out.push_back(&row.source);
  };
  const auto one = [&](auto& row) {
    if (row) out.push_back(&row->source);
  };
  switch (what) {
    case Fitted::Weights:
      all(b.stream);
      break;
    case Fitted::Kv:
      all(b.kv_stream);
      all(b.kv_elements);
      break;
    case Fitted::FixedCosts:
      all(b.op_seconds);
      one(b.layer_seconds);
      one(b.step_seconds);
      break;
    case Fitted::BatchCosts:
      all(b.cached_op_seconds);
      all(b.batch_op_seconds);
      break;
    case Fitted::Gemm:
      all(b.gemm);
      break;
    case Fitted::Attention:
      one(b.attention_rate);
      break;
  }
  return out;
}

void mark_fitted(Backend& b, const Machine& machine, const std::vector<Fitted>& free,
                 std::size_t rows, std::size_t models) {
  for (const Fitted what : free) {
    for (Source* source : sources_of(b, what)) {
      source->kind = Source::Kind::Derived;
      source->note =
          fmt::format("fitted on {} rows of {} models; before: {}", rows, models, source->note);
    }
  }
  const ComputeRate* bf16 = machine.rate("bf16");
  b.machine = machine.name;
  b.calibrated = true;
  b.reference_bandwidth = machine.pool().achievable;
  b.reference_compute.reset();
  if (bf16 != nullptr) b.reference_compute = bf16->peak;
}

std::vector<Fitted> worth_fitting(const Matrix& all) {
  std::vector<Fitted> free;
  for (int j = 0; j < kFitted; ++j) {
    if (all.rows() > 0 && all.col(j).maxCoeff() >= kLeastShare) {
      free.push_back(static_cast<Fitted>(j));
    }
  }
  return free;
}

FitErrors left_out(const Fitter& fitter, const Backend& start, const std::vector<Fitted>& free,
                   std::span<const FitRow> rows, const std::set<std::string>& models) {
  std::vector<double> errors;
  for (const std::string& model : models) {
    Rows others;
    for (std::size_t i = 0; i < rows.size(); ++i) {
      if (rows[i].model_name != model) others.push_back(static_cast<Eigen::Index>(i));
    }
    const Vector ratios = fitter.ratios(fitted_on(fitter, start, free, others, nullptr));
    for (std::size_t i = 0; i < rows.size(); ++i) {
      if (rows[i].model_name == model) errors.push_back(ratios[static_cast<Eigen::Index>(i)] - 1);
    }
  }
  return summary(std::move(errors));
}

}  // namespace

std::string_view name(Fitted what) {
  switch (what) {
    case Fitted::Weights:
      return "weight stream";
    case Fitted::Kv:
      return "KV stream";
    case Fitted::FixedCosts:
      return "fixed costs";
    case Fitted::BatchCosts:
      return "fixed costs of batches";
    case Fitted::Gemm:
      return "matrix products";
    case Fitted::Attention:
      return "attention";
  }
  return "?";
}

BackendFit fit_backend(const Machine& machine, const Backend& start, std::span<const FitRow> rows) {
  if (rows.empty()) throw Error::input("rows", "no row can be used for a fit");
  const Backend own = backend_for(start, machine);
  const Fitter fitter(machine, rows,
                      own.routing_concentration ? own.routing_concentration->value : 0.0);
  std::set<std::string> models;
  Rows all;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    models.insert(rows[i].model_name);
    all.push_back(static_cast<Eigen::Index>(i));
  }
  std::vector<Fitted> every(kFitted);
  for (int j = 0; j < kFitted; ++j) every[static_cast<std::size_t>(j)] = static_cast<Fitted>(j);
  std::vector<Fitted> free = worth_fitting(fitter.shares(own, every));
  if (rows.size() < 2 * free.size()) {
    throw Error::input("rows", fmt::format("{} rows for {} figures: a fit to them would be "
                                           "over-parameterised; give at least {}",
                                           rows.size(), free.size(), 2 * free.size()));
  }
  BackendFit fit;
  fit.models = models.size();
  fit.before = summary(errors_of(fitter.ratios(own)));
  for (const Fitted what : free) fit.factors.push_back({what, 1, 1, 1, true, ""});
  const std::vector<Rows> groups = groups_of(rows, models.size());
  while (!free.empty()) {
    // Shares at the start, so that intervals are of the factors that are reported.
    const Spread spread = bootstrap(fitter.shares(own, free), fitter.ratios(own), groups);
    std::string why;
    const auto worst = least_identified(spread, why);
    for (std::size_t j = 0; j < free.size(); ++j) {
      for (FittedFactor& f : fit.factors) {
        if (f.what != free[j]) continue;
        f.low = spread.low[j];
        f.high = spread.high[j];
        f.identified = !worst || *worst != j;
        if (!f.identified) f.why = why;
      }
    }
    if (!worst) break;
    free.erase(free.begin() + static_cast<std::ptrdiff_t>(*worst));
  }
  Factors factors;
  fit.backend = fitted_on(fitter, own, free, all, &factors);
  for (FittedFactor& f : fit.factors) {
    if (f.identified) f.factor = factors[static_cast<std::size_t>(f.what)];
  }
  fit.errors = errors_of(fitter.ratios(fit.backend));
  fit.in_sample = summary(fit.errors);
  if (models.size() > 1) fit.left_out = left_out(fitter, own, free, rows, models);
  mark_fitted(fit.backend, machine, free, rows.size(), models.size());
  return fit;
}

}  // namespace bandwall
