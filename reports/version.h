// The version of bandwall; its one home is project(... VERSION ...) in CMakeLists.txt.
#pragma once

#include <string_view>

namespace bandwall {

std::string_view version();

}  // namespace bandwall
