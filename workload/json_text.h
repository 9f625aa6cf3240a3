// JSON text of model files (config.json, hf_quant_config.json, index and header of safetensors).
//   nlohmann::json j = parse_json(text, "config.json");
// Python writes bare NaN, Infinity and -Infinity: they read as null. Throws Error (Input) with the
// byte offset for other text that is no JSON object, for keys given twice and for nesting deeper
// than 64. Included by readers in this folder only.
#pragma once

#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

namespace bandwall {

nlohmann::json parse_json(std::string_view text, const std::string& file_name);

}  // namespace bandwall
