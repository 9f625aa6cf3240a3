#include "reports/cli/host_profile.h"

#include <fmt/format.h>

#include <filesystem>

#include "hwmodel/error.h"
#include "reports/cli/common.h"
#include "runtime/calibrate.h"
#include "runtime/host.h"

namespace bandwall {

namespace {

// The figures of as many threads, or of the count that is nearest below.
void choose_threads(ProfileFile& profile, int threads) {
  for (const Backend& other : profile.other_threads) {
    const int have = profile.backend.threads;
    const bool fits = other.threads <= threads;
    if (fits ? have > threads || other.threads > have : have > threads && other.threads < have) {
      profile.backend = other;
    }
  }
}

Host host_of_file(const std::string& path, int threads) {
  const std::string text = read_file(path, kMostProfile);
  Host host{parse_profile_file(text, path), "", profile_hash(text)};
  const std::string& environment = host.profile.environment;
  host.note = fmt::format("calibrated {} ({}, {})", host.profile.date, path, host.hash);
  if (environment.find(host_info().cpu) == std::string::npos) {
    throw Error::input(
        path, fmt::format("was measured on another host ({}); run 'bandwall calibrate' here",
                          environment));
  }
  if (environment.find(fmt::format("build {}", kernel_build())) == std::string::npos) {
    host.note += ", with other kernels than this program has: calibrate again";
  }
  choose_threads(host.profile, threads);
  return host;
}

}  // namespace

Host host_profile(const Arguments& a, const ModelSpec& model, int threads) {
  const std::string path = a.has("profile") ? a.text("profile") : default_profile_path();
  if (a.has("profile") || (!path.empty() && std::filesystem::exists(path))) {
    return host_of_file(path, threads);
  }
  note(
      "bandwall: this host is not calibrated; measuring it quickly first (bandwall calibrate keeps "
      "a full profile)");
  CalibrateOptions options;
  options.budget = Seconds(12);
  options.threads = threads;
  for (const TensorSpec& t : model.tensors) {
    if (t.n_dims > 1 && t.role != Role::Other) options.formats.push_back(t.format);
  }
  options.progress = [](const std::string& what, double done) {
    progress(fmt::format("calibrating {:3.0f} %: {}", 100 * done, what));
    if (interrupted()) throw Interrupted{};
  };
  const Calibration calibration = calibrate(options);
  progress_done();
  if (calibration.host_busy) note("bandwall: " + calibration.warning);
  ProfileFile profile = profile_of(calibration);
  const std::string hash = profile_hash(write_profile_file(profile));
  return {std::move(profile), fmt::format("quick calibration {} ({})", calibration.date, hash),
          hash};
}

}  // namespace bandwall
