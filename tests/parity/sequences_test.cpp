// Several sequences in one step: each gets the logits it gets alone, the step reads each chosen
// expert once, and metered bytes are the planned ones.
#include <algorithm>
#include <cmath>
#include <set>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "analysis/compare.h"
#include "hwmodel/error.h"
#include "tests/support/golden.h"

#ifndef BANDWALL_GOLDEN_DIR
#define BANDWALL_GOLDEN_DIR BANDWALL_SOURCE_DIR "/tests/parity/golden"
#endif

namespace bandwall {
namespace {

using namespace testing;

constexpr int kSteps = 4;

EngineOptions options_for(const KernelTable& table, std::int64_t context, std::int64_t sequences,
                          int threads) {
  EngineOptions o;
  o.context = context;
  o.sequences = sequences;
  o.threads = threads;
  o.table = &table;
  o.k = o.v = kv_format_from_name("f32");
  o.pin_threads = false;
  return o;
}

// Prompts of different lengths out of the golden one, so that positions differ.
std::vector<std::vector<std::int32_t>> prompts_of(const GoldenTest& t, std::int64_t sequences) {
  std::vector<std::vector<std::int32_t>> prompts;
  const auto n = static_cast<std::int64_t>(t.prompt.size());
  for (std::int64_t s = 0; s < sequences; ++s) {
    const std::int64_t from = s * 3 % (n / 2);
    prompts.emplace_back(t.prompt.begin() + from, t.prompt.end() - (s * 5 % (n / 3)));
  }
  return prompts;
}

std::int32_t token_at(const GoldenTest& t, std::int64_t sequence, int step) {
  return static_cast<std::int32_t>((sequence * 37 + step * 11 + 5) % t.vocab);
}

std::vector<float> alone(const LoadedModel& model, const GoldenTest& t, const EngineOptions& o,
                         const std::vector<std::int32_t>& prompt, std::int64_t sequence) {
  Engine engine(model, o);
  engine.evaluate(prompt, Outputs::None);
  std::vector<float> all;
  for (int step = 0; step < kSteps; ++step) {
    const std::int32_t token = token_at(t, sequence, step);
    const auto row = engine.evaluate({&token, 1}, Outputs::Last);
    all.insert(all.end(), row.begin(), row.end());
  }
  return all;
}

struct Together {
  std::vector<std::vector<float>> logits;  // of each sequence, step after step
  Meter meter;
  KvConfig kv;
};

Together together(const LoadedModel& model, const GoldenTest& t, const EngineOptions& o,
                  const std::vector<std::vector<std::int32_t>>& prompts) {
  Engine engine(model, o);
  Together r;
  r.kv = {o.k, o.v};
  r.logits.resize(prompts.size());
  r.meter.record_experts = true;
  for (std::size_t s = 0; s < prompts.size(); ++s) {
    engine.evaluate(prompts[s], Outputs::None, nullptr, static_cast<std::int64_t>(s));
  }
  for (int step = 0; step < kSteps; ++step) {
    std::vector<SequenceToken> tokens;
    for (std::size_t s = prompts.size(); s-- > 0;) {  // any order
      const auto sequence = static_cast<std::int64_t>(s);
      tokens.push_back({sequence, token_at(t, sequence, step)});
    }
    const auto rows = engine.evaluate_step(tokens, &r.meter);
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      const auto row =
          rows.subspan(i * static_cast<std::size_t>(t.vocab), static_cast<std::size_t>(t.vocab));
      auto& to = r.logits[static_cast<std::size_t>(tokens[i].sequence)];
      to.insert(to.end(), row.begin(), row.end());
    }
  }
  return r;
}

double distance(std::span<const float> a, std::span<const float> b) {
  double diff = 0, size = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    diff += std::pow(static_cast<double>(a[i]) - b[i], 2);
    size += std::pow(static_cast<double>(b[i]), 2);
  }
  return std::sqrt(diff / size);
}

class Sequences : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override { golden_ = load_golden(BANDWALL_GOLDEN_DIR, GetParam()); }
  // From three rows on, AVX-512 adds the products of quantized weights in another order. That is
  // 2e-7 of the logits, and as much as one 8-bit activation where one is rounded the other way.
  bool sums_differ(const KernelTable& table, std::int64_t sequences) const {
    return sequences > 2 && table.isa == "avx512" && !golden_.f32;
  }
  Golden golden_;
};

TEST_P(Sequences, EachGetsTheLogitsItGetsAlone) {
  const LoadedModel model = LoadedModel::open(golden_.model);
  const GoldenTest& t = golden_.tests.front();
  const auto context = static_cast<std::int64_t>(t.prompt.size()) + kSteps;
  for (const KernelTable* table : usable_kernels()) {
    for (const std::int64_t sequences : {2, 6}) {
      const auto prompts = prompts_of(t, sequences);
      const Together r = together(model, t, options_for(*table, context, sequences, 2), prompts);
      std::vector<double> apart;
      for (std::int64_t s = 0; s < sequences; ++s) {
        const auto at = static_cast<std::size_t>(s);
        const auto expected = alone(model, t, options_for(*table, context, 1, 1), prompts[at], s);
        const std::string what = fmt::format("{}, sequence {} of {}", table->isa, s, sequences);
        if (sums_differ(*table, sequences)) {
          apart.push_back(distance(r.logits[at], expected));
          EXPECT_LT(apart.back(), t.limits.at("tolerance").rms_rel_position) << what;
        } else {
          EXPECT_TRUE(r.logits[at] == expected)
              << what << ": distance " << distance(r.logits[at], expected);
        }
      }
      if (apart.empty()) continue;
      std::sort(apart.begin(), apart.end());
      EXPECT_LT(apart[apart.size() / 2], 1e-6) << table->isa;
    }
  }
}

TEST_P(Sequences, MeteredBytesAreThePlannedBytesOfTheUnionOfExperts) {
  const LoadedModel model = LoadedModel::open(golden_.model);
  const GoldenTest& t = golden_.tests.front();
  const auto context = static_cast<std::int64_t>(t.prompt.size()) + kSteps;
  const auto prompts = prompts_of(t, 5);
  const Together r = together(model, t, options_for(best_kernels(), context, 5, 2), prompts);
  Ledger planned;
  ASSERT_EQ(r.meter.steps.size(), static_cast<std::size_t>(kSteps));
  for (std::size_t step = 0; step < r.meter.steps.size(); ++step) {
    const Meter::StepRecord& record = r.meter.steps[step];
    EXPECT_EQ(record.step.sequences, 5);
    EXPECT_EQ(record.step.tokens_per_sequence, 1);
    planned += ledger_of(plan_step(model.spec(), r.kv, record.step, record.routing));
    for (std::size_t l = 0; l < r.meter.experts.size(); ++l) {
      if (r.meter.experts[l].empty()) continue;
      std::set<std::int32_t> chosen;
      for (std::size_t i = 5 * step; i < 5 * (step + 1); ++i) {
        chosen.insert(r.meter.experts[l][i].begin(), r.meter.experts[l][i].end());
      }
      EXPECT_EQ(record.routing.distinct_experts[l], static_cast<double>(chosen.size()));
    }
  }
  const Comparison c = compare(planned, r.meter.ledger);
  EXPECT_TRUE(c.bytes_equal);
  EXPECT_EQ(planned.flops(), r.meter.ledger.flops());
}

INSTANTIATE_TEST_SUITE_P(Golden, Sequences, ::testing::ValuesIn(golden_names(BANDWALL_GOLDEN_DIR)),
                         [](const auto& test) {
                           std::string text = test.param;
                           for (char& c : text)
                             c = std::isalnum(static_cast<unsigned char>(c)) ? c : '_';
                           return text;
                         });

TEST(SequencesApi, KeepTheirOwnPositionsAndRefuseWhatCannotBe) {
  const Golden golden = load_golden(BANDWALL_GOLDEN_DIR, "llama-f16");
  const LoadedModel model = LoadedModel::open(golden.model);
  Engine engine(model, options_for(best_kernels(), 8, 2, 1));
  const std::vector<std::int32_t> three = {1, 2, 3};
  engine.evaluate(three, Outputs::None, nullptr, 1);
  EXPECT_EQ(engine.position(0), 0);
  EXPECT_EQ(engine.position(1), 3);
  const std::vector<SequenceToken> twice = {{1, 4}, {1, 5}}, beyond = {{2, 4}}, wrong = {{0, -1}};
  for (const auto& bad : {twice, beyond, wrong}) {
    EXPECT_THROW(engine.evaluate_step(bad), Error);
    EXPECT_EQ(engine.position(1), 3);
  }
  EXPECT_THROW(engine.evaluate(three, Outputs::None, nullptr, 2), Error);
  EXPECT_TRUE(engine.evaluate_step({}).empty());
  const std::vector<SequenceToken> one = {{1, 4}};
  for (int i = 0; i < 5; ++i) engine.evaluate_step(one);
  EXPECT_EQ(engine.position(1), 8);
  EXPECT_THROW(engine.evaluate_step(one), Error) << "the context is full";
  engine.rewind(2, 1);
  EXPECT_EQ(engine.position(1), 2);
  engine.evaluate(three, Outputs::None, nullptr, 0);
  engine.reset();
  EXPECT_EQ(engine.position(0) + engine.position(1), 0);
  EXPECT_THROW(Engine(model, options_for(best_kernels(), 8, 0, 1)), Error);
}

}  // namespace
}  // namespace bandwall
