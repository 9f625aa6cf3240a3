// The part of `bandwall fit` that is about fine-tuning: --train and its options.
//   if (a.has("train")) return fit_train(a, model_text, targets);
#pragma once

#include <string>
#include <vector>

#include "reports/cli/common.h"

namespace bandwall {

std::vector<OptionSpec> fit_train_options();
// Error (Input) for options that do not go together: of inference with --train, of training
// without.
void check_train_options(const Arguments& arguments);
int fit_train(const Arguments& arguments, const std::string& model,
              const std::vector<Target>& targets);

}  // namespace bandwall
