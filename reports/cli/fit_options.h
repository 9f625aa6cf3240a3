// The options of `bandwall fit` as typed, turned into machines and FitOptions; every refusal names
// the option, the value and what is wanted.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "analysis/fit.h"
#include "reports/cli/common.h"

namespace bandwall {

std::vector<OptionSpec> fit_option_table();

FitOptions fit_options(const Arguments& arguments, const Target& target);

int exit_code(Verdict verdict);

// The machines (--machine is a list), --budget, --host-memory and the backend of each applied.
// "this" is this host: its calibration where there is one, its memory as it is now.
std::vector<Target> fit_targets(const Arguments& arguments, const std::vector<std::string>& names);

// "110GiB", "118 GB"; Error (Input) names the option and the units when there is none.
Bytes parse_bytes_option(const std::string& option, const std::string& text);
// "blk\.1\.ffn=CPU", "exps=CUDA1"
TensorOverride parse_override(const std::string& text);

// Options given that change nothing for this model, engine and number of devices, as notes.
std::vector<std::string> idle_options(const Arguments& arguments, const ModelSpec& model,
                                      const FitOptions& options, int devices);

}  // namespace bandwall
