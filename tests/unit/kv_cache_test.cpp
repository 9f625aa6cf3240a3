// The KV cache: sizes as planned, several sequences, and window layers whose cells go round a ring.
#include "runtime/kv_cache.h"

#include <algorithm>
#include <random>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "hwmodel/error.h"
#include "runtime/engine.h"
#include "tests/support/gguf_writer.h"

namespace bandwall {
namespace {

using bandwall::testing::Blob;
using bandwall::testing::GgufWriter;
using ::testing::HasSubstr;
using Tokens = std::vector<std::int32_t>;

const KvFormat* type(const char* name) { return kv_format_from_name(name); }

Blob random_file(const std::string& architecture, std::int64_t window) {
  Hyper h = bandwall::testing::tiny_hyper(bandwall::testing::architecture_row(architecture));
  h.layers = 3;
  h.window = window;
  GgufWriter w = bandwall::testing::tiny_model(architecture, h);
  std::mt19937 random(11);
  std::normal_distribution<float> normal(0.0f, 0.2f);
  for (auto& t : w.tensors) {
    for (std::int64_t i = 0; i < t.bytes / 4; ++i) bandwall::testing::put(t.data, normal(random));
  }
  return w.build();
}

EngineOptions options(std::int64_t context, std::int64_t n_ubatch, const KernelTable& table) {
  EngineOptions o;
  o.context = context;
  o.n_ubatch = n_ubatch;
  o.threads = 2;
  o.pin_threads = false;
  o.table = &table;
  return o;
}

Tokens random_tokens(std::size_t count) {
  std::mt19937 random(3);
  Tokens tokens(count);
  for (auto& t : tokens) t = static_cast<std::int32_t>(random() % 32);
  return tokens;
}

// Logits of the last position of each piece.
std::vector<float> run(Engine& engine, const Tokens& tokens, std::size_t piece) {
  std::vector<float> logits;
  for (std::size_t at = 0; at < tokens.size(); at += piece) {
    const auto rows = engine.evaluate(
        std::span(tokens).subspan(at, std::min(piece, tokens.size() - at)), Outputs::Last);
    logits.insert(logits.end(), rows.begin(), rows.end());
  }
  return logits;
}

TEST(KvCache, BytesAreThePlannedBytes) {
  for (const char* architecture : {"gpt-oss", "qwen3moe"}) {
    const Blob file = random_file(architecture, architecture[0] == 'g' ? 40 : 0);
    const LoadedModel model = LoadedModel::from_memory(file, "tiny.gguf");
    for (const std::int64_t context : {1, 100, 256, 1000, 5000}) {
      for (const std::int64_t n_ubatch : {1, 7, 512}) {
        EngineOptions o = options(context, n_ubatch, best_kernels());
        o.k = type("f16");
        o.v = type("f32");
        EXPECT_EQ(Engine(model, o).kv_bytes(),
                  kv_cache_bytes(model.spec(), {o.k, o.v}, context, n_ubatch))
            << architecture << " " << context << " " << n_ubatch;
      }
    }
  }
}

TEST(KvCache, CellsOfAllSequencesAndLayersLieApart) {
  Hyper h = bandwall::testing::tiny_hyper(bandwall::testing::architecture_row("gpt-oss"));
  h.layers = 3;
  h.window_period = 2;
  const KvCache cache(h, *type("f16"), *type("f32"), {1000, 10, 3, true});
  EXPECT_EQ(static_cast<double>(cache.bytes()),
            kv_cache_size(h, *type("f16"), *type("f32"), {1000, 10, 3}));
  EXPECT_EQ(cache.ring(0), 256);
  EXPECT_EQ(cache.ring(1), 1000);
  EXPECT_EQ(cache.place(0, 256 + 5), 5);
  EXPECT_EQ(cache.place(1, 256 + 5), 261);
  std::vector<std::pair<const std::byte*, std::int64_t>> runs;
  for (std::int64_t s = 0; s < 3; ++s) {
    for (std::int64_t l = 0; l < h.layers; ++l) {
      for (std::int64_t j = 0; j < h.kv_heads; ++j) {
        runs.emplace_back(cache.k(l, j, s), cache.ring(l) * cache.k_stride());
        runs.emplace_back(cache.v(l, j, s), cache.ring(l) * cache.v_stride());
      }
    }
  }
  std::sort(runs.begin(), runs.end());
  std::int64_t sum = 0;
  for (std::size_t i = 0; i < runs.size(); ++i) {
    sum += runs[i].second;
    const std::byte* end_before = i == 0 ? nullptr : runs[i - 1].first + runs[i - 1].second;
    EXPECT_LE(end_before, runs[i].first);
    *const_cast<std::byte*>(runs[i].first) = std::byte{1};
    *const_cast<std::byte*>(runs[i].first + runs[i].second - 1) = std::byte{2};
  }
  EXPECT_EQ(sum, cache.bytes());
}

// Fed alike, an engine whose window layers keep a ring gives the same bits as one that keeps all.
TEST(KvCache, ARingGivesTheBitsOfAWholeCache) {
  const Blob file = random_file("gpt-oss", 40);
  const LoadedModel model = LoadedModel::from_memory(file, "tiny.gguf");
  const Tokens tokens = random_tokens(600);
  for (const KernelTable* table : usable_kernels()) {
    for (const std::size_t piece : {1, 7, 100, 300}) {
      Engine whole(model, options(600, 600, *table));
      Engine ring(model, options(600, static_cast<std::int64_t>(piece), *table));
      ASSERT_LT(ring.kv_bytes(), whole.kv_bytes());
      EXPECT_EQ(run(ring, tokens, piece), run(whole, tokens, piece)) << table->isa << " " << piece;
    }
  }
}

TEST(KvCache, PiecesOfAnySizeAgreeBeyondTheWindow) {
  const Blob file = random_file("gpt-oss", 20);
  const LoadedModel model = LoadedModel::from_memory(file, "tiny.gguf");
  const Tokens tokens = random_tokens(400);
  Engine whole(model, options(400, 400, reference_kernels()));
  const std::vector<float> expected = run(whole, tokens, tokens.size());
  for (const KernelTable* table : usable_kernels()) {
    for (const std::int64_t n_ubatch : {1, 7, 300}) {
      EngineOptions o = options(400, n_ubatch, *table);
      o.k = o.v = type("f32");
      Engine engine(model, o);
      const std::vector<float> logits = run(engine, tokens, tokens.size());
      for (std::size_t i = 0; i < logits.size(); ++i) {
        ASSERT_NEAR(logits[i], expected[i], 5e-3) << table->isa << " " << n_ubatch << " at " << i;
      }
    }
  }
}

TEST(KvCache, ThreadsDoNotChangeABitOfARing) {
  const Blob file = random_file("gpt-oss", 40);
  const LoadedModel model = LoadedModel::from_memory(file, "tiny.gguf");
  const Tokens tokens = random_tokens(600);
  for (const KernelTable* table : usable_kernels()) {
    EngineOptions o = options(600, 20, *table);
    Engine two(model, o);
    o.threads = 1;
    Engine one(model, o);
    EXPECT_EQ(run(one, tokens, 33), run(two, tokens, 33)) << table->isa;
  }
}

TEST(KvCache, RewindIsRefusedWhenTheWindowHasLostCells) {
  const Blob file = random_file("gpt-oss", 40);
  const LoadedModel model = LoadedModel::from_memory(file, "tiny.gguf");
  const Tokens tokens = random_tokens(500), next = {5};
  Engine engine(model, options(600, 10, best_kernels()));  // a ring of 256 cells
  run(engine, tokens, 10);
  try {
    engine.rewind(282);  // sees 243.., cells up to 244 are overwritten
    FAIL() << "not refused";
  } catch (const Error& e) {
    EXPECT_THAT(e.what(), HasSubstr("cannot go back to 282 of 500"));
    EXPECT_THAT(e.what(), HasSubstr("window of 40"));
  }
  EXPECT_EQ(engine.position(), 500);
  engine.rewind(283);
  const auto logits = engine.evaluate(next, Outputs::Last);
  Engine fresh(model, options(600, 10, best_kernels()));
  run(fresh, Tokens(tokens.begin(), tokens.begin() + 283), 10);
  const auto expected = fresh.evaluate(next, Outputs::Last);
  EXPECT_TRUE(std::equal(logits.begin(), logits.end(), expected.begin(), expected.end()));
  // What was written before the first rewind still counts.
  EXPECT_THROW(engine.rewind(282), Error);
  engine.rewind(0);
  EXPECT_EQ(engine.position(), 0);
  engine.evaluate(tokens, Outputs::None);
  EXPECT_EQ(engine.position(), 500);
}

TEST(KvCache, RewindOfAWholeCacheIsFree) {
  const Blob file = random_file("qwen3moe", 0);
  const LoadedModel model = LoadedModel::from_memory(file, "tiny.gguf");
  Engine engine(model, options(600, 10, best_kernels()));
  run(engine, random_tokens(500), 10);
  engine.rewind(3);
  EXPECT_EQ(engine.position(), 3);
}

}  // namespace
}  // namespace bandwall
