#include "runtime/mapped_file.h"

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <utility>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fmt/format.h>

#include "hwmodel/error.h"

namespace bandwall {
namespace {

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

std::string advice(int error) {
  switch (error) {
    case ENOENT:
      return "no such file; check the path";
    case EACCES:
      return "no permission to read it; change its mode or use another user";
    default:
      return fmt::format("cannot be opened: {}", std::strerror(error));
  }
}

}  // namespace

MappedFile MappedFile::open(const std::string& path) {
  // Without O_NONBLOCK a pipe would wait for a writer.
  const Descriptor fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (fd.get() < 0) throw Error::input(path, advice(errno));
  struct stat status {};
  if (fstat(fd.get(), &status) != 0) throw Error::input(path, advice(errno));
  if (S_ISDIR(status.st_mode)) throw Error::input(path, "is a directory; give a file in it");
  if (!S_ISREG(status.st_mode)) throw Error::input(path, "is no regular file; give a GGUF file");
  if (status.st_size == 0) throw Error::input(path, "is empty; download or copy it again");
  MappedFile file;
  file.path_ = path;
  file.size_ = static_cast<std::size_t>(status.st_size);
  void* at = mmap(nullptr, file.size_, PROT_READ, MAP_SHARED, fd.get(), 0);
  if (at == MAP_FAILED) {
    throw Error::input(
        path, fmt::format("cannot be mapped ({} bytes): {}", file.size_, std::strerror(errno)));
  }
  file.data_ = static_cast<const std::byte*>(at);
  return file;
}

MappedFile::MappedFile(MappedFile&& other) noexcept { *this = std::move(other); }

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  std::swap(path_, other.path_);
  return *this;
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) munmap(const_cast<std::byte*>(data_), size_);
}

void populate(std::span<const std::byte> bytes) {
  constexpr int kPopulateRead = 22;  // MADV_POPULATE_READ, Linux 5.14; older headers lack the name
  constexpr std::uintptr_t kPage = 4096;
  const auto begin = reinterpret_cast<std::uintptr_t>(bytes.data()) / kPage * kPage;
  const auto end = reinterpret_cast<std::uintptr_t>(bytes.data() + bytes.size());
  madvise(reinterpret_cast<void*>(begin), end - begin, kPopulateRead);  // a wish: fewer faults
  // Touched as well: a virtual machine maps a page that its disk filled at the first access only.
  volatile std::byte sink{};
  for (std::size_t i = 0; i < bytes.size(); i += kPage) sink = bytes[i];
  (void)sink;
}

}  // namespace bandwall
