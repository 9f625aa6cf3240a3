#include <algorithm>

#include "analysis/predict.h"
#include "analysis/pricing.h"

namespace bandwall {
namespace {

BytesPerSecond fastest(const RateCurve& curve) {
  BytesPerSecond best;
  for (const RatePoint& p : curve.points) best = std::max(best, p.rate);
  return best;
}

// Working sets from the size of the last cache on live in memory for the most part.
Bytes memory_sized(const Machine& machine) {
  Bytes largest;
  for (const CacheLevel& c : machine.caches) largest = std::max(largest, c.capacity.value);
  return largest;
}

void scale(std::vector<RateCurve>& curves, Bytes from, double factor) {
  for (RateCurve& curve : curves) {
    const BytesPerSecond roof = fastest(curve);
    for (RatePoint& p : curve.points) {
      if (p.working_set >= from) p.rate = std::min(p.rate * factor, roof);
    }
  }
}

}  // namespace

void follow_bandwidth(Machine& machine, Backend& backend, BytesPerSecond now, int threads,
                      BytesPerSecond pages) {
  MemoryPool& pool = machine.pools.front();
  const BytesPerSecond then = machine.read_curves.empty()
                                  ? pool.achievable.value
                                  : achievable_bandwidth(machine, Bytes(1e15), threads);
  if (!(now > BytesPerSecond(0)) || !(then > BytesPerSecond(0))) return;
  const double factor = now / then;
  const Bytes from = memory_sized(machine);
  pool.achievable.value = pool.achievable.value * factor;
  pool.peak.value = std::max(pool.peak.value, pool.achievable.value);
  scale(machine.read_curves, from, factor);
  for (auto& [format, rate] : backend.kv_stream) rate.value = rate.value * factor;
  double of_weights = factor;
  if (backend.page_reading) {
    Sourced<BytesPerSecond>& reading = *backend.page_reading;
    if (!(pages > BytesPerSecond(0))) pages = reading.value * factor;
    of_weights = pages / reading.value;
    reading.value = pages;
  }
  for (auto& [format, curves] : backend.stream_curves) scale(curves, from, of_weights);
  for (auto& [format, rate] : backend.stream) rate.value = rate.value * of_weights;
}

}  // namespace bandwall
