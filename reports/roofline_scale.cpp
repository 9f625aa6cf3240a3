#include "reports/roofline_scale.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

namespace bandwall {
namespace {

void include_value(double value, int& low, int& high) {
  if (!(value > 0) || !std::isfinite(value)) return;
  const double decade = std::log10(value);
  low = std::min(low, static_cast<int>(std::floor(decade)));
  high = std::max(high, static_cast<int>(std::ceil(decade)));
}

double place(double value, int low, int high) {
  if (!(value > 0)) return 0;
  return (std::log10(value) - low) / std::max(1, high - low);
}

}  // namespace

double RooflineFrame::x(FlopsPerByte intensity) const {
  return place(intensity.value(), x_low, x_high);
}

double RooflineFrame::y(FlopsPerSecond rate) const { return place(rate.value(), y_low, y_high); }

RooflineFrame roofline_frame(const Roofline& r) {
  RooflineFrame f;
  f.x_low = 0;
  f.x_high = 1;
  f.y_low = 300;
  f.y_high = -300;
  for (const RooflinePoint& p : r.points) {
    include_value(p.intensity.value(), f.x_low, f.x_high);
    include_value(p.expected.value(), f.y_low, f.y_high);
    include_value(p.attainable.value(), f.y_low, f.y_high);
  }
  for (const RooflineCeiling& c : r.ceilings) {
    include_value(c.ridge.value(), f.x_low, f.x_high);
    include_value(c.rate.value(), f.y_low, f.y_high);
  }
  include_value(r.peak_bandwidth.value(), f.y_low, f.y_high);   // the roof at 1 flop per byte
  if (f.y_low > f.y_high) {
    f.y_low = 9;
    f.y_high = 12;
  }
  if (!r.ceilings.empty()) ++f.x_high;   // room to see the flat part
  f.x_low = std::max(f.x_low, f.x_high - 12);
  f.y_low = std::max(f.y_low, f.y_high - 12);
  if (f.y_high == f.y_low) ++f.y_high;
  return f;
}

FlopsPerSecond roof_at(const Roofline& r, FlopsPerByte intensity) {
  FlopsPerSecond roof = intensity * r.peak_bandwidth;
  if (!r.ceilings.empty()) roof = std::min(roof, r.ceilings.front().rate);
  return roof;
}

std::string point_mark(std::size_t index) {
  if (index < 9) return std::string(1, static_cast<char>('1' + index));
  if (index < 9 + 26) return std::string(1, static_cast<char>('a' + (index - 9)));
  return "*";
}

std::string three_digits(double value) {
  if (!std::isfinite(value)) return "-";
  const double size = std::fabs(value);
  if (size >= 100 || size == 0) return fmt::format("{:.0f}", value);
  if (size >= 10) return fmt::format("{:.1f}", value);
  return fmt::format("{:.{}f}", value, size >= 1 ? 2 : 3);
}

}  // namespace bandwall
