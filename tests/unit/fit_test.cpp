#include "analysis/fit.h"

#include <gtest/gtest.h>

#include "hwmodel/error.h"
#include "tests/support/hand_machine.h"
#include "tests/support/hand_model.h"

namespace bandwall {
namespace {

using namespace testing_support;

FitOptions options(std::int64_t context, std::string_view k = "f16", std::string_view v = "f16") {
  FitOptions o;
  o.context = context;
  o.kv = {kv_format_from_name(k), kv_format_from_name(v)};
  return o;
}

// A GB10 as programs see it: 121.69 GiB visible, 116 GiB safe (public measurements).
Machine spark(int devices = 1) {
  Machine m = hand_machine();
  m.name = "spark";
  m.devices = devices;
  m.pools[0].visible = given(Bytes(121.69 * kGiB));
  m.pools[0].reserve = given(Bytes(5.69 * kGiB));
  return m;
}

const MemoryLine* line(const FitReport& r, std::string_view what) {
  for (const MemoryLine& l : r.lines) {
    if (l.what == what) return &l;
  }
  return nullptr;
}

TEST(Fit, LinesSumToNeededAndHeadroomClosesExactly) {
  const FitReport r = fit(spark(), minimax_sized(101'930'000'000), options(96000));
  Bytes sum;
  for (const MemoryLine& l : r.lines) {
    sum += l.bytes;
    EXPECT_FALSE(l.how.empty()) << l.what;
  }
  EXPECT_EQ(sum, r.needed);
  EXPECT_EQ(r.needed + r.headroom, r.usable);
}

// The three figures below are llama.cpp's own log lines or follow from its rules.
TEST(Fit, MiniMaxCacheAndBuffersAsLogged) {
  const FitReport r =
      fit(spark(), minimax_sized(101'930'000'000), options(96000, "tbq4_0", "tbq3_0"));
  ASSERT_NE(line(r, "KV cache"), nullptr);
  EXPECT_NEAR(line(r, "KV cache")->bytes.value(), 5.43e9, 0.005e9);
  ASSERT_NE(line(r, "compute buffer"), nullptr);
  EXPECT_NEAR(line(r, "compute buffer")->bytes.value() / kMiB, 396.75, 0.01);
  ASSERT_NE(line(r, "host buffer"), nullptr);
  EXPECT_NEAR(line(r, "host buffer")->bytes.value() / kMiB, 199.5, 0.6);
  EXPECT_EQ(r.verdict, Verdict::Fits);
}

TEST(Fit, VerdictsOfTheKnownCases) {
  // UD-Q3_K_XL, IQ4_XS (113.5 GiB), the NVFP4 checkpoint.
  EXPECT_EQ(
      fit(spark(), minimax_sized(101'930'000'000), options(96000, "tbq4_0", "tbq3_0")).verdict,
      Verdict::Fits);
  EXPECT_EQ(fit(spark(), minimax_sized(121'869'000'000), options(4096)).verdict, Verdict::TooClose);
  EXPECT_EQ(fit(spark(), minimax_sized(139'862'328'320), options(4096)).verdict,
            Verdict::DoesNotFit);
  EXPECT_EQ(fit(spark(2), minimax_sized(139'862'328'320), options(4096)).verdict, Verdict::Fits);
}

TEST(Fit, TooCloseSaysWhy) {
  const FitReport r = fit(spark(), minimax_sized(121'869'000'000), options(4096));
  bool said = false;
  for (const std::string& n : r.notes) said = said || n.find("too close") != std::string::npos;
  EXPECT_TRUE(said);
}

TEST(Fit, WindowLayersHoldTheWindowAndOneUbatch) {
  const ModelSpec m = hand_model({.layers = 4, .window = 128, .alternates = true});
  const FitReport r = fit(hand_machine(), m, options(32768));
  const double cell = 2.0 * (128 + 128);
  ASSERT_NE(line(r, "KV cache of window layers"), nullptr);
  EXPECT_DOUBLE_EQ(line(r, "KV cache of window layers")->bytes.value(), 2 * 768 * cell);
  EXPECT_DOUBLE_EQ(line(r, "KV cache")->bytes.value(), 2 * 32768 * cell);
}

TEST(Fit, CellsAreRoundedUpTo256) {
  const ModelSpec m = hand_model({.layers = 1});
  EXPECT_EQ(line(fit(hand_machine(), m, options(1)), "KV cache")->bytes,
            line(fit(hand_machine(), m, options(256)), "KV cache")->bytes);
  EXPECT_LT(line(fit(hand_machine(), m, options(256)), "KV cache")->bytes,
            line(fit(hand_machine(), m, options(257)), "KV cache")->bytes);
}

TEST(Fit, AgreesWithTheCacheSizeOfThePlan) {
  const ModelSpec m = hand_model({.layers = 4, .window = 128, .alternates = true});
  const FitOptions o = options(5120);
  const FitReport r = fit(hand_machine(), m, o);
  EXPECT_EQ(line(r, "KV cache")->bytes + line(r, "KV cache of window layers")->bytes,
            kv_cache_bytes(m, o.kv, o.context, o.n_ubatch));
}

TEST(Fit, ADiscreteCardKeepsTheTokenTableOutside) {
  Machine card = hand_machine();
  card.pools[0].name = "vram";
  const ModelSpec m = hand_model({});
  const std::int64_t table = m.find("token_embd.weight")->bytes;
  const FitReport r = fit(card, m, options(1024));
  EXPECT_EQ(line(r, "weights")->bytes.count(), m.weight_bytes() - table);
  EXPECT_EQ(line(r, "token table")->where, kHost);
  EXPECT_EQ(line(r, "host buffer")->where, kHost);
  // Host memory is not described: listed, not judged.
  const Bytes host = line(r, "token table")->bytes + line(r, "host buffer")->bytes +
                     line(r, "output buffer")->bytes;
  Bytes all;
  for (const MemoryLine& l : r.lines) all += l.bytes;
  EXPECT_EQ(r.needed + host, all);
  // One pool holds both parts.
  const FitReport one = fit(hand_machine(), m, options(1024));
  EXPECT_EQ((line(one, "weights")->bytes + line(one, "token table")->bytes).count(),
            m.weight_bytes());
}

TEST(Fit, HostMemoryIsJudgedWhereTheMachineDescribesIt) {
  Machine card = hand_machine();
  card.pools[0].name = "vram";
  card.pools.push_back(card.pools[0]);
  card.pools[1].name = "host";
  card.pools[1].visible = given(Bytes(2e6));
  card.pools[1].reserve = given(Bytes(0));
  const ModelSpec m = hand_model({});
  FitOptions o = options(1024);
  const FitReport r = fit(card, m, o);
  ASSERT_EQ(r.pools.size(), 2u);
  EXPECT_EQ(r.verdict, Verdict::DoesNotFit) << "the host buffer alone takes more than 2 MB";
  EXPECT_EQ(r.pools[r.tightest].name, "host");
  EXPECT_EQ(r.pools[0].verdict, Verdict::Fits);
  EXPECT_EQ(r.needed + r.headroom, r.usable);
}

TEST(Fit, ShareOfTheEngineLimitsWhatIsUsable) {
  FitOptions o = options(1024);
  o.engine.memory_share.value = 0.5;
  const FitReport r = fit(hand_machine(), hand_model({}), o);
  EXPECT_EQ(r.usable, Bytes(62e9));
}

TEST(Fit, MostSlotsIsTheEdgeOfFits) {
  Machine m = hand_machine();
  m.pools[0].visible = given(Bytes(1e9));
  m.pools[0].reserve = given(Bytes(0));
  const ModelSpec model = hand_model({});
  const FitReport r = fit(m, model, options(1024));
  ASSERT_TRUE(r.max_slots.has_value());
  FitOptions o = options(1024 * *r.max_slots);
  o.slots = *r.max_slots;
  EXPECT_EQ(fit(m, model, o).verdict, Verdict::Fits);
  o.slots += 1;
  o.context += 1024;
  EXPECT_NE(fit(m, model, o).verdict, Verdict::Fits);
}

TEST(Fit, QuantizedValuesWithoutFlashAttentionAreRefused) {
  FitOptions o = options(1024, "f16", "q8_0");
  o.flash_attention = false;
  EXPECT_THROW(fit(hand_machine(), hand_model({}), o), Error);
  o.kv.v = kv_format_from_name("f16");
  EXPECT_NO_THROW(fit(hand_machine(), hand_model({}), o));
}

TEST(Fit, LoadingAMappedFileHoldsItsPagesBesideTheCopy) {
  const ModelSpec m = hand_model({});
  const FitReport r = fit(hand_machine(), m, options(1024));
  const double table = static_cast<double>(m.find("token_embd.weight")->bytes);
  const double all = static_cast<double>(m.weight_bytes());
  EXPECT_DOUBLE_EQ(r.loading.mapped.value(), 2 * all - table);
  EXPECT_GT(r.loading.direct, Bytes(all));
  EXPECT_LT(r.loading.direct, r.loading.mapped);
}

TEST(Fit, RuntimeContextIsCountedWhenKnownAndNamedWhenNot) {
  const ModelSpec m = hand_model({});
  FitOptions o = options(1024);
  const FitReport without = fit(hand_machine(), m, o);
  EXPECT_EQ(line(without, "runtime context"), nullptr);
  EXPECT_FALSE(without.notes.empty());
  o.runtime_bytes = Bytes(5e8);
  EXPECT_EQ(line(fit(hand_machine(), m, o), "runtime context")->bytes, Bytes(5e8));
}

TEST(Fit, MaxContextIsTheEdgeOfFits) {
  const ModelSpec m = minimax_sized(101'930'000'000);
  const FitReport r = fit(spark(), m, options(4096));
  ASSERT_TRUE(r.max_context.has_value());
  EXPECT_EQ(*r.max_context % 256, 0);
  EXPECT_EQ(fit(spark(), m, options(*r.max_context)).verdict, Verdict::Fits);
  EXPECT_NE(fit(spark(), m, options(*r.max_context + 256)).verdict, Verdict::Fits);
}

TEST(Fit, MaxContextStopsAtTheTrainedContextAndSaysSo) {
  const ModelSpec m = hand_model({.context = 8192});
  const FitReport r = fit(hand_machine(), m, options(512));
  EXPECT_EQ(r.max_context, 8192);
  bool said = false;
  for (const std::string& n : r.notes)
    said = said || n.find("training context") != std::string::npos;
  EXPECT_TRUE(said);
}

TEST(Fit, NoContextFitsWhenTheWeightsDoNot) {
  EXPECT_FALSE(fit(spark(), minimax_sized(139'862'328'320), options(4096)).max_context.has_value());
}

TEST(Fit, AbsurdContextsAreAnsweredNotOverflowed) {
  const ModelSpec m = minimax_sized(101'930'000'000);
  for (const std::int64_t context : {std::int64_t{1}, std::int64_t{1'000'000'000}}) {
    const FitReport r = fit(spark(), m, options(context));
    EXPECT_GT(r.needed, Bytes(0));
    EXPECT_EQ(r.needed + r.headroom, r.usable);
  }
  EXPECT_EQ(fit(spark(), m, options(1'000'000'000)).verdict, Verdict::DoesNotFit);
}

TEST(Fit, ContextOutOfRangeIsRefusedByName) {
  try {
    fit(spark(), minimax_sized(1), options(0));
    FAIL() << "accepted";
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find("context"), std::string::npos);
  }
}

TEST(Fit, TheNoteOfTheModelIsPassedOn) {
  ModelSpec m = minimax_sized(139'862'328'320);
  m.bytes_note = "228 GB is the FP8 size";
  EXPECT_EQ(fit(spark(), m, options(4096)).notes.front(), m.bytes_note);
}

}  // namespace
}  // namespace bandwall
