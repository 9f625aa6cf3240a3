#include "hwmodel/machine.h"

#include <algorithm>
#include <cmath>

#include "hwmodel/error.h"

namespace bandwall {

std::string_view name(Source::Kind kind) {
  switch (kind) {
    case Source::Kind::Datasheet: return "datasheet";
    case Source::Kind::Measured: return "measured";
    case Source::Kind::Derived: return "derived";
    case Source::Kind::Assumed: return "assumed";
  }
  return "assumed";
}

BytesPerSecond RateCurve::at(Bytes working_set) const {
  BANDWALL_CHECK(!points.empty());
  if (!(working_set > points.front().working_set)) return points.front().rate;
  for (std::size_t i = 1; i < points.size(); ++i) {
    const RatePoint& low = points[i - 1];
    const RatePoint& high = points[i];
    if (working_set > high.working_set) continue;
    const double from = std::log(std::max(low.working_set.value(), 1.0));
    const double span = std::log(high.working_set.value()) - from;
    const double share = span > 0 ? (std::log(working_set.value()) - from) / span : 1.0;
    return low.rate + (high.rate - low.rate) * share;
  }
  return points.back().rate;
}

const ComputeRate* Machine::rate(std::string_view numeric) const {
  for (const ComputeRate& rate : compute) {
    if (rate.numeric == numeric) return &rate;
  }
  return nullptr;
}

const Link* Machine::link(std::string_view wanted) const {
  for (const Link& link : links) {
    if (link.name == wanted) return &link;
  }
  return nullptr;
}

}  // namespace bandwall
