// Header of a safetensors file (huggingface/safetensors README): 8 bytes of length, little-endian,
// then JSON: name -> dtype, shape, data_offsets [begin, end) counted from the end of the header.
//   const std::int64_t head = safetensors_header_bytes(first_8_bytes, file_size, "m.safetensors");
//   SafetensorsHeader h = parse_safetensors(first_head_bytes, file_size, "m.safetensors");
// Reads the header only, never data. Throws Error (Input) with all problems: a header longer than
// the file, unknown dtypes, sizes that differ from dtype and shape, offsets beyond the end,
// overlaps, holes, duplicate names.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace bandwall {

struct StoredTensor {
  std::string name;
  std::string dtype;                  // "BF16", "F8_E4M3", "U8"
  std::vector<std::int64_t> dims;     // as written: rows first; empty for a single value
  std::int64_t begin = 0, bytes = 0;  // from the start of the data
  std::int64_t values() const;        // stored elements
};

struct SafetensorsHeader {
  std::string file_name;
  std::int64_t header_bytes = 0;  // with the length
  std::int64_t file_bytes = 0;
  std::vector<StoredTensor> tensors;  // by offset
};

inline constexpr std::size_t kSafetensorsLengthBytes = 8;

// Bytes from the start of the file to the data, after checks against the size of the file.
std::int64_t safetensors_header_bytes(std::span<const std::byte> first, std::int64_t file_bytes,
                                      const std::string& file_name);

// `bytes` starts at the start of the file and holds at least the header.
SafetensorsHeader parse_safetensors(std::span<const std::byte> bytes, std::int64_t file_bytes,
                                    const std::string& file_name);

// Bits of one element; 0 for a dtype that the format does not know.
int dtype_bits(std::string_view dtype);

}  // namespace bandwall
