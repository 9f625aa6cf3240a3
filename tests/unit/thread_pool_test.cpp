#include "runtime/thread_pool.h"

#include "runtime/pass.h"

#include <filesystem>
#include <fstream>
#include <stdexcept>

#include <sched.h>
#include <unistd.h>

#include <gtest/gtest.h>

namespace bandwall {
namespace {

TEST(ThreadPool, EveryThreadRunsOncePerCall) {
  for (const int threads : {1, 2, 3, 5}) {
    ThreadPool pool(threads, Pinning::On);
    EXPECT_EQ(pool.size(), threads);
    std::vector<int> calls(static_cast<std::size_t>(threads));
    for (int round = 0; round < 200; ++round) {
      pool.run([&](int thread, int count) {
        EXPECT_EQ(count, threads);
        ++calls[static_cast<std::size_t>(thread)];
      });
    }
    EXPECT_EQ(calls, std::vector<int>(static_cast<std::size_t>(threads), 200));
  }
}

TEST(ThreadPool, BarrierSeparatesPhases) {
  constexpr int kThreads = 4, kPhases = 300;
  ThreadPool pool(kThreads, Pinning::Off);
  std::atomic<int> arrived{0};
  std::atomic<bool> wrong{false};
  pool.run([&](int, int) {
    for (int phase = 1; phase <= kPhases; ++phase) {
      arrived.fetch_add(1);
      pool.barrier();
      if (arrived.load() < phase * kThreads) wrong = true;
      pool.barrier();
    }
  });
  EXPECT_FALSE(wrong);
  EXPECT_EQ(arrived, kThreads * kPhases);
}

TEST(ThreadPool, WorkQueueHandsOutEveryIndexOnce) {
  ThreadPool pool(3, Pinning::Off);
  WorkQueue queue;
  std::vector<int> taken(1001);
  queue.reset(1001, 7);
  pool.run([&](int, int) {
    std::int64_t begin = 0, end = 0;
    while (queue.take(begin, end)) {
      for (std::int64_t i = begin; i < end; ++i) ++taken[static_cast<std::size_t>(i)];
    }
  });
  EXPECT_EQ(taken, std::vector<int>(1001, 1));
}

TEST(ThreadPool, SharedWorkIsDoneOnceAndMixesWithCommonWork) {
  ThreadPool pool(4, Pinning::Off);
  WorkQueue queue;
  std::vector<int> taken(257);
  std::atomic<int> common{0};
  constexpr int kRounds = 2000;
  for (int round = 0; round < kRounds; ++round) {
    queue.reset(257, 16);
    pool.share(round % 2 == 0 ? WorkSize::Short : WorkSize::Long, [&](int, int threads) {
      EXPECT_EQ(threads, 4);
      std::int64_t begin = 0, end = 0;
      while (queue.take(begin, end)) {
        for (std::int64_t i = begin; i < end; ++i) ++taken[static_cast<std::size_t>(i)];
      }
    });
    if (round % 3 == 0) pool.run([&](int, int) { ++common; });
  }
  EXPECT_EQ(taken, std::vector<int>(257, kRounds));
  EXPECT_EQ(common, (kRounds + 2) / 3 * 4);
}

TEST(ThreadPool, SharedWorkCarriesExceptionsToo) {
  ThreadPool pool(2, Pinning::Off);
  for (int i = 0; i < 50; ++i) {
    EXPECT_THROW(pool.share(WorkSize::Short,
                            [](int thread, int) {
                              if (thread == 0) throw std::runtime_error("x");
                            }),
                 std::runtime_error);
  }
  int calls = 0;
  pool.share(WorkSize::Long, [&](int thread, int) {
    if (thread == 0) ++calls;
  });
  EXPECT_EQ(calls, 1);
}

TEST(ThreadPool, CarriesAnExceptionToTheCallerAndGoesOn) {
  ThreadPool pool(3, Pinning::Off);
  for (int who = 0; who < 3; ++who) {
    EXPECT_THROW(pool.run([&](int thread, int) {
      if (thread == who) throw std::runtime_error("x");
    }),
                 std::runtime_error);
  }
  std::atomic<int> calls{0};
  pool.run([&](int, int) { ++calls; });
  EXPECT_EQ(calls, 3);
}

TEST(ThreadPool, GivesTheCallersProcessorsBack) {
  const std::vector<int> before = usable_cpus();
  { ThreadPool pool(std::min(2, default_threads()), Pinning::On); }
  EXPECT_EQ(usable_cpus(), before);
}

TEST(ThreadPool, SleepingWorkersWakeUp) {
  ThreadPool pool(2, Pinning::On);
  int sum = 0;
  for (int i = 0; i < 5; ++i) {
    struct timespec pause {
      0, 2'000'000
    };  // far beyond the spinning
    nanosleep(&pause, nullptr);
    pool.run([&](int thread, int) {
      if (thread == 1) ++sum;
    });
  }
  EXPECT_EQ(sum, 5);
}

TEST(ThreadPool, QuotaOfTheControlGroup) {
  namespace fs = std::filesystem;
  const fs::path root =
      fs::temp_directory_path() / ("bandwall_quota_" + std::to_string(::getpid()));
  const auto write = [&](const char* name, const char* text) {
    const fs::path path = root / "sys/fs/cgroup" / name;
    fs::create_directories(path.parent_path());
    std::ofstream(path) << text;
  };
  EXPECT_EQ(cpu_quota_at(root), 0);
  write("cpu/cpu.cfs_quota_us", "-1\n");
  write("cpu/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(cpu_quota_at(root), 0);
  write("cpu/cpu.cfs_quota_us", "50000\n");
  EXPECT_EQ(cpu_quota_at(root), 0.5);
  write("cpu.max", "250000 100000\n");
  EXPECT_EQ(cpu_quota_at(root), 2.5);
  fs::remove(root / "sys/fs/cgroup/cpu/cpu.cfs_quota_us");
  write("cpu.max", "max 100000\n");
  EXPECT_EQ(cpu_quota_at(root), 0);
  fs::remove_all(root);
}

TEST(ThreadPool, CpusAreDistinctAndNotMoreThanTheMask) {
  const std::vector<int> cpus = usable_cpus();
  EXPECT_GE(cpus.size(), static_cast<std::size_t>(default_threads()));
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) == 0) {
    EXPECT_EQ(static_cast<int>(cpus.size()), CPU_COUNT(&set));
  }
}

TEST(ThreadPool, ASecondPoolOfTheSameThreadSeesAllProcessors) {
  const std::vector<int> before = usable_cpus();
  const ThreadPool first(2, Pinning::On);
  EXPECT_EQ(usable_cpus(), before);
  {
    const ThreadPool second(2, Pinning::On);
    EXPECT_EQ(usable_cpus(), before);
  }
  EXPECT_EQ(usable_cpus(), before);
}

TEST(Divide, CoversEveryItemInOrderAndShrinks) {
  const std::vector<std::int64_t> sizes = {700, 0, 33, 2048};
  for (const int threads : {2, 3, 16}) {
    for (const PieceSizes how : {PieceSizes::Even, PieceSizes::Shrinking}) {
      std::vector<std::int64_t> reached(sizes.size(), 0);
      std::int64_t last_item = 0, previous = INT64_MAX;
      for (const PieceRange& piece : divide(sizes, 32, how, threads)) {
        ASSERT_GE(piece.item, last_item);
        last_item = piece.item;
        auto& at = reached[static_cast<std::size_t>(piece.item)];
        ASSERT_EQ(piece.begin, at);
        ASSERT_GT(piece.end, piece.begin);
        at = piece.end;
        const std::int64_t length = piece.end - piece.begin;
        const bool ends_item = at == sizes[static_cast<std::size_t>(piece.item)];
        if (!ends_item) {
          EXPECT_EQ(length % 32, 0);
          EXPECT_LE(length, previous);
          previous = length;
        }
        if (how == PieceSizes::Even) {
          EXPECT_LE(length, 32);
        }
      }
      EXPECT_EQ(reached, sizes);
    }
  }
  // Two threads: a quarter of 64 units first, single units last.
  const auto pieces = divide({2048}, 32, PieceSizes::Shrinking, 2);
  EXPECT_EQ(pieces.front().end, 512);
  EXPECT_EQ(pieces.back().begin, 2016);
  EXPECT_LT(pieces.size(), 20u);
}

}  // namespace
}  // namespace bandwall
