#include "reports/routing_json.h"

#include <nlohmann/json.hpp>

namespace bandwall {
namespace {

using Json = nlohmann::ordered_json;

Json layer_json(const Hyper& h, const Meter& meter, std::size_t layer) {
  std::vector<std::int64_t> counts(static_cast<std::size_t>(h.experts), 0), distinct;
  for (const std::vector<std::int32_t>& chosen : meter.experts[layer]) {
    for (const std::int32_t e : chosen) ++counts[static_cast<std::size_t>(e)];
  }
  for (const Meter::StepRecord& s : meter.steps) {
    distinct.push_back(static_cast<std::int64_t>(s.routing.distinct_experts[layer]));
  }
  return {{"layer", layer}, {"counts", counts}, {"distinct_per_step", distinct}};
}

Json phase_json(const Hyper& h, const RoutedPhase& phase) {
  Json layers = Json::array();
  for (std::size_t l = 0; l < phase.meter->experts.size(); ++l) {
    if (!phase.meter->experts[l].empty()) layers.push_back(layer_json(h, *phase.meter, l));
  }
  return {{"name", phase.name},
          {"tokens", phase.meter->ledger.tokens},
          {"steps", phase.meter->ledger.steps},
          {"layers", layers}};
}

}  // namespace

std::string routing_json(const std::string& model, const Hyper& h,
                         const std::vector<RoutedPhase>& phases) {
  Json j = {{"schema", 1},
            {"model", model},
            {"units",
             {{"counts", "tokens that chose the expert, by expert"},
              {"distinct_per_step", "experts whose matrices the step reads, by step"}}},
            {"experts", h.experts},
            {"experts_used", h.experts_used},
            {"phases", Json::array()}};
  for (const RoutedPhase& phase : phases) j["phases"].push_back(phase_json(h, phase));
  return j.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace bandwall
