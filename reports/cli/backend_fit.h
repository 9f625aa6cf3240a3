// bandwall calibrate --fit-backend ROWS.csv: a backend's few figures from measured rows.
#pragma once

#include "reports/cli/options.h"

namespace bandwall {

// Prints factors with intervals and errors; writes the fitted backend to --out where given. Rows of
// servers' clocks, of speculation and of several machines tell of more than a backend: left out.
int run_fit_backend(const Arguments& a);

}  // namespace bandwall
