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

void add(ExplainedOps& group, const Op& op, const PricedOp& priced) {
  ++group.count;
  const auto formats = by_format(op);
  if (group.weights.empty()) {
    group.weights = formats;
  } else {
    for (std::size_t i = 0; i < formats.size(); ++i) group.weights[i].second += formats[i].second;
  }
  group.traffic += op.traffic;
  group.flops += op.flops;
  group.cost += priced.cost;
  group.expected += priced.expected();
  group.speed_of_light += priced.speed_of_light;
}

}  // namespace

std::vector<ExplainedOps> explain(const Machine& machine, const Backend& backend,
                                  const ModelSpec& model, const KvConfig& kv, const Step& step,
                                  const Routing& routing, int threads) {
  const Plan plan = plan_step(model, kv, step, routing);
  const FittedBackend fitted(backend, machine);
  const PricingContext context =
      pricing_context(machine, *fitted, model, kv, plan, routing, threads);
  std::vector<ExplainedOps> groups;
  std::vector<const Op*> first;  // of each group
  Prices prices(context);
  for (const Op& op : plan.ops) {
    std::size_t i = 0;
    while (i < groups.size() && !priced_alike(*first[i], op)) ++i;
    if (i == groups.size()) {
      groups.emplace_back();
      groups.back().kind = op.key.kind;
      first.push_back(&op);
    }
    add(groups[i], op, prices.of(op));
  }
  return groups;
}

}  // namespace bandwall
