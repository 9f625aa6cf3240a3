// Joins a predicted and a measured Ledger of the same steps, by op kind and by op.
//   Comparison c = compare(predicted, measured);   c.bytes_equal, c.time_ratio
// time_ratio = predicted / measured. Bytes must agree exactly; only time may differ.
#pragma once

#include <vector>

#include "workload/ledger.h"

namespace bandwall {

struct ComparisonRow {
  OpKind kind;
  std::int64_t calls = 0;
  Bytes bytes;                     // measured: weights + KV + state
  Seconds predicted, measured;
  double ratio = 0;                // predicted / measured; 0 when nothing was measured
  BytesPerSecond achieved;         // bytes / measured time
};

struct Comparison {
  std::vector<ComparisonRow> rows; // by kind, execution order
  double time_ratio = 0;           // whole steps
  bool bytes_equal = false;        // every op, every traffic field
  std::vector<OpKey> unequal;      // the ops whose traffic differs (for the error message)
};

Comparison compare(const Ledger& predicted, const Ledger& measured);

}  // namespace bandwall
