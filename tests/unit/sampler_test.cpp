// Sampler: order of the filters, determinism (drawn ids are fixed here), bad options, bad logits.
#include "runtime/sampler.h"

#include <cmath>
#include <limits>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "hwmodel/error.h"

namespace bandwall {
namespace {

using ::testing::HasSubstr;
using Logits = std::vector<float>;

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// How often each id is drawn in `times` draws.
std::vector<int> counts(const SamplerOptions& options, const Logits& logits, int times) {
  Sampler sampler(options);
  std::vector<int> count(logits.size(), 0);
  for (int i = 0; i < times; ++i) ++count[static_cast<std::size_t>(sampler.sample(logits))];
  return count;
}

SamplerOptions bare(float temperature) {
  return {.temperature = temperature, .top_k = 0, .top_p = 1.0f, .min_p = 0.0f, .seed = 1};
}

std::string error_of(const SamplerOptions& options) {
  try {
    Sampler sampler(options);
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), Error::Kind::Input);
    return e.what();
  }
  return "";
}

TEST(Argmax, LowestIdWinsATie) {
  EXPECT_EQ(argmax(Logits{1, 3, 3, 2}), 1);
  EXPECT_EQ(argmax(Logits{-kInfinity, -kInfinity}), 0);
  EXPECT_EQ(argmax(Logits{-1, kInfinity, kInfinity}), 1);
  EXPECT_EQ(argmax(Logits{0.0f, -0.0f}), 0);
}

TEST(Argmax, NanIsNamed) {
  for (const Logits& logits : {Logits{NAN, 1}, Logits{1, NAN}, Logits{NAN}}) {
    try {
      argmax(logits);
      FAIL() << "NaN was accepted";
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), Error::Kind::Running);
      EXPECT_THAT(e.what(), HasSubstr("NaN"));
    }
  }
}

TEST(Sampler, ZeroOrNegativeTemperatureIsGreedy) {
  for (const float temperature : {0.0f, -0.0f, -1.0f}) {
    EXPECT_EQ(counts(bare(temperature), {1, 5, 5, 2}, 20), (std::vector<int>{0, 20, 0, 0}));
  }
}

TEST(Sampler, DrawsInProportionToProbability) {
  const Logits logits = {std::log(1.0f), std::log(2.0f), std::log(5.0f)};
  const std::vector<int> count = counts(bare(1.0f), logits, 8000);
  EXPECT_NEAR(count[0], 1000, 120);  // four standard deviations
  EXPECT_NEAR(count[1], 2000, 155);
  EXPECT_NEAR(count[2], 5000, 175);
}

TEST(Sampler, TemperatureSharpensAndFlattens) {
  const Logits logits = {0.0f, std::log(4.0f)};
  EXPECT_NEAR(counts(bare(0.5f), logits, 8000)[1], 8000 * 16 / 17.0, 90);  // 4^2 : 1
  EXPECT_NEAR(counts(bare(2.0f), logits, 8000)[1], 8000 * 2 / 3.0, 170);   // 4^(1/2) : 1
  EXPECT_EQ(counts(bare(1e-30f), logits, 100)[1], 100);
}

TEST(Sampler, TopKKeepsTheLargestAndLowestIds) {
  SamplerOptions o = bare(1.0f);
  o.top_k = 2;
  const std::vector<int> count = counts(o, {1, 2, 2, 2, 0}, 400);
  EXPECT_GT(count[1], 100);
  EXPECT_GT(count[2], 100);
  EXPECT_EQ(count[1] + count[2], 400);
  o.top_k = 1000;  // more than there are: off
  EXPECT_GT(counts(o, {1, 1}, 100)[0], 20);
}

TEST(Sampler, TopPKeepsTheSmallestSetThatReachesP) {
  const Logits logits = {std::log(0.5f), std::log(0.3f), std::log(0.15f), std::log(0.05f)};
  SamplerOptions o = bare(1.0f);
  o.top_p = 0.7f;  // 0.5 is too little, 0.5 + 0.3 is enough
  std::vector<int> count = counts(o, logits, 2000);
  EXPECT_GT(count[1], 0);
  EXPECT_EQ(count[2] + count[3], 0);
  o.top_p = 0.0f;  // at least one stays
  count = counts(o, logits, 100);
  EXPECT_EQ(count[0], 100);
}

TEST(Sampler, MinPIsRelativeToTheBest) {
  const Logits logits = {std::log(0.5f), std::log(0.3f), std::log(0.15f), std::log(0.05f)};
  SamplerOptions o = bare(1.0f);
  o.min_p = 0.29f;  // 0.15 / 0.5 = 0.30 stays, 0.05 / 0.5 = 0.10 goes
  const std::vector<int> count = counts(o, logits, 4000);
  EXPECT_GT(count[2], 0);
  EXPECT_EQ(count[3], 0);
}

TEST(Sampler, FiltersComeBeforeTemperature) {
  // At temperature 10 all would be about equal and top-p 0.7 would keep three.
  const Logits logits = {std::log(0.9f), std::log(0.05f), std::log(0.05f)};
  SamplerOptions o = bare(10.0f);
  o.top_p = 0.7f;
  EXPECT_EQ(counts(o, logits, 200)[0], 200);
}

TEST(Sampler, SameSeedSameTokensEverywhere) {
  Logits logits;
  for (int i = 0; i < 50; ++i) logits.push_back(0.1f * static_cast<float>((i * 7) % 50));
  Sampler a({.temperature = 0.8f, .seed = 7}), b({.temperature = 0.8f, .seed = 7});
  Sampler c({.temperature = 0.8f, .seed = 8});
  std::vector<std::int32_t> from_a, from_b, from_c;
  for (int i = 0; i < 12; ++i) {
    from_a.push_back(a.sample(logits));
    from_b.push_back(b.sample(logits));
    from_c.push_back(c.sample(logits));
  }
  EXPECT_EQ(from_a, from_b);
  EXPECT_NE(from_a, from_c);
  // Computed with a separate program (exact arithmetic for the weights): any machine, any compiler.
  EXPECT_EQ(from_a, (std::vector<std::int32_t>{20, 21, 48, 18, 32, 5, 7, 7, 28, 14, 42, 20}));
}

TEST(Sampler, MaskedTokensAreNeverDrawn) {
  EXPECT_EQ(counts(bare(1.0f), {-kInfinity, 0, -kInfinity}, 50)[1], 50);
  EXPECT_EQ(counts(bare(1.0f), {-1e30f, 1e30f}, 50)[1], 50);
}

TEST(Sampler, LogitsWithoutProbabilitiesAreAnError) {
  Sampler sampler(bare(1.0f));
  for (const Logits& logits :
       {Logits{NAN, 1}, Logits{kInfinity, 1}, Logits{-kInfinity, -kInfinity}}) {
    EXPECT_THROW(sampler.sample(logits), Error);
  }
  EXPECT_THROW(Sampler(bare(0.0f)).sample(Logits{NAN}), Error);
}

TEST(Sampler, OptionsOutOfRangeAreNamed) {
  SamplerOptions o;
  o.temperature = NAN;
  EXPECT_THAT(error_of(o), HasSubstr("temperature"));
  o.temperature = kInfinity;
  EXPECT_THAT(error_of(o), HasSubstr("temperature"));
  for (const float p : {-0.1f, static_cast<float>(NAN)}) {
    o = {};
    o.top_p = p;
    EXPECT_THAT(error_of(o), HasSubstr("top_p"));
  }
  for (const float p : {1.1f, static_cast<float>(NAN)}) {
    o = {};
    o.min_p = p;
    EXPECT_THAT(error_of(o), HasSubstr("min_p"));
  }
  o = {.temperature = -5.0f, .top_k = -1, .top_p = 2.0f, .min_p = -1.0f, .seed = 0};
  EXPECT_EQ(error_of(o), "");  // all of these mean "off"
}

TEST(LogitsHash, IsFnv1aOfTheBits) {
  EXPECT_EQ(logits_hash(Logits{}), 0xcbf29ce484222325ull);
  EXPECT_EQ(logits_hash(Logits{1.0f, -2.5f}), 0x9e629ee2dfdb3f8ull);
  EXPECT_NE(logits_hash(Logits{0.0f}), logits_hash(Logits{-0.0f}));
  EXPECT_NE(logits_hash(Logits{1, 2}), logits_hash(Logits{2, 1}));
}

}  // namespace
}  // namespace bandwall
