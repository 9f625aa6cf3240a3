// Text, markdown, JSON and CSV of tile reports, one row or object per target.
//   tiles_text(reports, false)
#pragma once

#include <string>
#include <vector>

#include "analysis/tiles.h"

namespace bandwall {

std::string tiles_text(const std::vector<TileReport>& reports, bool markdown);
std::string tiles_json(const std::vector<TileReport>& reports);
std::string tiles_csv(const std::vector<TileReport>& reports);

}  // namespace bandwall
