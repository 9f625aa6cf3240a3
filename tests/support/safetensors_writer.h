// Small safetensors files for tests: a header as given, then zeros.
//   std::string file = safetensors_file(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}})",
//   4); StWriter w;  w.add("model.norm.weight", "BF16", {64});  w.build();
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "workload/safetensors.h"

namespace bandwall::testing {

inline std::string safetensors_file(const std::string& header, std::size_t data) {
  std::string file;
  for (int i = 0; i < 8; ++i) {
    file += static_cast<char>((header.size() >> (8 * i)) & 0xff);
  }
  return file + header + std::string(data, '\0');
}

class StWriter {
 public:
  void add(const std::string& name, const std::string& dtype,
           const std::vector<std::int64_t>& dims) {
    std::int64_t bits = dtype_bits(dtype);
    for (const std::int64_t d : dims) bits *= d;
    if (!text_.empty()) text_ += ",";
    text_ += fmt::format(R"("{}":{{"dtype":"{}","shape":[{}],"data_offsets":[{},{}]}})", name,
                         dtype, fmt::join(dims, ","), at_, at_ + bits / 8);
    at_ += bits / 8;
  }
  std::int64_t data_bytes() const { return at_; }
  std::string build() const {
    return safetensors_file("{" + text_ + "}", static_cast<std::size_t>(at_));
  }
  SafetensorsHeader header(const std::string& name) const {  // without making the data
    const std::string head = safetensors_file("{" + text_ + "}", 0);
    return parse_safetensors(std::as_bytes(std::span(head.data(), head.size())),
                             static_cast<std::int64_t>(head.size()) + at_, name);
  }

 private:
  std::string text_;
  std::int64_t at_ = 0;
};

}  // namespace bandwall::testing
