// What would make it fit, the speed that goes with it, and several models at once.
#include "analysis/fit_remedies.h"

#include <gtest/gtest.h>

#include "analysis/fit_together.h"
#include "analysis/predict.h"
#include "configs/library.h"
#include "hwmodel/error.h"
#include "tests/support/hand_machine.h"
#include "tests/support/hand_model.h"

namespace bandwall {
namespace {

using namespace testing_support;

FitOptions options(std::int64_t context) {
  FitOptions o;
  o.context = context;
  o.kv = {kv_format_from_name("f16"), kv_format_from_name("f16")};
  return o;
}

struct World {
  Machine machine = load_machine("gb10");
  Backend backend = load_backend("llama.cpp-cuda");
};

double speed(const World& w, const Machine& m, const ModelSpec& model, const FitOptions& o) {
  const Placement p = place(model, m.devices, o.offload, o.engine);
  return decode_speed(m, w.backend, model, o, p, decode_step(model, o.kv)).value_or(0);
}

TEST(DecodeSpeed, IsThePredictorsOwn) {
  const World w;
  for (const char* name : {"gpt-oss-120b", "minimax-m2.5", "nemotron-3-super-120b-a12b"}) {
    const ModelShape shape = load_model_shape(name);
    const ModelSpec model = model_from_shape(shape, shape.default_mix);
    Scenario s;
    s.n_gen = 1;
    s.kv = options(1).kv;
    const double ts = predict_decode(w.machine, w.backend, model, s).ts;
    EXPECT_NEAR(speed(w, w.machine, model, options(4096)), ts, 1e-9 * ts) << name;
  }
}

TEST(DecodeSpeed, LayersOnTwoMachinesWorkOneAfterTheOther) {
  const World w;
  const ModelSpec model = model_from_shape(load_model_shape("gpt-oss-120b"), "MXFP4_MOE");
  FitOptions o = options(4096);
  EXPECT_DOUBLE_EQ(speed(w, load_machine("2xgb10"), model, o), speed(w, w.machine, model, o));
  o.offload.split = Split::Tensor;
  EXPECT_GT(speed(w, load_machine("2xgb10"), model, o), speed(w, w.machine, model, o));
}

TEST(DecodeSpeed, OfSharedMemoryIsNotKnownWhereTheCpuComputes) {
  const World w;
  const ModelSpec model = model_from_shape(load_model_shape("gpt-oss-20b"), "MXFP4_MOE");
  FitOptions o = options(4096);
  o.offload.cpu_expert_layers = 12;
  EXPECT_EQ(speed(w, w.machine, model, o), 0);
  Backend cpu = w.backend;
  cpu.threads = 8;
  const Placement p = place(model, 1, o.offload, o.engine);
  EXPECT_TRUE(decode_speed(w.machine, cpu, model, o, p, decode_step(model, o.kv)).has_value());
}

std::vector<Remedy> found(const World& w, const Machine& m, const ModelShape& shape,
                          std::string_view mix, const FitOptions& o) {
  const ModelSpec model = model_from_shape(shape, mix);
  return remedies(m, w.backend, model, &shape, o, fit(m, model, o));
}

const Remedy* with(const std::vector<Remedy>& all, std::string_view option) {
  for (const Remedy& r : all) {
    if (r.option == option) return &r;
  }
  return nullptr;
}

TEST(Remedies, OfMiniMaxInNvfp4) {
  const World w;
  const auto all = found(w, w.machine, load_model_shape("minimax-m2.5"), "NVFP4", options(4096));
  ASSERT_FALSE(all.empty());
  for (const Remedy& r : all) EXPECT_EQ(r.fit.verdict, Verdict::Fits) << r.what;
  for (std::size_t i = 1; i < all.size(); ++i) EXPECT_GE(all[i - 1].decode_ts, all[i].decode_ts);
  EXPECT_NE(with(all, "--machine 2xgb10"), nullptr);
  EXPECT_NE(with(all, "minimax-m2.5:Q3_K_L"), nullptr);
}

TEST(Remedies, OfALongContext) {
  const World w;
  const ModelShape shape = load_model_shape("qwen3-235b-a22b");
  const FitOptions o = options(262144);
  const auto all = found(w, w.machine, shape, "Q3_K_S", o);
  const Remedy* shorter = nullptr;
  for (const Remedy& r : all) {
    if (r.option.starts_with("-c ")) shorter = &r;
  }
  ASSERT_NE(shorter, nullptr);
  EXPECT_EQ(shorter->fit.verdict, Verdict::Fits);
}

TEST(Remedies, OffloadOfExpertsWhereThereIsHostMemory) {
  const World w;
  Machine card = load_machine("rtx-5090");
  card.pools[1].visible = given(Bytes(128e9));
  const ModelShape shape = load_model_shape("gpt-oss-120b");
  const auto all = found(w, card, shape, "MXFP4_MOE", options(8192));
  bool experts = false, layers = false;
  for (const Remedy& r : all) {
    experts = experts || r.option.starts_with("-ncmoe ");
    layers = layers || r.option.starts_with("-ngl ");
  }
  EXPECT_TRUE(experts);
  EXPECT_TRUE(layers);
  for (const Remedy& r : all) {
    EXPECT_EQ(r.decode_ts.has_value(), r.fit.verdict != Verdict::DoesNotFit) << r.what;
  }
}

TEST(Remedies, OffloadStopsWhereHostMemoryIsFull) {
  const World w;
  // All experts are more than the 62 GB of the host, half of them are more than the card misses.
  const Machine card = load_machine("rtx-5090");
  const ModelShape shape = load_model_shape("gpt-oss-120b");
  const auto all = found(w, card, shape, "MXFP4_MOE", options(4096));
  ASSERT_FALSE(all.empty());
  EXPECT_EQ(all.front().fit.verdict, Verdict::Fits);
  EXPECT_TRUE(all.front().option.starts_with("-ncmoe ")) << all.front().option;
}

TEST(Joined, KeepsTheNameOfOne) {
  EXPECT_EQ(joined(load_machine("gb10"), 2)->name, "2xgb10");
  EXPECT_EQ(joined(load_machine("2xgb10"), 2)->name, "4xgb10");
  EXPECT_EQ(joined(load_machine("2xgb10"), 2)->devices, 4);
  EXPECT_FALSE(joined(load_machine("rtx-5090"), 2).has_value());
  EXPECT_FALSE(joined(load_machine("gb10"), 100).has_value());
}

Resident resident(const char* title, double size) {
  return {title, nullptr, options(256), Bytes(size)};
}

TEST(Together, TriesEveryAssignment) {
  const Machine box = hand_machine();  // 120 GB usable
  // 70 + 45 and 60 + 50 fit, any other pairing leaves a box without room.
  const std::vector<Resident> all = {resident("a", 70e9), resident("b", 60e9), resident("c", 50e9),
                                     resident("d", 45e9)};
  const Together t = fit_together(all, {box, box});
  EXPECT_EQ(t.verdict, Verdict::Fits);
  for (const TogetherMachine& m : t.machines) {
    ASSERT_EQ(m.holds.size(), 2u);
    const bool has_a = m.holds[0] == 0;
    EXPECT_EQ(m.holds[1], has_a ? 3u : 2u);
    EXPECT_EQ(m.fit.needed + m.fit.headroom, m.fit.usable);
  }
  EXPECT_EQ(fit_together(all, {box}).verdict, Verdict::DoesNotFit);
}

TEST(Together, TooManyWaysAreRefused) {
  const std::vector<Resident> all(16, resident("x", 1e9));
  const std::vector<Machine> machines(8, hand_machine());
  EXPECT_THROW(fit_together(all, machines), Error);
}

}  // namespace
}  // namespace bandwall
