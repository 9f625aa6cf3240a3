// Engines with recurrent layers: state goes on, is cleared, cannot be cut back, and does not depend
// on how the tokens are divided.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <optional>
#include <random>

#include "hwmodel/error.h"
#include "runtime/engine.h"
#include "runtime/state_cache.h"
#include "tests/support/gguf_writer.h"
#include "tests/support/shapes.h"

namespace bandwall {
namespace {

using ::testing::HasSubstr;
using Tokens = std::vector<std::int32_t>;
using bandwall::testing::Blob;
using bandwall::testing::GgufWriter;

constexpr const char* kHybrids[] = {"nemotron_h_moe", "qwen3next"};

// Random weights; decays are negative, as files hold them. last: the last value of the embedding of
// the last token, 31.
Blob random_file(const std::string& architecture, std::optional<float> last = std::nullopt) {
  GgufWriter w = bandwall::testing::tiny_model(architecture);
  std::mt19937 random(11);
  std::normal_distribution<float> normal(0.0f, 0.2f);
  for (auto& t : w.tensors) {
    const bool decay = t.name.ends_with("ssm_a"), table = t.name == "token_embd.weight";
    for (std::int64_t i = 0; i < t.bytes / 4; ++i) {
      float value = normal(random);
      if (decay) value = -0.5f - std::abs(value);
      if (table && last && (i + 1) * 4 == t.bytes) value = *last;
      bandwall::testing::put(t.data, value);
    }
  }
  return w.build();
}

EngineOptions options() {
  EngineOptions o;
  o.context = 96;
  o.threads = 2;
  o.pin_threads = false;
  return o;
}

Tokens prompt() {
  Tokens tokens;
  for (std::int32_t i = 0; i < 40; ++i) tokens.push_back((7 * i + 3) % 32);
  return tokens;
}

std::vector<float> copy(std::span<const float> s) { return {s.begin(), s.end()}; }

std::string message(const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& e) {
    return e.what();
  }
  return "no error";
}

class RecurrentEngine : public ::testing::TestWithParam<const char*> {
 protected:
  Blob file_ = random_file(GetParam());
  LoadedModel model_ = LoadedModel::from_memory(file_, "tiny.gguf");
};

TEST_P(RecurrentEngine, MicroBatchesAndThreadsDoNotChangeABit) {
  for (const KernelTable* table : usable_kernels()) {
    EngineOptions o = options();
    o.table = table;
    o.threads = 1;
    Engine whole(model_, o);
    const auto expected = copy(whole.evaluate(prompt(), Outputs::All));
    for (const std::int64_t ubatch : {1, 7, 512}) {
      for (const int threads : {1, 2, 3}) {
        o.n_ubatch = ubatch;
        o.threads = threads;
        Engine engine(model_, o);
        EXPECT_EQ(copy(engine.evaluate(prompt(), Outputs::All)), expected)
            << table->isa << " micro-batches of " << ubatch << ", threads " << threads;
      }
    }
  }
}

TEST_P(RecurrentEngine, WhatCameBeforeMattersUntilReset) {
  Engine engine(model_, options());
  const Tokens tokens = prompt(), next = {5};
  const auto fresh = copy(engine.evaluate(next, Outputs::Last));
  engine.reset();
  engine.evaluate(tokens, Outputs::None);
  EXPECT_NE(copy(engine.evaluate(next, Outputs::Last)), fresh);
  engine.reset();
  EXPECT_EQ(copy(engine.evaluate(next, Outputs::Last)), fresh);
  engine.rewind(0);
  EXPECT_EQ(copy(engine.evaluate(next, Outputs::Last)), fresh);
}

TEST_P(RecurrentEngine, RewindGoesToTheBeginningOrNowhere) {
  Engine engine(model_, options());
  engine.evaluate(prompt(), Outputs::None);
  EXPECT_THAT(message([&] { engine.rewind(39); }),
              HasSubstr("39 of 40 positions cannot be kept: recurrent layers hold all"));
  EXPECT_EQ(engine.position(), 40);
  engine.rewind(40);
  EXPECT_EQ(engine.position(), 40);
  engine.rewind(0);
  EXPECT_EQ(engine.position(), 0);
}

TEST_P(RecurrentEngine, AStepCutShortMustBeBegunAgain) {
  // Logits that are no numbers end the step after the states have moved on.
  GgufWriter w = bandwall::testing::tiny_model(GetParam());
  for (auto& t : w.tensors) {
    const float value = t.name == "output.weight"   ? 3e38f
                        : t.name.ends_with("ssm_a") ? -1.0f
                                                    : 1.0f;
    for (std::int64_t i = 0; i < t.bytes / 4; ++i) bandwall::testing::put(t.data, value);
  }
  const Blob file = w.build();
  const LoadedModel model = LoadedModel::from_memory(file, "tiny.gguf");
  Engine engine(model, options());
  EXPECT_THAT(message([&] { engine.evaluate(prompt(), Outputs::Last); }),
              HasSubstr("op head: inf"));
  EXPECT_THAT(message([&] { engine.evaluate(prompt(), Outputs::None); }),
              HasSubstr("begin again from position 0"));
  EXPECT_FALSE(engine.can_rewind(engine.position() + 1));
  engine.rewind(0);
  engine.evaluate(prompt(), Outputs::None);
  EXPECT_EQ(engine.position(), 40);
  EXPECT_THAT(message([&] { engine.evaluate(Tokens{1}, Outputs::Last); }),
              HasSubstr("op head: inf"));
  EXPECT_EQ(engine.position(), 40);
  EXPECT_FALSE(engine.can_rewind(40));  // its state has seen more
  EXPECT_THAT(message([&] { engine.rewind(40); }), HasSubstr("begin again from position 0"));
  engine.reset();
  engine.evaluate(prompt(), Outputs::None);
  EXPECT_EQ(engine.position(), 40);
}

// Token 31 is embedded as NaN.
TEST_P(RecurrentEngine, AStepCutShortConcernsOnlyItsSequences) {
  const Blob file = random_file(GetParam(), NAN);
  const LoadedModel model = LoadedModel::from_memory(file, "tiny.gguf");
  EngineOptions o = options();
  o.sequences = 3;
  Engine whole(model, o), engine(model, o);
  const Tokens poison = {1, 31};
  Tokens fine = prompt();
  for (std::int32_t& token : fine) token %= 31;
  for (std::int64_t s = 0; s < 3; ++s) {
    whole.evaluate(fine, Outputs::None, nullptr, s);
    engine.evaluate(fine, Outputs::None, nullptr, s);
  }
  EXPECT_THAT(message([&] { engine.evaluate(poison, Outputs::Last, nullptr, 1); }),
              HasSubstr("op embedding"));
  EXPECT_THAT(message([&] { engine.evaluate(Tokens{1}, Outputs::Last, nullptr, 1); }),
              HasSubstr("sequence 1 ended early"));
  const std::vector<SequenceToken> all = {{0, 4}, {1, 5}, {2, 6}}, others = {{0, 4}, {2, 6}};
  EXPECT_THAT(message([&] { engine.evaluate_step(all); }), HasSubstr("sequence 1 ended early"));
  const auto expected = copy(whole.evaluate_step(others));
  EXPECT_EQ(copy(engine.evaluate_step(others)), expected);
  engine.rewind(0, 1);
  whole.rewind(0, 1);
  EXPECT_EQ(copy(engine.evaluate(fine, Outputs::Last, nullptr, 1)),
            copy(whole.evaluate(fine, Outputs::Last, nullptr, 1)));
}

INSTANTIATE_TEST_SUITE_P(Hybrids, RecurrentEngine, ::testing::ValuesIn(kHybrids),
                         [](const auto& test) { return std::string(test.param); });

TEST(StateCache, HoldsEveryRecurrentLayerOfEverySequence) {
  const Hyper h = bandwall::testing::qwen3_next().hyper;
  StateCache states(h, 2);
  EXPECT_FALSE(states.empty());
  // Padded to cache lines, which these sizes fill.
  EXPECT_EQ(states.bytes(), 2 * 4 * h.state_values());
  EXPECT_EQ(states.state(0, 0) - states.conv_tail(0, 0), 3 * 8192);
  EXPECT_EQ(states.conv_tail(4, 0) - states.conv_tail(2, 0), h.layer_state_values());
  EXPECT_EQ(states.conv_tail(0, 1) - states.conv_tail(46, 0), h.layer_state_values());
  states.conv_tail(1, 0)[0] = states.state(46, 1)[128 * 4096 - 1] = 1.0f;
  states.clear(0);
  EXPECT_EQ(states.conv_tail(1, 0)[0], 0.0f);
  EXPECT_EQ(states.state(46, 1)[128 * 4096 - 1], 1.0f);
}

TEST(StateCache, TakesNothingWithoutRecurrentLayers) {
  StateCache states(bandwall::testing::qwen3_30b().hyper, 1);
  EXPECT_TRUE(states.empty());
  EXPECT_EQ(states.bytes(), 0);
  states.clear(0);
}

}  // namespace
}  // namespace bandwall
