#include "workload/gguf.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include <fmt/format.h>

#include "hwmodel/error.h"

namespace bandwall {
namespace {

// Limits far above any real file; they keep a lying header from asking for memory.
constexpr std::uint64_t kMaxKeys = 100'000;
constexpr std::uint64_t kMaxTensors = 1'000'000;
constexpr std::uint64_t kMaxKeyLength = 65535;
constexpr std::uint64_t kMaxTensorNameLength = 64;
constexpr std::uint32_t kMaxDims = 4;
constexpr std::uint64_t kMaxAlignment = 1u << 30;
constexpr std::string_view kAgain = "the file is damaged: download it or convert the model again";

template <class T>
T load(const std::byte* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

std::string_view text_at(const std::byte* p, std::uint64_t length) {
  return {reinterpret_cast<const char*>(p), static_cast<std::size_t>(length)};
}

bool is_power_of_two(std::uint64_t n) { return n != 0 && (n & (n - 1)) == 0; }

// Largest file a 64-bit signed offset describes, with room to round up without overflow.
constexpr std::uint64_t kMaxOffset = std::uint64_t{1} << 62;

std::uint64_t round_up(std::uint64_t n, std::uint64_t unit) { return (n + unit - 1) / unit * unit; }

}  // namespace

class GgufParser {
 public:
  GgufParser(std::span<const std::byte> bytes, std::string_view file_name) : bytes_(bytes) {
    file_.file_name = std::string(file_name);
    file_.file_bytes = static_cast<std::int64_t>(bytes.size());
  }

  GgufFile parse() {
    read_preamble();
    read_values();
    read_alignment();
    read_tensors();
    place_tensors();
    check_tensor_names();
    check_overlaps();
    return std::move(file_);
  }

 private:
  [[noreturn]] void fail(std::uint64_t offset, std::string_view field, std::string message) const {
    throw Error::input(file_.file_name,
                       fmt::format("{} (byte offset {}): {}", field, offset, message));
  }

  std::uint64_t left() const { return bytes_.size() - at_; }

  const std::byte* take(std::uint64_t count, std::string_view field) {
    if (count > left()) {
      fail(at_, printable(field),
           fmt::format("needs {} bytes, {} are left before the end of the file; the file is "
                       "truncated: download it again",
                       count, left()));
    }
    const std::byte* here = bytes_.data() + at_;
    at_ += count;
    return here;
  }

  template <class T>
  T number(std::string_view field) {
    return load<T>(take(sizeof(T), field));
  }

  std::string_view text(std::uint64_t limit, std::string_view field) {
    const std::uint64_t start = at_;
    const auto length = number<std::uint64_t>(field);
    if (length > limit) {
      fail(start, field, fmt::format("length {} is more than {}; {}", length, limit, kAgain));
    }
    return text_at(take(length, field), length);
  }

  void read_preamble() {
    const std::byte* magic = take(4, "magic");
    if (std::memcmp(magic, "GGUF", 4) != 0) {
      fail(0, "magic",
           fmt::format("'{}' is not 'GGUF'; this is no GGUF file", printable(text_at(magic, 4))));
    }
    file_.version = number<std::uint32_t>("version");
    if (file_.version != 0 && (file_.version & 0xffff) == 0) {
      fail(4, "version", "the file is big-endian; convert it to little-endian");
    }
    if (file_.version != 2 && file_.version != 3) {
      fail(4, "version",
           fmt::format("GGUF version {} is not supported (2 and 3 are); convert the "
                       "model again with a current converter",
                       file_.version));
    }
    tensor_count_ = number<std::uint64_t>("tensor count");
    key_count_ = number<std::uint64_t>("key count");
    check_count(8, "tensor count", tensor_count_, kMaxTensors, 8 + 4 + 8 + 4 + 8);
    check_count(16, "key count", key_count_, kMaxKeys, 8 + 4 + 1);
  }

  void check_count(std::uint64_t offset, std::string_view field, std::uint64_t count,
                   std::uint64_t limit, std::uint64_t smallest_item) const {
    if (count > limit) {
      fail(offset, field, fmt::format("{} is more than {}; {}", count, limit, kAgain));
    }
    if (count > left() / smallest_item) {
      fail(offset, field,
           fmt::format("{} cannot fit into the {} bytes that follow; the file is "
                       "truncated or damaged: download it again",
                       count, left()));
    }
  }

  void read_values() {
    file_.values.reserve(key_count_);
    file_.value_index.reserve(key_count_);
    for (std::uint64_t i = 0; i < key_count_; ++i) {
      const std::uint64_t start = at_;
      const std::string_view key = text(kMaxKeyLength, "key");
      if (key.empty()) fail(start, "key", fmt::format("key {} is empty; {}", i, kAgain));
      const auto type = number<std::uint32_t>("value type");
      if (!file_.value_index.emplace(key, file_.values.size()).second) {
        fail(start, "key " + printable(key), fmt::format("given twice; {}", kAgain));
      }
      file_.values.emplace_back(key, read_value(key, type));
    }
  }

  GgufType checked_type(std::string_view key, std::uint32_t type) const {
    if (type > static_cast<std::uint32_t>(GgufType::F64)) {
      fail(at_ - 4, "key " + printable(key),
           fmt::format("unknown value type {}; {}", type, kAgain));
    }
    return static_cast<GgufType>(type);
  }

  GgufValue read_value(std::string_view key, std::uint32_t type) {
    GgufValue value;
    value.type_ = checked_type(key, type);
    if (value.type_ == GgufType::Array) {
      read_array(key, value);
    } else if (value.type_ == GgufType::String) {
      const std::string_view s = text(kMaxOffset, key);
      value.data_ = std::as_bytes(std::span(s.data(), s.size()));
    } else {
      const std::uint64_t size = scalar_size(value.type_);
      value.data_ = {take(size, key), static_cast<std::size_t>(size)};
    }
    return value;
  }

  // Strings are stepped over one length at a time: no copies, no allocations.
  void read_array(std::string_view key, GgufValue& value) {
    value.element_ = checked_type(key, number<std::uint32_t>(key));
    const std::uint64_t start = at_;
    value.count_ = number<std::uint64_t>(key);
    if (value.element_ == GgufType::Array) {
      fail(start, "key " + printable(key), "arrays of arrays are not supported");
    }
    const std::uint64_t item = std::max<std::uint64_t>(scalar_size(value.element_), 1);
    const std::uint64_t smallest = value.element_ == GgufType::String ? 8 : item;
    if (value.count_ > left() / smallest) {
      fail(start, "key " + printable(key),
           fmt::format("{} array items cannot fit into the {} bytes that follow; the file is "
                       "truncated or damaged: download it again",
                       value.count_, left()));
    }
    const std::uint64_t first = at_;
    if (value.element_ == GgufType::String) {
      for (std::uint64_t i = 0; i < value.count_; ++i) {
        const auto length = number<std::uint64_t>(key);
        take(length, key);
      }
    } else {
      take(value.count_ * item, key);
    }
    value.data_ = bytes_.subspan(first, at_ - first);
  }

  void read_alignment() {
    const GgufValue* value = file_.find("general.alignment");
    if (value == nullptr) return;
    const std::uint64_t offset = static_cast<std::uint64_t>(value->data_.data() - bytes_.data());
    const std::optional<std::int64_t> alignment = value->as_int();
    if (!alignment || *alignment <= 0 || !is_power_of_two(static_cast<std::uint64_t>(*alignment)) ||
        static_cast<std::uint64_t>(*alignment) > kMaxAlignment) {
      fail(offset, "key general.alignment",
           fmt::format("{} is not a power of two between 1 and 2^30; {}",
                       alignment ? fmt::to_string(*alignment) : "a value of another kind", kAgain));
    }
    file_.alignment = *alignment;
  }

  void read_tensors() {
    file_.tensors.reserve(tensor_count_);
    entry_offsets_.reserve(tensor_count_);
    for (std::uint64_t i = 0; i < tensor_count_; ++i) {
      entry_offsets_.push_back(at_);
      GgufTensor tensor;
      tensor.name = text(kMaxTensorNameLength, "tensor name");
      if (tensor.name.empty()) {
        fail(entry_offsets_.back(), "tensor name",
             fmt::format("tensor {} has no name; {}", i, kAgain));
      }
      read_shape(tensor);
      file_.tensors.push_back(tensor);
    }
    const auto unit = static_cast<std::uint64_t>(file_.alignment);
    file_.computed_bytes = static_cast<std::int64_t>(at_);
    file_.header_bytes = static_cast<std::int64_t>(round_up(at_, unit));
  }

  void read_shape(GgufTensor& tensor) {
    const std::string field = "tensor " + printable(tensor.name);
    const auto n_dims = number<std::uint32_t>(field);
    if (n_dims == 0 || n_dims > kMaxDims) {
      fail(at_ - 4, field,
           fmt::format("{} dimensions, 1 to {} are possible; {}", n_dims, kMaxDims, kAgain));
    }
    tensor.n_dims = static_cast<int>(n_dims);
    std::int64_t values = 1;
    for (std::uint32_t d = 0; d < n_dims; ++d) {
      const auto size = number<std::int64_t>(field);
      // 2^56 values leave room to multiply by the bytes of any block.
      if (size <= 0 || size > (std::int64_t{1} << 56) / values) {
        fail(at_ - 8, field,
             fmt::format("dimension {} is {}, which is not positive or makes the "
                         "tensor impossibly large; {}",
                         d, size, kAgain));
      }
      tensor.dims[d] = size;
      values *= size;
    }
    const auto type = number<std::uint32_t>(field);
    const std::optional<Format> format = format_from_ggml_type(type);
    if (!format) {
      fail(at_ - 4, field,
           fmt::format("unknown tensor type {}; this file is from a newer or "
                       "different program: quantize it to a standard type",
                       type));
    }
    const FormatInfo& block = info(*format);
    if (tensor.dims[0] % block.values_per_block != 0) {
      fail(at_ - 4, field,
           fmt::format("rows of {} values are no multiple of the {} values of a {} block; {}",
                       tensor.dims[0], block.values_per_block, block.name, kAgain));
    }
    tensor.format = *format;
    tensor.bytes = values / block.values_per_block * block.bytes_per_block;
    tensor.offset = static_cast<std::int64_t>(checked_offset(field));
  }

  // Offset as stored: from the start of the tensor data.
  std::uint64_t checked_offset(const std::string& field) {
    const auto offset = number<std::uint64_t>(field);
    if (offset >= kMaxOffset) {
      fail(at_ - 8, field, fmt::format("data offset {} is impossible; {}", offset, kAgain));
    }
    if (offset % static_cast<std::uint64_t>(file_.alignment) != 0) {
      fail(at_ - 8, field,
           fmt::format("data offset {} is not a multiple of the alignment {}; {}", offset,
                       file_.alignment, kAgain));
    }
    return offset;
  }

  // Offsets from the start of the file; all data must lie inside it.
  void place_tensors() {
    const GgufTensor* last = nullptr;
    std::size_t last_index = 0;
    for (std::size_t i = 0; i < file_.tensors.size(); ++i) {
      GgufTensor& tensor = file_.tensors[i];
      tensor.offset += file_.header_bytes;
      if (last == nullptr || tensor.offset + tensor.bytes > file_.computed_bytes) {
        last = &tensor;
        last_index = i;
        file_.computed_bytes = tensor.offset + tensor.bytes;
      }
    }
    if (last != nullptr && file_.computed_bytes > file_.file_bytes) {
      fail(entry_offsets_[last_index], "tensor " + printable(last->name),
           fmt::format("truncated: needs {} bytes, file has {}; download it again",
                       file_.computed_bytes, file_.file_bytes));
    }
  }

  std::vector<std::size_t> order_by(auto less) const {
    std::vector<std::size_t> order(file_.tensors.size());
    for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
    std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
      return less(file_.tensors[a], file_.tensors[b]);
    });
    return order;
  }

  void check_tensor_names() const {
    using T = GgufTensor;
    const auto order = order_by([](const T& a, const T& b) { return a.name < b.name; });
    for (std::size_t i = 1; i < order.size(); ++i) {
      if (file_.tensors[order[i]].name == file_.tensors[order[i - 1]].name) {
        fail(entry_offsets_[std::max(order[i], order[i - 1])],
             "tensor " + printable(file_.tensors[order[i]].name),
             fmt::format("given twice; {}", kAgain));
      }
    }
  }

  void check_overlaps() const {
    using T = GgufTensor;
    const auto order = order_by([](const T& a, const T& b) { return a.offset < b.offset; });
    for (std::size_t i = 1; i < order.size(); ++i) {
      const GgufTensor& a = file_.tensors[order[i - 1]];
      const GgufTensor& b = file_.tensors[order[i]];
      if (a.offset + a.bytes > b.offset) {
        fail(entry_offsets_[order[i]], "tensor " + printable(b.name),
             fmt::format("its data at {} overlaps tensor {} ({} to {}); {}", b.offset,
                         printable(a.name), a.offset, a.offset + a.bytes, kAgain));
      }
    }
  }

  std::span<const std::byte> bytes_;
  std::uint64_t at_ = 0;
  std::uint64_t tensor_count_ = 0, key_count_ = 0;
  std::vector<std::uint64_t> entry_offsets_;  // where each tensor's entry starts, for messages
  GgufFile file_;
};

const GgufValue* GgufFile::find(std::string_view key) const {
  const auto it = value_index.find(key);
  return it == value_index.end() ? nullptr : &values[it->second].second;
}

bool GgufFile::size_matches() const {
  return computed_bytes <= file_bytes && file_bytes - computed_bytes < alignment;
}

std::string printable(std::string_view text) {
  std::string out;
  for (const unsigned char c : text.substr(0, 80)) {
    if (c < 0x20 || c == 0x7f) {
      out += fmt::format("\\x{:02x}", c);
    } else {
      out += static_cast<char>(c);
    }
  }
  return text.size() > 80 ? out + "..." : out;
}

GgufFile parse_gguf(std::span<const std::byte> bytes, std::string_view file_name) {
  return GgufParser(bytes, file_name).parse();
}

}  // namespace bandwall
