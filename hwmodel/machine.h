// Machine (hardware profile) and Backend (software stack on it). Every figure carries its source.
// Pure data: configs/ reads it from YAML, analysis/ computes with it.
// Capacity: usable = visible - reserve. Bandwidth: peak is the data sheet, achievable is measured.
// An unknown figure is std::nullopt, never 0.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "hwmodel/units.h"

namespace bandwall {

struct Source {
  enum class Kind { Datasheet, Measured, Derived, Assumed } kind = Kind::Assumed;
  std::string note;
  friend bool operator==(const Source&, const Source&) = default;
};
std::string_view name(Source::Kind kind);

template <class T>
struct Sourced {
  T value{};
  Source source;
  friend bool operator==(const Sourced&, const Sourced&) = default;
};

// Read bandwidth as a function of the working set, one curve per thread count; between points the
// rate is interpolated over log(working set), outside it is the nearest point.
struct RatePoint {
  Bytes working_set;
  BytesPerSecond rate;
  friend bool operator==(const RatePoint&, const RatePoint&) = default;
};
struct RateCurve {
  int threads = 0;                     // 0: the whole device
  std::vector<RatePoint> points;       // ascending working sets, at least one
  Source source;
  BytesPerSecond at(Bytes working_set) const;
  friend bool operator==(const RateCurve&, const RateCurve&) = default;
};

// The first pool is the device's. A card ("vram") may have a second one, "host": memory beside it
// that the CPU reads (capacity less what the system keeps, peak, and what a plain read by all cores
// reaches), joined to the card by the link "pcie" (bandwidth of one direction; latency of one small
// copy and the wait for it).
struct MemoryPool {
  std::string name;                    // "unified", "vram", "host"
  Sourced<Bytes> installed, visible, reserve;   // usable = visible - reserve
  Sourced<BytesPerSecond> peak;
  Sourced<BytesPerSecond> achievable;  // a plain read kernel, large arrays
  Bytes usable() const { return visible.value - reserve.value; }
  friend bool operator==(const MemoryPool&, const MemoryPool&) = default;
};

struct CacheLevel {
  std::string name;                    // "L2", "L3"
  Sourced<Bytes> capacity;
  friend bool operator==(const CacheLevel&, const CacheLevel&) = default;
};

struct ComputeRate {
  std::string numeric;                 // "fp4", "fp8", "bf16", "fp32", "int8"
  Sourced<FlopsPerSecond> peak;
  std::optional<Sourced<FlopsPerSecond>> achievable;
  friend bool operator==(const ComputeRate&, const ComputeRate&) = default;
};

struct KernelLimits {                  // GPU only
  Sourced<Bytes> shared_per_block, shared_per_sm, reserved_per_block;
  Sourced<double> sm_count, registers_per_sm, warps_per_sm, blocks_per_sm;
  std::string compute_capability;      // "12.1", a row of compute_capability.h; empty: not CUDA
  friend bool operator==(const KernelLimits&, const KernelLimits&) = default;
};

struct Link {
  std::string name;                    // "connectx-7", "nvme", "pcie"
  Sourced<BytesPerSecond> bandwidth;
  std::optional<Sourced<Seconds>> latency;
  friend bool operator==(const Link&, const Link&) = default;
};

// Energy of a device while it works, all of the rail that the sources name:
// power = idle + joules_per_byte * bytes/s + joules_per_flop * flops/s.
struct EnergyFigures {
  Sourced<Watts> idle;
  Sourced<double> joules_per_byte, joules_per_flop;
  friend bool operator==(const EnergyFigures&, const EnergyFigures&) = default;
};

struct Machine {
  std::string name, title;
  int devices = 1;                     // "2xgb10": two of them joined by `device_link`
  std::vector<MemoryPool> pools;       // first = where weights and KV live, then "host" or none
  std::vector<CacheLevel> caches;
  std::vector<RateCurve> read_curves;  // measured machines; empty = pool.achievable everywhere
  std::vector<ComputeRate> compute;
  std::optional<KernelLimits> kernel_limits;
  std::vector<Link> links;
  std::optional<std::string> device_link;       // name of the link that joins several of them
  std::optional<Sourced<Watts>> power;          // of one device, the most it draws
  std::optional<EnergyFigures> energy;
  std::optional<Sourced<double>> price_usd;
  std::string default_backend;

  const MemoryPool& pool() const { return pools.front(); }
  const ComputeRate* rate(std::string_view numeric) const;
  const Link* link(std::string_view name) const;
  friend bool operator==(const Machine&, const Machine&) = default;
};

// Rates of one software stack on one machine (or class of machines: machine empty).
struct GemmPoint {
  double rows = 0;                     // of activations, above 1
  FlopsPerSecond rate;
  friend bool operator==(const GemmPoint&, const GemmPoint&) = default;
};
// Rate F(n) of n rows of activations: rate * n / (n + n_half), or between measured points, where
// kernels change with n. Priced with it: flops of the rows after the first.
struct GemmRate {
  FlopsPerSecond rate;
  double n_half = 0;
  std::vector<GemmPoint> points = {};  // ascending rows; empty: the formula
  FlopsPerSecond at(double n) const;   // n > 1; the time (n - 1) / F(n) is linear between points
  friend bool operator==(const GemmRate&, const GemmRate&) = default;
};
// Where a backend's formula is known to miss: a prediction for which every word of `when` holds
// carries the mechanism as a note and the factors on its step time as a wider band.
//   prefill, decode, batch (several sequences), experts, dense, latent, recurrent, window, deep
//   (8192 positions or more), borrowed (the machine is not the backend's own), wide_memory (its
//   peak is 1.9 TB/s or more)
struct KnownLimit {
  std::vector<std::string> when;
  double low = 1, high = 1;
  std::string mechanism;
  Source source;                       // the rows that show it
  friend bool operator==(const KnownLimit&, const KnownLimit&) = default;
};
const std::vector<std::string>& limit_words();

struct Backend {
  std::string name, title, version, machine;
  bool calibrated = false;             // figures measured on that machine, not borrowed
  double efficiency_default = 1;       // share of achievable bandwidth when no stream rate is given
  Source efficiency_source;
  // Achievable bandwidth and bf16 rate of the machine that the rates below belong to: backend_for
  // needs them to carry the rates over to another machine.
  std::optional<Sourced<BytesPerSecond>> reference_bandwidth;
  std::optional<Sourced<FlopsPerSecond>> reference_compute;
  // Weight stream rate by format name; "default" is used for formats without a row. Curves over the
  // step's working set where the machine has caches that matter.
  // Rows "FORMAT.experts" and "FORMAT.dense_ffn" are for the matrices of such ops, where they
  // differ: many small ones; very long rows.
  std::map<std::string, Sourced<BytesPerSecond>> stream;
  std::map<std::string, std::vector<RateCurve>> stream_curves;
  // Plain reading of the pages that the weights lay in when their stream rates were measured: how
  // a file's pages lie in memory decides how fast they are read. The cache lies in others.
  std::optional<Sourced<BytesPerSecond>> page_reading;
  std::map<std::string, Sourced<BytesPerSecond>> kv_stream;        // by KV format or "default"
  std::map<std::string, Sourced<ElementsPerSecond>> kv_elements;   // third roof; absent = none
  // Scores of one position by KV format, where their time adds to that of the bytes (a kernel that
  // does not overlap them). A format with such a row has no third roof.
  std::map<std::string, Sourced<ElementsPerSecond>> kv_scores;
  std::map<std::string, Sourced<GemmRate>> gemm;                   // keyed like stream
  std::optional<Sourced<FlopsPerSecond>> attention_rate;
  std::map<std::string, Sourced<Seconds>> op_seconds;              // by OpKind name or "default"
  // The same where all that a step touches stays in the first shared cache; op_seconds holds beyond
  // the last one, and between them the cost grows with the logarithm of what is touched.
  std::map<std::string, Sourced<Seconds>> cached_op_seconds;
  // More of the same in steps of several rows, where other kernels run than for one row.
  std::map<std::string, Sourced<Seconds>> batch_op_seconds;
  // Elementwise work: float32 activations in + out per second, by OpKind name or "default";
  // absent = hidden behind the other terms (GPU).
  std::map<std::string, Sourced<BytesPerSecond>> activation_stream;
  std::optional<Sourced<Seconds>> layer_seconds;                   // fixed cost of a layer
  std::optional<Sourced<Seconds>> step_seconds;                    // host time per step
  std::optional<Sourced<Bytes>> context_bytes;                     // CUDA context, runtime
  // How an op's memory time m and compute time c add up: (m^p + c^p)^(1/p); absent: p = 1, the sum.
  std::optional<Sourced<double>> overlap;
  // a + b of the beta distribution that the experts' probabilities come from (mean k / E); absent:
  // every expert is equally likely.
  std::optional<Sourced<double>> routing_concentration;
  std::vector<KnownLimit> known_limits;
  int threads = 0;                     // thread count the figures were measured with, 0 = device
  friend bool operator==(const Backend&, const Backend&) = default;
};

// The backend as it is expected to behave on `machine`. Unchanged when it belongs to that machine
// (also to several of it) or to a class. Otherwise borrowed: bandwidths times the ratio of
// achievable bandwidths, compute and element rates times the ratio of bf16 rates, fixed costs as
// they are; calibrated = false and every source derived. Rates that cannot be scaled are left out.
Backend backend_for(const Backend& backend, const Machine& machine);
// True when backend_for() would change nothing.
bool is_fitted(const Backend& backend, const Machine& machine);

}  // namespace bandwall
