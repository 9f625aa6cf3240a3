// The calibration that a command on this host works with.
#pragma once

#include <string>

#include "configs/library.h"
#include "reports/cli/options.h"
#include "workload/model_spec.h"

namespace bandwall {

struct Host {
  ProfileFile profile;
  std::string note;  // where its figures come from, for the report
  std::string hash;  // profile_hash of them
};

// The file of --profile or the user's own; else a quick calibration for the formats of the model,
// said on stderr. Error (Input) when the file was measured on another host.
Host host_profile(const Arguments& arguments, const ModelSpec& model, int threads);

}  // namespace bandwall
