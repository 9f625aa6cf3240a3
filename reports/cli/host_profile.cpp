#include "reports/cli/host_profile.h"

#include <fmt/format.h>

#include <filesystem>

#include "hwmodel/error.h"
#include "reports/cli/common.h"
#include "runtime/calibrate.h"
#include "runtime/host.h"

namespace bandwall {

Host host_profile(const Arguments& a, const ModelSpec& model, int threads) {
  const std::string path = a.has("profile") ? a.text("profile") : default_profile_path();
  if (a.has("profile") || (!path.empty() && std::filesystem::exists(path))) {
    Host host{load_profile(path), ""};
    host.note = fmt::format("calibrated {} ({})", host.profile.date, path);
    if (host.profile.environment.find(host_info().cpu) == std::string::npos) {
      throw Error::input(
          path, fmt::format("was measured on another host ({}); run 'bandwall calibrate' here",
                            host.profile.environment));
    }
    return host;
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
  return {profile_of(calibration), fmt::format("quick calibration {}", calibration.date)};
}

}  // namespace bandwall
