#include "reports/cli/model_store.h"

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "hwmodel/error.h"
#include "hwmodel/suggest.h"
#include "reports/cli/common.h"
#include "workload/gguf.h"

namespace bandwall {
namespace {

namespace fs = std::filesystem;
using Kind = ModelPlace::Kind;

constexpr std::size_t kMostNames = 200;  // of a store, in messages and suggestions

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? std::string() : std::string(value);
}

// "$HOME/…", empty when there is no home.
std::string at_home(std::string_view below) {
  const std::string home = environment("HOME");
  return home.empty() ? std::string() : fmt::format("{}/{}", home, below);
}

void add_path(std::vector<std::string>& paths, std::string path) {
  if (!path.empty() && std::find(paths.begin(), paths.end(), path) == paths.end()) {
    paths.push_back(std::move(path));
  }
}

std::vector<std::string> hub_caches() {
  const std::string hub = environment("HF_HUB_CACHE"), home = environment("HF_HOME");
  const std::string cache = environment("XDG_CACHE_HOME");
  if (!hub.empty()) return {hub};
  if (!home.empty()) return {home + "/hub"};
  if (!cache.empty()) return {cache + "/huggingface/hub"};
  std::vector<std::string> paths;
  add_path(paths, at_home(".cache/huggingface/hub"));
  return paths;
}

std::vector<std::string> llama_caches() {
  const std::string own = environment("LLAMA_CACHE"), cache = environment("XDG_CACHE_HOME");
  if (!own.empty()) return {own};
  if (!cache.empty()) return {cache + "/llama.cpp"};
  std::vector<std::string> paths;
  add_path(paths, at_home(".cache/llama.cpp"));
  return paths;
}

std::vector<std::string> ollama_stores() {
  const std::string own = environment("OLLAMA_MODELS");
  if (!own.empty()) return {own};
  std::vector<std::string> paths;
  add_path(paths, at_home(".ollama/models"));
  paths.push_back("/usr/share/ollama/.ollama/models");
  return paths;
}

std::vector<std::string> lmstudio_stores() {
  std::vector<std::string> paths;
  add_path(paths, at_home(".lmstudio/models"));
  add_path(paths, at_home(".cache/lm-studio/models"));
  return paths;
}

std::string lower(std::string text) {
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

// Names below a folder, sorted; nothing when it cannot be read.
std::vector<std::string> names_in(const fs::path& folder) {
  std::vector<std::string> names;
  std::error_code failed;
  for (fs::directory_iterator it(folder, failed), end; !failed && it != end; it.increment(failed)) {
    names.push_back(it->path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

bool is_projector(const std::string& name) {
  return lower(name).find("mmproj") != std::string::npos;
}

// First parts of the models of a folder and the folders in it, without projectors.
std::vector<std::string> ggufs_in(const fs::path& folder) {
  std::vector<std::string> paths;
  const auto take = [&](const fs::path& where) {
    for (const std::string& name : names_in(where)) {
      if (!name.ends_with(".gguf") || is_projector(name)) continue;
      const auto split = parse_split_name(name);
      if (!split || split->number == 1) paths.push_back((where / name).string());
    }
  };
  take(folder);
  std::error_code ignored;
  for (const std::string& name : names_in(folder)) {
    if (fs::is_directory(folder / name, ignored)) take(folder / name);
  }
  return paths;
}

std::string file_names(const std::vector<std::string>& paths) {
  std::vector<std::string> names;
  for (const std::string& p : paths) names.push_back(printable(fs::path(p).filename().string()));
  const std::size_t more = names.size() > 12 ? names.size() - 12 : 0;
  names.resize(names.size() - more);
  return fmt::format("{}{}", fmt::join(names, ", "), more > 0 ? " and more" : "");
}

// The GGUF whose name has the quantization; without one Q4_K_M as llama.cpp does, or the only one.
std::string choose_gguf(const std::vector<std::string>& paths, const std::string& quant,
                        const std::string& text) {
  if (quant.empty() && paths.size() == 1) return paths.front();
  const std::string wanted = lower(quant.empty() ? "Q4_K_M" : quant);
  std::vector<std::string> fitting;
  for (const std::string& p : paths) {
    const std::string name = lower(fs::path(p).filename().string());
    const std::size_t at = name.find(wanted);
    if (at == std::string::npos) continue;
    // Not the end of a longer name: Q4_K_M is not UD-Q4_K_M, Q4_K not Q4_K_M.
    const std::size_t end = at + wanted.size();
    const bool starts = at == 0 || std::isalnum(static_cast<unsigned char>(name[at - 1])) == 0;
    const bool longer = at >= 3 && name.compare(at - 3, 3, "ud-") == 0;
    const bool ends =
        end == name.size() ||
        (std::isalnum(static_cast<unsigned char>(name[end])) == 0 && name[end] != '_');
    if (starts && ends && !longer) fitting.push_back(p);
  }
  if (fitting.size() == 1 || (!fitting.empty() && quant.empty())) return fitting.front();
  if (fitting.empty()) {
    throw Error::input(text, fmt::format("{}; there are {}",
                                         quant.empty() ? "several GGUF files, none Q4_K_M: name one"
                                                       : fmt::format("no GGUF of {}", quant),
                                         file_names(paths)));
  }
  throw Error::input(text, fmt::format("several GGUF files of {}: {}; give the path of one", quant,
                                       file_names(fitting)));
}

ModelPlace place_in_folder(const fs::path& folder, const std::string& quant,
                           const std::string& text) {
  std::error_code ignored;
  const std::vector<std::string> ggufs = ggufs_in(folder);
  if (!ggufs.empty()) return {Kind::Gguf, choose_gguf(ggufs, quant, text), ""};
  if (fs::exists(folder / "config.json", ignored)) {
    return {Kind::Checkpoint, folder.string(), quant};
  }
  const std::vector<std::string> there = names_in(folder);
  throw Error::input(
      text, fmt::format("is a directory without config.json or GGUF; it holds {}",
                        there.empty() ? "nothing" : file_names(there)));
}

// The folder of the revision that refs/main names, or the only one.
std::optional<fs::path> snapshot_of(const fs::path& repository) {
  std::error_code ignored;
  const fs::path snapshots = repository / "snapshots";
  const fs::path main = repository / "refs" / "main";
  if (fs::is_regular_file(main, ignored)) {
    std::string revision = read_file(main.string(), 4096);
    while (!revision.empty() && std::isspace(static_cast<unsigned char>(revision.back())) != 0) {
      revision.pop_back();
    }
    if (revision.find('/') == std::string::npos &&
        fs::is_directory(snapshots / revision, ignored)) {
      return snapshots / revision;
    }
  }
  const std::vector<std::string> all = names_in(snapshots);
  return all.empty() ? std::nullopt : std::optional(snapshots / all.back());
}

[[noreturn]] void not_in_store(const std::string& text, const std::string& name,
                               const std::vector<std::string>& places,
                               const std::vector<std::string>& names, std::string_view get) {
  const std::string near = suggest(name, names);
  std::vector<std::string> some(
      names.begin(),
      names.begin() + static_cast<std::ptrdiff_t>(std::min<std::size_t>(names.size(), 12)));
  throw Error::input(
      text, fmt::format("not found in {}{}; {}{}", fmt::join(places, ", "),
                        near.empty() ? "" : fmt::format("; did you mean {}?", printable(near)),
                        names.empty() ? std::string("there is no model; ")
                                      : fmt::format("there are {}{}; ", fmt::join(some, ", "),
                                                    names.size() > some.size() ? " and more" : ""),
                        get));
}

// "org/name:quant" -> both.
std::pair<std::string, std::string> split_quant(const std::string& text) {
  const std::size_t colon = text.rfind(':');
  if (colon == std::string::npos) return {text, ""};
  return {text.substr(0, colon), text.substr(colon + 1)};
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  for (std::size_t at = text.find(from); at != std::string::npos;
       at = text.find(from, at + to.size())) {
    text.replace(at, from.size(), to);
  }
  return text;
}

// "org/name", without parts that could leave the store.
bool is_repository(const std::string& name) {
  const std::size_t slash = name.find('/');
  return slash != std::string::npos && slash > 0 && slash + 1 < name.size() &&
         name.find('/', slash + 1) == std::string::npos && name.find("..") == std::string::npos &&
         name.front() != '.' && name.front() != '~';
}

std::vector<std::string> names_in_hub() {
  std::vector<std::string> names;
  for (const std::string& cache : hub_caches()) {
    for (const std::string& folder : names_in(cache)) {
      if (!folder.starts_with("models--") || names.size() >= kMostNames) continue;
      names.push_back(replaced(folder.substr(8), "--", "/"));
    }
  }
  return names;
}

std::optional<ModelPlace> in_hub(const std::string& name, const std::string& quant,
                                 const std::string& text) {
  std::error_code ignored;
  for (const std::string& cache : hub_caches()) {
    const fs::path folder = fs::path(cache) / ("models--" + replaced(name, "/", "--"));
    if (!fs::is_directory(folder, ignored)) continue;
    if (const auto snapshot = snapshot_of(folder)) return place_in_folder(*snapshot, quant, text);
  }
  // llama.cpp keeps files flat: org_name_file.gguf.
  for (const std::string& cache : llama_caches()) {
    const std::string prefix = replaced(name, "/", "_") + "_";
    std::vector<std::string> paths;
    for (const std::string& path : ggufs_in(cache)) {
      if (fs::path(path).filename().string().starts_with(prefix)) paths.push_back(path);
    }
    if (!paths.empty()) return ModelPlace{Kind::Gguf, choose_gguf(paths, quant, text), ""};
  }
  return std::nullopt;
}

ModelPlace find_in_hub(const std::string& spec, const std::string& text) {
  const auto [name, quant] = split_quant(spec);
  if (!is_repository(name)) {
    throw Error::input(text, "is no repository; write ORG/NAME or ORG/NAME:QUANT");
  }
  if (auto place = in_hub(name, quant, text)) return *place;
  std::vector<std::string> places = hub_caches();
  for (std::string& cache : llama_caches()) add_path(places, std::move(cache));
  not_in_store(text, name, places, names_in_hub(),
               "download it first ('hf download', 'llama-server -hf'); nothing is downloaded here");
}

// The blob of the weights that a manifest of Ollama names.
std::string blob_of(const fs::path& manifest, const fs::path& store) {
  constexpr std::string_view kModel = "application/vnd.ollama.image.model";
  nlohmann::json json =
      nlohmann::json::parse(read_file(manifest.string(), 1 << 20), nullptr, false);
  const auto layers = json.is_object() ? json.find("layers") : json.end();
  if (!json.is_object() || layers == json.end() || !layers->is_array()) {
    throw Error::input(manifest.string(), "is no manifest of Ollama: it has no list of layers");
  }
  for (const nlohmann::json& layer : *layers) {
    if (!layer.is_object() || layer.value("mediaType", nlohmann::json()) != kModel) continue;
    const auto digest = layer.find("digest");
    if (digest == layer.end() || !digest->is_string()) break;
    const std::string name = replaced(digest->get<std::string>(), ":", "-");
    if (!name.starts_with("sha256-") || name.find('/') != std::string::npos) break;
    const fs::path blob = store / "blobs" / name;
    std::error_code ignored;
    if (fs::exists(blob, ignored)) return blob.string();
    throw Error::input(manifest.string(), fmt::format("its weights {} are missing; 'ollama pull' "
                                                      "fetches them again",
                                                      blob.string()));
  }
  throw Error::input(manifest.string(),
                     "names no layer of weights (…image.model); this entry is no "
                     "local model");
}

std::vector<std::string> names_in_ollama() {
  std::vector<std::string> names;
  for (const std::string& store : ollama_stores()) {
    const fs::path library = fs::path(store) / "manifests/registry.ollama.ai/library";
    for (const std::string& name : names_in(library)) {
      for (const std::string& tag : names_in(library / name)) {
        if (names.size() < kMostNames) names.push_back(fmt::format("{}:{}", name, tag));
      }
    }
  }
  return names;
}

ModelPlace find_in_ollama(const std::string& spec, const std::string& text) {
  auto [name, tag] = split_quant(spec);
  if (tag.empty()) tag = "latest";
  if (name.empty() || name.find("..") != std::string::npos || tag.find("..") != std::string::npos ||
      tag.find('/') != std::string::npos) {
    throw Error::input(text, "write ollama:NAME or ollama:NAME:TAG");
  }
  const std::size_t slashes = static_cast<std::size_t>(std::count(name.begin(), name.end(), '/'));
  const std::string below = slashes == 0   ? "registry.ollama.ai/library/" + name
                            : slashes == 1 ? "registry.ollama.ai/" + name
                                           : name;
  std::error_code ignored;
  for (const std::string& store : ollama_stores()) {
    const fs::path manifest = fs::path(store) / "manifests" / below / tag;
    if (fs::is_regular_file(manifest, ignored)) return {Kind::Gguf, blob_of(manifest, store), ""};
  }
  not_in_store(text, name + ":" + tag, ollama_stores(), names_in_ollama(),
               "'ollama pull' fetches it; OLLAMA_MODELS names another store");
}

ModelPlace find_in_lmstudio(const std::string& spec, const std::string& text) {
  const auto [name, quant] = split_quant(spec);
  if (!is_repository(name)) throw Error::input(text, "write lmstudio:ORG/NAME[:QUANT]");
  std::error_code ignored;
  std::vector<std::string> names;
  for (const std::string& store : lmstudio_stores()) {
    const fs::path folder = fs::path(store) / name;
    if (fs::is_directory(folder, ignored)) return place_in_folder(folder, quant, text);
    for (const std::string& org : names_in(store)) {
      for (const std::string& model : names_in(fs::path(store) / org)) {
        if (names.size() < kMostNames) names.push_back(org + "/" + model);
      }
    }
  }
  not_in_store(text, name, lmstudio_stores(), names, "LM Studio downloads it");
}

bool has_gguf_magic(const std::string& path) {
  std::FILE* file = std::fopen(path.c_str(), "rb");
  if (file == nullptr) return false;
  char magic[4] = {};
  const bool read = std::fread(magic, 1, sizeof magic, file) == sizeof magic;
  std::fclose(file);
  return read && std::string_view(magic, 4) == "GGUF";
}

ModelPlace place_of_path(const std::string& text) {
  std::error_code ignored;
  if (fs::is_directory(text, ignored)) {
    // A repository of the hub's cache, from its top.
    if (fs::is_directory(fs::path(text) / "snapshots", ignored)) {
      if (const auto snapshot = snapshot_of(text)) return place_in_folder(*snapshot, "", text);
    }
    return place_in_folder(text, "", text);
  }
  if (text.ends_with(".yaml") || text.ends_with(".yml")) return {Kind::Shape, text, ""};
  if (text.ends_with(".json") || text.ends_with(".safetensors")) {
    return {Kind::Checkpoint, text, ""};
  }
  const std::size_t manifests = text.rfind("/manifests/");
  if (manifests != std::string::npos && !has_gguf_magic(text)) {
    return {Kind::Gguf, blob_of(text, text.substr(0, manifests)), ""};
  }
  return {Kind::Gguf, text, ""};
}

}  // namespace

ModelPlace find_model(const std::string& text) {
  if (text == "demo") return {Kind::Demo, text, ""};
  struct Store {
    std::string_view prefix;
    ModelPlace (*find)(const std::string& spec, const std::string& text);
  };
  for (const Store& store : {Store{"hf:", find_in_hub}, Store{"ollama:", find_in_ollama},
                             Store{"lmstudio:", find_in_lmstudio}}) {
    if (text.starts_with(store.prefix)) return store.find(text.substr(store.prefix.size()), text);
  }
  std::error_code ignored;
  if (fs::exists(text, ignored)) return place_of_path(text);
  // PATH:MIX where the path is there.
  const auto [front, back] = split_quant(text);
  if (!back.empty() && !front.empty() && fs::exists(front, ignored)) {
    if (fs::is_directory(front, ignored)) return place_in_folder(front, back, text);
    ModelPlace place = place_of_path(front);
    place.mix = back;
    return place;
  }
  if (is_repository(front) && !text.ends_with(".gguf")) {
    if (auto place = in_hub(front, back, text)) return *place;
    if (!text.ends_with(".yaml") && !text.ends_with(".json")) return find_in_hub(text, text);
  }
  if (text.find('/') != std::string::npos || text.ends_with(".gguf")) return {Kind::Gguf, text, ""};
  for (const char* ending : {".json", ".safetensors"}) {
    if (text.ends_with(ending)) throw Error::input(text, "is no file that exists");
  }
  const std::size_t colon = text.find(':');
  if (colon == std::string::npos) return {Kind::Shape, text, ""};
  if (colon == 0) throw Error::input(text, "no model before the colon; write NAME:MIX");
  if (colon + 1 == text.size()) {
    throw Error::input(text, fmt::format("no quantization after the colon; write NAME:MIX, such as "
                                         "{}Q4_K_M",
                                         text));
  }
  return {Kind::Shape, text.substr(0, colon), text.substr(colon + 1)};
}

}  // namespace bandwall
