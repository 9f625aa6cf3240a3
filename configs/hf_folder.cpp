#include "configs/hf_folder.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <optional>
#include <unordered_set>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "hwmodel/error.h"
#include "workload/gguf.h"

namespace bandwall {
namespace {

namespace fs = std::filesystem;

// The index of a model with many experts has megabytes.
constexpr std::int64_t kMostText = 64 << 20;
constexpr std::size_t kNamed = 8;
constexpr std::string_view kConfig = "config.json", kModelopt = "hf_quant_config.json";
constexpr std::string_view kIndex = "model.safetensors.index.json", kShard = ".safetensors";

std::int64_t size_of(const std::string& path) {
  std::error_code failed;
  const auto size = fs::file_size(path, failed);
  if (failed) {
    throw Error::input(path, fmt::format("cannot be read ({}); check the path, a link may lead "
                                         "nowhere",
                                         failed.message()));
  }
  return static_cast<std::int64_t>(size);
}

std::string first_bytes(const std::string& path, std::int64_t count) {
  std::ifstream in(path, std::ios::binary);
  std::string text(static_cast<std::size_t>(count), '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (in.bad() || in.gcount() != static_cast<std::streamsize>(text.size())) {
    throw Error::input(path, "cannot be read; check the path and its permissions");
  }
  return text;
}

std::string whole_text(const std::string& path) {
  const std::int64_t size = size_of(path);
  if (size > kMostText) {
    throw Error::input(
        path, fmt::format("is larger than {} bytes; this is no text of a model", kMostText));
  }
  return first_bytes(path, size);
}

SafetensorsHeader read_header(const std::string& path) {
  const std::int64_t size = size_of(path);
  const auto length = static_cast<std::int64_t>(kSafetensorsLengthBytes);
  const std::string start = first_bytes(path, std::min(size, length));
  const std::int64_t head =
      safetensors_header_bytes(std::as_bytes(std::span(start.data(), start.size())), size, path);
  const std::string bytes = first_bytes(path, head);
  return parse_safetensors(std::as_bytes(std::span(bytes.data(), bytes.size())), size, path);
}

[[noreturn]] void missing_shards(const std::string& folder, std::vector<std::string> missing,
                                 std::size_t all) {
  const std::size_t more = missing.size() > kNamed ? missing.size() - kNamed : 0;
  const std::size_t count = missing.size();
  missing.resize(count - more);
  throw Error::input(folder,
                     fmt::format("{} of {} safetensors files are missing: {}{}; download them into "
                                 "this folder, or give its config.json alone",
                                 count, all, fmt::join(missing, ", "),
                                 more > 0 ? fmt::format(" and {} more", more) : ""));
}

// "model-00002-of-00005.safetensors" -> 5; 0 for other names.
std::size_t count_in_name(const std::string& name) {
  const std::size_t of = name.rfind("-of-");
  if (of == std::string::npos || !name.ends_with(kShard)) return 0;
  std::size_t n = 0;
  for (std::size_t i = of + 4; i < name.size() - kShard.size(); ++i) {
    if (name[i] < '0' || name[i] > '9' || n > 1'000'000) return 0;
    n = n * 10 + static_cast<std::size_t>(name[i] - '0');
  }
  return n;
}

// Without an index: all weights of the folder; numbered ones must be complete.
std::vector<std::string> shards_without_index(const fs::path& folder) {
  std::vector<std::string> names;
  std::error_code failed;
  for (const auto& entry : fs::directory_iterator(folder, failed)) {
    const std::string name = entry.path().filename().string();
    if (!name.ends_with(kShard)) continue;
    if (name.starts_with("adapter_") || name.starts_with("consolidated")) continue;
    names.push_back(name);
  }
  std::sort(names.begin(), names.end());
  for (const std::string& name : names) {
    const std::size_t count = count_in_name(name);
    if (count == 0 || count > 10'000) continue;
    std::vector<std::string> missing;
    const std::string prefix = name.substr(0, name.rfind("-of-") - 5);
    const std::string suffix = name.substr(name.rfind("-of-"));
    for (std::size_t i = 1; i <= count; ++i) {
      std::string wanted = fmt::format("{}{:05}{}", prefix, i, suffix);
      if (!std::binary_search(names.begin(), names.end(), wanted)) missing.push_back(wanted);
    }
    if (!missing.empty()) missing_shards(folder.string(), std::move(missing), count);
    break;
  }
  return names;
}

void check_index(const SafetensorsIndex& index, const std::vector<SafetensorsHeader>& shards,
                 const std::string& index_path) {
  std::vector<std::unordered_set<std::string_view>> held(shards.size());
  for (std::size_t i = 0; i < shards.size(); ++i) {
    for (const StoredTensor& t : shards[i].tensors) held[i].insert(t.name);
  }
  std::vector<Diagnostic> problems;
  std::size_t count = 0;
  for (const auto& [tensor, place] : index.tensors) {
    if (held[place].contains(tensor) || ++count > kNamed) continue;
    problems.push_back({index_path, fmt::format("weight_map.{}: {} does not hold it; the files are "
                                                "of another version of the model",
                                                printable(tensor), index.shards[place])});
  }
  if (count > kNamed) {
    problems.push_back({index_path, fmt::format("and {} more problems", count - kNamed)});
  }
  if (!problems.empty()) throw Error(Error::Kind::Input, std::move(problems));
}

std::vector<SafetensorsHeader> read_shards(const fs::path& folder) {
  std::vector<SafetensorsHeader> shards;
  const std::string index_path = (folder / kIndex).string();
  std::error_code ignored;
  if (!fs::exists(index_path, ignored)) {
    for (const std::string& name : shards_without_index(folder)) {
      shards.push_back(read_header((folder / name).string()));
    }
    return shards;
  }
  const SafetensorsIndex index = parse_safetensors_index(whole_text(index_path), index_path);
  std::vector<std::string> missing;
  for (const std::string& name : index.shards) {
    if (!fs::exists(folder / name, ignored)) missing.push_back(name);
  }
  // An index alone, as it lies beside a config that was fetched to look at, is no folder of
  // weights.
  if (missing.size() == index.shards.size()) return {};
  if (!missing.empty()) missing_shards(folder.string(), std::move(missing), index.shards.size());
  for (const std::string& name : index.shards)
    shards.push_back(read_header((folder / name).string()));
  check_index(index, shards, index_path);
  return shards;
}

std::string what_is_there(const fs::path& folder) {
  std::vector<std::string> names;
  std::error_code failed;
  for (const auto& entry : fs::directory_iterator(folder, failed)) {
    names.push_back(printable(entry.path().filename().string()));
    if (names.size() > kNamed) break;
  }
  std::sort(names.begin(), names.end());
  if (names.size() > kNamed) names.back() = "...";
  return names.empty() ? "nothing" : fmt::format("{}", fmt::join(names, ", "));
}

}  // namespace

HfFiles read_hf_folder(const std::string& path) {
  HfFiles files;
  std::error_code ignored;
  fs::path given(path);
  const bool single = !fs::is_directory(given, ignored) && path.ends_with(".json");
  if (!single && !fs::is_directory(given, ignored)) given = given.parent_path();
  const fs::path config = single ? given : given / kConfig;
  if (!fs::exists(config, ignored)) {
    throw Error::input(path, fmt::format("has no config.json, which says the shape of the model; "
                                         "found {}",
                                         what_is_there(given)));
  }
  files.config_name = config.string();
  files.config = whole_text(files.config_name);
  // org--name_config.json has its org--name_hf_quant_config.json beside it.
  if (files.config_name.ends_with(kConfig)) {
    files.modelopt_name = files.config_name.substr(0, files.config_name.size() - kConfig.size());
    files.modelopt_name += kModelopt;
    if (fs::exists(files.modelopt_name, ignored)) files.modelopt = whole_text(files.modelopt_name);
  }
  if (!single) files.shards = read_shards(given);
  const fs::path named =
      single && config.filename() != kConfig ? config.stem() : fs::absolute(config).parent_path();
  files.name = printable(named.filename().string());
  return files;
}

}  // namespace bandwall
