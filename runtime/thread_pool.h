// A pool of pinned threads that run one function together; the caller is thread 0.
//   ThreadPool pool(2, Pinning::On);
//   pool.run([&](int thread, int threads) { ... pool.barrier(); ... });
// barrier(): all threads meet; spins briefly, then sleeps on a futex, so a busy host does not
// collapse. chunk counters: WorkQueue hands out [begin, end) ranges, first come first served.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace bandwall {

// Ranges of [0, total), `chunk` long, first come first served.
class WorkQueue {
 public:
  void reset(std::int64_t total, std::int64_t chunk) {
    total_ = total;
    chunk_ = std::max<std::int64_t>(1, chunk);
    next_.store(0, std::memory_order_relaxed);
  }
  bool take(std::int64_t& begin, std::int64_t& end) {
    begin = next_.fetch_add(chunk_, std::memory_order_relaxed);
    end = std::min(total_, begin + chunk_);
    return begin < total_;
  }

 private:
  std::int64_t total_ = 0, chunk_ = 1;
  alignas(64) std::atomic<std::int64_t> next_{0};
};

enum class Pinning { Off, On };
enum class WorkSize { Short, Long };  // below and above about 10 ms

class ThreadPool {
 public:
  ThreadPool(int threads, Pinning pinning);  // Error (Running): so many threads are refused
  ~ThreadPool();
  int size() const;
  // The first exception of any thread is rethrown when all have ended; work that calls barrier()
  // must not throw, the others would wait for ever.
  void run(const std::function<void(int thread, int threads)>& work);
  void barrier();  // inside run only
  // Runs work on the caller and on every other thread that arrives before the caller is done with
  // it; work takes its items from a WorkQueue. A thread that the host has put aside then costs
  // nothing but its help.
  // Short work is done alone for a while after a helper was late: waiting costs more than help.
  void share(WorkSize size, const std::function<void(int thread, int threads)>& work);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Physical cores that this process may use (affinity mask and CPU quota respected), at least 1.
int default_threads();

// Processors' worth of time that the control group under <root>/sys/fs/cgroup grants; 0 = no limit.
double cpu_quota_at(const std::string& root);

// Logical CPUs of the affinity mask: one of each physical core first, then their siblings.
std::vector<int> usable_cpus();

}  // namespace bandwall
