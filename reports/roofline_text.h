// A roofline as text: a log-log chart of plain characters and a table of its points.
//   std::string s = roofline_text(r, {.width = 76, .height = 20});
// '/' is the bandwidth roof, '-' a compute ceiling, 1..9 a..z the points of the table below.
// Writes no colour and no line longer than `width` + 2 in the chart part.
#pragma once

#include <string>

#include "analysis/roofline.h"

namespace bandwall {

struct RooflineTextOptions {
  int width = 76, height = 20;     // of the plotting area, in characters
};

std::string roofline_text(const Roofline& r, const RooflineTextOptions& options = {});

}  // namespace bandwall
