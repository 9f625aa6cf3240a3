#include "analysis/explain.h"

#include <algorithm>

namespace bandwall {
namespace {

std::vector<std::pair<std::string, Bytes>> by_format(const Op& op) {
  std::vector<std::pair<std::string, Bytes>> sums;
  for (const WeightStream& s : op.streams) {
    const std::string format(name(s.format));
    const auto same = [&](const auto& row) { return row.first == format; };
    const auto row = std::find_if(sums.begin(), sums.end(), same);
    if (row == sums.end()) {
      sums.emplace_back(format, s.bytes);
    } else {
      row->second += s.bytes;
    }
  }
  return sums;
}

// Same kind, formats, bytes, work: then the price is the same, too.
bool alike(const Op& a, const Op& b) {
  return a.key.kind == b.key.kind && a.traffic == b.traffic && a.flops == b.flops &&
         by_format(a) == by_format(b);
}

void add(ExplainedOps& group, const Op& op, const OpCost& cost, Seconds light) {
  ++group.count;
  const auto formats = by_format(op);
  if (group.weights.empty()) {
    group.weights = formats;
  } else {
    for (std::size_t i = 0; i < formats.size(); ++i) group.weights[i].second += formats[i].second;
  }
  group.traffic += op.traffic;
  group.flops += op.flops;
  group.cost += cost;
  group.expected += std::max(cost.total(), light);
  group.speed_of_light += light;
}

}  // namespace

std::vector<ExplainedOps> explain(const Machine& machine, const Backend& backend,
                                  const ModelSpec& model, const KvConfig& kv, const Step& step,
                                  const Routing& routing, int threads) {
  const Plan plan = plan_step(model, kv, step, routing);
  const Backend fitted = backend_for(backend, machine);
  const PricingContext context =
      pricing_context(machine, fitted, model, kv, plan, routing, threads);
  std::vector<ExplainedOps> groups;
  std::vector<const Op*> first;  // of each group
  PricingGaps gaps;
  for (const Op& op : plan.ops) {
    std::size_t i = 0;
    while (i < groups.size() && !alike(*first[i], op)) ++i;
    if (i == groups.size()) {
      groups.emplace_back();
      groups.back().kind = op.key.kind;
      first.push_back(&op);
    }
    add(groups[i], op, price(context, op, gaps), speed_of_light(context, op));
  }
  return groups;
}

}  // namespace bandwall
