// A roofline as one SVG file, written by hand: no script, no font, no outside reference.
//   std::string s = roofline_svg(r, {.title = "gpt-oss-120b on gb10", .source = "llama.cpp
//   b7941"});
// Log-log axes with units, every ceiling with its ridge, numbered points and a legend. The colours
// stand on white and on black; a dark colour scheme switches text and grid.
#pragma once

#include <string>

#include "analysis/roofline.h"

namespace bandwall {

struct RooflineSvgOptions {
  std::string title;   // empty: "Roofline of <machine>"
  std::string source;  // where the figures come from; printed under the chart
};

std::string roofline_svg(const Roofline& r, const RooflineSvgOptions& options = {});

}  // namespace bandwall
