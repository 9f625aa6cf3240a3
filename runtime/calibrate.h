// Measures this host with the engine itself: read bandwidth over working sets and threads, and the
// ops of made-up models of realistic width, larger than the caches, each sample with plain reading
// beside it. Fitted: stream rates per format for dense matrices and experts, rates of products over
// rows, attention over depths, heads and KV formats, costs of every kind of op. Result: a Machine
// and one Backend per thread count, with source "measured".
//   Calibration c = calibrate({.budget = Seconds(15)});
// Medians and the spread are kept. No file is written here.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "hwmodel/machine.h"
#include "runtime/engine.h"
#include "workload/format.h"

namespace bandwall {

struct CalibrateOptions {
  Seconds budget{100};          // <= 15 s: quick form (one thread count, fewer sizes and formats)
  int threads = 0;              // 0: default_threads(), and 1 as well
  std::vector<Format> formats;  // empty: all with kernels (quick form: the common ones)
  std::function<void(const std::string&, double done)> progress;  // may be empty
};

struct Calibration {
  Machine machine;                // name "this"
  std::vector<Backend> backends;  // name "bandwall-cpu"; all threads first, then one
  std::string date, environment;  // cpu, isa, kernel, compiler
  double spread = 0;              // relative: median absolute deviation of the bandwidth probe
  bool host_busy = false;         // other work was seen while measuring
  std::string warning;            // one sentence when host_busy
  std::vector<std::string> remarks;  // figures that the probes do not determine
};

Calibration calibrate(const CalibrateOptions& options);

// Plain reading at this moment. How the pages of a file lie in memory decides how fast they are
// read, by a tenth and more between files, so its weights are read where they lie.
struct PlainReading {
  BytesPerSecond memory;  // of memory in huge pages where the system grants them, as the cache has
  BytesPerSecond pages;   // of the model's own pages; 0 where caches hold a large part of it
};

// Slices all over each, about 20 ms, all of them long out of the caches. The model must outlive the
// probe and its pages be in memory (a step of an engine sees to that); nullptr: memory only.
class ReadProbe {
 public:
  explicit ReadProbe(int threads, const LoadedModel* model = nullptr);
  ~ReadProbe();
  PlainReading sample();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// The same over about 0.3 s: shared hosts drift by tens of per cent within minutes, so a run is
// paired with a probe before it (for the prediction) and after it (for the ceiling).
struct BandwidthNow {
  PlainReading median;
  BytesPerSecond best;  // of memory
};
BandwidthNow probe_bandwidth(int threads, const LoadedModel* model = nullptr);

}  // namespace bandwall
