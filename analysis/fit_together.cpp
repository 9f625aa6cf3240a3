#include "analysis/fit_together.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "hwmodel/error.h"

namespace bandwall {
namespace {

// What each model alone needs of each pool of each machine.
using Needs = std::vector<std::vector<FitReport>>;  // [machine][resident]

FitReport alone(const Machine& m, const Resident& r) {
  check_fit_options(r.options);
  static const ModelSpec nothing;
  const ModelSpec& model = r.model != nullptr ? *r.model : nothing;
  FitReport report = fit_quick(m, model, placed(m, model, r.options), r.options);
  if (r.model == nullptr) {  // on the first device, whatever it is
    for (PoolReport& pool : report.pools) pool.needed = Bytes(0);
    report.pools.front().needed = r.size;
    judge_pools(report);
  }
  return report;
}

Needs needs_of(const std::vector<Resident>& residents, const std::vector<Machine>& machines) {
  Needs needs;
  for (const Machine& m : machines) {
    std::vector<FitReport> row;
    for (const Resident& r : residents) row.push_back(alone(m, r));
    needs.push_back(std::move(row));
  }
  return needs;
}

// All that a machine holds, added up and judged anew.
FitReport sum_of(const std::vector<FitReport>& alone, const std::vector<std::size_t>& holds) {
  FitReport r;
  r.pools = alone.front().pools;
  for (PoolReport& p : r.pools) p.needed = Bytes(0);
  for (const std::size_t i : holds) {
    for (std::size_t n = 0; n < r.pools.size(); ++n) {
      r.pools[n].needed += alone[i].pools[n].needed;
      r.pools[n].usable = std::min(r.pools[n].usable, alone[i].pools[n].usable);
    }
  }
  judge_pools(r);
  return r;
}

struct Outcome {
  Verdict verdict = Verdict::DoesNotFit;
  Bytes headroom = Bytes(-1e30);  // of the tightest pool
  bool better_than(const Outcome& o) const {
    return verdict != o.verdict ? verdict < o.verdict : headroom > o.headroom;
  }
};

Outcome worst_of(const std::vector<FitReport>& fits) {
  Outcome worst{Verdict::Fits, Bytes(1e30)};
  for (const FitReport& f : fits) {
    worst.verdict = std::max(worst.verdict, f.verdict);
    worst.headroom = std::min(worst.headroom, f.pools[f.tightest].headroom);
  }
  return worst;
}

struct Best {
  Outcome outcome;
  std::vector<std::vector<std::size_t>> holds;  // by machine
};

Best search(const Needs& needs, std::size_t residents) {
  const std::size_t machines = needs.size();
  if (std::pow(static_cast<double>(machines), static_cast<double>(residents)) > kMostAssignments) {
    throw Error::input("fit", fmt::format("{} models on {} machines are too many ways to try all; "
                                          "give fewer",
                                          residents, machines));
  }
  Best best;
  std::vector<std::size_t> at(residents, 0);
  for (bool more = true; more;) {
    std::vector<std::vector<std::size_t>> holds(machines);
    for (std::size_t i = 0; i < residents; ++i) holds[at[i]].push_back(i);
    std::vector<FitReport> fits;
    for (std::size_t m = 0; m < machines; ++m) fits.push_back(sum_of(needs[m], holds[m]));
    const Outcome outcome = worst_of(fits);
    if (best.holds.empty() || outcome.better_than(best.outcome)) best = {outcome, holds};
    more = false;
    for (std::size_t i = 0; i < residents && !more; ++i) {
      more = ++at[i] < machines;
      if (!more) at[i] = 0;
    }
  }
  return best;
}

std::vector<Machine> single_boxes(const std::vector<Machine>& machines) {
  std::vector<Machine> boxes;
  for (const Machine& m : machines) {
    Machine box = m;
    const int count = std::max(1, m.devices);
    box.devices = 1;
    for (int i = 0; i < count; ++i) {
      if (count > 1) box.name = fmt::format("{} ({} of {})", m.name, i + 1, count);
      boxes.push_back(box);
    }
  }
  return boxes;
}

Together result(const Best& best, const Needs& needs, const std::vector<Machine>& machines,
                bool joined) {
  Together t;
  t.joined = joined;
  t.verdict = best.outcome.verdict;
  for (std::size_t m = 0; m < machines.size(); ++m) {
    t.machines.push_back({machines[m], best.holds[m], sum_of(needs[m], best.holds[m])});
  }
  return t;
}

}  // namespace

Together fit_together(const std::vector<Resident>& residents,
                      const std::vector<Machine>& machines) {
  BANDWALL_CHECK(!residents.empty() && !machines.empty());
  const std::vector<Machine> boxes = single_boxes(machines);
  const Needs needs = needs_of(residents, boxes);
  const Best apart = search(needs, residents.size());
  if (apart.outcome.verdict == Verdict::Fits || boxes.size() == machines.size()) {
    return result(apart, needs, boxes, false);
  }
  const Needs joined_needs = needs_of(residents, machines);
  const Best together = search(joined_needs, residents.size());
  if (together.outcome.better_than(apart.outcome)) {
    return result(together, joined_needs, machines, true);
  }
  return result(apart, needs, boxes, false);
}

}  // namespace bandwall
