#include "reports/cli/common.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <filesystem>

#include "configs/embedded.h"
#include "configs/hf_folder.h"
#include "hwmodel/error.h"
#include "hwmodel/suggest.h"
#include "reports/cli/model_store.h"
#include "workload/mix.h"

namespace bandwall {
namespace {

std::atomic<bool> interrupt_flag{false};
bool progress_shown = false;

void on_signal(int) {
  if (interrupt_flag.exchange(true)) _exit(kExitInterrupted);  // a second Ctrl-C does not wait
}

// Reading a mapping of a file that has become shorter, or whose disk fails, raises SIGBUS.
void on_bus_error(int) {
  constexpr char kMessage[] =
      "bandwall: a mapped file cannot be read any more: it was cut short while in use, or its disk "
      "fails\n";
  (void)!write(STDERR_FILENO, kMessage, sizeof kMessage - 1);
  _exit(kExitFailed);
}

std::span<const std::byte> demo_bytes() {
  return std::as_bytes(std::span(embedded_file("demo/demo.gguf").bytes));
}

}  // namespace

LoadedModel open_model(const std::string& text, Loading loading) {
  if (text.empty()) throw Error::input("--model", "is empty; give a GGUF file or demo");
  const ModelPlace place = find_model(text);
  switch (place.kind) {
    case ModelPlace::Kind::Demo:
      return LoadedModel::from_memory(demo_bytes(), "demo");
    case ModelPlace::Kind::Gguf:
      return LoadedModel::open(place.path, loading, &interrupted());
    case ModelPlace::Kind::Checkpoint:
      throw Error::input(place.path,
                         "is a checkpoint of safetensors; this command runs GGUF files: convert it "
                         "with convert_hf_to_gguf.py of llama.cpp");
    case ModelPlace::Kind::Shape:
      break;
  }
  throw Error::input(text,
                     "is no file; this command runs a GGUF file (-m FILE.gguf) or the demo model");
}

std::string model_argument(const Arguments& arguments) {
  if (arguments.positional().empty()) return arguments.text("model");
  if (arguments.has("model")) {
    throw Error::input(arguments.command,
                       fmt::format("two models: '{}' and --model {}; give one",
                                   arguments.positional().front(), arguments.text("model")));
  }
  return arguments.positional().front();
}

ModelChoice choose_model(const std::string& text, const std::string& mix) {
  if (text.empty()) throw Error::input("model", "is empty; give a GGUF file, NAME[:MIX] or demo");
  const ModelPlace place = find_model(text);
  if (!mix.empty() && !place.mix.empty()) {
    throw Error::input(text,
                       fmt::format("two quantizations: {} and --mix {}; give one", place.mix, mix));
  }
  const std::string& wanted = mix.empty() ? place.mix : mix;
  ModelChoice choice;
  choice.title = text;
  if (place.kind == ModelPlace::Kind::Shape) {
    choice.shape = load_model_shape(place.path);
    choice.spec = model_from_shape(*choice.shape, wanted);
    choice.title = choice.shape->name + ":" + (wanted.empty() ? choice.shape->default_mix : wanted);
  } else if (place.kind == ModelPlace::Kind::Checkpoint) {
    choice.spec = model_from_hf(read_hf_folder(place.path));
    if (!wanted.empty()) choice.spec = remix(choice.spec, wanted);
    choice.title = choice.spec.name + ":" + choice.spec.quantization;
  } else {
    choice.loaded.emplace(open_model(place.path));
    choice.spec = choice.loaded->spec();
    if (wanted.empty()) return choice;
    for (const GgufFile& f : choice.loaded->files()) choice.header_bytes += f.header_bytes;
    choice.spec = remix(choice.spec, wanted);
    choice.loaded.reset();
    choice.title = text + ":" + choice.spec.quantization;
  }
  if (!choice.spec.bytes_note.empty()) choice.notes.push_back(choice.spec.bytes_note);
  return choice;
}

Target choose_target(const std::string& machine, const std::optional<std::string>& backend,
                     const std::optional<std::string>& profile_path) {
  if (machine.empty()) {
    throw Error::input("--machine", "is empty; give a name (bandwall show machine) or a YAML file");
  }
  if (machine == "this") {
    const std::string path = profile_path.value_or(default_profile_path());
    if (path.empty() || !std::filesystem::exists(path)) {
      throw Error::input("this", "this host is not calibrated yet; run 'bandwall calibrate' first");
    }
    const ProfileFile profile = load_profile(path);
    return {profile.machine,
            backend ? backend_for(load_backend(*backend), profile.machine) : profile.backend};
  }
  Target target;
  target.machine = load_machine(machine);
  target.backend =
      backend_for(load_backend(backend.value_or(target.machine.default_backend)), target.machine);
  return target;
}

std::string default_profile_path() {
  if (const char* config = std::getenv("XDG_CONFIG_HOME"); config != nullptr && *config == '/') {
    return std::string(config) + "/bandwall/this.yaml";
  }
  const char* home = std::getenv("HOME");
  return home != nullptr && *home == '/' ? std::string(home) + "/.config/bandwall/this.yaml" : "";
}

ProfileFile load_profile(const std::string& path) {
  return parse_profile_file(read_file(path, kMostProfile), path);
}

std::optional<ProfileFile> profile_if_any(const Arguments& a) {
  const std::string path = a.optional_text("profile").value_or(default_profile_path());
  if (path.empty() || (!a.has("profile") && !std::filesystem::exists(path))) return std::nullopt;
  return load_profile(path);
}

ProfileFile profile_of(const Calibration& c) {
  return {c.machine, c.backends.front(), {c.backends.begin() + 1, c.backends.end()},
          c.date,    c.environment,      c.spread};
}

const KvFormat* kv_format(const std::string& option, const std::string& text) {
  if (const KvFormat* format = kv_format_from_name(text)) return format;
  std::vector<std::string> names;
  for (const KvFormat& f : all_kv_formats()) names.emplace_back(f.name);
  const std::string near = suggest(text, names);
  throw Error::input(option, fmt::format("unknown KV cache format '{}'{}; known: {}", text,
                                         near.empty() ? "" : "; did you mean " + near + "?",
                                         fmt::join(names, ", ")));
}

KvConfig kv_config(const Arguments& arguments) {
  return {kv_format("--cache-type-k", arguments.text("cache-type-k")),
          kv_format("--cache-type-v", arguments.text("cache-type-v"))};
}

OptionSpec option_model() {
  return {"model,m", "FILE|NAME", "demo",
          "a GGUF file (any part of a split one), a Hugging Face folder or config.json, "
          "hf:ORG/NAME[:QUANT] (also -hf), ollama:NAME[:TAG] or lmstudio:ORG/NAME from their local "
          "stores, a shipped model (NAME[:MIX]), or the embedded demo model"};
}
OptionSpec option_mix() {
  return {"mix", "MIX", "",
          "bytes as if the model were quantized to MIX, by llama.cpp's rules: Q3_K_M, IQ4_XS"};
}
OptionSpec option_threads() {
  return {"threads,t", "N", "", "threads (physical cores when not given)"};
}
OptionSpec option_context(const std::string& fallback) {
  return {"ctx-size,c", "N", fallback, "context: positions that the KV cache holds"};
}
OptionSpec option_kv_k() { return {"cache-type-k,ctk", "TYPE", "f16", "format of the K cache"}; }
OptionSpec option_kv_v() { return {"cache-type-v,ctv", "TYPE", "f16", "format of the V cache"}; }
OptionSpec option_ubatch() {
  return {"ubatch-size,ub", "N", "512", "tokens per micro-batch in prefill"};
}
OptionSpec option_output(const std::string& fallback, const std::string& forms) {
  return {"output,o", "FORM", fallback, "output form: " + forms};
}
OptionSpec option_profile() {
  return {"profile", "FILE", "", "calibration of this host (bandwall calibrate writes it)"};
}
OptionSpec option_check(const std::string& what) {
  return {"check", "10%", "", "exit 5 when " + what + " is beyond this"};
}
std::optional<double> tolerance_of(const Arguments& arguments) {
  if (!arguments.has("check")) return std::nullopt;
  const std::string text = arguments.text("check");
  double share = 0;
  const auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), share);
  const std::string_view unit(end, static_cast<std::size_t>(text.data() + text.size() - end));
  if (unit == "%" || unit == " %") share /= 100;
  if (status != std::errc() || (!unit.empty() && unit != "%" && unit != " %") ||
      !(share > 0 && share <= 10)) {
    throw Error::input("--check", fmt::format("'{}' is no tolerance; give 10% or 0.1", text));
  }
  return share;
}
std::vector<OptionSpec> options_loading() {
  return {{"no-mmap", "", "",
           "read the file into memory in huge pages instead of mapping it: faster decode, but the "
           "whole file must fit and is read anew by every program"},
          {"mmap,mmp", "0|1", "1", "0 is --no-mmap"}};
}
Loading chosen_loading(const Arguments& a) {
  const bool mapped = a.choice("mmap", {"0", "1"}) == "1";
  if (mapped && a.has("mmap") && a.on("no-mmap")) {
    throw Error::input("--no-mmap", "contradicts --mmap 1; give one");
  }
  return mapped && !a.on("no-mmap") ? Loading::Mapped : Loading::Copied;
}
std::vector<OptionSpec> options_ignored() {
  return {
      {"n-gpu-layers,ngl", "N", "", "accepted as llama.cpp spells it; this engine runs on the CPU"},
      {"batch-size,b", "N", "2048", "logical batch; only the micro-batch (-ub) changes the work"}};
}

OutputFile::OutputFile(std::string path) : path_(std::move(path)) {
  namespace fs = std::filesystem;
  std::error_code ignored;
  if (path_.empty()) throw Error::input("output file", "its name is empty; give a path");
  if (fs::is_directory(path_, ignored)) {
    throw Error::running(path_, "cannot be written: it is a directory");
  }
  if (fs::is_symlink(path_, ignored)) {  // the link stays, what it names is replaced
    const fs::path target = fs::weakly_canonical(path_, ignored);
    if (!target.empty()) path_ = target.string();
  }
  if (!fs::exists(path_, ignored) || fs::is_regular_file(path_, ignored)) {
    temporary_ = fmt::format("{}.tmp-{}", path_, getpid());
  }
  file_ = std::fopen(temporary_.empty() ? path_.c_str() : temporary_.c_str(), "wb");
  if (file_ == nullptr) fail();
}

OutputFile::~OutputFile() {
  if (file_ == nullptr) return;
  std::fclose(file_);
  if (!temporary_.empty()) std::remove(temporary_.c_str());
}

void OutputFile::fail() {
  throw Error::running(path_, fmt::format("cannot be written: {}", std::strerror(errno)));
}

void OutputFile::write(const void* data, std::size_t size) {
  if (std::fwrite(data, 1, size, file_) != size) fail();
}

void OutputFile::commit() {
  if (std::fflush(file_) != 0) fail();
  if (!temporary_.empty() && std::rename(temporary_.c_str(), path_.c_str()) != 0) fail();
  std::fclose(file_);
  file_ = nullptr;
}

void write_file(const std::string& path, std::string_view bytes) {
  OutputFile file(path);
  file.write(bytes.data(), bytes.size());
  file.commit();
}

std::string read_file(const std::string& path, std::int64_t max_bytes) {
  const auto refuse = [&] {
    throw Error::input(path, fmt::format("cannot be read: {}", std::strerror(errno)));
  };
  std::FILE* file = std::fopen(path.c_str(), "rb");
  if (file == nullptr) refuse();
  std::string text;
  char buffer[65536];
  std::size_t n = 0;
  while ((n = std::fread(buffer, 1, sizeof buffer, file)) > 0) {
    text.append(buffer, n);
    if (static_cast<std::int64_t>(text.size()) > max_bytes) {
      std::fclose(file);
      throw Error::input(path, fmt::format("is larger than {} bytes", max_bytes));
    }
  }
  const bool failed = std::ferror(file) != 0;
  const int reason = errno;
  std::fclose(file);
  if (failed) {
    errno = reason;
    refuse();
  }
  return text;
}

const std::atomic<bool>& interrupted() { return interrupt_flag; }

void install_interrupt() {
  struct sigaction action = {};
  action.sa_handler = on_signal;
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGBUS, on_bus_error);
}

std::string utc_now() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  gmtime_r(&now, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text;
}

void note(const std::string& text) {
  std::string line;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    line += byte < 0x20 || byte == 0x7f ? fmt::format("\\x{:02x}", byte) : std::string(1, c);
  }
  line += '\n';
  std::fputs(line.c_str(), stderr);
}

void progress(const std::string& text) {
  if (isatty(STDERR_FILENO) == 0) return;
  std::fputs(("\r\x1b[K" + text).c_str(), stderr);
  std::fflush(stderr);
  progress_shown = true;
}

void progress_done() {
  if (!progress_shown) return;
  std::fputs("\r\x1b[K", stderr);
  std::fflush(stderr);
  progress_shown = false;
}

}  // namespace bandwall
