// A figure that somebody stated about a model on a machine, in the form it can be checked in.
// Pure data: configs/ reads it from YAML (configs/claims/), analysis/audit.h judges it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "workload/format.h"

namespace bandwall {

enum class ClaimKind {
  Memory,   // bytes of weights, of the KV cache or of all
  Fit,      // 1: fits, 0: does not
  Decode,   // tokens per second, one token after another
  Prefill,  // tokens per second of a prompt
  Roof,     // tokens per second that bandwidth alone would allow
  Load,     // seconds until the weights are in memory
  Power,    // watts, or how many times another machine's
  Cost,     // US dollars
  Limit,    // a figure of the machine itself
};
std::string_view name(ClaimKind kind);

struct Claim {
  std::string statement;  // in the words of who made it
  std::string source;     // who and where
  ClaimKind kind = ClaimKind::Memory;
  std::string what;  // Memory: weights, kv, total; Limit: which figure
  std::string machine, backend, model, mix, against;  // names; empty: not said
  // A model of which only the values read per token are known, and their format.
  double active_values = 0;
  std::optional<Format> format;
  double read_bytes = 0;  // Roof: bytes per token as claimed
  std::int64_t context = 0, prompt = 512, batch = 1, n_ubatch = 512;
  const KvFormat* type_k = nullptr;  // nullptr: f16
  const KvFormat* type_v = nullptr;
  double value = 0;       // bytes, tok/s, seconds, watts, ratio, dollars, FLOP/s, count
  std::string unit;       // as written: "GB", "GiB", "tok/s", "x", "USD", ...
  double half_digit = 0;  // of speeds: half a unit of the last digit written
  double tolerance = 0;   // relative; 0: the kind's own
  std::string comment;    // what is known beside the arithmetic, with its source
};

struct NotChecked {
  std::string statement, because;
};
struct ClaimFile {
  std::string title;
  std::vector<Claim> claims;
  std::vector<NotChecked> not_checked;
};

}  // namespace bandwall
