#include "workload/gguf_header.h"

#include "hwmodel/error.h"

namespace bandwall {
namespace {

using Bytes8 = std::vector<std::byte>;
constexpr std::int64_t kAlignment = 32;

std::int64_t padded(std::int64_t n) { return (n + kAlignment - 1) / kAlignment * kAlignment; }

template <class T>
void put(Bytes8& out, T value) {
  const auto* p = reinterpret_cast<const std::byte*>(&value);
  out.insert(out.end(), p, p + sizeof value);
}

void put_text(Bytes8& out, std::string_view text) {
  put(out, static_cast<std::uint64_t>(text.size()));
  const auto* p = reinterpret_cast<const std::byte*>(text.data());
  out.insert(out.end(), p, p + text.size());
}

void put_array(Bytes8& out, GgufType element, std::size_t count) {
  put(out, static_cast<std::uint32_t>(element));
  put(out, static_cast<std::uint64_t>(count));
}

}  // namespace

void GgufHeader::key(std::string_view key, GgufType type) {
  put_text(keys_, key);
  put(keys_, static_cast<std::uint32_t>(type));
  ++key_count_;
}

void GgufHeader::number(std::string_view k, std::int64_t value) {
  BANDWALL_CHECK(value >= 0 && value <= UINT32_MAX);
  key(k, GgufType::U32);
  put(keys_, static_cast<std::uint32_t>(value));
}

void GgufHeader::real(std::string_view k, double value) {
  key(k, GgufType::F32);
  put(keys_, static_cast<float>(value));
}

void GgufHeader::flag(std::string_view k, bool value) {
  key(k, GgufType::Bool);
  put(keys_, static_cast<std::uint8_t>(value));
}

void GgufHeader::text(std::string_view k, std::string_view value) {
  key(k, GgufType::String);
  put_text(keys_, value);
}

void GgufHeader::numbers(std::string_view k, std::span<const std::int64_t> values) {
  key(k, GgufType::Array);
  put_array(keys_, GgufType::I32, values.size());
  for (const std::int64_t v : values) {
    BANDWALL_CHECK(v >= INT32_MIN && v <= INT32_MAX);
    put(keys_, static_cast<std::int32_t>(v));
  }
}

void GgufHeader::texts(std::string_view k, std::span<const std::string> values) {
  key(k, GgufType::Array);
  put_array(keys_, GgufType::String, values.size());
  for (const std::string& v : values) put_text(keys_, v);
}

void GgufHeader::tensor(const TensorSpec& t) {
  BANDWALL_CHECK(t.bytes == row_bytes(t.format, t.dims[0]) * (t.values() / t.dims[0]));
  put_text(tensors_, t.name);
  put(tensors_, static_cast<std::uint32_t>(t.n_dims));
  for (int d = 0; d < t.n_dims; ++d) put(tensors_, t.dims[d]);
  put(tensors_, static_cast<std::uint32_t>(t.format));
  put(tensors_, static_cast<std::uint64_t>(padded(data_bytes_)));
  offsets_.push_back(padded(data_bytes_));
  data_bytes_ = padded(data_bytes_) + t.bytes;
}

std::vector<std::byte> GgufHeader::bytes() const {
  std::vector<std::byte> out;
  put(out, std::uint32_t{0x46554747});  // "GGUF"
  put(out, std::uint32_t{3});
  put(out, static_cast<std::uint64_t>(offsets_.size()));
  put(out, key_count_);
  out.insert(out.end(), keys_.begin(), keys_.end());
  out.insert(out.end(), tensors_.begin(), tensors_.end());
  out.resize(static_cast<std::size_t>(padded(static_cast<std::int64_t>(out.size()))));
  return out;
}

std::int64_t GgufHeader::offset_of(std::size_t tensor) const {
  constexpr std::int64_t kFixed = 24;  // magic, version, counts
  return padded(kFixed + static_cast<std::int64_t>(keys_.size() + tensors_.size())) +
         offsets_[tensor];
}

std::int64_t GgufHeader::file_bytes() const {
  constexpr std::int64_t kFixed = 24;
  const std::int64_t start =
      padded(kFixed + static_cast<std::int64_t>(keys_.size() + tensors_.size()));
  return start + padded(data_bytes_);
}

}  // namespace bandwall
