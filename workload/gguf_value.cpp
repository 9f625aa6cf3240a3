// Decoding of GGUF metadata values; lengths were checked by the parser. Little-endian hosts only.
#include <bit>
#include <cstring>
#include <limits>

#include "workload/gguf.h"

namespace bandwall {

static_assert(std::endian::native == std::endian::little, "GGUF data is used in place");

std::uint64_t scalar_size(GgufType type) {
  switch (type) {
    case GgufType::U8:
    case GgufType::I8:
    case GgufType::Bool:
      return 1;
    case GgufType::U16:
    case GgufType::I16:
      return 2;
    case GgufType::U32:
    case GgufType::I32:
    case GgufType::F32:
      return 4;
    case GgufType::U64:
    case GgufType::I64:
    case GgufType::F64:
      return 8;
    case GgufType::String:
    case GgufType::Array:
      return 0;
  }
  return 0;
}

namespace {

template <class T>
T load(const std::byte* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

std::optional<std::int64_t> integer_at(GgufType type, const std::byte* p) {
  switch (type) {
    case GgufType::U8:
      return load<std::uint8_t>(p);
    case GgufType::I8:
      return load<std::int8_t>(p);
    case GgufType::U16:
      return load<std::uint16_t>(p);
    case GgufType::I16:
      return load<std::int16_t>(p);
    case GgufType::U32:
      return load<std::uint32_t>(p);
    case GgufType::I32:
      return load<std::int32_t>(p);
    case GgufType::I64:
      return load<std::int64_t>(p);
    case GgufType::U64: {
      const auto value = load<std::uint64_t>(p);
      if (value > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
        return std::nullopt;
      }
      return static_cast<std::int64_t>(value);
    }
    default:
      return std::nullopt;
  }
}

std::string_view text_at(const std::byte* p, std::uint64_t length) {
  return {reinterpret_cast<const char*>(p), static_cast<std::size_t>(length)};
}

}  // namespace

std::optional<std::int64_t> GgufValue::as_int() const {
  return scalar_size(type_) == 0 ? std::nullopt : integer_at(type_, data_.data());
}

std::optional<double> GgufValue::as_double() const {
  if (type_ == GgufType::F32) return load<float>(data_.data());
  if (type_ == GgufType::F64) return load<double>(data_.data());
  const std::optional<std::int64_t> integer = as_int();
  if (!integer) return std::nullopt;
  return static_cast<double>(*integer);
}

std::optional<bool> GgufValue::as_bool() const {
  if (type_ != GgufType::Bool) return std::nullopt;
  return load<std::uint8_t>(data_.data()) != 0;
}

std::optional<std::string_view> GgufValue::as_string() const {
  if (type_ != GgufType::String) return std::nullopt;
  return text_at(data_.data(), data_.size());
}

std::optional<std::vector<std::string_view>> GgufValue::as_strings() const {
  if (type_ != GgufType::Array || element_ != GgufType::String) return std::nullopt;
  std::vector<std::string_view> items;
  items.reserve(count_);
  const std::byte* p = data_.data();
  for (std::uint64_t i = 0; i < count_; ++i) {
    const auto length = load<std::uint64_t>(p);
    items.push_back(text_at(p + 8, length));
    p += 8 + length;
  }
  return items;
}

std::optional<std::vector<std::int64_t>> GgufValue::as_ints() const {
  if (type_ != GgufType::Array || scalar_size(element_) == 0) return std::nullopt;
  std::vector<std::int64_t> items;
  items.reserve(count_);
  for (std::uint64_t i = 0; i < count_; ++i) {
    const auto value = integer_at(element_, data_.data() + i * scalar_size(element_));
    if (!value) return std::nullopt;
    items.push_back(*value);
  }
  return items;
}

std::optional<std::vector<float>> GgufValue::as_floats() const {
  if (type_ != GgufType::Array || element_ != GgufType::F32) return std::nullopt;
  std::vector<float> items(count_);
  if (count_ > 0) std::memcpy(items.data(), data_.data(), count_ * sizeof(float));
  return items;
}

}  // namespace bandwall
