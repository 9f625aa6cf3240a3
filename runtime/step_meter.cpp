#include "runtime/step_meter.h"

namespace bandwall {
namespace {

Seconds between(std::chrono::steady_clock::time_point a, std::chrono::steady_clock::time_point b) {
  return Seconds(std::chrono::duration<double>(b - a).count());
}

}  // namespace

void StepMeter::begin() {
  ledger_ = Ledger{};
  pending_ = LedgerRow{};
  start_ = last_ = std::chrono::steady_clock::now();
}

void StepMeter::close(OpKind kind, std::int64_t layer) {
  const auto now = std::chrono::steady_clock::now();
  LedgerRow& row = ledger_.rows[{kind, static_cast<int>(layer)}];
  row.calls += 1;
  row.traffic += pending_.traffic;
  row.flops += pending_.flops;
  row.time += between(last_, now);
  pending_ = LedgerRow{};
  last_ = now;
  if (on_close) on_close(kind, layer);
}

void StepMeter::end(std::int64_t tokens) {
  ledger_.steps = 1;
  ledger_.tokens = tokens;
  ledger_.wall = between(start_, std::chrono::steady_clock::now());
}

}  // namespace bandwall
