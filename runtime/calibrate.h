// Measures this host with the engine's own compiled kernels: read bandwidth over working sets and
// threads, stream rate per format on model-like shapes, op and barrier cost, GEMM rate per format
// over n, attention over KV. Result: a Machine and a Backend with source "measured".
//   Calibration c = calibrate({.budget = Seconds(15)});
// Probes are interleaved and repeated; medians and the spread are kept. No file is written here.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "hwmodel/machine.h"
#include "workload/format.h"

namespace bandwall {

struct CalibrateOptions {
  Seconds budget{100};          // <= 15 s: quick form (fewer sizes and formats)
  int threads = 0;              // 0: default_threads()
  std::vector<Format> formats;  // empty: all with kernels (quick form: the common ones)
  std::function<void(const std::string&, double done)> progress;  // may be empty
};

struct Calibration {
  Machine machine;                // name "this"
  Backend backend;                // name "bandwall-cpu"
  std::string date, environment;  // cpu, isa, kernel, compiler
  double spread = 0;              // relative: median absolute deviation of the bandwidth probe
  bool host_busy = false;         // other work was seen while measuring
  std::string warning;            // one sentence when host_busy
};

Calibration calibrate(const CalibrateOptions& options);

// Plain read bandwidth of main memory at this moment, about 0.3 s, measured as calibrate() measures
// pool().achievable: shared hosts drift by tens of per cent within minutes, so a run is paired with
// a probe before it (for the prediction) and after it (for the ceiling).
struct BandwidthNow {
  BytesPerSecond median, best;
};
BandwidthNow probe_bandwidth(int threads);

// The same, short and repeated: one sample is about 40 ms. Reads memory in huge pages where the
// system grants them, the fastest that memory can be read, so that shares are not flattered.
class ReadProbe {
 public:
  explicit ReadProbe(int threads);
  ~ReadProbe();
  BytesPerSecond sample();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace bandwall
