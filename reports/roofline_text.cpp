#include "reports/roofline_text.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "reports/roofline_scale.h"

namespace bandwall {
namespace {

constexpr int kAxis = 12;  // columns of the y labels

class Canvas {
 public:
  Canvas(int width, int height)
      : width_(width),
        height_(height),
        rows_(static_cast<std::size_t>(height), std::string(static_cast<std::size_t>(width), ' ')) {
  }
  int column(double x) const {
    return static_cast<int>(std::lround(std::clamp(x, 0.0, 1.0) * (width_ - 1)));
  }
  int line(double y) const {
    return height_ - 1 - static_cast<int>(std::lround(std::clamp(y, 0.0, 1.0) * (height_ - 1)));
  }
  char& at(int column, int line) {
    return rows_[static_cast<std::size_t>(line)][static_cast<std::size_t>(column)];
  }
  const std::string& row(int line) const { return rows_[static_cast<std::size_t>(line)]; }
  int width() const { return width_; }
  int height() const { return height_; }

 private:
  int width_, height_;
  std::vector<std::string> rows_;
};

FlopsPerByte intensity_of_column(const RooflineFrame& f, int column, int width) {
  const double share = width > 1 ? static_cast<double>(column) / (width - 1) : 0;
  return FlopsPerByte(std::pow(10.0, f.x_low + share * (f.x_high - f.x_low)));
}

void draw_roofs(const Roofline& r, const RooflineFrame& f, Canvas& canvas) {
  for (int c = 0; c < canvas.width(); ++c) {
    const FlopsPerByte intensity = intensity_of_column(f, c, canvas.width());
    const FlopsPerSecond slope = intensity * r.peak_bandwidth;
    for (const RooflineCeiling& ceiling : r.ceilings) {
      if (slope >= ceiling.rate) canvas.at(c, canvas.line(f.y(ceiling.rate))) = '-';
    }
    const bool below_top = r.ceilings.empty() || slope < r.ceilings.front().rate;
    const double y = f.y(slope);
    if (below_top && y >= 0 && y <= 1) canvas.at(c, canvas.line(y)) = '/';
  }
}

void draw_points(const Roofline& r, const RooflineFrame& f, Canvas& canvas) {
  for (std::size_t i = 0; i < r.points.size(); ++i) {
    const RooflinePoint& p = r.points[i];
    const int line = canvas.line(f.y(p.expected));
    int column = canvas.column(f.x(p.intensity));
    // Points that share a cell stand side by side.
    const auto taken = [&](int c) {
      const char ch = canvas.at(c, line);
      return ch != ' ' && ch != '/' && ch != '-';
    };
    while (column + 1 < canvas.width() && taken(column)) ++column;
    canvas.at(column, line) = point_mark(i).front();
  }
}

std::string x_axis(const RooflineFrame& f, int width) {
  std::string ticks(static_cast<std::size_t>(width), '-'),
      labels(static_cast<std::size_t>(width + 8), ' ');
  for (int d = f.x_low; d <= f.x_high; ++d) {
    const double share = static_cast<double>(d - f.x_low) / (f.x_high - f.x_low);
    const auto c = static_cast<std::size_t>(std::lround(share * (width - 1)));
    ticks[c] = '+';
    const std::string text = fmt::format("1e{}", d);
    labels.replace(std::min(c, labels.size() - text.size()), text.size(), text);
  }
  labels.erase(labels.find_last_not_of(' ') + 1);
  return fmt::format("{:>{}}+{}\n{:>{}} {}\n{:>{}} intensity, flop per byte from memory\n", "",
                     kAxis, ticks, "", kAxis, labels, "", kAxis);
}

}  // namespace

std::string roofline_text(const Roofline& r, const RooflineTextOptions& options) {
  const int width = std::clamp(options.width, 20, 400), height = std::clamp(options.height, 8, 100);
  const RooflineFrame f = roofline_frame(r);
  Canvas canvas(width, height);
  draw_roofs(r, f, canvas);
  draw_points(r, f, canvas);

  std::string out = fmt::format("Roofline of {}: {} peak, {} reached by a plain read\n", r.machine,
                                human(r.peak_bandwidth), human(r.achievable_bandwidth));
  std::vector<std::string> labels(static_cast<std::size_t>(height));
  for (int d = f.y_low; d <= f.y_high; ++d) {
    const double share = static_cast<double>(d - f.y_low) / (f.y_high - f.y_low);
    labels[static_cast<std::size_t>(canvas.line(share))] = fmt::format("1e{} flop/s", d);
  }
  for (int line = 0; line < height; ++line) {
    std::string row = canvas.row(line);
    row.erase(row.find_last_not_of(' ') + 1);
    out += fmt::format("{:>{}}|{}\n", labels[static_cast<std::size_t>(line)], kAxis, row);
  }
  out += x_axis(f, width);
  for (const RooflineCeiling& c : r.ceilings) {
    out += fmt::format("  ceiling {:<28} ridge at {} flop/byte\n", c.name,
                       three_digits(c.ridge.value()));
  }
  out += fmt::format("  {:<2}{:<28}{:>12}{:>16}{:>16}{:>8}  {}\n", "", "point", "flop/byte",
                     "expected", "attainable", "share", "bound");
  for (std::size_t i = 0; i < r.points.size(); ++i) {
    const RooflinePoint& p = r.points[i];
    const double share = p.attainable > FlopsPerSecond(0) ? 100 * (p.expected / p.attainable) : 0;
    out += fmt::format("  {:<2}{:<28}{:>12}{:>16}{:>16}{:>7.1f}%  {}\n", point_mark(i), p.name,
                       three_digits(p.intensity.value()), human(p.expected), human(p.attainable),
                       share, name(p.bound));
  }
  return out;
}

}  // namespace bandwall
