// A figure of a machine or a backend replaced by name, as the program's --set does.
//   Machine m = with_figure(gb10, "compute.bf16.peak", "214 TFLOP/s");
// Path: keys of the data file joined by dots; an item of a list is named by its `name` or
// `numeric`; "memory" stands for the first pool. A figure of a mapping that has free keys may be
// new ("stream.Q5_1"). The figure gets source assumed and says that it was set by hand; every check
// of the reader holds. Throws Error (Input): unknown path with a did-you-mean, bad value or unit.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "hwmodel/machine.h"

namespace bandwall {

Machine with_figure(const Machine& machine, std::string_view path, std::string_view value);
Backend with_figure(const Backend& backend, std::string_view path, std::string_view value);

// True when the path names something that the machine or backend has.
bool has_figure(const Machine& machine, std::string_view path);
bool has_figure(const Backend& backend, std::string_view path);

// The first keys of what there is, of a backend also those of what may be missing.
std::vector<std::string> figure_groups(const Machine& machine);
std::vector<std::string> figure_groups(const Backend& backend);

}  // namespace bandwall
