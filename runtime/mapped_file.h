// A file mapped read-only into memory: nothing is copied, pages come when touched.
//   MappedFile f = MappedFile::open("model.gguf");  parse_gguf(f.bytes(), f.path());
// Throws Error (Input) naming the file and the cause: missing, unreadable, a directory, empty.
// The file must not shrink while it is mapped.
// read() copies it instead, into memory in huge pages where the system allows them: the processor
// then looks up far fewer addresses. The system is told to forget its own copy of what was read.
#pragma once

#include <cstddef>
#include <functional>
#include <span>
#include <string>

namespace bandwall {

class MappedFile {
 public:
  static MappedFile open(const std::string& path);
  // after_piece is called many times and may throw, which ends the reading.
  static MappedFile read(const std::string& path, const std::function<void()>& after_piece);
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();

  std::span<const std::byte> bytes() const { return {data_, size_}; }
  const std::string& path() const { return path_; }

 private:
  MappedFile() = default;
  const std::byte* data_ = nullptr;
  std::size_t size_ = 0;
  std::string path_;
};

// Reads and maps the pages of `bytes` (a part of a mapping), so that later reads do not fault.
void populate(std::span<const std::byte> bytes);

}  // namespace bandwall
