#include "analysis/roofline.h"

#include <algorithm>
#include <map>

#include <fmt/format.h>

#include "analysis/pricing.h"

namespace bandwall {
namespace {

struct Sum {
  Bytes bytes;
  Flops flops;
  Seconds time;
  std::map<Bound, Seconds> bounds;
};

Bound most(const Sum& sum) {
  Bound best = Bound::WeightBandwidth;
  Seconds time(-1);
  for (const auto& [bound, t] : sum.bounds) {
    if (t > time) {
      time = t;
      best = bound;
    }
  }
  return best;
}

std::optional<RooflinePoint> point(const std::string& label, const Sum& sum, Bound bound,
                                   const Roofline& roof) {
  if (!(sum.bytes > Bytes(0)) || !(sum.flops > Flops(0)) || !(sum.time > Seconds(0))) {
    return std::nullopt;   // nothing to place on a log-log chart
  }
  RooflinePoint p;
  p.name = label;
  p.intensity = sum.flops / sum.bytes;
  p.expected = sum.flops / sum.time;
  p.attainable = p.intensity * roof.peak_bandwidth;
  if (!roof.ceilings.empty()) p.attainable = std::min(p.attainable, roof.ceilings.front().rate);
  p.bound = bound;
  return p;
}

}  // namespace

Roofline roofline(const Machine& machine, const Prediction& prediction, const std::string& label) {
  Roofline r;
  r.machine = machine.title.empty() ? machine.name : machine.title;
  const Bytes touched = prediction.ledger.traffic().from_memory();
  const double devices = std::max(1, machine.devices);
  r.peak_bandwidth = ceiling_bandwidth(machine, touched);
  r.achievable_bandwidth = achievable_bandwidth(machine, touched, 0);
  for (const ComputeRate& rate : machine.compute) {
    const FlopsPerSecond all = rate.peak.value * devices;
    r.ceilings.push_back({rate.numeric + " " + human(all), all, all / r.peak_bandwidth});
  }
  std::sort(r.ceilings.begin(), r.ceilings.end(),
            [](const RooflineCeiling& a, const RooflineCeiling& b) { return a.rate > b.rate; });

  std::map<OpKind, Sum> kinds;
  for (const OpPrediction& op : prediction.ops) {
    kinds[op.key.kind].bounds[op.bound] += op.expected;
  }
  Sum whole;
  for (const auto& [kind, row] : prediction.ledger.by_kind()) {
    Sum& sum = kinds[kind];
    sum.bytes = row.traffic.from_memory();
    sum.flops = row.flops;
    sum.time = row.time;
    whole.bytes += sum.bytes;
    whole.flops += sum.flops;
    const std::string title = std::string(name(kind)) + (label.empty() ? "" : " " + label);
    if (auto p = point(title, sum, most(sum), r)) r.points.push_back(*p);
  }
  whole.time = prediction.step;
  const std::string title = label.empty() ? "step" : "step " + label;
  if (auto p = point(title, whole, prediction.bound, r)) r.points.push_back(*p);
  return r;
}

}  // namespace bandwall
