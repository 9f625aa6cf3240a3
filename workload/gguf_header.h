// Writes the header of a GGUF v3 file: keys, then tensors, in the order they are added.
//   GgufHeader h;  h.text("general.architecture", "llama");  h.tensor(spec);
//   std::vector<std::byte> bytes = h.bytes();       // padded: tensor data starts at its end
//   std::int64_t at = h.offset_of(i), total = h.file_bytes();
// Layout: docs/gguf.md of ggml-org/ggml, alignment 32. The reader is gguf.h. Does no I/O.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "workload/gguf.h"
#include "workload/model_spec.h"

namespace bandwall {

class GgufHeader {
 public:
  void number(std::string_view key, std::int64_t value);  // u32; must fit
  void real(std::string_view key, double value);          // f32
  void flag(std::string_view key, bool value);
  void text(std::string_view key, std::string_view value);
  void numbers(std::string_view key, std::span<const std::int64_t> values);  // array of i32
  void texts(std::string_view key, std::span<const std::string> values);
  // Format, dims and bytes of the spec; its data come next, aligned.
  void tensor(const TensorSpec& spec);

  std::vector<std::byte> bytes() const;
  std::int64_t offset_of(std::size_t tensor) const;  // from the start of the file
  std::int64_t file_bytes() const;

 private:
  void key(std::string_view key, GgufType type);

  std::vector<std::byte> keys_, tensors_;
  std::uint64_t key_count_ = 0;
  std::vector<std::int64_t> offsets_;  // from the start of the data
  std::int64_t data_bytes_ = 0;
};

}  // namespace bandwall
