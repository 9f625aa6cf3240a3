// The Ledger: what every op moved, computed and took. Prediction fills one from formulas, execution
// fills one from the tensors it touched; keys are the same, so they join row by row.
// Traffic counts each byte that an op touches once per op and step (re-use inside an op is a matter
// of caches): weights (rows really read), KV cells read and written, recurrent state, and the
// float32 activations an op reads and writes.
#pragma once

#include <map>
#include <string_view>
#include <vector>

#include "hwmodel/units.h"
#include "workload/format.h"

namespace bandwall {

enum class OpKind {
  Embedding, AttnNorm, QkvProj, RopeKv, Attention, AttnOut, SsmIn, Ssm, SsmOut,
  FfnNorm, Router, Experts,
  SharedExpert, DenseFfn, OutputNorm, Head,
};
inline constexpr int kOpKinds = 16;
std::string_view name(OpKind kind);

struct OpKey {
  OpKind kind;
  int layer;  // -1: outside the blocks
  friend auto operator<=>(const OpKey&, const OpKey&) = default;
};

struct Traffic {
  Bytes weights, kv_read, kv_written, state, activations;
  Bytes total() const { return weights + kv_read + kv_written + state + activations; }
  Bytes from_memory() const { return weights + kv_read + kv_written + state; }
  Traffic& operator+=(const Traffic& o);
  friend bool operator==(const Traffic&, const Traffic&) = default;
};

struct LedgerRow {
  std::int64_t calls = 0;
  Traffic traffic;
  Flops flops;
  Seconds time;
};

struct Ledger {
  std::map<OpKey, LedgerRow> rows;
  std::int64_t steps = 0;
  std::int64_t tokens = 0;      // new tokens evaluated
  Seconds wall;                 // wall time of the steps; residual = wall - sum of op times

  Seconds op_time() const;
  Seconds residual() const { return wall - op_time(); }
  Traffic traffic() const;
  Flops flops() const;
  std::map<OpKind, LedgerRow> by_kind() const;
  Ledger& operator+=(const Ledger& o);
};

}  // namespace bandwall
