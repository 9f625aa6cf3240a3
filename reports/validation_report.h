// A Validation as text, markdown, JSON and CSV, and its chart: predicted over measured, one dot per
// row. Figures are rounded so that they do not depend on the machine that computes them.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "reports/validation.h"

namespace bandwall {

std::string validation_text(const Validation& v);
std::string validation_markdown(const Validation& v);
std::string validation_json(const Validation& v);
std::string validation_csv(const Validation& v);  // one line per predicted row
std::string validation_svg(const Validation& v);

// Parts of JSON that compare and probe have too.
nlohmann::ordered_json row_json(const Validation& v, std::size_t i);
nlohmann::ordered_json left_json(const Validation& v);
nlohmann::ordered_json causes_json(const std::vector<GapCause>& causes);

// "3.1 %" of 0.031; and the class a row counts for.
std::string percent(double share);
std::string class_name(const Validation& v, const RowClass& of);

}  // namespace bandwall
