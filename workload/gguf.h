// GGUF v2/v3 header reader (docs/gguf.md of ggml-org/ggml). Bytes in, no I/O, no length trusted.
//   GgufFile g = parse_gguf(mapped_bytes, "model.gguf");
//   g.find("llama.block_count")->as_u64();
// Arrays are not copied: strings and numbers are decoded on demand from the bytes given, which must
// outlive the GgufFile. Every defect throws Error (Input): file, field, offset, what to do.
// Does not judge the architecture (model_spec.h) and does not touch tensor data.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "workload/format.h"

namespace bandwall {

enum class GgufType : std::uint32_t {
  U8 = 0, I8 = 1, U16 = 2, I16 = 3, U32 = 4, I32 = 5, F32 = 6, Bool = 7, String = 8, Array = 9,
  U64 = 10, I64 = 11, F64 = 12,
};

// Size of one value of a scalar type; 0 for strings, arrays and unknown types.
std::uint64_t scalar_size(GgufType type);

class GgufValue {
 public:
  GgufType type() const { return type_; }
  GgufType element_type() const { return element_; }  // arrays only
  std::uint64_t size() const { return count_; }       // arrays: items; scalars: 1

  // Scalar access with range check; nullopt when the value has another kind or does not fit.
  std::optional<std::int64_t> as_int() const;
  std::optional<double> as_double() const;             // integers convert
  std::optional<bool> as_bool() const;
  std::optional<std::string_view> as_string() const;

  // Array access in one pass; nullopt when elements have another kind.
  std::optional<std::vector<std::string_view>> as_strings() const;
  std::optional<std::vector<std::int64_t>> as_ints() const;
  std::optional<std::vector<float>> as_floats() const;

 private:
  friend class GgufParser;
  GgufType type_ = GgufType::U8, element_ = GgufType::U8;
  std::uint64_t count_ = 1;
  std::span<const std::byte> data_;  // payload, validated at parse time
};

struct GgufTensor {
  std::string_view name;
  Format format;
  int n_dims = 0;
  std::int64_t dims[4] = {1, 1, 1, 1};  // dims[0] = row length
  std::int64_t bytes = 0;
  std::int64_t offset = 0;              // from the start of the file, range-checked
};

struct GgufFile {
  std::string file_name;
  std::uint32_t version = 0;
  std::int64_t alignment = 32;
  std::int64_t header_bytes = 0;        // up to the first byte of tensor data (aligned)
  std::int64_t file_bytes = 0;          // real size
  // End of the last tensor (of the header when there is none). A sound file has exactly that size,
  // or is padded with less than one alignment unit: size_matches().
  std::int64_t computed_bytes = 0;
  std::vector<std::pair<std::string_view, GgufValue>> values;  // in file order
  std::vector<GgufTensor> tensors;                             // in file order
  std::unordered_map<std::string_view, std::size_t> value_index;

  const GgufValue* find(std::string_view key) const;
  bool size_matches() const;
};

// `bytes` is the whole file (a mapping). Checks: magic, version 2 or 3 (big-endian and version 1
// are named), counts against the bytes left, key and tensor-name lengths, duplicate keys and names,
// types, dimensions and their product, alignment, offsets inside the file, overlaps.
GgufFile parse_gguf(std::span<const std::byte> bytes, std::string_view file_name);

// A name from a file, fit for a terminal: control bytes escaped, cut after 80 bytes.
std::string printable(std::string_view text);

// "x-00002-of-00005.gguf" -> {prefix "x", number 2, count 5}; nullopt when it is no split name.
struct SplitName {
  std::string prefix;
  int number = 0;
  int count = 0;
};
std::optional<SplitName> parse_split_name(std::string_view file_name);
std::string split_file_name(const std::string& prefix, int number, int count);

}  // namespace bandwall
