#include "reports/roofline_svg.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "reports/roofline_scale.h"
#include "reports/svg_text.h"

namespace bandwall {
namespace {

constexpr double kLeft = 78, kTop = 56, kPlotWidth = 560, kPlotHeight = 380, kLegend = 330;
constexpr double kWidth = kLeft + kPlotWidth + 24 + kLegend, kBottom = kTop + kPlotHeight;

constexpr const char* kStyle = R"(<style>
  text { font: 12px system-ui, sans-serif; fill: #333; }
  .title { font-size: 16px; font-weight: 600; }
  .small { font-size: 11px; fill: #666; }
  .grid { stroke: #8884; stroke-width: 1; }
  .axis { stroke: #777; stroke-width: 1.2; fill: none; }
  .roof { stroke: #c2410c; stroke-width: 2.2; fill: none; }
  .reached { stroke: #c2410c; stroke-width: 1.2; stroke-dasharray: 5 4; fill: none; }
  .ceiling { stroke: #2563eb; stroke-width: 1.6; fill: none; }
  .ridge { stroke: #2563eb; stroke-width: 1; stroke-dasharray: 2 4; }
  .point { fill: #0f8a5f; stroke: #fff; stroke-width: 1; }
  .mark { font-weight: 600; font-size: 11px; }
  @media (prefers-color-scheme: dark) {
    text { fill: #ddd; } .small { fill: #aaa; } .roof, .reached { stroke: #fb923c; }
    .ceiling, .ridge { stroke: #60a5fa; } .point { fill: #34d399; stroke: #111; }
  }
</style>
)";

struct Box {
  double x, y, width, height;
  bool overlaps(const Box& o) const {
    return x < o.x + o.width && o.x < x + width && y < o.y + o.height && o.y < y + height;
  }
};

struct Plot {
  const Roofline& r;
  RooflineFrame frame;
  std::vector<Box> taken;  // labels and points already placed
  double px(double share) const { return kLeft + std::clamp(share, 0.0, 1.0) * kPlotWidth; }
  double py(double share) const { return kBottom - std::clamp(share, 0.0, 1.0) * kPlotHeight; }
  bool is_free(const Box& box) const {
    return std::none_of(taken.begin(), taken.end(), [&](const Box& b) { return b.overlaps(box); });
  }
};

std::string intensity_label(int decade) {
  if (decade >= -3 && decade <= 5) return fmt::format("{:.10g}", std::pow(10.0, decade));
  return fmt::format("1e{}", decade);
}

std::string rate_label(int decade) {
  static constexpr const char* kPrefix[] = {"", "k", "M", "G", "T", "P", "E"};
  const int group = decade >= 0 ? decade / 3 : 0;
  if (decade < 0 || group > 6) return fmt::format("1e{} FLOP/s", decade);
  return fmt::format("{:.0f} {}FLOP/s", std::pow(10.0, decade - 3 * group), kPrefix[group]);
}

std::string axes(const Plot& plot) {
  const RooflineFrame& f = plot.frame;
  std::string out;
  for (int d = f.x_low; d <= f.x_high; ++d) {
    const double x = plot.px(f.x(FlopsPerByte(std::pow(10.0, d))));
    out += line_at(x, kTop, x, kBottom, "grid");
    out += text_at(x, kBottom + 17, "middle", "small", intensity_label(d));
  }
  for (int d = f.y_low; d <= f.y_high; ++d) {
    const double y = plot.py(f.y(FlopsPerSecond(std::pow(10.0, d))));
    out += line_at(kLeft, y, kLeft + kPlotWidth, y, "grid");
    out += text_at(kLeft - 6, y + 4, "end", "small", rate_label(d));
  }
  out += fmt::format("<path d=\"M{:.1f} {:.1f}V{:.1f}H{:.1f}\" class=\"axis\"/>\n", kLeft, kTop,
                     kBottom, kLeft + kPlotWidth);
  out += text_at(kLeft + kPlotWidth / 2, kBottom + 36, "middle", "",
                 "intensity: flop per byte from memory");
  return out;
}

// The part of the line rate = intensity x bandwidth inside the frame and under the top ceiling.
std::string slope(const Plot& plot, BytesPerSecond bandwidth, std::string_view css) {
  const RooflineFrame& f = plot.frame;
  const double low = std::max(std::pow(10.0, f.x_low), std::pow(10.0, f.y_low) / bandwidth.value());
  double high = std::min(std::pow(10.0, f.x_high), std::pow(10.0, f.y_high) / bandwidth.value());
  if (!plot.r.ceilings.empty()) {
    high = std::min(high, plot.r.ceilings.front().rate.value() / bandwidth.value());
  }
  if (!(high > low)) return "";
  const auto x = [&](double i) { return plot.px(f.x(FlopsPerByte(i))); };
  const auto y = [&](double i) { return plot.py(f.y(FlopsPerByte(i) * bandwidth)); };
  return line_at(x(low), y(low), x(high), y(high), css);
}

std::string ceilings(Plot& plot) {
  const RooflineFrame& f = plot.frame;
  std::string out;
  for (const RooflineCeiling& c : plot.r.ceilings) {
    const double x = plot.px(f.x(c.ridge)), y = plot.py(f.y(c.rate));
    out += line_at(x, y, kLeft + kPlotWidth, y, "ceiling");
    out += line_at(x, y, x, kBottom, "ridge");
    // Ceilings may lie closer than a line of text: the label moves up until it is free.
    Box box{kLeft + kPlotWidth - 7.0 * static_cast<double>(c.name.size()), y - 16,
            7.0 * static_cast<double>(c.name.size()), 13};
    while (!plot.is_free(box) && box.y > kTop - 20) box.y -= 14;
    plot.taken.push_back(box);
    out += text_at(kLeft + kPlotWidth - 2, box.y + 11, "end", "small", c.name);
  }
  return out;
}

std::string points(Plot& plot) {
  const RooflineFrame& f = plot.frame;
  std::string dots, marks;
  for (const RooflinePoint& p : plot.r.points) {
    const double x = plot.px(f.x(p.intensity)), y = plot.py(f.y(p.expected));
    plot.taken.push_back({x - 4, y - 4, 8, 8});
    dots += fmt::format(
        "<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"4\" class=\"point\"><title>{}</title>"
        "</circle>\n",
        x, y, escaped(p.name));
  }
  for (std::size_t i = 0; i < plot.r.points.size(); ++i) {
    const RooflinePoint& p = plot.r.points[i];
    const double x = plot.px(f.x(p.intensity)), y = plot.py(f.y(p.expected));
    // Rings of eight places around the point, the nearest free one wins.
    Box best{x + 6, y - 6, 10, 12};
    bool found = false;
    for (int ring = 1; ring <= 8 && !found; ++ring) {
      for (int k = 0; k < 8 && !found; ++k) {
        const double angle = (k + 7) * 0.785398;
        const Box box{x + 13.0 * ring * std::cos(angle) - 5, y + 13.0 * ring * std::sin(angle) - 6,
                      10, 12};
        const bool inside = box.x > kLeft && box.x + box.width < kLeft + kPlotWidth &&
                            box.y > kTop && box.y + box.height < kBottom;
        if (inside && plot.is_free(box)) {
          best = box;
          found = true;
        }
      }
    }
    plot.taken.push_back(best);
    marks += text_at(best.x + 5, best.y + 10, "middle", "mark", point_mark(i));
  }
  return dots + marks;
}

std::string legend(const Roofline& r) {
  const double x = kLeft + kPlotWidth + 24;
  double y = kTop + 12;
  std::string out = text_at(x, y, "start", "mark", "points: flop/byte, expected, share of roof");
  for (std::size_t i = 0; i < r.points.size(); ++i) {
    const RooflinePoint& p = r.points[i];
    y += 16;
    out += text_at(x, y, "start", "", fmt::format("{}  {}", point_mark(i), p.name));
    y += 14;
    const double share = p.attainable > FlopsPerSecond(0) ? 100 * (p.expected / p.attainable) : 0;
    out += text_at(x + 16, y, "start", "small",
                   fmt::format("{}, {}, {:.0f} %, {}", three_digits(p.intensity.value()),
                               human(p.expected), share, name(p.bound)));
  }
  for (const RooflineCeiling& c : r.ceilings) {
    y += 16;
    out += text_at(x, y, "start", "small",
                   fmt::format("ridge of {}: {} flop/byte", c.name, three_digits(c.ridge.value())));
  }
  return out;
}

}  // namespace

std::string roofline_svg(const Roofline& r, const RooflineSvgOptions& options) {
  Plot plot{r, roofline_frame(r), {}};
  const double rows = 30.0 * static_cast<double>(r.points.size()) +
                      16.0 * static_cast<double>(r.ceilings.size()) + 30;
  const double height = std::max(kBottom + 68, kTop + rows + 20);
  const std::string title = options.title.empty() ? "Roofline of " + r.machine : options.title;
  std::string out = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0:.0f}\" height=\"{1:.0f}\" "
      "viewBox=\"0 0 {0:.0f} {1:.0f}\" role=\"img\">\n<title>{2}</title>\n",
      kWidth, height, escaped(title));
  out += kStyle;
  out += text_at(kLeft, 22, "start", "title", title);
  out += text_at(kLeft, 41, "start", "small",
                 fmt::format("{}: roof {} (solid), a plain read reaches {} (dashed)", r.machine,
                             human(r.peak_bandwidth), human(r.achievable_bandwidth)));
  out += axes(plot);
  out += slope(plot, r.peak_bandwidth, "roof");
  out += slope(plot, r.achievable_bandwidth, "reached");
  out += ceilings(plot);
  out += points(plot);
  out += legend(r);
  if (!options.source.empty()) {
    out += text_at(kLeft, kBottom + 56, "start", "small", "source: " + options.source);
  }
  return out + "</svg>\n";
}

}  // namespace bandwall
