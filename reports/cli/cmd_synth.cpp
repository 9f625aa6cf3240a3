// bandwall synth: a model file of true shape with random weights, for this and for other engines.
#include <fmt/format.h>

#include <filesystem>

#include "hwmodel/error.h"
#include "reports/cli/commands.h"
#include "reports/cli/common.h"
#include "reports/cli/synthetic.h"

namespace bandwall {
namespace {

// A disk that is known to be too small is found before the first byte.
void require_disk(const std::string& path, std::int64_t bytes) {
  namespace fs = std::filesystem;
  fs::path folder = fs::path(path).parent_path();
  if (folder.empty()) folder = ".";
  std::error_code failed;
  const fs::space_info space = fs::space(folder, failed);
  if (failed || space.available >= static_cast<std::uintmax_t>(bytes)) return;
  throw Error::running(path, fmt::format("needs {}, the disk has {} left",
                                         gb_and_gib(Bytes(static_cast<double>(bytes))),
                                         gb_and_gib(Bytes(static_cast<double>(space.available)))));
}

int run_synth(const Arguments& a) {
  SyntheticChoice c = choose_synthetic(a, a.positional().front());
  c.options.seed = static_cast<std::uint64_t>(a.integer("seed", 0, INT64_MAX));
  const std::string path = a.text("out");
  if (path.empty()) throw Error::input("--out", "is missing; name the GGUF file to write");
  const std::int64_t total = synthetic_bytes(c.cut, c.options);
  require_disk(path, total);
  OutputFile file(path);
  std::int64_t done = 0;
  write_synthetic(c.cut, c.options, [&](std::span<const std::byte> piece) {
    if (interrupted()) throw Interrupted{};
    file.write(piece.data(), piece.size());
    done += static_cast<std::int64_t>(piece.size());
    progress(fmt::format("writing {:3.0f} %",
                         100.0 * static_cast<double>(done) / static_cast<double>(total)));
  });
  progress_done();
  file.commit();
  fmt::print("{}: {}, {} tensors, {} bytes ({})\n", path, c.title, c.cut.tensors.size(), total,
             gb_and_gib(Bytes(static_cast<double>(total))));
  return kExitDone;
}

}  // namespace

CommandSpec command_synth() {
  CommandSpec c{
      "synth",
      "synth MODEL:MIX --out FILE.gguf [--layers L] [--vocab N] [--seed S]",
      "write a model file of true shape with random weights, for measuring without a download",
      1,
      1,
      {},
      run_synth};
  c.options = options_cut();
  c.options.push_back({"seed,s", "S", "1", "the same seed gives the same bytes on every machine"});
  c.options.push_back({"out,o", "FILE", "", "the file to write; appears whole or not at all"});
  return c;
}

}  // namespace bandwall
