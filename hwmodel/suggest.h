// "Did you mean": the candidate nearest to a misspelt word by edit distance, or empty when none is
// near (distance at most a third of the word's length, at least 1).
//   suggest("bandwith", {"bandwidth", "capacity"}) == "bandwidth"
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace bandwall {

std::string suggest(std::string_view word, const std::vector<std::string>& candidates);

}  // namespace bandwall
