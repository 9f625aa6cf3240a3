// What a run's routers chose, as JSON: which experts are used how often, and how many one step
// reads. Recorded routing shows how far real text is from the uniform choice of expected_routing().
//   write_file(path, routing_json("demo", hyper, {{"prefill", &meter}, {"decode", &more}}));
// Form (schema 1): experts and experts_used of the model; per phase its tokens and steps, and per
// layer with experts
//   counts             tokens that chose the expert, one number per expert; sums to
//                      tokens x experts_used
//   distinct_per_step  experts whose matrices the step reads, one number per step
// The meters must have been filled with record_experts.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "runtime/engine.h"

namespace bandwall {

struct RoutedPhase {
  std::string name;
  const Meter* meter = nullptr;
};

std::string routing_json(const std::string& model, const Hyper& hyper,
                         const std::vector<RoutedPhase>& phases);

// The shares of such a text, all phases together. Throws Error (Input): no JSON of this form, or of
// a model with other experts than `hyper` has.
ExpertShares read_routing(std::string_view text, const std::string& file, const Hyper& hyper);

}  // namespace bandwall
