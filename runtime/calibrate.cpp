#include "runtime/calibrate.h"

#include <algorithm>
#include <ctime>
#include <map>
#include <memory>

#include <fmt/format.h>

#include "hwmodel/error.h"
#include "runtime/calibrate_fit.h"
#include "runtime/host.h"
#include "runtime/op_costs.h"
#include "runtime/probes.h"

namespace bandwall {
namespace {

constexpr double kQuickBudget = 15;  // seconds; at most this: the quick form

struct Schedule {
  bool quick = false;
  double at_least = 0.02;       // seconds of a sample of reads or matrices in the caches
  int visits = 3;               // of each format: what disturbs the host for seconds spoils one
  int tokens = 6;               // of one visit
  std::size_t arena = 0;
  std::vector<double> read_sets, matrix_sets;  // bytes
  std::vector<Format> formats;
  std::vector<std::int64_t> prompts;  // tokens
  std::vector<std::string> kv_formats;
  std::vector<HeadShape> heads;
  std::vector<std::int64_t> depths;
  ProbeSize size;
};

// Large working sets must be far beyond the last cache, or they measure the cache.
std::size_t arena_bytes(const HostInfo& host) {
  const double cache = host.l3 ? host.l3->value() : 32 * kMiB;
  double bytes = std::clamp(4 * cache, 64 * kMiB, 1024 * kMiB);
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
  constexpr double kSmallest = 1;  // seconds; at most this: models that fit in a cache (tests)
  Schedule s;
  s.quick = options.budget.value() <= kQuickBudget;
  s.arena = (s.quick ? 1 : 2) * arena_bytes(host);
  s.size = probe_size(options.budget.value() <= kSmallest);
  const double all = static_cast<double>(s.arena);
  const double l3 = host.l3 ? host.l3->value() : 32 * kMiB;
  s.read_sets = {256 * kKiB, kMiB, 4 * kMiB, l3 / 2, l3 * 0.75, l3, l3 * 1.3, l3 * 2, l3 * 4, all};
  s.matrix_sets = {kMiB, 4 * kMiB, l3 / 4};
  for (auto* sets : {&s.read_sets, &s.matrix_sets}) {
    std::erase_if(*sets, [&](double w) { return w > all; });
    std::sort(sets->begin(), sets->end());
    sets->erase(std::unique(sets->begin(), sets->end()), sets->end());
  }
  s.formats = wanted_formats(options, s.quick);
  s.prompts = {2, 4, 8, 16, 32, 64, 128, 512};
  s.kv_formats = {"f16", "q8_0", "q4_0"};
  s.heads = {{32, 4, 128}, {16, 8, 128}, {64, 8, 64}};
  s.depths = {64, 512, 2048, 6144};
  if (s.quick) {
    s.size.head_bytes *= 0.3;  // just beyond the last cache
    s.size.expert_bytes *= 0.5;
    s.at_least = 0.01;
    s.visits = 1;
    s.tokens = 4;
    s.prompts = {4, 16, 64};
    s.kv_formats = {"f16", "q8_0"};
    s.heads = {{32, 4, 128}, {16, 8, 128}};
    s.depths = {64, 512, 2048};
  }
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
  return {2048, 1.5 * kMiB};
}

// What was measured with one thread count.
struct ThreadSamples {
  std::map<double, Series> read;                      // by working set
  std::map<Format, std::map<double, Series>> cached;  // stream rates in the caches
  std::map<Format, FormatSamples> formats;
  std::map<std::string, std::vector<AttentionSample>> attention;  // by KV format
  Series far, pages;  // plain reading beside probes: of memory, of the models' own pages
};

class Session {
 public:
  Session(const CalibrateOptions& options, const HostInfo& host)
      : options_(options),
        schedule_(make_schedule(options, host)),
        table_(best_kernels()),
        threads_(options.threads > 0 ? options.threads : default_threads()) {
    counts_ = {threads_};
    if (options.threads == 0 && threads_ > 1 && !schedule_.quick) counts_.push_back(1);
  }

  void measure() {
    measure_caches();
    for (int visit = 0; visit < schedule_.visits; ++visit) {
      for (const Format f : schedule_.formats) {
        if (visit == 0 || info(f).quantized) measure_format(f, visit == 0);
      }
    }
    measure_attention();
  }

  ThreadSamples& samples(int threads) { return samples_[threads]; }
  const Schedule& schedule() const { return schedule_; }
  const KernelTable& table() const { return table_; }
  int threads() const { return threads_; }
  const std::vector<int>& counts() const { return counts_; }

 private:
  void report(const std::string& what) {
    const auto visits = static_cast<std::size_t>(schedule_.visits);
    const double steps =
        static_cast<double>(schedule_.formats.size() * visits + schedule_.heads.size()) + 2;
    if (options_.progress) options_.progress(what, std::min(0.9, 0.9 * done_++ / steps));
  }

  void measure_caches() {
    report("caches");
    const Arena arena(schedule_.arena);
    for (const int threads : counts_) {
      ThreadPool pool(threads, Pinning::On);
      for (const double set : schedule_.read_sets) {
        samples_[threads].read[set].add(quiet_sample([&] {
          return read_rate(pool, arena.data(), static_cast<std::size_t>(set), schedule_.at_least);
        }));
      }
    }
  }

  void measure_cached(Format format, ThreadSamples& s, int threads) {
    ThreadPool pool(threads, Pinning::On);
    Arena weights(static_cast<std::size_t>(schedule_.matrix_sets.back()));
    fill_random_blocks(format, weights.data(), weights.size(), 7);
    const double run = threads > 1 ? run_seconds(pool) : 0;
    for (const double set : schedule_.matrix_sets) {
      const Shape shape = shape_for(set);
      const MatrixProbe p = matrix_probe(format, shape.cols, shape.matrix_bytes, set, 1);
      const double t = quiet_sample(
          [&] { return matrix_seconds(table_, pool, p, weights.data(), schedule_.at_least); });
      s.cached[format][set].add(p.bytes() / std::max(t - run, t / 2));  // calls: priced per op
    }
  }

  void measure_format(Format format, bool first) {
    report(std::string(name(format)));
    const ProbeModel model(wide_spec(format, schedule_.size));
    for (const int threads : counts_) {
      ThreadSamples& s = samples_[threads];
      if (first) measure_cached(format, s, threads);
      EngineOptions options;
      options.context = options.n_ubatch = std::max<std::int64_t>(64, schedule_.prompts.back());
      options.threads = threads;
      ReadProbe read(threads, &model.model());
      EngineProbe probe(model.model(), options, read);
      FormatSamples& f = s.formats[format];
      f.experts_used = model.model().spec().hyper.experts_used;
      f.working_set = static_cast<double>(model.model().spec().weight_bytes());
      for (int i = 0; i < schedule_.tokens; ++i) {
        f.decode.push_back(probe.decode(32));
        s.far.add(f.decode.back().begin()->second.memory);
        s.pages.add(f.decode.back().begin()->second.read);
      }
      for (const std::int64_t n : schedule_.prompts) {
        // One thread is measured where rates change; between them they do as with all threads.
        const bool few = n == 4 || n == 16 || n == 64;
        if (format == Format::F32 && !few) continue;  // routers only
        if (threads != threads_ && !few) continue;
        if (!first && n > 64) continue;  // long ones see less of what disturbs
        f.prompts[n].push_back(probe.prompt(n));
      }
    }
  }

  void measure_attention() {
    for (const HeadShape& shape : schedule_.heads) {
      report(fmt::format("attention, {} heads of {}", shape.heads, shape.dim));
      const ProbeModel model(attention_spec(shape, schedule_.size));
      for (const int threads : counts_) {
        for (const std::string& kv : schedule_.kv_formats) {
          if (threads != threads_ && kv != "f16" && kv != "q8_0") continue;
          EngineOptions options;
          options.context = schedule_.depths.back() + 16;
          options.threads = threads;
          options.k = options.v = kv_format_from_name(kv);
          ReadProbe read(threads);
          EngineProbe probe(model.model(), options, read);
          for (const std::int64_t depth : schedule_.depths) {
            probe.decode(depth);  // the first after so many new cells finds buffers untouched
            std::vector<StepSample> steps;
            for (int i = 0; i < 3; ++i) steps.push_back(probe.decode(depth));
            add_attention(steps, threads, kv);
          }
        }
      }
    }
  }

  // The step whose attention took the median time.
  void add_attention(std::vector<StepSample>& steps, int threads, const std::string& kv) {
    std::sort(steps.begin(), steps.end(), [](const StepSample& x, const StepSample& y) {
      return x.at(OpKind::Attention).seconds() < y.at(OpKind::Attention).seconds();
    });
    const OpSample& s = steps[steps.size() / 2].at(OpKind::Attention);
    samples_[threads].attention[kv].push_back({s.seconds(), s.row.traffic.kv_read.value(),
                                               s.row.flops.value() / 2,
                                               s.row.traffic.activations.value(), s.memory});
    for (const StepSample& step : steps) {
      samples_[threads].far.add(step.at(OpKind::Attention).memory);
    }
  }

  const CalibrateOptions& options_;
  Schedule schedule_;
  const KernelTable& table_;
  int threads_;
  std::vector<int> counts_;
  std::map<int, ThreadSamples> samples_;
  double done_ = 0;
};

Source measured(std::string note) { return {Source::Kind::Measured, std::move(note)}; }

std::string spread_note(const Series& s) {
  return fmt::format("median, spread {:.1f} %", 100 * s.spread());
}

// Plain reading over working sets; from twice the last cache on it is what stood beside the probes.
RateCurve read_curve(int threads, const ThreadSamples& s, double far_from) {
  RateCurve c;
  c.threads = threads;
  double worst = 0;
  const double far = s.far.median();
  for (const auto& [set, series] : s.read) {
    const double rate = set >= far_from ? far : std::max(far, series.median());
    c.points.push_back({Bytes(set), BytesPerSecond(rate)});
    worst = std::max(worst, series.spread());
  }
  c.points.back().rate = BytesPerSecond(far);
  c.source = measured(fmt::format("plain read, medians, largest spread {:.1f} %", 100 * worst));
  return c;
}

template <class T>
Sourced<T> sourced(const Series& s, const char* what) {
  return {T(s.median()), measured(fmt::format("{}, {}", what, spread_note(s)))};
}

Machine machine_of(Session& session, const HostInfo& host) {
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
  const Series& far = session.samples(session.threads()).far;
  const double l3 = host.l3 ? host.l3->value() : 32 * kMiB;
  // No data sheet here: the best that a plain read was seen to reach stands for the peak.
  pool.peak = {BytesPerSecond(far.best()), measured("best sample of the read probe, memory-sized")};
  pool.achievable = sourced<BytesPerSecond>(far, "read probe, all threads, memory-sized");
  m.pools.push_back(pool);
  if (host.l2) m.caches.push_back({"L2", {*host.l2, measured("as the kernel states")}});
  if (host.l3) m.caches.push_back({"L3", {*host.l3, measured("as the kernel states")}});
  for (const int threads : session.counts()) {
    m.read_curves.push_back(read_curve(threads, session.samples(threads), 2 * l3));
  }
  return m;
}

RateCurve cached_curve(const std::map<double, Series>& by_set, int threads) {
  RateCurve c;
  c.threads = threads;
  for (const auto& [set, series] : by_set) {
    c.points.push_back({Bytes(set), BytesPerSecond(series.median())});
  }
  return c;
}

// Stream rates over working sets: in the caches as matrices there were read; beyond them the rate
// of the probe, as much faster or slower as plain reading is at that set than at the probe's.
RateCurve stream_curve(const ThreadSamples& s, Format format, BytesPerSecond probe_rate,
                       double probe_set, int threads) {
  RateCurve c = cached_curve(s.cached.at(format), threads);
  const RatePoint nearest = c.points.back();
  BytesPerSecond roof = probe_rate;
  for (const RatePoint& p : c.points) roof = std::max(roof, p.rate);
  const RateCurve plain = cached_curve(s.read, threads);
  const BytesPerSecond at_probe = plain.at(Bytes(probe_set));
  for (const RatePoint& p : plain.points) {
    if (p.working_set <= nearest.working_set) continue;
    c.points.push_back({p.working_set, std::min(probe_rate * (p.rate / at_probe), roof)});
  }
  c.source = measured("engine beyond the caches, matrices within them");
  return c;
}

// A format that was not measured is priced like the slowest quantized one that was.
void add_defaults(Backend& b) {
  std::string slowest, slowest_product;
  const auto wins = [](const FormatInfo& f, bool is_slower, const std::string& so_far) {
    const bool first_quantized = f.quantized && !info(*format_from_name(so_far)).quantized;
    return first_quantized ||
           (is_slower && f.quantized == info(*format_from_name(so_far)).quantized);
  };
  for (const FormatInfo& f : all_formats()) {
    const std::string key(f.name);
    if (b.stream.count(key) != 0 &&
        (slowest.empty() || wins(f, b.stream[key].value < b.stream[slowest].value, slowest))) {
      slowest = key;
    }
    if (b.gemm.count(key) != 0 &&
        (slowest_product.empty() ||
         wins(f, b.gemm[key].value.rate < b.gemm[slowest_product].value.rate, slowest_product))) {
      slowest_product = key;
    }
  }
  const Source derived{Source::Kind::Derived, "the slowest measured format, quantized if any is"};
  if (!slowest.empty()) {
    b.stream["default"] = {b.stream[slowest].value, derived};
    b.stream_curves["default"] = b.stream_curves[slowest];
  }
  if (!slowest_product.empty()) {
    b.gemm["default"] = {b.gemm[slowest_product].value, derived};
  }
}

Backend backend_of(Session& session, const Machine& machine, int threads,
                   std::vector<std::string>& remarks) {
  ThreadSamples& s = session.samples(threads);
  const auto is_same = [&](const RateCurve& c) { return c.threads == threads; };
  const RateCurve& read =
      *std::find_if(machine.read_curves.begin(), machine.read_curves.end(), is_same);
  const double far = read.points.back().rate.value(), pages = s.pages.median();
  Backend b;
  b.name = "bandwall-cpu";
  b.title = "bandwall's own kernels";
  b.version = std::string(session.table().isa);
  b.machine = machine.name;
  b.calibrated = true;
  b.threads = threads;
  // Ops of every kind from small models first: their fixed costs are taken off what follows.
  const OpCosts costs(threads, session.schedule().quick ? OpCostEffort::Quick : OpCostEffort::Full);
  for (const auto& [format, by_set] : s.cached) {
    b.stream_curves[std::string(name(format))] = {cached_curve(by_set, threads)};
  }
  costs.add_fixed(b);
  b.cached_op_seconds = b.op_seconds;
  b.stream_curves.clear();
  std::vector<FormatSamples> all;
  for (const auto& [format, samples] : s.formats) all.push_back(samples);
  for (int pass = 0; pass < 2; ++pass) {  // streams need the small costs, those need float32
    for (const auto& [format, samples] : s.formats) fit_format(samples, format, pages, b);
    fit_small_ops(all, pages, b);
  }
  b.page_reading = sourced<BytesPerSecond>(s.pages, "plain reading of the probe models' pages");
  costs.add_elementwise(b);
  for (const std::string& kv : session.schedule().kv_formats) {
    if (s.attention.count(kv) != 0) fit_attention(s.attention[kv], kv, far, b, remarks);
  }
  for (const auto& [format, samples] : s.formats) {
    for (const char* suffix : {"", ".experts", ".dense_ffn"}) {
      const std::string key = std::string(name(format)) + suffix;
      const auto rate = b.stream.find(key);
      if (rate == b.stream.end()) continue;
      b.stream_curves[key].push_back(
          stream_curve(s, format, rate->second.value, samples.working_set, threads));
    }
  }
  // Kinds that only small models showed have one cost.
  std::erase_if(b.cached_op_seconds, [&](const auto& row) {
    const auto far_row = b.op_seconds.find(row.first);
    return far_row != b.op_seconds.end() && far_row->second.value == row.second.value;
  });
  add_defaults(b);
  return b;
}

void add_compute(const Backend& b, Machine& machine) {
  double best_f32 = b.threads * blas_rate(384), best_int8 = 0;
  for (const auto& [key, row] : b.gemm) {
    const std::string format = key.substr(0, key.find('.'));
    const auto known = format_from_name(format);
    if (!known) continue;
    double& best = info(*known).quantized ? best_int8 : best_f32;
    best = std::max(best, row.value.rate.value());
  }
  const auto add = [&](const char* numeric, double rate) {
    if (!(rate > 0)) return;
    machine.compute.push_back(
        {numeric, {FlopsPerSecond(rate), measured("best of the matrix products")}, std::nullopt});
  };
  add("int8", best_int8);
  add("fp32", best_f32);
}

std::string environment_text(const HostInfo& host, const Session& session) {
  return fmt::format(
      "{}; kernels {} build {}; {} thread(s) of {}; Linux {}; {}; huge pages {}; flags {}",
      host.cpu.empty() ? "unknown processor" : host.cpu, session.table().isa, kernel_build(),
      session.threads(), host.logical_cpus, host.kernel, host.compiler,
      host.huge_pages.empty() ? "unknown" : host.huge_pages, fmt::join(host.isa, " "));
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

Calibration calibrate(const CalibrateOptions& options) {
  if (!(options.budget > Seconds(0)) || options.threads < 0) {
    throw Error::input("calibrate", "the budget must be more than 0 s and threads not negative");
  }
  const HostInfo host = host_info();
  const HostWatch watch;
  Calibration c;
  Session session(options, host);
  session.measure();
  c.machine = machine_of(session, host);
  c.spread = session.samples(session.threads()).far.spread();
  c.environment = environment_text(host, session);
  if (options.progress) options.progress("op costs", 0.92);
  for (const int threads : session.counts()) {
    c.backends.push_back(backend_of(session, c.machine, threads, c.remarks));
  }
  add_compute(c.backends.front(), c.machine);
  c.date = today();
  judge_quiet(watch, host, c);
  if (options.progress) options.progress("done", 1.0);
  return c;
}

}  // namespace bandwall
