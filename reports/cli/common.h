// What several commands share: finding a model, a machine and a backend by what the user typed,
// KV formats, output files that are never left half-written, Ctrl-C, and progress on a terminal.
#pragma once

#include <atomic>
#include <cstdio>
#include <optional>
#include <string>
#include <vector>

#include "analysis/predict.h"
#include "configs/library.h"
#include "reports/cli/options.h"
#include "runtime/calibrate.h"
#include "runtime/engine.h"

namespace bandwall {

inline constexpr int kExitDone = 0, kExitFailed = 1, kExitInput = 2, kExitDoesNotFit = 3,
                     kExitTooClose = 4, kExitTolerance = 5, kExitInterrupted = 130;

// Any spelling of model_store.h: a GGUF file, a checkpoint of Hugging Face, a model in the stores
// of other programs, "demo", or a shipped model with an optional mix: "minimax-m2.5:Q3_K_M".
// GGUF files are mapped and stay open in `loaded`; the others give a spec alone.
struct ModelChoice {
  ModelSpec spec;
  std::optional<LoadedModel> loaded;
  std::vector<std::string> notes;  // e.g. why people quote another size
  std::string title;               // what to print: "minimax-m2.5:Q3_K_M"
  std::int64_t header_bytes = 0;   // of the GGUF that a mix was applied to
  std::optional<ModelShape> shape;  // of a shipped model or a shape file: its published mixes
};
// With a mix, bytes are those of the model quantized to it.
ModelChoice choose_model(const std::string& text, const std::string& mix = "");
LoadedModel open_model(const std::string& text,  // a GGUF of any place; a bare name is an Error
                       Loading loading = Loading::Mapped);

// The model of commands that take it as an argument or with -m; giving both is an Error.
std::string model_argument(const Arguments& arguments);

// The machine and the backend that goes with it unless one is named. "this" is the calibrated host.
struct Target {
  Machine machine;
  Backend backend;
};
Target choose_target(const std::string& machine, const std::optional<std::string>& backend,
                     const std::optional<std::string>& profile_path);

// The user's own profile ($XDG_CONFIG_HOME/bandwall/this.yaml or ~/.config/bandwall/this.yaml);
// empty when no home folder is known.
std::string default_profile_path();
inline constexpr std::int64_t kMostProfile = 1 << 22;  // bytes
ProfileFile load_profile(const std::string& path);
// That of --profile, else the user's own when there is one.
std::optional<ProfileFile> profile_if_any(const Arguments& arguments);
ProfileFile profile_of(const Calibration& calibration);

// Error names the option and the known formats.
const KvFormat* kv_format(const std::string& option, const std::string& name);
KvConfig kv_config(const Arguments& arguments);  // -ctk, -ctv

// Options that several commands have, spelled once.
OptionSpec option_model();
OptionSpec option_mix();  // of commands that run no kernels
OptionSpec option_threads();
OptionSpec option_context(const std::string& fallback);
OptionSpec option_kv_k();
OptionSpec option_kv_v();
OptionSpec option_ubatch();
OptionSpec option_output(const std::string& fallback, const std::string& forms);
OptionSpec option_profile();
OptionSpec option_check(const std::string& what);  // --check 10%: exit 5 when `what` is beyond
// The share that --check gives: "10%" or "0.1", above 0 and up to 10; nullopt without it.
std::optional<double> tolerance_of(const Arguments& arguments);
std::vector<OptionSpec> options_loading();  // --no-mmap, and --mmap 0|1 as llama-bench has it
Loading chosen_loading(const Arguments& arguments);
std::vector<OptionSpec> options_ignored();  // accepted for llama.cpp's sake, without effect

// A file that appears whole or not at all: written beside its place, renamed by commit(), removed
// by the destructor otherwise. Devices and pipes cannot be renamed over: they are written directly.
// Every failure is an Error (Running) with the path and the reason.
class OutputFile {
 public:
  explicit OutputFile(std::string path);
  ~OutputFile();
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;
  void write(const void* data, std::size_t size);
  void commit();

 private:
  [[noreturn]] void fail();
  std::string path_, temporary_;  // temporary_ is empty for a device or a pipe
  std::FILE* file_ = nullptr;
};
void write_file(const std::string& path, std::string_view bytes);
std::string read_file(const std::string& path, std::int64_t max_bytes);

// Set by SIGINT and SIGTERM once install_interrupt() ran. It also makes a mapping that cannot be
// read any more one message and exit 1.
const std::atomic<bool>& interrupted();
void install_interrupt();

std::string utc_now();  // "2026-11-21T20:00:00Z"

// A line on stderr, control characters made visible; a stderr that refuses it changes nothing.
void note(const std::string& text);

// A line on stderr that is replaced in place; nothing when stderr is no terminal.
void progress(const std::string& text);
void progress_done();

}  // namespace bandwall
