// Pieces of SVG that the charts share.
#pragma once

#include <string>
#include <string_view>

namespace bandwall {

// &, <, > and " as entities; control bytes are left out.
std::string escaped(std::string_view text);

// Positions in user units; `anchor` is start, middle or end, `css` a class of the chart's style.
std::string text_at(double x, double y, std::string_view anchor, std::string_view css,
                    std::string_view text);
std::string line_at(double x1, double y1, double x2, double y2, std::string_view css);

}  // namespace bandwall
