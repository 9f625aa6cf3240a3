// Text, markdown and JSON of a training fit.
//   training_text(report, "qwen3-8b", machine, options, false)
#pragma once

#include <string>

#include "analysis/training.h"

namespace bandwall {

std::string training_text(const TrainReport& report, const std::string& model,
                          const Machine& machine, const TrainOptions& options, bool markdown);
std::string training_json(const TrainReport& report, const std::string& model,
                          const Machine& machine, const TrainOptions& options);

}  // namespace bandwall
