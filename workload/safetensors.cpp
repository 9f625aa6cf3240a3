#include "workload/safetensors.h"

#include <algorithm>
#include <cstring>
#include <optional>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "hwmodel/error.h"
#include "workload/gguf.h"
#include "workload/json_text.h"

namespace bandwall {
namespace {

using Json = nlohmann::json;

constexpr std::int64_t kMaxHeader = 100'000'000;  // the limit of the reference reader
constexpr std::size_t kMostProblems = 20;
constexpr std::size_t kMaxDims = 16;
constexpr std::int64_t kMaxValues = std::int64_t{1} << 56;  // leaves room for 8 bytes per value

struct Dtype {
  std::string_view name;
  int bits;
};
constexpr Dtype kDtypes[] = {{"BOOL", 8},        {"U8", 8},         {"I8", 8},      {"F8_E4M3", 8},
                             {"F8_E5M2", 8},     {"F8_E8M0", 8},    {"U16", 16},    {"I16", 16},
                             {"F16", 16},        {"BF16", 16},      {"U32", 32},    {"I32", 32},
                             {"F32", 32},        {"U64", 64},       {"I64", 64},    {"F64", 64},
                             {"C64", 64},        {"F4", 4},         {"F6_E2M3", 6}, {"F6_E3M2", 6},
                             {"F8_E4M3FNUZ", 8}, {"F8_E5M2FNUZ", 8}};

class Problems {
 public:
  explicit Problems(std::string file) : file_(std::move(file)) {}
  void add(std::string_view tensor, std::string_view message) {
    if (list_.size() < kMostProblems) {
      list_.push_back({file_, fmt::format("tensor {}: {}", printable(tensor), message)});
    }
    ++count_;
  }
  void finish() {
    if (count_ == 0) return;
    if (count_ > kMostProblems) {
      list_.push_back({file_, fmt::format("and {} more problems", count_ - kMostProblems)});
    }
    throw Error(Error::Kind::Input, std::move(list_));
  }

 private:
  std::string file_;
  std::vector<Diagnostic> list_;
  std::size_t count_ = 0;
};

// A whole number from 0 to 2^62; nullopt for anything else.
std::optional<std::int64_t> count_of(const Json& j) {
  if (!j.is_number_integer()) return std::nullopt;
  if (j.is_number_unsigned()) {
    const auto n = j.get<std::uint64_t>();
    if (n > std::uint64_t{1} << 62) return std::nullopt;
    return static_cast<std::int64_t>(n);
  }
  const auto n = j.get<std::int64_t>();
  return n < 0 ? std::nullopt : std::optional(n);
}

std::optional<std::vector<std::int64_t>> counts_of(const Json& entry, const char* key) {
  const auto it = entry.find(key);
  if (it == entry.end() || !it->is_array() || it->size() > kMaxDims) return std::nullopt;
  std::vector<std::int64_t> out;
  for (const Json& item : *it) {
    const auto n = count_of(item);
    if (!n) return std::nullopt;
    out.push_back(*n);
  }
  return out;
}

// Values of a shape, nullopt when they are impossibly many.
std::optional<std::int64_t> product(const std::vector<std::int64_t>& dims) {
  std::int64_t values = 1;
  for (const std::int64_t d : dims) {
    if (d == 0) return 0;
    if (d > kMaxValues / values) return std::nullopt;
    values *= d;
  }
  return values;
}

std::optional<StoredTensor> read_entry(const std::string& name, const Json& entry,
                                       std::int64_t data_bytes, Problems& problems) {
  const auto fail = [&](std::string_view why) {
    problems.add(name, why);
    return std::nullopt;
  };
  if (!entry.is_object()) return fail("its entry is no object");
  StoredTensor t;
  t.name = name;
  const auto dtype = entry.find("dtype");
  if (dtype == entry.end() || !dtype->is_string()) return fail("has no dtype");
  t.dtype = dtype->get<std::string>();
  const int bits = dtype_bits(t.dtype);
  if (bits == 0) return fail(fmt::format("unknown dtype '{}'", printable(t.dtype)));
  const auto dims = counts_of(entry, "shape");
  if (!dims) return fail("shape must be a list of at most 16 whole numbers");
  t.dims = *dims;
  const auto offsets = counts_of(entry, "data_offsets");
  if (!offsets || offsets->size() != 2) return fail("data_offsets must be two whole numbers");
  const std::int64_t begin = (*offsets)[0], end = (*offsets)[1];
  if (begin > end || end > data_bytes) {
    return fail(
        fmt::format("data_offsets [{}, {}) are not inside the {} bytes of data; the file "
                    "is truncated or damaged: download it again",
                    begin, end, data_bytes));
  }
  t.begin = begin;
  t.bytes = end - begin;
  const auto values = product(t.dims);
  if (!values) return fail("its shape holds impossibly many values");
  if ((*values * bits + 7) / 8 != t.bytes) {
    return fail(fmt::format("{} of shape [{}] takes {} bytes, data_offsets give it {}", t.dtype,
                            fmt::join(t.dims, ", "), (*values * bits + 7) / 8, t.bytes));
  }
  return t;
}

// Data must follow each other without overlap or hole, up to the end of the file.
void check_layout(const SafetensorsHeader& h, Problems& problems) {
  std::int64_t at = 0;
  const StoredTensor* before = nullptr;
  for (const StoredTensor& t : h.tensors) {
    if (t.begin < at) {
      problems.add(t.name, fmt::format("its data at {} overlap those of {}, which end at {}",
                                       t.begin, printable(before->name), at));
    } else if (t.begin > at) {
      problems.add(t.name,
                   fmt::format("{} bytes before its data belong to no tensor", t.begin - at));
    }
    if (t.begin + t.bytes < at) continue;
    at = t.begin + t.bytes;
    before = &t;
  }
  const std::int64_t rest = h.file_bytes - h.header_bytes - at;
  if (rest > 0) {
    problems.add(before == nullptr ? "(none)" : before->name,
                 fmt::format("{} bytes after its data belong to no tensor", rest));
  }
}

}  // namespace

int dtype_bits(std::string_view dtype) {
  for (const Dtype& d : kDtypes) {
    if (d.name == dtype) return d.bits;
  }
  return 0;
}

std::int64_t StoredTensor::values() const {
  std::int64_t n = 1;
  for (const std::int64_t d : dims) n *= d;
  return n;
}

std::int64_t safetensors_header_bytes(std::span<const std::byte> first, std::int64_t file_bytes,
                                      const std::string& file_name) {
  constexpr auto kLength = static_cast<std::int64_t>(kSafetensorsLengthBytes);
  if (file_bytes < kLength || first.size() < kSafetensorsLengthBytes) {
    throw Error::input(
        file_name, fmt::format("{} bytes are no safetensors file; download it again", file_bytes));
  }
  if (std::memcmp(first.data(), "version ", kSafetensorsLengthBytes) == 0) {
    throw Error::input(file_name,
                       "is a pointer of Git LFS, not the file; 'git lfs pull' fetches it");
  }
  std::uint64_t length = 0;
  for (std::size_t i = 0; i < kSafetensorsLengthBytes; ++i) {
    length |= std::to_integer<std::uint64_t>(first[i]) << (8 * i);
  }
  if (length > static_cast<std::uint64_t>(file_bytes - kLength)) {
    throw Error::input(file_name,
                       fmt::format("header length {} is more than the {} bytes that follow; the "
                                   "file is truncated or no safetensors file: download it again",
                                   length, file_bytes - kLength));
  }
  if (length > static_cast<std::uint64_t>(kMaxHeader)) {
    throw Error::input(file_name, fmt::format("header length {} is more than {}; this is no "
                                              "safetensors file",
                                              length, kMaxHeader));
  }
  return kLength + static_cast<std::int64_t>(length);
}

SafetensorsHeader parse_safetensors(std::span<const std::byte> bytes, std::int64_t file_bytes,
                                    const std::string& file_name) {
  SafetensorsHeader h;
  h.file_name = file_name;
  h.file_bytes = file_bytes;
  h.header_bytes = safetensors_header_bytes(bytes, file_bytes, file_name);
  BANDWALL_CHECK(static_cast<std::int64_t>(bytes.size()) >= h.header_bytes);
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()) + kSafetensorsLengthBytes,
                              static_cast<std::size_t>(h.header_bytes) - kSafetensorsLengthBytes);
  if (!text.starts_with('{')) {
    throw Error::input(file_name, "its header does not start with {; this is no safetensors file");
  }
  Problems problems(file_name);
  const Json json = parse_json(text, file_name);
  h.tensors.reserve(json.size());
  for (const auto& [name, entry] : json.items()) {
    if (name == "__metadata__") continue;
    auto tensor = read_entry(name, entry, file_bytes - h.header_bytes, problems);
    if (tensor) h.tensors.push_back(std::move(*tensor));
  }
  std::sort(h.tensors.begin(), h.tensors.end(), [](const StoredTensor& a, const StoredTensor& b) {
    return a.begin != b.begin ? a.begin < b.begin : a.bytes < b.bytes;
  });
  problems.finish();
  check_layout(h, problems);
  problems.finish();
  return h;
}

}  // namespace bandwall
