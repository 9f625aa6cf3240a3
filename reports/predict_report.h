// What `predict` says beyond its table: the arithmetic of a step, the figures that count, requests
// of several users, speculative decoding, load time, energy and cost. Text for
// people; JSON in SI units.
#pragma once

#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "analysis/explain.h"
#include "analysis/request.h"
#include "analysis/running_cost.h"
#include "analysis/speculative.h"
#include "analysis/what_if.h"

namespace bandwall {

// One line per group of like ops: amounts divided by the rates they were priced at, their sum, and
// its share of `step`; then the step's own host time and the sum.
std::string explain_text(const std::vector<ExplainedOps>& groups, Seconds host, Seconds step);
std::string elasticity_text(const std::vector<Elasticity>& all);
std::string service_text(const Scenario& scenario, const Service& service);
std::string speculation_text(const SpeculationOptions& options, const Speculation& s);
std::string load_text(Bytes file, const LoadTime& t);

struct PricedPhase {
  std::string name;  // "tg128"
  double tokens = 0;
  Seconds t;
  Energy energy;
  Cost cost;
};
std::string cost_text(const std::vector<PricedPhase>& phases, const CostOptions& options);

nlohmann::ordered_json explain_json(const std::vector<ExplainedOps>& groups, Seconds host);
nlohmann::ordered_json elasticity_json(const std::vector<Elasticity>& all);
nlohmann::ordered_json service_json(const Scenario& scenario, const Service& service);
nlohmann::ordered_json speculation_json(const SpeculationOptions& options, const Speculation& s);
nlohmann::ordered_json load_json(Bytes file, const LoadTime& t);
nlohmann::ordered_json cost_json(const PricedPhase& phase);

}  // namespace bandwall
