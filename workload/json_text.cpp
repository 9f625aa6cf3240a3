#include "workload/json_text.h"

#include <algorithm>
#include <set>
#include <vector>

#include <fmt/format.h>

#include "hwmodel/error.h"
#include "workload/gguf.h"

namespace bandwall {
namespace {

using Json = nlohmann::json;

constexpr int kMaxDepth = 64;

// Bare words become null; where one is shorter, later offsets in messages shift by a byte.
std::string without_bare_numbers(std::string_view text) {
  std::string out;
  out.reserve(text.size() + 16);
  bool quoted = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (quoted && text[i] == '\\' && i + 1 < text.size()) {
      out.append(text.substr(i++, 2));
      continue;
    }
    if (text[i] == '"') quoted = !quoted;
    std::size_t length = 0;
    for (const std::string_view word : {"-Infinity", "Infinity", "NaN"}) {
      if (!quoted && length == 0 && text.substr(i).starts_with(word)) length = word.size();
    }
    if (length == 0) {
      out += text[i];
      continue;
    }
    out.append("null").append(length > 4 ? length - 4 : 0, ' ');
    i += length - 1;
  }
  return out;
}

}  // namespace

Json parse_json(std::string_view text, const std::string& file_name) {
  std::vector<std::set<std::string>> keys;  // of the objects that are open
  const auto watch = [&](int depth, Json::parse_event_t event, Json& value) {
    if (depth > kMaxDepth) {
      throw Error::input(file_name, fmt::format("nested deeper than {} levels; this is no file of "
                                                "a model",
                                                kMaxDepth));
    }
    if (event == Json::parse_event_t::object_start) keys.emplace_back();
    if (event == Json::parse_event_t::object_end && !keys.empty()) keys.pop_back();
    if (event == Json::parse_event_t::key && !keys.empty()) {
      const auto& key = value.get_ref<const std::string&>();
      if (!keys.back().insert(key).second) {
        throw Error::input(file_name,
                           fmt::format("key \"{}\" is given twice in one object", printable(key)));
      }
    }
    return true;
  };
  try {
    const std::string clean = without_bare_numbers(text);
    Json json = Json::parse(clean.begin(), clean.end(), watch);
    if (json.is_object()) return json;
  } catch (const Json::parse_error& e) {
    throw Error::input(file_name, fmt::format("byte {}: not valid JSON; download the file again",
                                              e.byte > 0 ? e.byte - 1 : 0));
  } catch (const Json::exception&) {
    throw Error::input(file_name,
                       "holds a number or text that JSON cannot hold; download it again");
  }
  throw Error::input(file_name, "is no JSON object; this is no file of a model");
}

const Json* JsonKeys::find(const char* key) const {
  const auto it = json_.find(key);
  return it == json_.end() || it->is_null() ? nullptr : &*it;
}

std::string JsonKeys::text(const char* key) {
  const Json* j = find(key);
  if (j == nullptr) return {};
  if (j->is_string()) return j->get<std::string>();
  problem(key, "must be text");
  return {};
}

bool JsonKeys::flag(const char* key, bool absent) {
  const Json* j = find(key);
  if (j == nullptr) return absent;
  if (j->is_boolean()) return j->get<bool>();
  problem(key, "must be true or false");
  return absent;
}

void JsonKeys::problem(std::string_view key, std::string_view message) {
  problems_.push_back({file_, fmt::format("{}{}: {}", path_, key, message)});
}

}  // namespace bandwall
