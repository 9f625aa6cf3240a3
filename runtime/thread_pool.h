// A pool of pinned threads that run one function together; the caller is thread 0.
//   ThreadPool pool(2, Pinning::On);
//   pool.run([&](int thread, int threads) { ... pool.barrier(); ... });
// barrier(): all threads meet; spins briefly, then sleeps on a futex, so a busy host does not
// collapse. chunk counters: WorkQueue hands out [begin, end) ranges, first come first served.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>

namespace bandwall {

enum class Pinning { Off, On };

class ThreadPool {
 public:
  ThreadPool(int threads, Pinning pinning);
  ~ThreadPool();
  int size() const;
  void run(const std::function<void(int thread, int threads)>& work);
  void barrier();               // inside run only

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Physical cores that this process may use (affinity mask respected), at least 1.
int default_threads();

}  // namespace bandwall
