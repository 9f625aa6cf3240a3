// bandwall calibrate: measures this host with the engine's own kernels and keeps the profile.
#include <fmt/format.h>

#include <filesystem>

#include "hwmodel/error.h"
#include "reports/cli/backend_fit.h"
#include "reports/cli/commands.h"
#include "reports/cli/common.h"
#include "reports/table.h"
#include "runtime/calibrate.h"
#include "runtime/kernels/kernels.h"

namespace bandwall {
namespace {

std::string summary(const ProfileFile& p) {
  Table table({{"what"}, {"value", Align::Right}, {"note"}});
  for (const RateCurve& c : p.machine.read_curves) {
    for (const RatePoint& r : c.points) {
      table.add({fmt::format("read, {} thread{}, {}", c.threads, c.threads == 1 ? "" : "s",
                             human(r.working_set)),
                 human(r.rate), ""});
    }
  }
  for (const auto& [format, rate] : p.backend.stream) {
    table.add({"weight stream " + format, human(rate.value), "DRAM-sized, model-like matrices"});
  }
  for (const auto& [format, rate] : p.backend.gemm) {
    table.add({"matrix product " + format, human(rate.value.rate),
               fmt::format("best of {} row counts", rate.value.points.size())});
  }
  for (const auto& [format, rate] : p.backend.kv_stream)
    table.add({"KV stream " + format, human(rate.value), ""});
  for (const auto& [format, rate] : p.backend.kv_scores)
    table.add({"scores over KV " + format, to_text(rate.value), ""});
  for (const auto& [op, cost] : p.backend.op_seconds)
    table.add({"fixed cost per op, " + op, human(cost.value), ""});
  return table.text();
}

Format format_of(const std::string& text) {
  const auto format = format_from_name(text);
  if (!format || !has_kernels(*format)) {
    throw Error::input("--formats", fmt::format("no kernels for a format '{}'", text));
  }
  return *format;
}

int run_calibrate(const Arguments& a) {
  if (a.has("fit-backend")) return run_fit_backend(a);
  const std::string path = a.has("out") ? a.text("out") : default_profile_path();
  if (path.empty())
    throw Error::input("--out", "no home folder is known; say where to write the profile");
  CalibrateOptions options;
  options.budget = Seconds(a.on("quick") ? 12 : 100);
  if (a.has("formats")) {
    for (const std::string& text : a.list("formats")) options.formats.push_back(format_of(text));
  }
  options.threads = a.has("threads") ? static_cast<int>(a.integer("threads", 1, 1024)) : 0;
  options.progress = [](const std::string& what, double done) {
    progress(fmt::format("calibrating {:3.0f} %: {}", 100 * done, what));
    if (interrupted()) throw Interrupted{};
  };
  const Calibration calibration = calibrate(options);
  progress_done();
  if (calibration.host_busy) {
    if (!a.on("allow-busy")) {
      throw Error::running("host", calibration.warning +
                                       "; --allow-busy keeps the figures all the "
                                       "same");
    }
    note("bandwall: " + calibration.warning);
  }
  for (const std::string& remark : calibration.remarks) note("bandwall: " + remark);
  const std::string text = write_profile_file(profile_of(calibration));
  if (path == "-") {
    fmt::print("{}", text);
    return kExitDone;
  }
  const auto folder = std::filesystem::path(path).parent_path();
  std::error_code failed;
  if (!folder.empty()) std::filesystem::create_directories(folder, failed);
  write_file(path, text);
  fmt::print("{}\n{}\nspread of the bandwidth probe {:.1f} %; profile {} written to {}\n",
             calibration.environment, summary(profile_of(calibration)), 100 * calibration.spread,
             profile_hash(text), path);
  return kExitDone;
}

}  // namespace

CommandSpec command_calibrate() {
  return {
      "calibrate",
      "calibrate [--out FILE] [--fit-backend ROWS.csv] [OPTIONS]",
      "measure this host with the engine's own kernels (half a minute per format)",
      0,
      0,
      {{"out", "FILE", "",
        "where to write the profile, - for stdout; the user's configuration folder when not given"},
       {"quick", "", "", "fewer probes, under half a minute"},
       {"formats", "NAME,..", "", "these weight formats only, and F32: Q4_K,Q6_K"},
       {"allow-busy", "", "",
        "write the profile although other programs disturbed the measurement"},
       {"fit-backend", "ROWS.csv", "",
        "no probes: fit a backend's few figures to measured rows (a file or a shipped one)"},
       {"machine,M", "NAME", "gb10", "of --fit-backend: rows of this machine"},
       {"from", "BACKEND", "", "of --fit-backend: where to start; the machine's usual one"},
       option_threads()},
      run_calibrate};
}

}  // namespace bandwall
