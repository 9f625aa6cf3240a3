// The log-log frame that both roofline charts share: ranges in whole decades around the data, and
// points in the order of their marks (1, 2, ... 9, a, b, ...).
//   RooflineFrame f = roofline_frame(r);  f.x(FlopsPerByte(1))  // 0 at the left edge, 1 at the
//   right
// Holds no drawing.
#pragma once

#include <string>
#include <vector>

#include "analysis/roofline.h"

namespace bandwall {

struct RooflineFrame {
  int x_low = -1, x_high = 3;  // powers of ten, flop per byte
  int y_low = 9, y_high = 14;  // powers of ten, flop per second
  double x(FlopsPerByte intensity) const;
  double y(FlopsPerSecond rate) const;
};

RooflineFrame roofline_frame(const Roofline& r);
// min(ceiling, intensity x bandwidth): the roof itself.
FlopsPerSecond roof_at(const Roofline& r, FlopsPerByte intensity);
std::string point_mark(std::size_t index);
// Three significant digits, "0.842" or "12.3" or "1 240".
std::string three_digits(double value);

}  // namespace bandwall
