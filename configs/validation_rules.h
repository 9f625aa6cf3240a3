// The shipped bars and failing classes of "validate" (configs/validation/classes.yaml).
//   const ValidationRules& rules = validation_rules();
// Throws Error (Input) with every problem: an attribute no row has, a bar that is not listed.
#pragma once

#include <string>
#include <string_view>

#include "workload/validation_rules.h"

namespace bandwall {

const ValidationRules& validation_rules();
ValidationRules parse_validation_rules(std::string_view text, std::string file_name);

}  // namespace bandwall
