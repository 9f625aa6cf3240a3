#include "reports/version.h"

namespace bandwall {

std::string_view version() { return BANDWALL_VERSION; }

}  // namespace bandwall
