// --set of commands that predict: figures of the machine and the backend replaced by name.
#pragma once

#include <string>
#include <vector>

#include "reports/cli/common.h"

namespace bandwall {

OptionSpec option_set();

// Applies every --set PATH=VALUE in order. Besides figures by their path (configs/settings.h):
// memory.bandwidth=546GB/s or 2x moves what depends on the memory with it; compute=2x and
// overhead=0.5x scale what their names say. Returns a note for each. A changed backend is
// calibrated no more. Throws Error (Input) that names the setting.
std::vector<std::string> apply_settings(const Arguments& arguments, Target& target);

}  // namespace bandwall
