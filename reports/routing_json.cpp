#include "reports/routing_json.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "hwmodel/error.h"

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

// Adds one layer's counts; false when they are not one whole number for each expert.
bool add_counts(const Json& counts, std::vector<double>& into) {
  if (!counts.is_array() || counts.size() != into.size()) return false;
  for (std::size_t e = 0; e < into.size(); ++e) {
    if (!counts[e].is_number_unsigned() || counts[e].get<std::uint64_t>() > (1ull << 50)) {
      return false;
    }
    into[e] += static_cast<double>(counts[e].get<std::uint64_t>());
  }
  return true;
}

// nullptr when `json` is no object or has no such key.
const Json* member(const Json& json, const char* key) {
  if (!json.is_object()) return nullptr;
  const auto it = json.find(key);
  return it == json.end() ? nullptr : &*it;
}

}  // namespace

ExpertShares read_routing(std::string_view text, const std::string& file, const Hyper& h) {
  const auto refuse = [&](const std::string& why) {
    throw Error::input(file, why + "; `bandwall run --routing FILE` writes such files");
  };
  const Json j = Json::parse(text, nullptr, false);
  const Json* phases = member(j, "phases");
  if (phases == nullptr || !phases->is_array())
    refuse("is no record of routing: no list \"phases\"");
  const Json* experts = member(j, "experts");
  if (experts == nullptr || *experts != h.experts) {
    refuse(fmt::format("is of a model with other experts; this one has {}", h.experts));
  }
  const auto layers = static_cast<std::size_t>(h.layers);
  std::vector<std::vector<double>> counts(layers);
  for (const Json& phase : *phases) {
    const Json* rows = member(phase, "layers");
    if (rows == nullptr || !rows->is_array()) refuse("has a phase without a list \"layers\"");
    for (const Json& row : *rows) {
      const Json* number = member(row, "layer");
      const Json* chosen = member(row, "counts");
      const bool named = number != nullptr && number->is_number_unsigned() &&
                         number->get<std::uint64_t>() < layers;
      if (!named) refuse(fmt::format("has a layer that is none of 0..{}", h.layers - 1));
      auto& sums = counts[number->get<std::size_t>()];
      sums.resize(static_cast<std::size_t>(h.experts));
      if (chosen == nullptr || !add_counts(*chosen, sums)) {
        refuse(fmt::format("layer {}: \"counts\" must hold {} whole numbers",
                           number->get<std::size_t>(), h.experts));
      }
    }
  }
  ExpertShares shares;
  shares.layers.resize(layers);
  for (std::size_t l = 0; l < layers; ++l) {
    double sum = 0;
    for (const double c : counts[l]) sum += c;
    if (!(sum > 0)) continue;
    for (const double c : counts[l]) {
      shares.layers[l].push_back(c / sum * static_cast<double>(h.experts_used));
    }
  }
  return shares;
}

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
