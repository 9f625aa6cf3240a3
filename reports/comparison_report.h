// Rows of a Validation with the likely causes of their gaps, as text, markdown or JSON.
#pragma once

#include <string>

#include "reports/validation.h"

namespace bandwall {

// `title`: what was read and against what it is held. v.causes must be filled.
std::string comparison_text(const Validation& v, const std::string& title);
std::string comparison_markdown(const Validation& v, const std::string& title);
std::string comparison_json(const Validation& v, const std::string& title);

}  // namespace bandwall
