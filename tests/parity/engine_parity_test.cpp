// The engine against reference logits of small models: every architecture, block format and
// instruction set that runs here.
#include <cmath>
#include <limits>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gtest/gtest.h>

#include "tests/support/golden.h"

#ifndef BANDWALL_GOLDEN_DIR
#define BANDWALL_GOLDEN_DIR BANDWALL_SOURCE_DIR "/tests/parity/golden"
#endif

namespace bandwall {
namespace {

using namespace testing;

constexpr const char* kFolder = BANDWALL_GOLDEN_DIR;
const KvFormat* f32() { return kv_format_from_name("f32"); }
const KvFormat* f16() { return kv_format_from_name("f16"); }

struct Trial {
  std::vector<float> logits;
  std::vector<std::int32_t> greedy;
  Meter prefill, decode;
  EngineOptions options;
  Bytes kv_bytes;
};

std::int32_t argmax(std::span<const float> row) {
  return static_cast<std::int32_t>(std::max_element(row.begin(), row.end()) - row.begin());
}

// The prompt in pieces of `chunk`, then greedy steps.
Trial try_out(const LoadedModel& model, const GoldenTest& t, EngineOptions o,
              std::int64_t chunk = 512, int steps = 16) {
  o.context = static_cast<std::int64_t>(t.prompt.size()) + steps;
  Engine engine(model, o);
  Trial r;
  r.options = engine.options();
  r.kv_bytes = engine.kv_bytes();
  r.prefill.record_experts = true;
  const std::span<const std::int32_t> prompt(t.prompt);
  for (std::size_t at = 0; at < prompt.size(); at += static_cast<std::size_t>(chunk)) {
    const auto piece =
        prompt.subspan(at, std::min(prompt.size() - at, static_cast<std::size_t>(chunk)));
    const auto rows = engine.evaluate(piece, Outputs::All, &r.prefill);
    r.logits.insert(r.logits.end(), rows.begin(), rows.end());
  }
  std::int32_t token = argmax(std::span(r.logits).last(static_cast<std::size_t>(t.vocab)));
  for (int i = 0; i < steps; ++i) {
    r.greedy.push_back(token);
    if (i + 1 < steps) token = argmax(engine.evaluate({&token, 1}, Outputs::Last, &r.decode));
  }
  return r;
}

EngineOptions with(const KernelTable& table, const KvFormat* kv, int threads = 2) {
  EngineOptions o;
  o.table = &table;
  o.k = o.v = kv;
  o.threads = threads;
  o.pin_threads = false;
  return o;
}

void expect_planned(const ModelSpec& spec, const Trial& r, const Meter& meter,
                    const std::string& what) {
  Ledger planned;
  for (const Meter::StepRecord& s : meter.steps) {
    planned += ledger_of(plan_step(spec, {r.options.k, r.options.v}, s.step, s.routing));
  }
  ASSERT_EQ(planned.rows.size(), meter.ledger.rows.size()) << what;
  for (const auto& [key, row] : meter.ledger.rows) {
    const LedgerRow& p = planned.rows.at(key);
    const std::string where = fmt::format("{} {} layer {}", what, name(key.kind), key.layer);
    EXPECT_EQ(row.traffic.weights, p.traffic.weights) << where;
    EXPECT_EQ(row.traffic.kv_read, p.traffic.kv_read) << where;
    EXPECT_EQ(row.traffic.kv_written, p.traffic.kv_written) << where;
    EXPECT_EQ(row.traffic.state, p.traffic.state) << where;
    EXPECT_EQ(row.traffic.activations, p.traffic.activations) << where;
    EXPECT_EQ(row.flops, p.flops) << where;
    EXPECT_EQ(row.calls, p.calls) << where;
  }
  EXPECT_EQ(meter.ledger.tokens, planned.tokens);
}

class Parity : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override { golden_ = load_golden(kFolder, GetParam()); }
  void expect_none(const std::vector<std::string>& bad, const std::string& what) {
    EXPECT_TRUE(bad.empty()) << golden_.name << " " << what << ": "
                             << fmt::format("{}", fmt::join(bad, "; "));
  }
  Golden golden_;
};

TEST_P(Parity, ReferenceKernelsAreExact) {
  const LoadedModel model = LoadedModel::open(golden_.model);
  for (const GoldenTest& t : golden_.tests) {
    const Trial r = try_out(model, t, with(reference_kernels(), f32()));
    const GoldenLimits& limits = t.limits.at(golden_.f32 ? "tolerance" : "tolerance_exact");
    expect_none(judge(t, limits, r.logits), t.id);
    expect_none(judge_greedy(t, limits, r.greedy), t.id);
    expect_none(judge_experts(t, r.prefill.experts), t.id);
  }
}

TEST_P(Parity, FastKernelsKeepTheTolerance) {
  const LoadedModel model = LoadedModel::open(golden_.model);
  for (const KernelTable* table : usable_kernels()) {
    for (const GoldenTest& t : golden_.tests) {
      const Trial r = try_out(model, t, with(*table, f32()));
      const GoldenLimits& limits = t.limits.at("tolerance");
      const std::string what = fmt::format("{} {}", t.id, table->isa);
      expect_none(judge(t, limits, r.logits), what);
      expect_none(judge_greedy(t, limits, r.greedy), what);
      expect_none(judge_experts(t, r.prefill.experts), what);
    }
  }
}

TEST_P(Parity, HalfPrecisionCacheKeepsItsTolerance) {
  const LoadedModel model = LoadedModel::open(golden_.model);
  for (const GoldenTest& t : golden_.tests) {
    if (!t.limits.contains("tolerance_kv_f16")) continue;
    for (const KernelTable* table : usable_kernels()) {
      const Trial r = try_out(model, t, with(*table, f16()));
      expect_none(judge(t, t.limits.at("tolerance_kv_f16"), r.logits),
                  fmt::format("{} {}", t.id, table->isa));
    }
  }
}

double distance(std::span<const float> a, std::span<const float> b) {
  double diff = 0, size = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    diff += std::pow(static_cast<double>(a[i]) - b[i], 2);
    size += std::pow(static_cast<double>(b[i]), 2);
  }
  return std::sqrt(diff / size);
}

TEST_P(Parity, PackedCachesKeepTheirTolerance) {
  const LoadedModel model = LoadedModel::open(golden_.model);
  for (const GoldenCache& cache : golden_.caches) {
    for (const KernelTable* table : usable_kernels()) {
      EngineOptions o = with(*table, kv_format_from_name(cache.k));
      o.v = kv_format_from_name(cache.v);
      o.rotate_kv = cache.rotated;
      for (const std::int64_t chunk : {1, 512}) {
        const GoldenTest& t = golden_.tests.front();
        const std::vector<float> ours = try_out(model, t, o, chunk).logits;
        expect_none(judge(t, cache.limits, ours),
                    fmt::format("cache {} {} chunk {}", cache.id, table->isa, chunk));
        if (cache.logits.empty()) continue;
        // It rounds queries to 8 bits as well, we do not.
        EXPECT_LT(distance(ours, cache.logits), 0.016) << cache.id << " " << table->isa;
        EXPECT_LT(distance(ours, t.logits), 1.02 * distance(cache.logits, t.logits)) << cache.id;
      }
    }
  }
}

// Every type of the cache: bits do not depend on threads, bytes are those of the plan.
TEST_P(Parity, EveryCacheTypeIsPlannedAndDeterministic) {
  const LoadedModel model = LoadedModel::open(golden_.model);
  const Hyper& h = model.spec().hyper;
  const GoldenTest& t = golden_.tests.front();
  for (const KvFormat& type : all_kv_formats()) {
    if (h.head_dim_k % type.values_per_block != 0 || h.head_dim_v % type.values_per_block != 0)
      continue;
    const std::string what = golden_.name + " " + std::string(type.name);
    EngineOptions o = with(best_kernels(), &type, 1);
    const Trial one = try_out(model, t, o, 16, 4);
    o.threads = 2;
    const Trial two = try_out(model, t, o, 16, 4);
    EXPECT_EQ(one.logits, two.logits) << what;
    EXPECT_EQ(one.greedy, two.greedy) << what;
    // A type of 8 bits and more changes little; without experts, whose choice may tip over.
    if (h.experts == 0 && type.bits_per_value() > 8) {
      const Trial exact = try_out(model, t, with(best_kernels(), f32()), 16, 4);
      EXPECT_LT(distance(one.logits, exact.logits), 0.06) << what;
    }
    expect_planned(model.spec(), two, two.prefill, what);
    expect_planned(model.spec(), two, two.decode, what);
    const auto context = static_cast<std::int64_t>(t.prompt.size()) + 4;
    EXPECT_EQ(two.kv_bytes, kv_cache_bytes(model.spec(), {&type, &type}, context, 512)) << what;
  }
}

TEST_P(Parity, PiecesOfThePromptGiveTheSameLogits) {
  const LoadedModel model = LoadedModel::open(golden_.model);
  const GoldenTest& t = golden_.tests.back();
  const Trial whole = try_out(model, t, with(reference_kernels(), f32()), 512, 1);
  for (const std::int64_t chunk : {1, 7}) {
    const Trial pieces = try_out(model, t, with(reference_kernels(), f32()), chunk, 1);
    EXPECT_LT(distance(pieces.logits, whole.logits), 2e-5) << golden_.name << " chunk " << chunk;
  }
  EngineOptions small = with(best_kernels(), f32());
  small.n_ubatch = 7;
  const GoldenLimits& limits = t.limits.at("tolerance");
  expect_none(judge(t, limits, try_out(model, t, small).logits), "micro-batches of 7");
  expect_none(judge(t, limits, try_out(model, t, with(best_kernels(), f32()), 1).logits),
              "token by token");
}

TEST_P(Parity, ThreadsDoNotChangeABit) {
  const LoadedModel model = LoadedModel::open(golden_.model);
  for (const KernelTable* table : usable_kernels()) {
    const GoldenTest& t = golden_.tests.back();
    const Trial one = try_out(model, t, with(*table, f16(), 1));
    for (const int threads : {2, 3}) {
      const Trial more = try_out(model, t, with(*table, f16(), threads));
      EXPECT_EQ(more.logits, one.logits) << golden_.name << " " << table->isa << " " << threads;
      EXPECT_EQ(more.greedy, one.greedy);
    }
  }
}

TEST_P(Parity, MeteredBytesAreThePlannedBytes) {
  const LoadedModel model = LoadedModel::open(golden_.model);
  for (const GoldenTest& t : golden_.tests) {
    for (const std::int64_t chunk : {5, 512}) {
      const Trial r = try_out(model, t, with(best_kernels(), f16()), chunk);
      expect_planned(model.spec(), r, r.prefill, golden_.name + " prefill");
      expect_planned(model.spec(), r, r.decode, golden_.name + " decode");
      for (const Meter* m : {&r.prefill, &r.decode}) {
        EXPECT_GT(m->ledger.residual(), Seconds(0));
        EXPECT_DOUBLE_EQ((m->ledger.op_time() + m->ledger.residual()).value(),
                         m->ledger.wall.value());
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Golden, Parity, ::testing::ValuesIn(golden_names(kFolder)),
                         [](const auto& test) {
                           std::string text = test.param;
                           for (char& c : text)
                             c = std::isalnum(static_cast<unsigned char>(c)) ? c : '_';
                           return text;
                         });

}  // namespace
}  // namespace bandwall
