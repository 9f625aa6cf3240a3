#include "runtime/probes.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <fstream>
#include <numeric>

#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "runtime/host.h"

namespace bandwall {
namespace {

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// xorshift64*: small, seeded, the same on every machine.
struct Random {
  std::uint64_t state;
  std::uint64_t next() {
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return state * 0x2545F4914F6CDD1Dull;
  }
  float unit() { return static_cast<float>(next() >> 40) / 8388608.0f - 1.0f; }
};

double median_of(std::vector<double> v) {
  if (v.empty()) return 0;
  const auto middle = v.begin() + static_cast<std::ptrdiff_t>(v.size() / 2);
  std::nth_element(v.begin(), middle, v.end());
  if (v.size() % 2 == 1) return *middle;
  return (*middle + *std::max_element(v.begin(), middle)) / 2;
}

// Runs `pass` once to warm up and to see how long it takes, then often enough to fill `at_least`.
// Returns seconds per pass of the second part.
template <class Pass>
double seconds_per_pass(double at_least, Pass pass) {
  const double start = now();
  pass(1);
  const double once = std::max(1e-7, now() - start);
  const int passes = static_cast<int>(std::clamp(at_least / once, 1.0, 100000.0));
  const double begin = now();
  pass(passes);
  return (now() - begin) / passes;
}

// The read kernel: eight independent sums over whole cache lines, asked for 4 KB ahead, because the
// engine's kernels ask ahead too and a ceiling below them would be none. One body, compiled per
// instruction set, because the width of a load decides what caches can deliver.
#if defined(__clang__)
#define BANDWALL_UNROLL _Pragma("unroll")
#else
#define BANDWALL_UNROLL _Pragma("GCC unroll 8")
#endif
#define BANDWALL_READ_BODY(WIDE)                                            \
  typedef long long Wide __attribute__((vector_size(WIDE), aligned(WIDE))); \
  Wide sums[8] = {};                                                        \
  const Wide* p = reinterpret_cast<const Wide*>(data);                      \
  const std::size_t steps = size / (8 * sizeof(Wide));                      \
  for (std::size_t i = 0; i < steps; ++i, p += 8) {                         \
    BANDWALL_UNROLL                                                         \
    for (std::size_t b = 0; b < 8 * sizeof(Wide); b += 64) {                \
      __builtin_prefetch(reinterpret_cast<const char*>(p) + 4096 + b);      \
    }                                                                       \
    BANDWALL_UNROLL /* else the sums go through memory: half the speed */   \
    for (int k = 0; k < 8; ++k) sums[k] += p[k];                            \
  }                                                                         \
  BANDWALL_UNROLL                                                           \
  for (int k = 1; k < 8; ++k) sums[0] += sums[k];                           \
  return sums[0][0];

#if defined(__x86_64__)
__attribute__((target("avx512f"), noinline)) long long read_wide(const std::byte* data,
                                                                 std::size_t size) {
  BANDWALL_READ_BODY(64)
}
__attribute__((target("avx2"), noinline)) long long read_middle(const std::byte* data,
                                                                std::size_t size) {
  BANDWALL_READ_BODY(32)
}
#endif
__attribute__((noinline)) long long read_narrow(const std::byte* data, std::size_t size) {
  BANDWALL_READ_BODY(16)
}
#undef BANDWALL_READ_BODY
#undef BANDWALL_UNROLL

using ReadKernel = long long (*)(const std::byte*, std::size_t);
ReadKernel read_kernel() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f")) return read_wide;
  if (__builtin_cpu_supports("avx2")) return read_middle;
#endif
  return read_narrow;
}

// Activations of a probe in the forms its kernel wants.
struct ProbeRows {
  std::vector<float> f32, scale;
  std::vector<std::int8_t> q8;
  std::vector<std::int16_t> sums16;
  ActivationRows rows;
};

ProbeRows probe_rows(const KernelTable& table, Format format, std::int64_t n, std::int64_t cols) {
  ProbeRows p;
  Random random{0x9E3779B97F4A7C15ull};
  p.f32.resize(static_cast<std::size_t>(n * cols));
  for (float& x : p.f32) x = random.unit();
  p.rows.n = n;
  p.rows.cols = cols;
  p.rows.f32 = p.f32.data();
  if (wants_q8(table, format, cols)) {
    p.q8.resize(static_cast<std::size_t>(n * cols) + 64);
    p.scale.resize(static_cast<std::size_t>(n * cols / 32));
    p.sums16.resize(static_cast<std::size_t>(n * cols / 16));
    auto* aligned = reinterpret_cast<std::int8_t*>(
        (reinterpret_cast<std::uintptr_t>(p.q8.data()) + 63) & ~std::uintptr_t{63});
    p.rows.chunk_scales = wants_chunk_scales(table, format, cols, n);
    const auto quantize = p.rows.chunk_scales ? table.quantize_chunks : table.quantize_rows;
    quantize(p.f32.data(), n, cols, aligned, p.scale.data(), p.sums16.data());
    p.rows.q8 = aligned;
    p.rows.scale = p.scale.data();
    p.rows.sums16 = p.sums16.data();
  }
  return p;
}

std::vector<std::int64_t> shuffled(std::int64_t count) {
  std::vector<std::int64_t> order(static_cast<std::size_t>(count));
  std::iota(order.begin(), order.end(), 0);
  Random random{0xD1B54A32D192ED03ull};
  for (std::size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[random.next() % i]);
  return order;
}

bool is_ordinary(const std::vector<float>& values) {
  return std::all_of(values.begin(), values.end(), [](float x) {
    return x == 0.0f || (std::fabs(x) < 0.25f && std::fabs(x) > 1e-30f);
  });
}

struct CpuTimes {
  double busy = 0, steal = 0;
};

CpuTimes cpu_times() {
  std::ifstream in("/proc/stat");
  std::string label;
  double user = 0, nice = 0, system = 0, idle = 0, wait = 0, irq = 0, soft = 0, steal = 0;
  in >> label >> user >> nice >> system >> idle >> wait >> irq >> soft >> steal;
  const double tick = static_cast<double>(std::max(1L, sysconf(_SC_CLK_TCK)));
  return {(user + nice + system + irq + soft) / tick, steal / tick};
}

struct OwnTimes {
  double cpu = 0, switches = 0;
};

OwnTimes own_times() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec);
  };
  return {seconds(usage.ru_utime) + seconds(usage.ru_stime), static_cast<double>(usage.ru_nivcsw)};
}

}  // namespace

double Series::median() const { return median_of(samples_); }

double Series::best() const {
  return samples_.empty() ? 0 : *std::max_element(samples_.begin(), samples_.end());
}

double Series::spread() const {
  const double middle = median();
  if (!(middle > 0)) return 0;
  std::vector<double> away;
  for (const double s : samples_) away.push_back(std::fabs(s - middle));
  return median_of(away) / middle;
}

Arena::Arena(std::size_t bytes, Pages pages) {
  constexpr std::size_t kHuge = 2u << 20;
  size_ = (bytes + kHuge - 1) / kHuge * kHuge;
  void* p = mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED) {
    throw_no_memory("memory", "an area", static_cast<double>(size_),
                    "free some memory or allow the process more (ulimit -v)");
  }
  madvise(p, size_, pages == Pages::Huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);  // a wish, no more
  data_ = static_cast<std::byte*>(p);
  for (std::size_t i = 0; i < size_; i += 4096) data_[i] = std::byte{1};
  // A system that is full of other pages grants small ones at first and makes room when told to.
  constexpr int kCollapse = 25;  // MADV_COLLAPSE, Linux 6.1; older headers lack the name
  if (pages == Pages::Huge) madvise(p, size_, kCollapse);
}

Arena::~Arena() {
  if (data_ != nullptr) munmap(data_, size_);
}

void fill_random_blocks(Format format, std::byte* data, std::size_t size, std::uint64_t seed) {
  const auto block = static_cast<std::size_t>(info(format).bytes_per_block);
  const std::int64_t values = info(format).values_per_block;
  Random random{seed * 2 + 1};
  std::vector<std::byte> pattern(std::min(size, std::max<std::size_t>(block, 48 << 10)) / block *
                                 block);
  if (pattern.empty()) return;
  std::vector<float> expanded(static_cast<std::size_t>(values));
  for (std::size_t at = 0; at < pattern.size(); at += block) {
    int tries = 0;
    do {
      for (std::size_t i = 0; i < block; ++i) pattern[at + i] = std::byte(random.next() >> 56);
      dequantize(format, pattern.data() + at, values, expanded.data());
    } while (!is_ordinary(expanded) && ++tries < 1000);
    if (tries >= 1000) std::memset(pattern.data() + at, 0, block);
  }
  for (std::size_t at = 0; at < size; at += pattern.size()) {
    std::memcpy(data + at, pattern.data(), std::min(pattern.size(), size - at));
  }
}

long long read_once(const std::byte* data, std::size_t size) {
  static const ReadKernel kernel = read_kernel();
  return kernel(data, size);
}

double read_rate(ThreadPool& pool, const std::byte* data, std::size_t size, double at_least) {
  const ReadKernel kernel = read_kernel();
  const auto threads = static_cast<std::size_t>(pool.size());
  const std::size_t share = size / threads / 4096 * 4096;
  if (share == 0) return 0;
  std::vector<long long> sums(threads * 8);  // a cache line each
  const double seconds = seconds_per_pass(at_least, [&](int passes) {
    pool.run([&](int thread, int) {
      const auto t = static_cast<std::size_t>(thread);
      for (int i = 0; i < passes; ++i) sums[t * 8] += kernel(data + t * share, share);
    });
  });
  return static_cast<double>(share * threads) / seconds;
}

double read_slices_rate(ThreadPool& pool, std::span<const std::span<const std::byte>> slices) {
  const ReadKernel kernel = read_kernel();
  std::vector<long long> sums(static_cast<std::size_t>(pool.size()) * 8);  // a cache line each
  double bytes = 0;
  for (const std::span<const std::byte> s : slices) bytes += static_cast<double>(s.size());
  WorkQueue queue;
  queue.reset(static_cast<std::int64_t>(slices.size()), 1);
  const double start = now();
  pool.run([&](int thread, int) {
    std::int64_t begin = 0, end = 0;
    while (queue.take(begin, end)) {
      const std::span<const std::byte> s = slices[static_cast<std::size_t>(begin)];
      sums[static_cast<std::size_t>(thread) * 8] += kernel(s.data(), s.size());
    }
  });
  return bytes / std::max(1e-9, now() - start);
}

std::int64_t MatrixProbe::row_bytes() const { return bandwall::row_bytes(format, cols); }
double MatrixProbe::bytes() const { return static_cast<double>(rows * row_bytes()); }
double MatrixProbe::flops() const { return 2.0 * static_cast<double>(rows * cols * n); }

MatrixProbe matrix_probe(Format format, std::int64_t cols, double matrix_bytes, double working_set,
                         std::int64_t n) {
  MatrixProbe p{format, cols, 0, 0, n};
  const double row = static_cast<double>(p.row_bytes());
  p.rows = std::max<std::int64_t>(32, static_cast<std::int64_t>(matrix_bytes / row) / 32 * 32);
  p.count = std::max<std::int64_t>(1, static_cast<std::int64_t>(working_set / p.bytes()));
  return p;
}

double matrix_seconds(const KernelTable& table, ThreadPool& pool, const MatrixProbe& probe,
                      const std::byte* data, double at_least) {
  const ProbeRows x = probe_rows(table, probe.format, probe.n, probe.cols);
  std::vector<float> y(static_cast<std::size_t>(probe.rows * probe.n));
  std::vector<std::int64_t> order = shuffled(probe.count);
  const std::int64_t matrix = probe.rows * probe.row_bytes();
  // As the engine does: one call of the pool per product, pieces of rows first come first served.
  const std::int64_t threads = pool.size();
  const std::int64_t share = std::clamp<std::int64_t>(matrix / (threads * 16), 16 << 10, 256 << 10);
  std::int64_t piece = std::max<std::int64_t>(32, (share / probe.row_bytes() + 16) / 32 * 32);
  if (probe.n > 8) piece = std::clamp<std::int64_t>(probe.rows / (threads * 8) / 32 * 32, 32, 512);
  if (threads == 1) piece = probe.rows;
  WorkQueue queue;
  const auto visit = [&](int passes) {
    for (int i = 0; i < passes; ++i) {
      for (const std::int64_t m : order) {
        queue.reset(probe.rows, piece);
        pool.run([&](int, int) {
          MatmulArgs a;
          a.format = probe.format;
          a.w = data + m * matrix;
          a.row_bytes = probe.row_bytes();
          a.cols = probe.cols;
          a.x = x.rows;
          a.n_used = probe.n;
          a.y = y.data();
          a.y_stride = probe.rows;
          while (queue.take(a.row_begin, a.row_end)) table.matmul(a);
        });
      }
    }
  };
  // A kernel far slower than memory needs no walk through all of it: eight samples' time is enough.
  const std::vector<std::int64_t> all = order;
  order.resize(1);
  const double start = now();
  visit(1);
  const double most = std::clamp(8 * at_least / std::max(1e-7, now() - start), 2.0, 1e9);
  order.assign(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(
                                              std::min(static_cast<double>(all.size()), most)));
  return seconds_per_pass(at_least, visit) / static_cast<double>(order.size());
}

double barrier_seconds(ThreadPool& pool) {
  constexpr int kMeetings = 200;
  return seconds_per_pass(2e-3,
                          [&](int passes) {
                            pool.run([&](int, int) {
                              for (int i = 0; i < passes * kMeetings; ++i) pool.barrier();
                            });
                          }) /
         kMeetings;
}

double run_seconds(ThreadPool& pool) {
  constexpr int kRuns = 50;
  return seconds_per_pass(2e-3,
                          [&](int passes) {
                            for (int i = 0; i < passes * kRuns; ++i) pool.run([](int, int) {});
                          }) /
         kRuns;
}

double AttentionProbe::bytes() const {
  const double value = type == "f32" ? 4 : 2;
  return 2.0 * value * static_cast<double>(cells * kv_heads * head_dim);
}

double AttentionProbe::flops() const {
  return 4.0 * static_cast<double>(n * cells * kv_heads * group * head_dim);
}

double attention_seconds(const KernelTable& table, ThreadPool& pool, const AttentionProbe& probe,
                         const std::byte* data, std::size_t size, double at_least) {
  const auto layer = static_cast<std::size_t>(probe.bytes());
  const std::size_t layers = std::max<std::size_t>(1, size / layer);
  const std::int64_t width = probe.kv_heads * probe.group * probe.head_dim;
  std::vector<float> q(static_cast<std::size_t>(width * probe.n)), out(q.size());
  Random random{77};
  for (float& x : q) x = random.unit();
  const std::vector<std::int64_t> first(static_cast<std::size_t>(probe.n), 0);
  std::vector<std::int64_t> last(first.size());
  for (std::size_t i = 0; i < last.size(); ++i) {
    last[i] = probe.cells - probe.n + 1 + static_cast<std::int64_t>(i);
  }
  // As the engine does: cells of a head lie together; few positions are split into parts of cells.
  const std::int64_t value = probe.type == "f32" ? 4 : 2;
  const std::int64_t head_bytes = probe.cells * probe.head_dim * value;
  const std::int64_t part = probe.n == 1 ? 512 : probe.cells;
  const std::int64_t parts = (probe.cells + part - 1) / part;
  const std::int64_t rows = probe.n * probe.group;
  std::vector<float> partial(static_cast<std::size_t>(probe.kv_heads * parts * rows * 2));
  std::vector<float> part_out(
      static_cast<std::size_t>(probe.kv_heads * parts * rows * probe.head_dim));
  WorkQueue queue;
  const double pass = seconds_per_pass(at_least, [&](int passes) {
    for (std::size_t l = 0; l < layers * static_cast<std::size_t>(passes); ++l) {
      queue.reset(probe.kv_heads * parts, 1);
      pool.run([&](int, int) {
        AttentionArgs a;
        a.k_type = a.v_type = kv_format_from_name(probe.type);
        a.k_stride = a.v_stride = probe.head_dim * value;
        a.head_dim_k = a.head_dim_v = probe.head_dim;
        a.group = probe.group;
        a.n = probe.n;
        a.q_stride = width;
        a.first = first.data();
        a.last = last.data();
        a.scale = 0.088f;
        std::int64_t task = 0, end = 0;
        while (queue.take(task, end)) {
          const std::int64_t h = task / parts;
          a.k = data + (l % layers) * layer + h * head_bytes;
          a.v = a.k + layer / 2;
          a.q = q.data() + h * probe.group * probe.head_dim;
          a.out = out.data() + h * probe.group * probe.head_dim;
          a.out_stride = width;
          if (parts > 1) {
            a.part_begin = task % parts * part;
            a.part_end = std::min(probe.cells, a.part_begin + part);
            a.out = part_out.data() + task * rows * probe.head_dim;
            a.out_stride = probe.group * probe.head_dim;
            a.partial = partial.data() + task * rows * 2;
          }
          table.attention(a);
        }
      });
    }
  });
  return pass / static_cast<double>(layers);
}

double quiet_sample(const std::function<double()>& probe) {
  constexpr int kTries = 4;
  double best = 0, fewest = 0;
  for (int i = 0; i < kTries; ++i) {
    const double before = own_times().switches;
    const double sample = probe();
    const double switches = own_times().switches - before;
    if (i == 0 || switches < fewest) {
      best = sample;
      fewest = switches;
    }
    if (!(fewest > 0)) break;
  }
  return best;
}

HostWatch::HostWatch() : start_(now()) {
  const CpuTimes all = cpu_times();
  const OwnTimes own = own_times();
  busy_ = all.busy;
  steal_ = all.steal;
  own_ = own.cpu;
  switches_ = own.switches;
}

double HostWatch::others() const {
  const double elapsed = std::max(1e-3, now() - start_);
  return std::max(0.0, (cpu_times().busy - busy_) - (own_times().cpu - own_)) / elapsed;
}

double HostWatch::stolen() const {
  return std::max(0.0, cpu_times().steal - steal_) / std::max(1e-3, now() - start_);
}

double HostWatch::switches() const { return own_times().switches - switches_; }

}  // namespace bandwall
