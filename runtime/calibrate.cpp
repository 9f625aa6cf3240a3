#include "runtime/calibrate.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <ctime>
#include <map>
#include <optional>

#include <fmt/format.h>

#include "hwmodel/error.h"
#include "runtime/gemm_fit.h"
#include "runtime/host.h"
#include "runtime/op_costs.h"
#include "runtime/probes.h"

namespace bandwall {
namespace {

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

constexpr double kQuickBudget = 15;  // seconds; at most this: the quick form

struct Schedule {
  bool quick = false;
  int rounds = 3;
  double at_least = 0.03;  // seconds of one sample
  std::size_t arena = 0;
  std::vector<double> read_sets, matrix_sets;  // bytes
  std::vector<Format> formats;
  std::vector<std::int64_t> rows;  // n of the matrix products
};

// Large working sets must be far beyond the last cache, or they measure the cache.
std::size_t arena_bytes(const HostInfo& host, bool quick) {
  const double cache = host.l3 ? host.l3->value() : 32 * kMiB;
  // The quick form runs beside a loaded model: four times the cache must do.
  double bytes = quick ? std::clamp(4 * cache, 64 * kMiB, 1024 * kMiB)
                       : std::clamp(8 * cache, 256 * kMiB, 1024 * kMiB);
  if (host.memory_available) bytes = std::min(bytes, host.memory_available->value() / 4);
  return static_cast<std::size_t>(std::max(bytes, 32 * kMiB));
}

std::vector<Format> wanted_formats(const CalibrateOptions& options, bool quick) {
  const std::vector<Format> common = {Format::F32, Format::F16, Format::Q8_0, Format::Q4_K,
                                      Format::Q6_K};
  std::vector<Format> formats;
  if (!options.formats.empty()) {
    formats = options.formats;
    formats.push_back(Format::F32);  // routers and norms are float32 in every file
  } else if (quick) {
    formats = common;
  } else {
    // Formats without a fast product would take the time of all others; by name they can be had.
    for (const FormatInfo& f : all_formats()) {
      if (!f.quantized || wants_q8(best_kernels(), f.format, 2048)) formats.push_back(f.format);
    }
  }
  std::sort(formats.begin(), formats.end());
  formats.erase(std::unique(formats.begin(), formats.end()), formats.end());
  std::erase_if(formats, [](Format f) { return !has_kernels(f); });
  return formats;
}

Schedule make_schedule(const CalibrateOptions& options, const HostInfo& host) {
  Schedule s;
  s.quick = options.budget.value() <= kQuickBudget;
  s.rounds = s.quick ? 5 : 7;
  // Long enough that waking the other cores and the first pages do not count.
  s.at_least = s.quick ? 0.012 : 0.020;
  s.arena = arena_bytes(host, s.quick);
  const double all = static_cast<double>(s.arena);
  const double l3 = host.l3 ? host.l3->value() : 32 * kMiB;
  s.read_sets = {256 * kKiB, kMiB, 4 * kMiB, l3 / 2, l3 * 2, all};
  s.matrix_sets = {kMiB, 4 * kMiB, l3 / 2, l3 * 2, all};
  if (s.quick) s.matrix_sets = {4 * kMiB, l3 / 2, l3 * 2, all};
  for (auto* sets : {&s.read_sets, &s.matrix_sets}) {
    std::erase_if(*sets, [&](double w) { return w > all; });
    std::sort(sets->begin(), sets->end());
    sets->erase(std::unique(sets->begin(), sets->end()), sets->end());
  }
  s.formats = wanted_formats(options, s.quick);
  s.rows = s.quick ? std::vector<std::int64_t>{8, 64} : std::vector<std::int64_t>{4, 16, 64, 256};
  return s;
}

// Models of a size have rows and matrices of a size: a model that fits a cache has short rows, and
// short rows cost more per byte. So the shape of a probe follows its working set.
struct Shape {
  std::int64_t cols;
  double matrix_bytes;
};
Shape shape_for(double working_set) {
  if (working_set <= 8 * kMiB) return {256, 48 * kKiB};
  if (working_set <= 32 * kMiB) return {768, 384 * kKiB};
  return {2048, 1.5 * kMiB};  // an expert's matrix; a jump to the next one costs, too
}

// An expert's matrix in the cache: what the rows after the first cost, without memory.
Shape product_shape() { return {2048, 1.5 * kMiB}; }

struct Samples {
  std::map<int, std::map<double, Series>> read;                      // threads, working set
  std::map<Format, std::map<int, std::map<double, Series>>> stream;  // format, threads, set
  std::map<Format, std::map<std::int64_t, Series>> product;          // format, n: seconds
  std::map<std::string, Series> kv_rate, kv_elements;
  Series attention_rate, run, blas;
};

class Session {
 public:
  Session(const CalibrateOptions& options, const HostInfo& host)
      : options_(options),
        start_(now()),
        schedule_(make_schedule(options, host)),
        table_(best_kernels()),
        threads_(options.threads > 0 ? options.threads : default_threads()),
        one_(1, Pinning::On),
        all_(threads_, Pinning::On),
        arena_(schedule_.arena, Pages::Huge),
        weights_(schedule_.arena, Pages::Plain) {}

  void measure() {
    const int rounds = schedule_.rounds;
    for (int round = 0; round < rounds; ++round) {
      // A round that would run past the budget is not begun; the first always is.
      const double spent = now() - start_;
      if (round > 0 && spent * (round + 1) / round > 0.8 * options_.budget.value()) break;
      measure_reads();
      measure_overheads();
      for (std::size_t i = 0; i < schedule_.formats.size(); ++i) {
        measure_format(schedule_.formats[i], round);
        report(fmt::format("round {}: {}", round + 1, name(schedule_.formats[i])),
               (round + (i + 1.0) / static_cast<double>(schedule_.formats.size())) / rounds * 0.9);
      }
      measure_attention("f16");
      measure_attention("f32");
      measure_reads();
    }
  }

  const Samples& samples() const { return samples_; }
  const Schedule& schedule() const { return schedule_; }
  const KernelTable& table() const { return table_; }
  int threads() const { return threads_; }
  ThreadPool& all() { return all_; }

 private:
  void report(const std::string& what, double done) {
    if (options_.progress) options_.progress(what, std::min(done, 1.0));
  }

  template <class F>
  void with_pools(F f) {
    f(one_);
    if (threads_ > 1) f(all_);
  }

  void measure_reads() {
    fill_random_blocks(Format::Q8_0, weights_.data(),
                       std::min<std::size_t>(weights_.size(), 1 << 20), 1);
    with_pools([&](ThreadPool& pool) {
      for (const double set : schedule_.read_sets) {
        samples_.read[pool.size()][set].add(quiet_sample([&] {
          return read_rate(pool, weights_.data(), static_cast<std::size_t>(set),
                           schedule_.at_least);
        }));
      }
    });
  }

  void measure_overheads() {
    samples_.blas.add(quiet_sample([&] { return threads_ * blas_rate(384); }));
    samples_.run.add(quiet_sample([&] { return run_seconds(all_); }));
  }

  void measure_format(Format format, int round) {
    fill_random_blocks(format, weights_.data(), weights_.size(),
                       static_cast<std::uint64_t>(round + 7));
    const double run = samples_.run.median();
    const auto stream = [&](ThreadPool& pool) {
      for (const double set : schedule_.matrix_sets) {
        const Shape shape = shape_for(set);
        const MatrixProbe p = matrix_probe(format, shape.cols, shape.matrix_bytes, set, 1);
        double t = quiet_sample(
            [&] { return matrix_seconds(table_, pool, p, weights_.data(), schedule_.at_least); });
        if (pool.size() > 1) t = std::max(t - run, t / 2);  // calls of the pool are priced per op
        samples_.stream[format][pool.size()][set].add(p.bytes() / t);
      }
    };
    if (schedule_.quick) {
      stream(all_);
    } else {
      with_pools(stream);
    }
    const Shape shape = product_shape();
    for (std::int64_t n : schedule_.rows) measure_product(format, shape, n);
    measure_product(format, shape, 1);
  }

  void measure_product(Format format, const Shape& shape, std::int64_t n) {
    const MatrixProbe p = matrix_probe(format, shape.cols, shape.matrix_bytes, 4 * kMiB, n);
    samples_.product[format][n].add(quiet_sample(
        [&] { return matrix_seconds(table_, all_, p, weights_.data(), schedule_.at_least); }));
  }

  // Seconds of the work that `far` has more than `near`, so that the fixed part of the op drops
  // out. On a busy host the smaller can take longer: then the larger is taken as a whole.
  double more_seconds(const AttentionProbe& near, const AttentionProbe& far, double share) {
    const auto seconds = [&](const AttentionProbe& p) {
      // A part of the arena far beyond the caches is enough; all of it would take long.
      const auto layer = static_cast<std::size_t>(p.bytes());
      const std::size_t size = std::min(arena_.size(), std::max<std::size_t>(layer, 96 << 20));
      return quiet_sample([&] {
        return attention_seconds(table_, all_, p, arena_.data(), size, schedule_.at_least);
      });
    };
    const double whole = seconds(far), less = seconds(near);
    return whole > less ? whole - less : whole * share;
  }

  // Four query heads per KV head are the common case, eight show the arithmetic.
  void measure_attention(const std::string& type) {
    fill_random_blocks(type == "f16" ? Format::F16 : Format::F32, arena_.data(), arena_.size(), 3);
    const auto probe = [&](std::int64_t cells, std::int64_t group, std::int64_t n) {
      AttentionProbe p;
      p.type = type;
      p.cells = cells;
      // K and V of a head with 4096 cells of 128 float32 values take 4 MiB: all must lie inside.
      const auto most = static_cast<std::int64_t>(arena_.size() >> 22);
      p.kv_heads = std::min(std::max<std::int64_t>(4, threads_), most);
      p.group = group;
      p.n = n;
      return p;
    };
    constexpr double kMoreCells = 0.75;  // of 4096 against 1024
    for (const std::int64_t dim :
         {64, 128}) {  // the two common head sizes; the median lies between
      auto near = probe(1024, 4, 1), far = probe(4096, 4, 1);
      near.head_dim = far.head_dim = dim;
      samples_.kv_rate[type].add(kMoreCells * far.bytes() / more_seconds(near, far, kMoreCells));
    }
    const auto near8 = probe(1024, 8, 1), far8 = probe(4096, 8, 1);
    const double elements = kMoreCells * far8.flops() / 2;
    samples_.kv_elements[type].add(elements / more_seconds(near8, far8, kMoreCells));
    if (type != "f16") return;
    const auto first = probe(1024, 4, 1), many = probe(1024, 4, 64);
    constexpr double kMoreRows = 63.0 / 64;
    const double more = more_seconds(first, many, kMoreRows);
    samples_.attention_rate.add(kMoreRows * many.flops() / more);
  }

  const CalibrateOptions& options_;
  double start_;
  Schedule schedule_;
  const KernelTable& table_;
  int threads_;
  ThreadPool one_, all_;
  Arena arena_, weights_;  // caches and plain reads; weights, as a mapped file has them
  Samples samples_;
};

Source measured(std::string note) { return {Source::Kind::Measured, std::move(note)}; }

std::string spread_note(const Series& s) {
  return fmt::format("median, spread {:.1f} %", 100 * s.spread());
}

RateCurve curve(int threads, const std::map<double, Series>& by_set, const char* what) {
  RateCurve c;
  c.threads = threads;
  double worst = 0;
  for (const auto& [set, series] : by_set) {
    c.points.push_back({Bytes(set), BytesPerSecond(series.median())});
    worst = std::max(worst, series.spread());
  }
  c.source = measured(fmt::format("{}, medians, largest spread {:.1f} %", what, 100 * worst));
  return c;
}

template <class T>
Sourced<T> sourced(const Series& s, const char* what) {
  return {T(s.median()), measured(fmt::format("{}, {}", what, spread_note(s)))};
}

Machine machine_of(const Session& session, const HostInfo& host) {
  const Samples& s = session.samples();
  Machine m;
  m.name = "this";
  m.title = host.cpu.empty() ? "this host" : host.cpu;
  m.default_backend = "bandwall-cpu";
  MemoryPool pool;
  pool.name = "memory";
  const Bytes total = host.memory_total.value_or(Bytes(0));
  const Bytes available = host.memory_available.value_or(total);
  pool.installed = {total, measured("as the kernel states, limits of the memory group respected")};
  pool.visible = pool.installed;
  pool.reserve = {total - available, measured("held by others when measured")};
  const auto& curves = s.read;
  const Series& far = curves.rbegin()->second.rbegin()->second;
  double best = far.best();
  for (const auto& [threads, by_set] : curves)
    best = std::max(best, by_set.rbegin()->second.best());
  // No data sheet here: the best that a plain read was seen to reach stands for the peak.
  pool.peak = {BytesPerSecond(best), measured("best sample of the read probe, memory-sized")};
  pool.achievable = sourced<BytesPerSecond>(far, "read probe, all threads, memory-sized");
  m.pools.push_back(pool);
  if (host.l2) m.caches.push_back({"L2", {*host.l2, measured("as the kernel states")}});
  if (host.l3) m.caches.push_back({"L3", {*host.l3, measured("as the kernel states")}});
  for (const auto& [threads, by_set] : curves) {
    m.read_curves.push_back(curve(threads, by_set, "plain read"));
  }
  return m;
}

void add_products(const Session& session, Machine& machine, Backend& backend) {
  double best_f32 = 0, best_int8 = 0;
  const Shape shape = product_shape();
  for (const auto& [format, seconds] : session.samples().product) {
    const MatrixProbe one = matrix_probe(format, shape.cols, shape.matrix_bytes, 4 * kMiB, 1);
    const GemmRate rate = fit_gemm(seconds, one.flops());
    backend.gemm[std::string(name(format))] = {
        rate, measured("matrix products of several row counts, medians, the first row apart")};
    double reached = rate.rate.value();
    for (const auto& [n, series] : seconds) {
      reached = std::max(reached, one.flops() * static_cast<double>(n) / series.median());
    }
    double& best = info(format).quantized ? best_int8 : best_f32;
    best = std::max(best, reached);
  }
  const auto add = [&](const char* numeric, double rate) {
    if (!(rate > 0)) return;
    machine.compute.push_back(
        {numeric, {FlopsPerSecond(rate), measured("best of the matrix products")}, std::nullopt});
  };
  best_f32 = std::max(best_f32, session.samples().blas.best());  // OpenBLAS, where it is faster
  add("int8", best_int8);
  add("fp32", best_f32);
  // A format that was not measured is priced like the slowest that was.
  for (const auto& [format, row] : backend.gemm) {
    const auto worst = backend.gemm.find("default");
    if (format == "default") continue;
    if (worst == backend.gemm.end() || row.value.rate < worst->second.value.rate) {
      backend.gemm["default"] = {row.value, {Source::Kind::Derived, "the slowest measured format"}};
    }
  }
}

void add_streams(const Session& session, Backend& backend) {
  std::optional<Sourced<BytesPerSecond>> slowest;
  std::vector<RateCurve> slowest_curves;
  for (const auto& [format, by_threads] : session.samples().stream) {
    const std::string key(name(format));
    for (const auto& [threads, by_set] : by_threads) {
      backend.stream_curves[key].push_back(curve(threads, by_set, "matrix x vector"));
    }
    const Series& far = by_threads.rbegin()->second.rbegin()->second;
    backend.stream[key] =
        sourced<BytesPerSecond>(far, "matrix x vector, all threads, memory-sized");
    if (info(format).quantized && (!slowest || backend.stream[key].value < slowest->value)) {
      slowest = backend.stream[key];
      slowest_curves = backend.stream_curves[key];
    }
  }
  if (!slowest) return;
  backend.stream["default"] = {slowest->value,
                               {Source::Kind::Derived, "the slowest measured format"}};
  backend.stream_curves["default"] = slowest_curves;
}

Backend backend_of(Session& session, Machine& machine) {
  const Samples& s = session.samples();
  Backend b;
  b.name = "bandwall-cpu";
  b.title = "bandwall's own kernels";
  b.version = std::string(session.table().isa);
  b.machine = machine.name;
  b.calibrated = true;
  b.threads = session.threads();
  add_streams(session, b);
  add_products(session, machine, b);
  for (const auto& [type, series] : s.kv_rate) {
    b.kv_stream[type] = sourced<BytesPerSecond>(series, "attention, four query heads per KV head");
  }
  for (const auto& [type, series] : s.kv_elements) {
    b.kv_elements[type] =
        sourced<ElementsPerSecond>(series, "attention, eight query heads per KV head");
  }
  b.attention_rate = sourced<FlopsPerSecond>(s.attention_rate, "attention of 64 positions");
  return b;
}

std::string environment_text(const HostInfo& host, const Session& session) {
  return fmt::format("{}; kernels {}; {} thread(s) of {}; Linux {}; {}; huge pages {}",
                     host.cpu.empty() ? "unknown processor" : host.cpu, session.table().isa,
                     session.threads(), host.logical_cpus, host.kernel, host.compiler,
                     host.huge_pages.empty() ? "unknown" : host.huge_pages);
}

std::string today() {
  const std::time_t t = std::time(nullptr);
  std::tm parts{};
  gmtime_r(&t, &parts);
  char text[16];
  std::strftime(text, sizeof text, "%Y-%m-%d", &parts);
  return text;
}

void judge_quiet(const HostWatch& watch, const HostInfo& host, Calibration& c) {
  const double others = watch.others(), stolen = watch.stolen();
  if (others > 0.10 * host.logical_cpus) {
    c.warning = fmt::format(
        "other processes used {:.1f} of {} processors while measuring; the "
        "figures are too low, calibrate again on a quiet host",
        others, host.logical_cpus);
  } else if (stolen > 0.02 * host.logical_cpus) {
    c.warning = fmt::format(
        "the hypervisor took {:.0f} % of the processor time while measuring; "
        "calibrate again later",
        100 * stolen / host.logical_cpus);
  } else if (c.spread > 0.10) {
    c.warning = fmt::format(
        "the bandwidth probe varied by {:.0f} % while measuring; calibrate again "
        "on a quiet host",
        100 * c.spread);
  }
  c.host_busy = !c.warning.empty();
}

}  // namespace

BandwidthNow probe_bandwidth(int threads) {
  const Arena arena(arena_bytes(host_info(), true), Pages::Plain);
  ThreadPool pool(threads > 0 ? threads : default_threads(), Pinning::On);
  Series rates;
  for (int i = 0; i < 7; ++i) {
    rates.add(quiet_sample([&] { return read_rate(pool, arena.data(), arena.size(), 0.02); }));
  }
  return {BytesPerSecond(rates.median()), BytesPerSecond(rates.best())};
}

struct ReadProbe::Impl {
  explicit Impl(int threads)
      : arena(arena_bytes(host_info(), true), Pages::Huge),
        pool(threads > 0 ? threads : default_threads(), Pinning::On) {}
  Arena arena;
  ThreadPool pool;
};

ReadProbe::ReadProbe(int threads) : impl_(std::make_unique<Impl>(threads)) {}
ReadProbe::~ReadProbe() = default;

BytesPerSecond ReadProbe::sample() {
  Series rates;
  for (int i = 0; i < 3; ++i) {
    rates.add(read_rate(impl_->pool, impl_->arena.data(), impl_->arena.size(), 0.01));
  }
  return BytesPerSecond(rates.median());
}

Calibration calibrate(const CalibrateOptions& options) {
  if (!(options.budget > Seconds(0)) || options.threads < 0) {
    throw Error::input("calibrate", "the budget must be more than 0 s and threads not negative");
  }
  const HostInfo host = host_info();
  const HostWatch watch;
  Calibration c;
  int threads = 0;
  OpCostEffort effort = OpCostEffort::Full;
  {
    Session session(options, host);
    session.measure();
    c.machine = machine_of(session, host);
    c.backend = backend_of(session, c.machine);
    c.spread = session.samples().read.rbegin()->second.rbegin()->second.spread();
    c.environment = environment_text(host, session);
    threads = session.threads();
    if (session.schedule().quick) effort = OpCostEffort::Quick;
  }
  // Only now: the pools above hold this thread on one processor, and an engine started under that
  // mask would not spread over the others.
  if (options.progress) options.progress("op costs", 0.92);
  add_op_costs(threads, effort, c.backend);
  c.date = today();
  judge_quiet(watch, host, c);
  if (options.progress) options.progress("done", 1.0);
  return c;
}

}  // namespace bandwall
