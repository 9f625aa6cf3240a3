// Predicted over measured, log-log: the diagonal is truth, the dashed lines are 10 % beside it.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "reports/validation_report.h"

namespace bandwall {
namespace {

constexpr double kLeft = 70, kTop = 52, kSide = 520, kLegend = 380;
constexpr double kWidth = kLeft + kSide + 20 + kLegend, kBottom = kTop + kSide;

constexpr const char* kStyle = R"(<style>
  text { font: 12px system-ui, sans-serif; fill: #333; }
  .title { font-size: 16px; font-weight: 600; }
  .small { font-size: 11px; fill: #666; }
  .grid { stroke: #8884; stroke-width: 1; }
  .truth { stroke: #777; stroke-width: 1.4; }
  .near { stroke: #777; stroke-width: 1; stroke-dasharray: 4 4; }
  circle { fill-opacity: 0.55; }
  @media (prefers-color-scheme: dark) { text { fill: #ddd; } .small { fill: #aaa; } }
</style>
)";

// Hues that stand on white and on black; failing classes are grey, for they are named in the table.
constexpr const char* kColours[] = {"#0f8a5f", "#2563eb", "#c2410c", "#9333ea",
                                    "#0891b2", "#ca8a04", "#db2777", "#4d7c0f"};
constexpr const char* kFailing = "#888888";

struct Axis {
  int low = 0, high = 1;  // powers of ten
  double at(double value) const {
    const double share = (std::log10(value) - low) / (high - low);
    return std::clamp(share, 0.0, 1.0) * kSide;
  }
};

Axis axis_of(const Validation& v) {
  double low = 1e9, high = 0;
  for (const RowResult& r : v.results) {
    low = std::min({low, r.measured, r.predicted});
    high = std::max({high, r.measured, r.predicted});
  }
  Axis a;
  if (!(high > 0)) return a;
  a.low = static_cast<int>(std::floor(std::log10(low)));
  a.high = std::max(a.low + 1, static_cast<int>(std::ceil(std::log10(high))));
  return a;
}

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '&')
      out += "&amp;";
    else if (c == '<')
      out += "&lt;";
    else if (c == '>')
      out += "&gt;";
    else if (static_cast<unsigned char>(c) >= 0x20)
      out += c;
  }
  return out;
}

std::string text_at(double x, double y, std::string_view anchor, std::string_view css,
                    std::string_view text) {
  return fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\" class=\"{}\">{}</text>\n",
                     x, y, anchor, css, escaped(text));
}

std::string line_at(double x1, double y1, double x2, double y2, std::string_view css) {
  return fmt::format(
      "<line x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\" class=\"{}\"/>\n", x1, y1, x2,
      y2, css);
}

std::string frame(const Axis& a) {
  std::string out;
  for (int d = a.low; d <= a.high; ++d) {
    const double at = a.at(std::pow(10.0, d));
    out += line_at(kLeft + at, kTop, kLeft + at, kBottom, "grid");
    out += line_at(kLeft, kBottom - at, kLeft + kSide, kBottom - at, "grid");
    const std::string label = fmt::format("{:.10g}", std::pow(10.0, d));
    out += text_at(kLeft + at, kBottom + 17, "middle", "small", label);
    out += text_at(kLeft - 6, kBottom - at + 4, "end", "small", label);
  }
  const double shift = std::log10(1.1) / (a.high - a.low) * kSide;
  out += line_at(kLeft, kBottom, kLeft + kSide, kTop, "truth");
  out += line_at(kLeft, kBottom - shift, kLeft + kSide - shift, kTop, "near");
  out += line_at(kLeft + shift, kBottom, kLeft + kSide, kTop + shift, "near");
  out += text_at(kLeft + kSide / 2, kBottom + 36, "middle", "", "measured, tokens per second");
  out += fmt::format(
      "<text transform=\"translate(18 {:.1f}) rotate(-90)\" text-anchor=\"middle\">predicted, "
      "tokens per second</text>\n",
      kTop + kSide / 2);
  return out;
}

}  // namespace

std::string validation_svg(const Validation& v) {
  const Axis a = axis_of(v);
  std::string out = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0:.0f}\" height=\"{1:.0f}\" "
      "viewBox=\"0 0 {0:.0f} {1:.0f}\" role=\"img\">\n<title>Predicted over measured</title>\n",
      kWidth, kBottom + 56);
  out += kStyle;
  out += text_at(kLeft, 22, "start", "title", "Predicted over measured speed");
  out += text_at(kLeft, 40, "start", "small",
                 fmt::format("{} rows; solid: equal, dashed: 10 % beside it", v.rows.size()));
  out += frame(a);
  // One group of dots per class: bars by colour, failing classes together, the rest last.
  std::map<std::pair<int, std::string>, std::vector<std::size_t>> classes;
  for (std::size_t i = 0; i < v.rows.size(); ++i) {
    const RowClass& of = v.rows[i].of;
    const bool fails = of.failing >= 0;
    const int order = fails ? 1000 : of.bar >= 0 ? of.bar : 999;
    const std::string name = fails         ? "classes known to fail"
                             : of.bar >= 0 ? class_name(v, of)
                                           : "of no class";
    classes[{order, name}].push_back(i);
  }
  double y = kTop + 12;
  for (const auto& [key, which] : classes) {
    const char* colour = key.first >= 999 ? kFailing : kColours[key.first % 8];
    out += fmt::format("<g fill=\"{}\">\n", colour);
    for (const std::size_t i : which) {
      const RowResult& r = v.results[i];
      out += fmt::format("<circle cx=\"{:.0f}\" cy=\"{:.0f}\" r=\"2.5\"/>\n",
                         kLeft + a.at(r.measured), kBottom - a.at(r.predicted));
    }
    out += fmt::format("<circle cx=\"{:.0f}\" cy=\"{:.0f}\" r=\"5\"/>\n</g>\n", kLeft + kSide + 28,
                       y - 4);
    const ErrorSummary s = summarize(v.results, which);
    out += text_at(kLeft + kSide + 40, y, "start", "", key.second);
    out +=
        text_at(kLeft + kSide + 40, y + 14, "start", "small",
                fmt::format("{} rows, median {}, p90 {}", s.n, percent(s.median), percent(s.p90)));
    y += 36;
  }
  return out + "</svg>\n";
}

}  // namespace bandwall
