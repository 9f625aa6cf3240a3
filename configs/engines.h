// The shipped memory rules of inference programs (configs/engines), and user files of that schema.
//   EngineRules r = load_engine("vllm");
// Throws Error (Input): unknown name with did-you-mean and the list, or every problem of the file.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "configs/library.h"
#include "hwmodel/engine_rules.h"

namespace bandwall {

EngineRules load_engine(std::string_view name_or_path);
EngineRules parse_engine(std::string_view text, std::string file_name);
std::vector<std::string> engine_names();
const std::vector<ConfigText>& shipped_engines();

}  // namespace bandwall
