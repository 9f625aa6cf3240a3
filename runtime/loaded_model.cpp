#include <cstring>
#include <filesystem>
#include <memory>
#include <optional>
#include <unordered_map>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "hwmodel/error.h"
#include "runtime/engine.h"
#include "runtime/host.h"
#include "runtime/mapped_file.h"
#include "workload/architectures.h"
#include "workload/gguf.h"

namespace bandwall {
namespace {

constexpr std::size_t kAlignment = 32;

// All parts of a split model in order, the file itself when its name is no split name.
std::vector<std::string> parts_of(const std::string& path) {
  const auto split = parse_split_name(path);
  if (!split || split->count == 1) return {path};
  std::vector<std::string> parts, missing;
  for (int i = 1; i <= split->count; ++i) {
    parts.push_back(split_file_name(split->prefix, i, split->count));
    std::error_code ignored;
    if (!std::filesystem::exists(parts.back(), ignored)) missing.push_back(parts.back());
  }
  if (missing.empty()) return parts;
  constexpr std::size_t kNamed = 8;
  const std::size_t more = missing.size() > kNamed ? missing.size() - kNamed : 0;
  missing.resize(missing.size() - more);
  throw Error::input(path,
                     fmt::format("this is part {} of {}; missing: {}{}; put all parts into one "
                                 "folder",
                                 split->number, split->count, fmt::join(missing, ", "),
                                 more > 0 ? fmt::format(" and {} more", more) : ""));
}

// The memory that is free, and what holds files, which the system gives up for this.
void require_room(const std::string& path, std::int64_t file_bytes) {
  const auto needed = static_cast<double>(file_bytes);
  const std::optional<Bytes> available = host_info().memory_available;
  if (!available || needed <= available->value()) return;
  throw Error::input(path, fmt::format("needs {} of memory to be read, {} is available; mapped "
                                       "(--mmap 1) it needs none of its own",
                                       gb_and_gib(Bytes(needed)), gb_and_gib(*available)));
}

}  // namespace

struct LoadedModel::Impl {
  std::vector<MappedFile> maps;
  Loading loading = Loading::Mapped;
  std::unique_ptr<std::byte[]> storage;  // an aligned copy of unaligned memory
  std::vector<GgufFile> files;
  std::vector<std::string> notes;
  ModelSpec spec;
  std::unordered_map<std::string_view, const std::byte*> data;

  void add(std::span<const std::byte> bytes, const std::string& name) {
    files.push_back(parse_gguf(bytes, name));
    const GgufFile& file = files.back();
    for (const GgufTensor& t : file.tensors) data.emplace(t.name, bytes.data() + t.offset);
    if (!file.size_matches()) {
      notes.push_back(
          fmt::format("{}: {} bytes after the last tensor are not used; the file should "
                      "have {}",
                      name, file.file_bytes - file.computed_bytes, file.computed_bytes));
    }
  }
};

LoadedModel::LoadedModel() : impl_(std::make_unique<Impl>()) {}
LoadedModel::LoadedModel(LoadedModel&&) noexcept = default;
LoadedModel::~LoadedModel() = default;

LoadedModel LoadedModel::open(const std::string& path, Loading loading,
                              const std::atomic<bool>* interrupt) {
  const auto check_interrupt = [&] {
    if (interrupt != nullptr && interrupt->load(std::memory_order_relaxed)) throw Interrupted{};
  };
  const std::vector<std::string> parts = parts_of(path);
  const auto load = [&](LoadedModel& model, Loading how) {
    Impl& m = *model.impl_;
    m.loading = how;
    for (const std::string& part : parts) {
      m.maps.push_back(how == Loading::Mapped ? MappedFile::open(part)
                                              : MappedFile::read(part, check_interrupt));
      m.add(m.maps.back().bytes(), part);
    }
    m.spec = model_from_gguf(m.files);
  };
  {
    LoadedModel mapped;
    load(mapped, Loading::Mapped);
    if (loading == Loading::Mapped) return mapped;
    require_room(path, mapped.file_bytes());
  }  // a mapping would keep its pages from being dropped
  LoadedModel copied;
  load(copied, Loading::Copied);
  return copied;
}

LoadedModel LoadedModel::from_memory(std::span<const std::byte> bytes, std::string name) {
  LoadedModel model;
  Impl& m = *model.impl_;
  const auto address = reinterpret_cast<std::uintptr_t>(bytes.data());
  if (address % kAlignment != 0) {
    m.storage.reset(new std::byte[bytes.size() + kAlignment]);
    const auto base = reinterpret_cast<std::uintptr_t>(m.storage.get());
    std::byte* at = m.storage.get() + (kAlignment - base % kAlignment) % kAlignment;
    std::memcpy(at, bytes.data(), bytes.size());
    bytes = {at, bytes.size()};
  }
  m.add(bytes, name);
  m.spec = model_from_gguf(m.files);
  return model;
}

const ModelSpec& LoadedModel::spec() const { return impl_->spec; }
std::span<const GgufFile> LoadedModel::files() const { return impl_->files; }
const std::vector<std::string>& LoadedModel::notes() const { return impl_->notes; }
std::int64_t LoadedModel::file_bytes() const { return impl_->spec.file_bytes; }

std::vector<std::span<const std::byte>> LoadedModel::mappings() const {
  std::vector<std::span<const std::byte>> spans;
  if (impl_->loading == Loading::Copied) return spans;
  for (const MappedFile& map : impl_->maps) spans.push_back(map.bytes());
  return spans;
}

const std::byte* LoadedModel::data(const TensorSpec& tensor) const {
  const auto it = impl_->data.find(tensor.name);
  BANDWALL_CHECK(it != impl_->data.end());
  return it->second;
}

const GgufValue* LoadedModel::metadata(std::string_view key) const {
  return impl_->files.front().find(key);
}

void LoadedModel::require_kernels() const {
  if (!find_architecture(impl_->spec.architecture)->runs) {
    throw Error::input(impl_->files.front().file_name,
                       fmt::format("{} models can be counted but not run; the engine runs {}",
                                   impl_->spec.architecture,
                                   fmt::join(known_architectures(), ", ")));
  }
  for (const TensorSpec& t : impl_->spec.tensors) {
    if (t.role == Role::Other || has_kernels(t.format)) continue;
    throw Error::input(impl_->files.front().file_name,
                       fmt::format("tensor {}: format {} can be counted but not run; use a file "
                                   "quantized to formats with kernels, such as Q4_K_M",
                                   t.name, name(t.format)));
  }
}

}  // namespace bandwall
