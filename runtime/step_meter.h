// Collects what the ops of one step really touched and how long each took.
//   StepMeter m;  m.begin();  m.weights(row_bytes * rows); ...; m.close(OpKind::QkvProj, layer);
// Each close() ends an op at the present moment and books time since the last one, traffic and
// flops on it. Times of all ops and the residual are the wall time by construction. Thread 0 only.
#pragma once

#include <chrono>
#include <functional>

#include "workload/ledger.h"

namespace bandwall {

class StepMeter {
 public:
  void begin();
  void mark() { last_ = std::chrono::steady_clock::now(); }  // time since then is no op's
  void weights(std::int64_t bytes) {
    pending_.traffic.weights += Bytes(static_cast<double>(bytes));
  }
  void kv_read(std::int64_t bytes) {
    pending_.traffic.kv_read += Bytes(static_cast<double>(bytes));
  }
  void kv_written(std::int64_t bytes) {
    pending_.traffic.kv_written += Bytes(static_cast<double>(bytes));
  }
  void state(std::int64_t bytes) { pending_.traffic.state += Bytes(static_cast<double>(bytes)); }
  void floats(std::int64_t count) {
    pending_.traffic.activations += Bytes(4.0 * static_cast<double>(count));
  }
  void flops(std::int64_t count) { pending_.flops += Flops(static_cast<double>(count)); }
  void close(OpKind kind, std::int64_t layer);
  void end(std::int64_t tokens);  // fixes the wall time
  const Ledger& ledger() const { return ledger_; }

  // Called at the end of close(): for a step that is run to look at each op's result.
  std::function<void(OpKind, std::int64_t)> on_close;

 private:
  std::chrono::steady_clock::time_point start_, last_;
  LedgerRow pending_;
  Ledger ledger_;
};

}  // namespace bandwall
