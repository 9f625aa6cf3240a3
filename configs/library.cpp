#include "configs/library.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <fstream>

#include "configs/embedded.h"
#include "configs/engines.h"
#include "configs/load.h"
#include "configs/model_names.h"
#include "configs/reader.h"
#include "hwmodel/error.h"
#include "hwmodel/suggest.h"
#include "workload/claim.h"

namespace bandwall {
namespace {

constexpr int kSchema = 1;
constexpr std::size_t kMostBytes = 1'000'000;

std::vector<ConfigText> shipped(std::string_view folder) {
  std::vector<ConfigText> texts;
  for (const EmbeddedFile& file : embedded_files()) {
    if (!file.name.starts_with(folder)) continue;
    texts.push_back({file.name.substr(folder.size()), file.bytes});
  }
  std::sort(texts.begin(), texts.end(),
            [](const ConfigText& a, const ConfigText& b) { return a.file_name < b.file_name; });
  return texts;
}

constexpr std::string_view kEnding = ".yaml";

std::vector<std::string> names_of(const std::vector<ConfigText>& texts) {
  std::vector<std::string> names;
  for (const ConfigText& t : texts) {
    names.emplace_back(t.file_name.substr(0, t.file_name.size() - kEnding.size()));
  }
  return names;
}

const ConfigText* find(const std::vector<ConfigText>& texts, std::string_view name) {
  for (const ConfigText& t : texts) {
    if (t.file_name.substr(0, t.file_name.size() - kEnding.size()) == name) return &t;
  }
  return nullptr;
}

bool is_path(std::string_view text) {
  return text.ends_with(kEnding) || text.ends_with(".yml") ||
         text.find('/') != std::string_view::npos;
}

std::string read_text(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::string text(kMostBytes + 1, '\0');
  if (!in.read(text.data(), static_cast<std::streamsize>(text.size())) && !in.eof()) {
    throw Error::input(path, "cannot be read; check the path and its permissions");
  }
  text.resize(static_cast<std::size_t>(in.gcount()));
  return text;  // a longer file is refused by its size when parsed
}

std::string printable(std::string_view text) {
  std::string out;
  for (const char c : text.substr(0, 80)) {
    out += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? '?' : c;
  }
  return out;
}

[[noreturn]] void unknown(std::string_view kind, std::string_view name,
                          const std::vector<std::string>& names) {
  const std::string near = suggest(name, names);
  throw Error::input(printable(name),
                     fmt::format("no {} of this name{}; known: {}; a file of your own ends in "
                                 ".yaml",
                                 kind, near.empty() ? "" : fmt::format("; did you mean {}?", near),
                                 fmt::join(names, ", ")));
}

template <class Parse>
auto load(std::string_view kind, std::string_view name, const std::vector<ConfigText>& texts,
          Parse parse) {
  if (const ConfigText* t = find(texts, name)) return parse(t->text, std::string(t->file_name));
  if (is_path(name)) return parse(read_text(std::string(name)), std::string(name));
  unknown(kind, name, names_of(texts));
}

void read_schema(Reader& root) {
  const auto schema = root.integer("schema", -1'000'000, 1'000'000);
  if (schema == kSchema || schema == -1'000'000) return;  // a missing one is reported already
  root.problem("schema",
               fmt::format("{} is not the schema of this program, {}; {}", schema, kSchema,
                           schema < kSchema ? "write the file anew by the shipped examples"
                                            : "use a newer program"));
}

constexpr std::string_view kHashKey = "hash:";

bool is_profile(const Reader& root) {
  const std::vector<std::string> keys = root.keys();
  return std::find(keys.begin(), keys.end(), "backend") != keys.end();
}

ProfileFile read_profile(Reader& root) {
  ProfileFile profile;
  profile.date = root.optional_text("date").value_or("");
  profile.environment = root.optional_text("environment").value_or("");
  profile.spread = root.number("spread", 0, 1e6);
  Reader machine = root.child("machine");
  profile.machine = read_machine(machine);
  Reader backend = root.child("backend");
  profile.backend = read_backend(backend);
  for (Reader& other : root.children("other_threads")) {
    profile.other_threads.push_back(read_backend(other));
  }
  root.optional_text("hash");  // compared with the text by parse_profile_file
  return profile;
}

// A data file of this schema; throws with all its problems.
template <class Read>
auto parsed(std::string_view text, std::string file_name, Read read) {
  Document document = Document::parse(text, std::move(file_name));
  Reader root = document.root();
  read_schema(root);
  auto result = read(root);
  document.finish();
  return result;
}

// "2xgb10": the count, or 0 when the text has no such form.
int device_count(std::string_view name, std::string_view& single) {
  const std::size_t x = name.find('x');
  if (x == std::string_view::npos || x == 0 || x > 6) return 0;
  int n = 0;
  const auto [end, code] = std::from_chars(name.data(), name.data() + x, n);
  if (code != std::errc() || end != name.data() + x) return 0;
  single = name.substr(x + 1);
  return std::max(n, 1);
}

Machine several(int count, std::string_view single, std::string_view text) {
  if (count < 2 || count > 64) {
    throw Error::input(printable(text), "the number of devices before the x must be 2 to 64");
  }
  Machine machine = load("machine", single, shipped_machines(), parse_machine);
  if (!machine.device_link) {
    throw Error::input(printable(text),
                       fmt::format("{} names no device_link, so several of it cannot be joined; "
                                   "add one to a file of your own",
                                   machine.name));
  }
  if (machine.devices > 64 / count) {
    throw Error::input(printable(text), "more than 64 devices in all");
  }
  machine.devices *= count;
  machine.name = fmt::format("{}x{}", count, machine.name);
  machine.title = fmt::format("{} x {}", count, machine.title);
  return machine;
}

}  // namespace

const EmbeddedFile& embedded_file(std::string_view name) {
  for (const EmbeddedFile& file : embedded_files()) {
    if (file.name == name) return file;
  }
  throw Error::input(std::string(name), "is not part of this program");
}

const std::vector<ConfigText>& shipped_machines() {
  static const std::vector<ConfigText> texts = shipped("machines/");
  return texts;
}
const std::vector<ConfigText>& shipped_backends() {
  static const std::vector<ConfigText> texts = shipped("backends/");
  return texts;
}
const std::vector<ConfigText>& shipped_models() {
  static const std::vector<ConfigText> texts = shipped("models/");
  return texts;
}
const std::vector<ConfigText>& shipped_claims() {
  static const std::vector<ConfigText> texts = shipped("claims/");
  return texts;
}

const std::vector<ConfigText>& shipped_engines() {
  static const std::vector<ConfigText> texts = shipped("engines/");
  return texts;
}

std::vector<std::string> machine_names() { return names_of(shipped_machines()); }
std::vector<std::string> backend_names() { return names_of(shipped_backends()); }
std::vector<std::string> model_names() { return names_of(shipped_models()); }
std::vector<std::string> engine_names() { return names_of(shipped_engines()); }
std::vector<std::string> claim_names() { return names_of(shipped_claims()); }

Machine parse_machine(std::string_view text, std::string file_name) {
  return parsed(text, std::move(file_name), [](Reader& root) {
    return is_profile(root) ? read_profile(root).machine : read_machine(root);
  });
}

Backend parse_backend(std::string_view text, std::string file_name) {
  return parsed(text, std::move(file_name), [](Reader& root) {
    return is_profile(root) ? read_profile(root).backend : read_backend(root);
  });
}

ModelShape parse_model_shape(std::string_view text, std::string file_name) {
  return parsed(text, std::move(file_name), read_model_shape);
}

EngineRules parse_engine(std::string_view text, std::string file_name) {
  return parsed(text, std::move(file_name), read_engine);
}

ClaimFile parse_claims(std::string_view text, std::string file_name) {
  return parsed(text, std::move(file_name), read_claims);
}

std::string profile_hash(std::string_view text) {
  std::uint64_t hash = 0xcbf29ce484222325ull;  // FNV-1a
  while (!text.empty()) {
    const std::size_t end = std::min(text.size(), text.find('\n') + 1);
    const std::string_view line = text.substr(0, end == 0 ? text.size() : end);
    text.remove_prefix(line.size());
    if (line.starts_with(kHashKey)) continue;
    for (const char c : line) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3ull;
  }
  return fmt::format("{:016x}", hash);
}

ProfileFile parse_profile_file(std::string_view text, std::string file_name) {
  const std::size_t at = text.rfind("\n" + std::string(kHashKey));
  if (at != std::string_view::npos) {
    const std::string wanted = profile_hash(text);
    if (text.find(wanted, at) == std::string_view::npos) {
      throw Error::input(file_name, fmt::format("was changed after it was measured (hash {}); "
                                                "calibrate again, or take out its line 'hash'",
                                                wanted));
    }
  }
  return parsed(text, std::move(file_name), read_profile);
}

Machine load_machine(std::string_view name_or_path) {
  std::string_view single;
  const int count = device_count(name_or_path, single);
  if (count > 0 && find(shipped_machines(), name_or_path) == nullptr) {
    return several(count, single, name_or_path);
  }
  return load("machine", name_or_path, shipped_machines(), parse_machine);
}

Backend load_backend(std::string_view name_or_path) {
  return load("backend", name_or_path, shipped_backends(), parse_backend);
}

EngineRules load_engine(std::string_view name_or_path) {
  return load("engine", name_or_path, shipped_engines(), parse_engine);
}

ModelShape load_model_shape(std::string_view name_or_path) {
  if (find(shipped_models(), name_or_path) == nullptr && !is_path(name_or_path)) {
    if (const auto shape = shape_named(name_or_path)) {
      return load("model", *shape, shipped_models(), parse_model_shape);
    }
  }
  return load("model", name_or_path, shipped_models(), parse_model_shape);
}

ClaimFile load_claims(std::string_view name_or_path) {
  return load("claim file", name_or_path, shipped_claims(), parse_claims);
}

}  // namespace bandwall
