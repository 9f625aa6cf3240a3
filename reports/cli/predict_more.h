// The options of `predict` that say more than its table: --explain, --serve, --spec-draft, --load,
// --cost.
#pragma once

#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "reports/cli/common.h"

namespace bandwall {

std::vector<OptionSpec> options_more();

// What the given options ask for about one row of the table, as text or as keys of a JSON object;
// nothing without any.
struct More {
  std::string text;
  nlohmann::ordered_json json = nlohmann::ordered_json::object();
};
More more_about(const Arguments& arguments, const ModelChoice& model, const Target& target,
                const Scenario& scenario, const Throughput& throughput);

}  // namespace bandwall
