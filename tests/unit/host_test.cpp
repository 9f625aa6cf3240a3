#include "runtime/host.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>

#include "hwmodel/error.h"

namespace bandwall {
namespace {

namespace fs = std::filesystem;

// A recorded machine in a temporary folder.
class HostTree : public ::testing::Test {
 protected:
  void SetUp() override {
    root_ = fs::path(::testing::TempDir()) /
            ("bandwall_host_" +
             std::string(::testing::UnitTest::GetInstance()->current_test_info()->name()));
    fs::remove_all(root_);
  }
  void TearDown() override { fs::remove_all(root_); }
  void write(const std::string& path, const std::string& text) {
    const fs::path full = root_ / path;
    fs::create_directories(full.parent_path());
    std::ofstream(full) << text;
  }
  HostInfo read() { return host_info_at(root_.string()); }

  void two_core_machine() {
    std::string cpuinfo;
    for (int p = 0; p < 4; ++p) {
      cpuinfo += "processor\t: " + std::to_string(p) +
                 "\nmodel name\t: Test CPU 9000\nphysical id\t: 0\n" +
                 "core id\t\t: " + std::to_string(p / 2) +
                 "\nflags\t\t: fpu avx avx2 fma avx512f zzz\n\n";
    }
    write("proc/cpuinfo", cpuinfo);
    write("proc/meminfo", "MemTotal:       16384 kB\nMemFree: 1 kB\nMemAvailable:    8192 kB\n");
    write("proc/loadavg", "1.25 0.50 0.10 1/100 1234\n");
    write("sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n");
    const std::string cache = "sys/devices/system/cpu/cpu0/cache/index";
    const char* levels[4][3] = {{"1", "Data", "48K"},
                                {"1", "Instruction", "32K"},
                                {"2", "Unified", "1024K"},
                                {"3", "Unified", "32M"}};
    for (int i = 0; i < 4; ++i) {
      write(cache + std::to_string(i) + "/level", std::string(levels[i][0]) + "\n");
      write(cache + std::to_string(i) + "/type", std::string(levels[i][1]) + "\n");
      write(cache + std::to_string(i) + "/size", std::string(levels[i][2]) + "\n");
    }
  }
  fs::path root_;
};

TEST_F(HostTree, ReadsCpuCachesMemoryAndLoad) {
  two_core_machine();
  const HostInfo h = read();
  EXPECT_EQ(h.cpu, "Test CPU 9000");
  EXPECT_EQ(h.logical_cpus, 4);
  EXPECT_EQ(h.physical_cores, 2);
  EXPECT_EQ(h.isa, (std::vector<std::string>{"avx", "avx2", "fma", "avx512f"}));
  EXPECT_EQ(h.l1d, Bytes(48 * kKiB));
  EXPECT_EQ(h.l2, Bytes(kMiB));
  EXPECT_EQ(h.l3, Bytes(32 * kMiB));
  EXPECT_EQ(h.memory_total, Bytes(16 * kMiB));
  EXPECT_EQ(h.memory_available, Bytes(8 * kMiB));
  EXPECT_DOUBLE_EQ(h.load1, 1.25);
  EXPECT_EQ(h.huge_pages, "madvise");
}

TEST_F(HostTree, MemoryGroupOfVersionTwoLimitsMemory) {
  two_core_machine();
  write("proc/self/cgroup", "0::/box/inner\n");
  write("sys/fs/cgroup/box/inner/memory.max", "max\n");
  write("sys/fs/cgroup/box/memory.max", "4194304\n");  // the parent's limit counts
  write("sys/fs/cgroup/box/memory.current", "3145728\n");
  write("sys/fs/cgroup/box/memory.stat", "anon 1\ninactive_file 2097152\n");
  const HostInfo h = read();
  EXPECT_EQ(h.memory_total, Bytes(4 * kMiB));
  EXPECT_EQ(h.memory_available, Bytes(3 * kMiB));  // 4 - (3 used - 2 droppable)
}

TEST_F(HostTree, MemoryGroupOfVersionOneLimitsMemory) {
  two_core_machine();
  write("proc/self/cgroup", "4:memory:/job\n1:cpu:/\n");
  write("sys/fs/cgroup/memory/job/memory.limit_in_bytes", "2097152\n");
  write("sys/fs/cgroup/memory/job/memory.usage_in_bytes", "1048576\n");
  const HostInfo h = read();
  EXPECT_EQ(h.memory_total, Bytes(2 * kMiB));
  EXPECT_EQ(h.memory_available, Bytes(kMiB));
}

TEST_F(HostTree, TheLimitOfTheAddressSpaceLimitsMemory) {
  two_core_machine();
  const std::string limits =
      "Limit                     Soft Limit           Hard Limit           Units     \n"
      "Max stack size            8388608              unlimited            bytes     \n"
      "Max address space         ";
  write("proc/self/status", "Name:\tbandwall\nVmPeak:\t    3072 kB\nVmSize:\t    1024 kB\n");
  write("proc/self/limits", limits + "unlimited            unlimited            bytes\n");
  EXPECT_EQ(read().memory_available, Bytes(8 * kMiB));
  write("proc/self/limits", limits + "4194304              unlimited            bytes\n");
  EXPECT_EQ(read().memory_total, Bytes(4 * kMiB));
  EXPECT_EQ(read().memory_available, Bytes(3 * kMiB));
}

TEST_F(HostTree, NothingKnownIsEmptyNotGuessed) {
  const HostInfo h = read();
  EXPECT_FALSE(h.l1d || h.l2 || h.l3 || h.memory_total || h.memory_available);
  EXPECT_TRUE(h.cpu.empty());
  EXPECT_EQ(h.logical_cpus, 1);
}

TEST_F(HostTree, GarbageIsIgnored) {
  write("proc/cpuinfo", "::::\n:\nprocessor\n\xff\xfe");
  write("proc/meminfo", "MemTotal: -5 kB\nMemAvailable: 99999999999999999999999 kB\n");
  write("proc/self/cgroup", "broken\n::\n0::\n");
  EXPECT_FALSE(read().memory_total.has_value());
}

TEST(Host, RefusedMemoryIsToldWithBothAmounts) {
  try {
    throw_no_memory("here", "a buffer", 5e9, "ask for less");
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), Error::Kind::Running);
    const std::string text = e.what();
    EXPECT_NE(text.find("a buffer of 5.00 GB (4.66 GiB) cannot be had, "), std::string::npos)
        << text;
    EXPECT_NE(text.find(" is available; ask for less"), std::string::npos) << text;
  }
}

TEST(Host, ThisMachineHasACpuAndMemory) {
  const HostInfo h = host_info();
  EXPECT_GE(h.logical_cpus, h.physical_cores);
  EXPECT_GE(h.physical_cores, 1);
  ASSERT_TRUE(h.memory_total && h.memory_available);
  EXPECT_LE(*h.memory_available, *h.memory_total);
  EXPECT_FALSE(h.compiler.empty());
}

}  // namespace
}  // namespace bandwall
