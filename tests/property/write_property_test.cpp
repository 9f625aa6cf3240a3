// Law of the writers: what was written is read back equal, whatever is in it.
#include <gtest/gtest.h>

#include <random>

#include "configs/library.h"
#include "workload/format.h"
#include "workload/ledger.h"

namespace bandwall {
namespace {

class Maker {
 public:
  explicit Maker(std::uint64_t seed) : random_(seed) {}

  Machine machine() {
    Machine m;
    m.name = "m" + std::to_string(random_() % 1000);
    if (often()) m.title = note();
    if (often()) m.default_backend = note();
    m.pools.push_back(pool("vram"));
    if (often()) m.pools.push_back(pool("host"));
    for (std::uint64_t i = 0; i < random_() % 3; ++i) {
      m.caches.push_back({"L" + std::to_string(i), figure(size())});
    }
    for (std::uint64_t i = 0; i < random_() % 3; ++i) m.read_curves.push_back(curve());
    for (const char* numeric : {"fp4", "bf16", "fp32"}) {
      if (often()) m.compute.push_back(compute(numeric));
    }
    if (often()) {
      m.kernel_limits = KernelLimits{figure(size()), figure(size()), figure(size()), figure(48.0),
                                     figure(65536.0), figure(0.1), figure(1e-7),
                                     often() ? "12.1" : ""};
    }
    if (often()) {
      m.links.push_back({"wire", figure(rate<BytesPerSecond>()), {}});
      if (often()) m.links.back().latency = figure(Seconds(35e-6));
      m.device_link = "wire";
      m.devices = 1 + static_cast<int>(random_() % 64);
    }
    if (often()) m.power = figure(Watts(140.5));
    if (often()) {
      m.energy = EnergyFigures{figure(Watts(15.5)), figure(1.1e-10), figure(1.4e-12)};
    }
    if (often()) m.price_usd = figure(4699.99);
    return m;
  }

  Backend backend() {
    Backend b;
    b.name = note();
    if (often()) b.title = note();
    if (often()) b.version = note();
    b.machine = "gb10";
    b.calibrated = often();
    b.threads = static_cast<int>(random_() % 100);
    if (often()) {
      b.efficiency_default = 0.5;
      b.efficiency_source = source();
    }
    if (often()) b.reference_bandwidth = figure(rate<BytesPerSecond>());
    if (often()) b.reference_compute = figure(rate<FlopsPerSecond>());
    for (const FormatInfo& f : all_formats()) {
      const std::string name(f.name);
      if (often()) b.stream[name] = figure(rate<BytesPerSecond>());
      if (often()) b.stream_curves[name] = {curve(), curve()};
      if (often()) b.gemm[name] = {{rate<FlopsPerSecond>(), 17.5}, source()};
      if (often()) {
        const GemmRate points{rate<FlopsPerSecond>(),
                              0,
                              {{1.25, rate<FlopsPerSecond>()}, {64, rate<FlopsPerSecond>()}}};
        b.gemm[name + ".experts"] = {points, source()};
      }
    }
    for (const KvFormat& f : all_kv_formats()) {
      if (often()) b.kv_stream[std::string(f.name)] = figure(rate<BytesPerSecond>());
      if (often()) b.kv_elements[std::string(f.name)] = figure(rate<ElementsPerSecond>());
      if (often()) b.kv_scores[std::string(f.name)] = figure(rate<ElementsPerSecond>());
    }
    for (int i = 0; i < kOpKinds; ++i) {
      const std::string op(name(static_cast<OpKind>(i)));
      if (often()) b.op_seconds[op] = figure(Seconds(1e-6 * static_cast<double>(random_() % 99)));
      if (often()) b.activation_stream[op] = figure(rate<BytesPerSecond>());
      if (often())
        b.cached_op_seconds[op] = figure(Seconds(1e-6 * static_cast<double>(random_() % 9)));
      if (often())
        b.batch_op_seconds[op] = figure(Seconds(1e-6 * static_cast<double>(random_() % 9)));
    }
    if (often()) b.page_reading = figure(rate<BytesPerSecond>());
    if (often()) b.overlap = figure(1 + 0.25 * static_cast<double>(random_() % 8));
    if (often()) b.routing_concentration = figure(0.5 + static_cast<double>(random_() % 8));
    for (std::uint64_t i = random_() % 3; i > 0; --i) {
      const std::vector<std::string>& words = limit_words();
      b.known_limits.push_back({{words[random_() % words.size()], words[random_() % words.size()]},
                                0.75,
                                1.5,
                                note(),
                                source()});
    }
    if (often()) b.attention_rate = figure(rate<FlopsPerSecond>());
    if (often()) b.layer_seconds = figure(Seconds(43e-6));
    if (often()) b.step_seconds = figure(Seconds(0));
    if (often()) b.context_bytes = figure(size());
    return b;
  }

 private:
  bool often() { return random_() % 3 != 0; }
  std::string note() {
    static const std::vector<std::string> words = {
        "plain",  "a: colon", "\"quoted\"", "back\\slash", "#hash", "{brace}", "\xC2\xB5s",
        "- dash",
        "two\nlines", "tab\tbed", "'single'", "%percent", "&and", "*star", "!bang", "~", "null"};
    return words[random_() % words.size()] + " " + words[random_() % words.size()];
  }
  Source source() { return {static_cast<Source::Kind>(random_() % 4), note()}; }
  template <class T>
  Sourced<T> figure(T value) {
    return {value, source()};
  }
  Bytes size() { return bytes(static_cast<std::int64_t>(1 + random_() % 1'000'000'000'000)); }
  template <class Q>
  Q rate() {
    return Q(std::uniform_real_distribution<double>(1, 1e15)(random_));
  }
  MemoryPool pool(const char* name) {
    MemoryPool pool;
    pool.name = name;
    pool.installed = figure(size() + Bytes(10));
    pool.visible = figure(pool.installed.value);
    pool.reserve = figure(Bytes(static_cast<double>(random_() % 2)));
    pool.peak = figure(rate<BytesPerSecond>());
    pool.achievable = figure(pool.peak.value * 0.85);
    if (pool.achievable.value < BytesPerSecond(1)) pool.achievable.value = pool.peak.value;
    return pool;
  }
  ComputeRate compute(const char* numeric) {
    ComputeRate c{numeric, figure(rate<FlopsPerSecond>()), {}};
    if (often()) c.achievable = figure(c.peak.value);
    return c;
  }
  RateCurve curve() {
    RateCurve c;
    c.threads = static_cast<int>(random_() % 64);
    c.source = source();
    Bytes at(0);
    for (std::uint64_t i = 0; i <= random_() % 5; ++i) {
      at += bytes(static_cast<std::int64_t>(1 + random_() % 1'000'000'000));
      c.points.push_back({at, rate<BytesPerSecond>()});
    }
    return c;
  }

  std::mt19937_64 random_;
};

TEST(WriteLaw, AMachineIsReadBackEqual) {
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    const Machine m = Maker(seed).machine();
    const std::string text = write_machine(m);
    ASSERT_EQ(parse_machine(text, "m.yaml"), m) << "seed " << seed << "\n" << text;
  }
}

TEST(WriteLaw, ABackendIsReadBackEqual) {
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    const Backend b = Maker(seed).backend();
    const std::string text = write_backend(b);
    ASSERT_EQ(parse_backend(text, "b.yaml"), b) << "seed " << seed << "\n" << text;
  }
}

}  // namespace
}  // namespace bandwall
