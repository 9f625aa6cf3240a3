#include "runtime/mapped_file.h"

#include <algorithm>
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
#include "runtime/host.h"

namespace bandwall {
namespace {

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&&) = delete;
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

struct OpenFile {
  Descriptor fd;
  std::size_t size = 0;
};

OpenFile open_regular(const std::string& path) {
  // Without O_NONBLOCK a pipe would wait for a writer.
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) throw Error::input(path, advice(errno));
  OpenFile file{Descriptor(fd)};
  struct stat status {};
  if (fstat(fd, &status) != 0) throw Error::input(path, advice(errno));
  if (S_ISDIR(status.st_mode)) throw Error::input(path, "is a directory; give a file in it");
  if (!S_ISREG(status.st_mode)) throw Error::input(path, "is no regular file; give a GGUF file");
  if (status.st_size == 0) throw Error::input(path, "is empty; download or copy it again");
  file.size = static_cast<std::size_t>(status.st_size);
  return file;
}

// Memory that begins on the border of a huge page; nullptr when the system has no room.
std::byte* huge_memory(std::size_t size) {
  constexpr std::uintptr_t kHuge = std::uintptr_t{2} << 20;
  constexpr int kAccess = PROT_READ | PROT_WRITE, kKind = MAP_PRIVATE | MAP_ANONYMOUS;
  void* all = mmap(nullptr, size + kHuge, kAccess, kKind, -1, 0);
  if (all == MAP_FAILED) return nullptr;
  auto* begin = static_cast<std::byte*>(all);
  const std::size_t before = (kHuge - reinterpret_cast<std::uintptr_t>(begin) % kHuge) % kHuge;
  const std::size_t used = (before + size + 4095) / 4096 * 4096;
  if (before > 0) munmap(begin, before);
  if (used < size + kHuge) munmap(begin + used, size + kHuge - used);
  madvise(begin + before, size, MADV_HUGEPAGE);  // a wish, no more
  return begin + before;
}

}  // namespace

MappedFile MappedFile::open(const std::string& path) {
  const OpenFile from = open_regular(path);
  MappedFile file;
  file.path_ = path;
  file.size_ = from.size;
  void* at = mmap(nullptr, file.size_, PROT_READ, MAP_SHARED, from.fd.get(), 0);
  if (at == MAP_FAILED) {
    if (errno == ENOMEM) {
      throw_no_memory(path, "a mapping of the file", static_cast<double>(file.size_),
                      "allow the process more address space (ulimit -v) or take a smaller file");
    }
    throw Error::input(
        path, fmt::format("cannot be mapped ({} bytes): {}", file.size_, std::strerror(errno)));
  }
  file.data_ = static_cast<const std::byte*>(at);
  return file;
}

MappedFile MappedFile::read(const std::string& path, const std::function<void()>& after_piece) {
  constexpr std::size_t kPiece = std::size_t{16} << 20;
  const OpenFile from = open_regular(path);
  const int fd = from.fd.get();
  MappedFile file;
  file.path_ = path;
  std::byte* to = huge_memory(from.size);
  if (to == nullptr) {
    throw_no_memory(path, "memory for the file", static_cast<double>(from.size),
                    "a file that is mapped needs none of its own");
  }
  file.data_ = to;
  file.size_ = from.size;
  posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
  for (std::size_t at = 0; at < from.size;) {
    const ssize_t got =
        pread(fd, to + at, std::min(kPiece, from.size - at), static_cast<off_t>(at));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) {
      throw Error::input(
          path, fmt::format("ended after {} of {} bytes: {}", at, from.size,
                            got < 0 ? std::strerror(errno) : "it was changed while it was read"));
    }
    // Or memory would hold it twice, and much else would be pushed out for it.
    posix_fadvise(fd, static_cast<off_t>(at), got, POSIX_FADV_DONTNEED);
    at += static_cast<std::size_t>(got);
    after_piece();
  }
  mprotect(to, from.size, PROT_READ);
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
  // Wishes. What is not in memory yet is then read in huge pages, where the file system can do
  // that.
  madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE);
  madvise(reinterpret_cast<void*>(begin), end - begin, kPopulateRead);
  // Touched as well: a virtual machine maps a page that its disk filled at the first access only.
  volatile std::byte sink{};
  for (std::size_t i = 0; i < bytes.size(); i += kPage) sink = bytes[i];
  (void)sink;
}

}  // namespace bandwall
