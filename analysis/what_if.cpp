#include "analysis/what_if.h"

#include <algorithm>
#include <cmath>

#include "analysis/predict.h"
#include "hwmodel/error.h"

namespace bandwall {
namespace {

void scale_curves(std::vector<RateCurve>& curves, double factor) {
  for (RateCurve& curve : curves) {
    for (RatePoint& p : curve.points) p.rate = p.rate * factor;
  }
}

template <class T>
void scale_rows(std::map<std::string, Sourced<T>>& rows, double factor) {
  for (auto& [key, row] : rows) row.value = row.value * factor;
}
template <>
void scale_rows(std::map<std::string, Sourced<GemmRate>>& rows, double factor) {
  for (auto& [key, row] : rows) {
    row.value.rate = row.value.rate * factor;
    for (GemmPoint& p : row.value.points) p.rate = p.rate * factor;
  }
}

// A figure by its name and what changes it in a copy of the machine and the backend.
struct Figure {
  std::string name;
  std::function<void(Machine&, Backend&, double)> scale;
};

template <class T>
void add_rows(std::vector<Figure>& figures, const char* group,
              std::map<std::string, Sourced<T>> Backend::*rows, const Backend& b) {
  for (const auto& [key, row] : b.*rows) {
    figures.push_back(
        {std::string(group) + "." + key, [rows, key = key](Machine&, Backend& x, double f) {
           std::map<std::string, Sourced<T>> one = {{key, (x.*rows).at(key)}};
           scale_rows(one, f);
           (x.*rows).at(key) = one.at(key);
         }});
  }
}

template <class T>
void add_one(std::vector<Figure>& figures, const char* name,
             std::optional<Sourced<T>> Backend::*member, const Backend& b) {
  if (!(b.*member)) return;
  figures.push_back({name, [member](Machine&, Backend& x, double f) {
                       (x.*member)->value = (x.*member)->value * f;
                     }});
}

void add_machine(std::vector<Figure>& figures, const Machine& m) {
  figures.push_back({"memory.peak", [](Machine& x, Backend&, double f) {
                       x.pools.front().peak.value = x.pools.front().peak.value * f;
                     }});
  figures.push_back({"memory.achievable", [](Machine& x, Backend&, double f) {
                       auto& rate = x.pools.front().achievable.value;
                       rate = rate * f;
                       scale_curves(x.read_curves, f);
                     }});
  for (std::size_t i = 0; i < m.compute.size(); ++i) {
    figures.push_back({"compute." + m.compute[i].numeric, [i](Machine& x, Backend&, double f) {
                         x.compute[i].peak.value = x.compute[i].peak.value * f;
                         if (auto& a = x.compute[i].achievable) a->value = a->value * f;
                       }});
  }
  for (std::size_t i = 0; i < m.links.size(); ++i) {
    figures.push_back(
        {"links." + m.links[i].name + ".bandwidth", [i](Machine& x, Backend&, double f) {
           x.links[i].bandwidth.value = x.links[i].bandwidth.value * f;
         }});
    if (!m.links[i].latency) continue;
    figures.push_back(
        {"links." + m.links[i].name + ".latency", [i](Machine& x, Backend&, double f) {
           x.links[i].latency->value = x.links[i].latency->value * f;
         }});
  }
}

std::vector<Figure> figures_of(const Machine& m, const Backend& b) {
  std::vector<Figure> figures;
  add_machine(figures, m);
  add_rows(figures, "stream", &Backend::stream, b);
  for (const auto& [key, curves] : b.stream_curves) {
    figures.push_back({"stream_curves." + key, [key = key](Machine&, Backend& x, double f) {
                         scale_curves(x.stream_curves.at(key), f);
                       }});
  }
  add_rows(figures, "kv_stream", &Backend::kv_stream, b);
  add_rows(figures, "kv_elements", &Backend::kv_elements, b);
  add_rows(figures, "kv_scores", &Backend::kv_scores, b);
  add_rows(figures, "gemm", &Backend::gemm, b);
  add_one(figures, "attention_rate", &Backend::attention_rate, b);
  add_rows(figures, "op_seconds", &Backend::op_seconds, b);
  add_rows(figures, "cached_op_seconds", &Backend::cached_op_seconds, b);
  add_rows(figures, "batch_op_seconds", &Backend::batch_op_seconds, b);
  add_rows(figures, "activation_stream", &Backend::activation_stream, b);
  add_one(figures, "layer_seconds", &Backend::layer_seconds, b);
  add_one(figures, "step_seconds", &Backend::step_seconds, b);
  return figures;
}

}  // namespace

void set_memory_bandwidth(Machine& machine, Backend& backend, BytesPerSecond peak) {
  BANDWALL_CHECK(!machine.pools.empty());
  MemoryPool& pool = machine.pools.front();
  const BytesPerSecond reached = pool.achievable.value * (peak / pool.peak.value);
  follow_bandwidth(machine, backend, reached, backend.threads);
  pool.peak.value = peak;
  for (Sourced<BytesPerSecond>* figure : {&pool.peak, &pool.achievable}) {
    figure->source = {Source::Kind::Assumed, "set by hand"};
  }
}

void scale_compute(Machine& machine, Backend& backend, double factor) {
  for (ComputeRate& rate : machine.compute) {
    rate.peak.value = rate.peak.value * factor;
    if (rate.achievable) rate.achievable->value = rate.achievable->value * factor;
  }
  scale_rows(backend.gemm, factor);
  scale_rows(backend.kv_elements, factor);
  scale_rows(backend.kv_scores, factor);
  if (backend.attention_rate) {
    backend.attention_rate->value = backend.attention_rate->value * factor;
  }
}

void scale_overhead(Machine&, Backend& backend, double factor) {
  scale_rows(backend.op_seconds, factor);
  scale_rows(backend.cached_op_seconds, factor);
  scale_rows(backend.batch_op_seconds, factor);
  for (auto* one : {&backend.layer_seconds, &backend.step_seconds}) {
    if (*one) (*one)->value = (*one)->value * factor;
  }
}

std::vector<Elasticity> elasticities(const Machine& machine, const Backend& backend,
                                     const StepTime& time) {
  constexpr double kStep = 1e-3, kLeast = 5e-4;
  std::vector<Elasticity> all;
  for (const Figure& figure : figures_of(machine, backend)) {
    const auto at = [&](double factor) {
      Machine m = machine;
      Backend b = backend;
      figure.scale(m, b, factor);
      return std::log(time(m, b).value());
    };
    const double slope =
        -(at(1 + kStep) - at(1 - kStep)) / (std::log1p(kStep) - std::log1p(-kStep));
    if (std::isfinite(slope) && std::fabs(slope) >= kLeast) all.push_back({figure.name, slope});
  }
  std::stable_sort(all.begin(), all.end(), [](const Elasticity& a, const Elasticity& b) {
    return std::fabs(a.value) > std::fabs(b.value);
  });
  return all;
}

}  // namespace bandwall
