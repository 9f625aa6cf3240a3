#include "runtime/thread_pool.h"

#include <chrono>
#include <cmath>
#include <exception>
#include <fstream>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <fmt/format.h>

#include "hwmodel/error.h"
#include "runtime/host.h"

namespace bandwall {
namespace {

using Clock = std::chrono::steady_clock;

void pause_cpu() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("isb" ::: "memory");
#endif
}

// Pauses before sleeping, about 25 us. A thread that sleeps soon keeps its claim to the processor
// beside another program: with one busy program on two cores decode kept 51 % of its speed with
// 4000 pauses, 59 with 1000, 61 with 800 and 65 with 600 (medians); alone, 800 cost nothing that
// could be measured, 600 about 3 %, and 400 a third of the speed of a model that lies in the cache.
constexpr int kSpins = 800;

// A counter to wait on: spins briefly, then sleeps in the kernel until somebody advances it.
class Event {
 public:
  std::uint32_t value() const { return value_.load(std::memory_order_acquire); }

  void advance() {
    value_.fetch_add(1, std::memory_order_seq_cst);
    if (sleepers_.load(std::memory_order_seq_cst) > 0) {
      syscall(SYS_futex, &value_, FUTEX_WAKE_PRIVATE, 0x7fffffff, nullptr, nullptr, 0);
    }
  }

  void wait_while(std::uint32_t old, int spins) {
    for (int i = 0; i < spins; ++i) {
      if (value() != old) return;
      pause_cpu();
    }
    sleepers_.fetch_add(1, std::memory_order_seq_cst);
    while (value_.load(std::memory_order_seq_cst) == old) {
      // Returns at once when the value has changed meanwhile.
      syscall(SYS_futex, &value_, FUTEX_WAIT_PRIVATE, old, nullptr, nullptr, 0);
    }
    sleepers_.fetch_sub(1, std::memory_order_seq_cst);
  }

 private:
  alignas(64) std::atomic<std::uint32_t> value_{0};
  std::atomic<int> sleepers_{0};
};

std::string topology(int cpu, const char* file) {
  std::ifstream in(fmt::format("/sys/devices/system/cpu/cpu{}/topology/{}", cpu, file));
  std::string text;
  std::getline(in, text);
  return text;
}

// The processors of the affinity mask; empty when the system does not say.
std::vector<int> allowed_cpus() {
  std::vector<int> cpus;
  for (int size = 1024; size <= 1 << 18; size *= 2) {
    cpu_set_t* set = CPU_ALLOC(static_cast<std::size_t>(size));
    if (set == nullptr) return cpus;
    const std::size_t bytes = CPU_ALLOC_SIZE(static_cast<std::size_t>(size));
    CPU_ZERO_S(bytes, set);
    if (sched_getaffinity(0, bytes, set) == 0) {
      for (int i = 0; i < size; ++i) {
        if (CPU_ISSET_S(static_cast<std::size_t>(i), bytes, set)) cpus.push_back(i);
      }
      CPU_FREE(set);
      return cpus;
    }
    CPU_FREE(set);
  }
  return cpus;
}

void pin_to(const std::vector<int>& cpus) {
  int most = 0;
  for (const int cpu : cpus) most = std::max(most, cpu);
  const auto count = static_cast<std::size_t>(most) + 1;
  cpu_set_t* set = CPU_ALLOC(count);
  if (set == nullptr) return;
  const std::size_t bytes = CPU_ALLOC_SIZE(count);
  CPU_ZERO_S(bytes, set);
  for (const int cpu : cpus) CPU_SET_S(static_cast<std::size_t>(cpu), bytes, set);
  sched_setaffinity(0, bytes, set);  // best effort: a refusal costs speed, not results
  CPU_FREE(set);
}

// What a new thread reserves.
Bytes stack_bytes() {
  std::size_t size = 0;
  pthread_attr_t attributes;
  if (pthread_getattr_default_np(&attributes) == 0) {
    pthread_attr_getstacksize(&attributes, &size);
    pthread_attr_destroy(&attributes);
  }
  return Bytes(static_cast<double>(size));
}

struct CpuOrder {
  std::vector<int> cpus;
  int cores = 0;
};

// A pool pins its caller; a second pool of the same thread must still see the processors that were
// allowed before, or all its threads would share the one that the first pool left.
thread_local std::vector<int> mask_before_pinning;

CpuOrder order_cpus() {
  CpuOrder order;
  std::vector<int> siblings;
  std::set<std::string> seen;
  for (const int cpu : mask_before_pinning.empty() ? allowed_cpus() : mask_before_pinning) {
    const std::string core = topology(cpu, "core_id");
    const std::string key = topology(cpu, "physical_package_id") + "/" + core;
    const bool first = core.empty() || seen.insert(key).second;
    (first ? order.cpus : siblings).push_back(cpu);
  }
  order.cores = static_cast<int>(order.cpus.size());
  order.cpus.insert(order.cpus.end(), siblings.begin(), siblings.end());
  return order;
}

}  // namespace

std::vector<int> usable_cpus() { return order_cpus().cpus; }

double cpu_quota_at(const std::string& root) {
  const std::string group = root + "/sys/fs/cgroup/";
  double quota = 0, period = 0;
  if (std::ifstream file(group + "cpu.max"); file >> quota >> period) {  // "max 100000": no limit
    return quota > 0 && period > 0 ? quota / period : 0;
  }
  std::ifstream quota_file(group + "cpu/cpu.cfs_quota_us");
  std::ifstream period_file(group + "cpu/cpu.cfs_period_us");
  if (quota_file >> quota && period_file >> period && quota > 0 && period > 0)
    return quota / period;
  return 0;
}

int default_threads() {
  const int cores = std::max(1, order_cpus().cores);
  const double quota = cpu_quota_at("");
  return quota > 0 && quota < cores ? std::max(1, static_cast<int>(std::ceil(quota))) : cores;
}

struct ThreadPool::Impl {
  int threads = 1;
  int spins = kSpins;
  std::vector<std::thread> workers;
  std::vector<int> cpus;          // one per thread; empty = not pinned
  std::vector<int> callers_cpus;  // the caller's mask before, to give back
  bool first_to_pin = false;
  const std::function<void(int, int)>* work = nullptr;
  std::atomic<bool> stop{false};
  Event start, finish, meeting;
  alignas(64) std::atomic<std::uint32_t> common{0};  // counts run() calls; each thread joins each
  alignas(64) std::atomic<int> running{0};
  alignas(64) std::atomic<int> arrived{0};
  // share(): kOpen while threads may join, plus the number of those inside.
  static constexpr std::uint32_t kOpen = 1u << 31;
  alignas(64) std::atomic<std::uint32_t> gate{0};
  std::mutex mutex;
  std::exception_ptr failure;

  void call(int thread) {
    try {
      (*work)(thread, threads);
    } catch (...) {
      const std::lock_guard<std::mutex> lock(mutex);
      if (!failure) failure = std::current_exception();
    }
  }

  // Helpers that the host keeps from running hold everybody up. When the last few dozen pieces of
  // work took longer to wait for than to do, which is when help no longer pays, the caller goes on
  // alone for a while, longer each time it happens soon again: many threads are then hardly slower
  // than one on a busy host, and one helper that is late now and then costs no more than that.
  Clock::time_point alone_until{}, last_late{};
  Clock::duration alone{};
  double worked_lately = 0, waited_lately = 0;  // nanoseconds

  void learn_from_wait(Clock::duration worked, Clock::duration waited, Clock::time_point now) {
    constexpr auto kMost = std::chrono::microseconds(200000);
    constexpr double kKept = 0.98;
    worked_lately = kKept * worked_lately + static_cast<double>(worked.count());
    waited_lately = kKept * waited_lately + static_cast<double>(waited.count());
    if (waited_lately < worked_lately) return;
    const bool soon = now - last_late < 8 * alone;
    alone = std::min<Clock::duration>(soon ? 2 * alone : 2 * waited, kMost);
    last_late = now;
    alone_until = now + alone;
    worked_lately = waited_lately = 0;
  }

  bool enter() {
    std::uint32_t inside = gate.load(std::memory_order_acquire);
    while ((inside & kOpen) != 0) {
      if (gate.compare_exchange_weak(inside, inside + 1, std::memory_order_acq_rel)) return true;
    }
    return false;
  }

  void serve(int thread) {
    if (!cpus.empty()) pin_to({cpus[static_cast<std::size_t>(thread)]});
    std::uint32_t seen = 0, joined = 0;
    for (;;) {
      start.wait_while(seen, spins);
      seen = start.value();
      if (stop.load(std::memory_order_acquire)) return;
      if (common.load(std::memory_order_acquire) != joined) {
        ++joined;
        call(thread);
        if (running.fetch_sub(1, std::memory_order_acq_rel) == 1) finish.advance();
      } else if (enter()) {
        call(thread);
        // The last one to leave a closed gate wakes the caller.
        if (gate.fetch_sub(1, std::memory_order_acq_rel) == 1) finish.advance();
      }
    }
  }

  void rethrow() {
    if (!failure) return;
    const std::exception_ptr thrown = std::exchange(failure, nullptr);
    std::rethrow_exception(thrown);
  }

  void shut_down() {
    stop.store(true, std::memory_order_release);
    start.advance();
    for (std::thread& worker : workers) worker.join();
    if (!callers_cpus.empty()) pin_to(callers_cpus);
    if (first_to_pin) mask_before_pinning.clear();
  }
};

ThreadPool::ThreadPool(int threads, Pinning pinning) : impl_(std::make_unique<Impl>()) {
  BANDWALL_CHECK(threads >= 1);
  impl_->threads = threads;
  const std::vector<int> cpus = usable_cpus();
  // More threads than processors: spinning would steal time from the threads that work.
  if (static_cast<std::size_t>(threads) > cpus.size()) {
    impl_->spins = 0;
  } else if (pinning == Pinning::On && threads > 1) {
    impl_->cpus.assign(cpus.begin(), cpus.begin() + threads);
    impl_->callers_cpus = allowed_cpus();
    impl_->first_to_pin = mask_before_pinning.empty();
    if (impl_->first_to_pin) mask_before_pinning = cpus;
  }
  try {
    for (int i = 1; i < threads; ++i) {
      impl_->workers.emplace_back([impl = impl_.get(), i] { impl->serve(i); });
    }
  } catch (const std::exception& e) {  // no thread, or no memory to keep account of it
    impl_->callers_cpus.clear();       // not pinned yet
    impl_->shut_down();
    throw Error::running("threads",
                         fmt::format("{} threads cannot be started ({}): their stacks take {}, {} "
                                     "is available; ask for fewer (-t)",
                                     threads, e.what(), gb_and_gib(stack_bytes() * (threads - 1)),
                                     available_memory()));
  }
  if (!impl_->cpus.empty()) pin_to({impl_->cpus[0]});
}

ThreadPool::~ThreadPool() { impl_->shut_down(); }

int ThreadPool::size() const { return impl_->threads; }

void ThreadPool::run(const std::function<void(int thread, int threads)>& work) {
  Impl& p = *impl_;
  if (p.threads == 1) {
    work(0, 1);
    return;
  }
  const std::uint32_t before = p.finish.value();
  p.work = &work;
  p.running.store(p.threads - 1, std::memory_order_relaxed);
  p.common.fetch_add(1, std::memory_order_release);
  p.start.advance();
  p.call(0);
  p.finish.wait_while(before, p.spins);
  p.rethrow();
}

void ThreadPool::share(WorkSize size, const std::function<void(int thread, int threads)>& work) {
  Impl& p = *impl_;
  const auto begin = Clock::now();
  if (p.threads == 1 || (size == WorkSize::Short && begin < p.alone_until)) {
    work(0, p.threads);
    return;
  }
  const std::uint32_t before = p.finish.value();
  p.work = &work;
  p.gate.store(Impl::kOpen, std::memory_order_release);
  p.start.advance();
  p.call(0);
  const std::uint32_t inside = p.gate.fetch_and(~Impl::kOpen, std::memory_order_acq_rel);
  const auto done = Clock::now();
  auto end = done;
  if ((inside & ~Impl::kOpen) != 0) {
    p.finish.wait_while(before, p.spins);
    end = Clock::now();
  }
  if (size == WorkSize::Short) p.learn_from_wait(done - begin, end - done, end);
  p.rethrow();
}

void ThreadPool::barrier() {
  Impl& p = *impl_;
  if (p.threads == 1) return;
  const std::uint32_t before = p.meeting.value();
  if (p.arrived.fetch_add(1, std::memory_order_acq_rel) + 1 == p.threads) {
    p.arrived.store(0, std::memory_order_relaxed);
    p.meeting.advance();
  } else {
    p.meeting.wait_while(before, p.spins);
  }
}

}  // namespace bandwall
