// Laws of the engine's ledger over random small models and random ways to feed them.
#include <random>

#include <gtest/gtest.h>

#include "runtime/engine.h"
#include "tests/support/gguf_writer.h"

namespace bandwall {
namespace {

using bandwall::testing::Blob;
using bandwall::testing::GgufWriter;

struct Case {
  Blob file;
  std::vector<std::int32_t> tokens;
  std::vector<std::size_t> pieces;
  EngineOptions options;
};

Hyper random_hyper(const Architecture& a, std::mt19937& random) {
  const auto pick = [&](std::initializer_list<std::int64_t> of) {
    return of.begin()[random() % of.size()];
  };
  Hyper h = bandwall::testing::tiny_hyper(a);
  h.layers = pick({1, 2, 3});
  h.kv_heads = a.latent_attention ? 1 : pick({1, 2});
  h.heads = h.kv_heads * pick({1, 2, 3});
  h.head_dim_k = h.head_dim_v = pick({16, 16, 16, 16, 32, 64, 128});
  h.rope_dims = 16;
  h.hidden = h.heads * h.head_dim_k;
  if (a.latent_attention) {
    h.kv_rank = h.head_dim_v = pick({16, 32, 40});
    h.head_dim_k = h.kv_rank + h.rope_dims;
    h.q_rank = pick({0, 32, 44});
    h.mla_value = pick({8, 32});
  }
  h.vocab = pick({17, 32, 70});
  if (h.experts > 0) {
    h.experts = pick({3, 5, 16});
    h.experts_used = pick({1, 2, 3});
    h.expert_ffn = pick({16, 40});
    if (h.shared_ffn > 0) h.shared_ffn = h.expert_ffn;
  }
  if (h.window > 0) h.window = pick({1, 3, 16});
  return h;
}

// Latent attention: the first kv_rank values of a key are the value, in whole blocks.
const KvFormat* random_kv_format(std::int64_t head_dim, std::int64_t kv_rank,
                                 std::mt19937& random) {
  std::vector<const KvFormat*> possible;
  for (const KvFormat& f : all_kv_formats()) {
    if (head_dim % f.values_per_block != 0 || kv_rank % f.values_per_block != 0) continue;
    if (kv_rank == 0 || f.index_bits == 0) possible.push_back(&f);
  }
  return possible[random() % possible.size()];
}

Case random_case(const std::string& architecture, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0f, 0.3f);
  const Hyper h = random_hyper(*find_architecture(architecture), random);
  GgufWriter w = bandwall::testing::tiny_model(architecture, h);
  for (auto& t : w.tensors) {
    for (std::int64_t i = 0; i < t.bytes / 4; ++i) bandwall::testing::put(t.data, normal(random));
  }
  Case c;
  c.file = w.build();
  const std::size_t count = 1 + random() % 40;
  for (std::size_t i = 0; i < count; ++i) {
    c.tokens.push_back(static_cast<std::int32_t>(random() % static_cast<unsigned>(h.vocab)));
  }
  for (std::size_t left = count; left > 0; left -= c.pieces.back()) {
    c.pieces.push_back(1 + random() % left);
  }
  c.options.context = static_cast<std::int64_t>(count);
  c.options.n_ubatch = 1 + static_cast<std::int64_t>(random() % 20);
  c.options.threads = 1 + static_cast<int>(random() % 3);
  c.options.pin_threads = false;
  c.options.k = random_kv_format(h.head_dim_k, h.kv_rank, random);
  c.options.v = random_kv_format(h.head_dim_v, 0, random);
  return c;
}

Meter feed(const LoadedModel& model, const Case& c) {
  Engine engine(model, c.options);
  Meter meter;
  std::span<const std::int32_t> rest(c.tokens);
  constexpr Outputs kOutputs[] = {Outputs::None, Outputs::Last, Outputs::All};
  for (std::size_t i = 0; i < c.pieces.size(); ++i) {
    engine.evaluate(rest.first(c.pieces[i]), kOutputs[i % 3], &meter);
    rest = rest.subspan(c.pieces[i]);
  }
  return meter;
}

class LedgerLaws : public ::testing::TestWithParam<std::string> {};

TEST_P(LedgerLaws, TheMeterMovesWhatThePlanSays) {
  for (unsigned seed = 0; seed < 25; ++seed) {
    SCOPED_TRACE(seed);
    const Case c = random_case(GetParam(), seed);
    const LoadedModel model = LoadedModel::from_memory(c.file, "random.gguf");
    const Meter meter = feed(model, c);
    Ledger planned;
    for (const Meter::StepRecord& s : meter.steps) {
      planned += ledger_of(plan_step(model.spec(), {c.options.k, c.options.v}, s.step, s.routing));
    }
    ASSERT_EQ(planned.rows.size(), meter.ledger.rows.size());
    for (const auto& [key, row] : meter.ledger.rows) {
      EXPECT_EQ(row.traffic, planned.rows.at(key).traffic) << name(key.kind) << " " << key.layer;
      EXPECT_EQ(row.flops, planned.rows.at(key).flops) << name(key.kind) << " " << key.layer;
      EXPECT_EQ(row.calls, planned.rows.at(key).calls);
    }
    EXPECT_EQ(meter.ledger.tokens, static_cast<std::int64_t>(c.tokens.size()));
  }
}

TEST_P(LedgerLaws, TimesAndResidualAreTheWallTime) {
  for (unsigned seed = 100; seed < 110; ++seed) {
    const Case c = random_case(GetParam(), seed);
    const LoadedModel model = LoadedModel::from_memory(c.file, "random.gguf");
    const Meter meter = feed(model, c);
    Seconds walls;
    for (const Meter::StepRecord& s : meter.steps) walls += s.wall;
    EXPECT_NEAR(walls.value(), meter.ledger.wall.value(), 1e-12);
    EXPECT_GT(meter.ledger.residual().value(), 0);
    EXPECT_LT(meter.ledger.op_time(), meter.ledger.wall);
    for (const auto& [key, row] : meter.ledger.rows) EXPECT_GE(row.time.value(), 0);
  }
}

TEST_P(LedgerLaws, CellsAreWrittenOncePerPosition) {
  for (unsigned seed = 200; seed < 210; ++seed) {
    const Case c = random_case(GetParam(), seed);
    const LoadedModel model = LoadedModel::from_memory(c.file, "random.gguf");
    const Ledger ledger = feed(model, c).ledger;
    const Bytes cell = kv_bytes_per_position(model.spec(), {c.options.k, c.options.v});
    EXPECT_EQ(ledger.traffic().kv_written, cell * static_cast<double>(c.tokens.size()));
    Bytes read, written;  // of layers that look with every position; the last need not
    for (const auto& [key, row] : ledger.rows) {
      if (key.layer + 1 >= model.spec().hyper.layers) continue;
      read += row.traffic.kv_read;
      written += row.traffic.kv_written;
    }
    EXPECT_GE(read.value(), written.value());
  }
}

INSTANTIATE_TEST_SUITE_P(Architectures, LedgerLaws, ::testing::ValuesIn(known_architectures()),
                         [](const auto& test) {
                           std::string text = test.param;
                           for (char& ch : text) ch = ch == '-' ? '_' : ch;
                           return text;
                         });

}  // namespace
}  // namespace bandwall
