// JSON text of model files (config.json, hf_quant_config.json, index and header of safetensors).
//   nlohmann::json j = parse_json(text, "config.json");
// Python writes bare NaN, Infinity and -Infinity: they read as null. Throws Error (Input) with the
// byte offset for other text that is no JSON object, for keys given twice and for nesting deeper
// than 64. Included by readers in this folder only.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "hwmodel/error.h"

namespace bandwall {

nlohmann::json parse_json(std::string_view text, const std::string& file_name);

// Typed reading of one object; what is wrong becomes a problem that names file, path and key. The
// object, the name and the list must outlive it.
class JsonKeys {
 public:
  JsonKeys(const nlohmann::json& json, std::string path, const std::string& file,
           std::vector<Diagnostic>& problems)
      : json_(json), path_(std::move(path)), file_(file), problems_(problems) {}

  const nlohmann::json* find(const char* key) const;  // nullptr: absent or null
  bool has(const char* key) const { return find(key) != nullptr; }
  std::string text(const char* key);  // "" when absent
  bool flag(const char* key, bool absent);
  void problem(std::string_view key, std::string_view message);

 protected:
  const nlohmann::json& json_;
  std::string path_;  // "quantization_config."
  const std::string& file_;
  std::vector<Diagnostic>& problems_;
};

}  // namespace bandwall
