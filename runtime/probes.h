// The single measurements that calibrate() is made of. Each returns one sample; calibrate repeats
// and interleaves them and keeps medians. They call the engine's own compiled kernels through its
// table and its thread pool, because a copy of a kernel inlined elsewhere runs 12-20 % differently.
//   Arena arena(512 << 20);  Series s;  s.add(read_rate(pool, arena.data(), arena.size(), 0.03));
// Times are seconds, rates are units per second, both as plain doubles. No file, no output.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "runtime/kernels/kernels.h"
#include "runtime/thread_pool.h"

namespace bandwall {

// Samples of one figure.
class Series {
 public:
  void add(double sample) { samples_.push_back(sample); }
  bool empty() const { return samples_.empty(); }
  double median() const;  // 0 when empty
  double best() const;    // the largest
  double spread() const;  // median absolute deviation / median

 private:
  std::vector<double> samples_;
};

// How memory is mapped decides how fast it streams: a model file is mapped in plain pages, the KV
// cache in huge ones where the system allows it.
enum class Pages { Plain, Huge };

// Anonymous memory in such pages; every page is touched, so probes meet no page fault.
class Arena {
 public:
  explicit Arena(std::size_t bytes,
                 Pages pages = Pages::Huge);  // throws Error (Running) when the system has no room
  ~Arena();
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;
  std::byte* data() { return data_; }
  const std::byte* data() const { return data_; }
  std::size_t size() const { return size_; }

 private:
  std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

// Fills [data, data + size) with random blocks whose values are ordinary (finite, no denormals): a
// block that expands to anything else is drawn again, so no layout is written down here twice.
void fill_random_blocks(Format format, std::byte* data, std::size_t size, std::uint64_t seed);

// One pass of this thread over the region (a multiple of 512 bytes): the body of read_rate. The sum
// of what it saw keeps the compiler from leaving it out.
long long read_once(const std::byte* data, std::size_t size);

// Bytes per second of all threads of the pool reading the region again and again.
double read_rate(ThreadPool& pool, const std::byte* data, std::size_t size, double at_least);

// The same for one pass over slices (of a multiple of 512 bytes) that nobody has just read; threads
// take the next slice when they are done with one, as the engine's do.
double read_slices_rate(ThreadPool& pool, std::span<const std::span<const std::byte>> slices);

// Matrices of one shape that lie in `data` one after the other, visited in shuffled order, each
// multiplied with n rows of activations, rows divided evenly among the threads, a barrier after
// each.
struct MatrixProbe {
  Format format = Format::F32;
  std::int64_t cols = 0, rows = 0, count = 0;
  std::int64_t n = 1;
  std::int64_t row_bytes() const;
  double bytes() const;  // of one matrix
  double flops() const;  // of one matrix and n rows
};
// A probe whose matrices have about `matrix_bytes` and together at most `working_set` bytes.
MatrixProbe matrix_probe(Format format, std::int64_t cols, double matrix_bytes, double working_set,
                         std::int64_t n);
// Seconds per matrix, barrier included.
double matrix_seconds(const KernelTable& table, ThreadPool& pool, const MatrixProbe& probe,
                      const std::byte* data, double at_least);

// FLOP/s of OpenBLAS's float32 product of two n x n matrices on one thread: a yardstick of its own
// for the compute ceiling. 0 where OpenBLAS is not installed or memory is short.
double blas_rate(std::int64_t n);

// Seconds of one barrier, and of handing one empty function to the pool.
double barrier_seconds(ThreadPool& pool);
double run_seconds(ThreadPool& pool);

// Seconds of one decode attention op (all KV heads of a layer, one query position) over `cells`
// cells, and the bytes of K and V it reads. Layers beyond the caches rotate through `data`.
struct AttentionProbe {
  std::string_view type;  // "f16" or "f32", K and V alike
  std::int64_t cells = 0, kv_heads = 4, group = 4, head_dim = 128;
  std::int64_t n = 1;  // query positions
  double bytes() const;
  double flops() const;
};
double attention_seconds(const KernelTable& table, ThreadPool& pool, const AttentionProbe& probe,
                         const std::byte* data, std::size_t size, double at_least);

// Takes the sample again, up to four times, while the kernel gave the processor to others during
// it, and returns the one with the fewest such switches.
double quiet_sample(const std::function<double()>& probe);

// What else the host did meanwhile.
struct HostWatch {
  HostWatch();
  double others() const;               // processors' worth of work by others since construction
  double stolen() const;               // share of time the hypervisor gave to other machines
  double switches() const;             // involuntary context switches of this process

 private:
  double start_, busy_, own_, steal_, switches_;
};

}  // namespace bandwall
