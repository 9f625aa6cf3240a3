// Speed of a model that lies partly in host memory.
#include "analysis/offload_speed.h"

#include <gtest/gtest.h>

#include "analysis/fit_remedies.h"
#include "configs/library.h"
#include "tests/support/hand_machine.h"

namespace bandwall {
namespace {

using namespace testing_support;

constexpr double kHostRate = 50e9, kCrossing = 20e-6;

// A card of 231 GB/s beside host memory of 50, joined by a link whose bandwidth hardly counts.
struct Card {
  Machine machine = load_machine("gb10");
  Backend backend = load_backend("llama.cpp-cuda");
  ModelSpec model = model_from_shape(load_model_shape("gpt-oss-20b"), "MXFP4_MOE");
  FitOptions options;

  Card() {
    machine.pools[0].name = "vram";
    machine.pools.push_back(machine.pools[0]);
    machine.pools[1].name = "host";
    machine.pools[1].achievable = given(BytesPerSecond(kHostRate));
    backend.efficiency_default = 1;
    options.kv = {kv_format_from_name("f16"), kv_format_from_name("f16")};
  }
  void join() {
    machine.links.push_back({"pcie", given(BytesPerSecond(1e15)), given(Seconds(kCrossing))});
  }
  Placement placement() const { return place(model, 1, options.offload, options.engine); }
  // Seconds of one token; 0: not known.
  double time() const {
    const auto ts =
        decode_speed(machine, backend, model, options, placement(), decode_step(model, options.kv));
    return ts ? 1 / *ts : 0;
  }
};

double all_experts(const Card& c) {
  double bytes = 0;
  for (const TensorSpec& t : c.model.tensors) {
    const bool expert =
        t.role == Role::ExpertGate || t.role == Role::ExpertUp || t.role == Role::ExpertDown;
    if (expert && !t.is_bias) bytes += static_cast<double>(t.bytes);
  }
  return bytes;
}

TEST(OffloadSpeed, IsUnknownWithoutTheHostsBandwidth) {
  Card c;
  c.options.offload.cpu_expert_layers = 3;
  EXPECT_GT(c.time(), 0);
  c.machine.pools[1].achievable = given(BytesPerSecond(0));
  EXPECT_EQ(c.time(), 0);
  c.machine.pools.pop_back();
  EXPECT_EQ(c.time(), 0);
  c.options.offload = {};
  EXPECT_GT(c.time(), 0) << "nothing lies there";
}

TEST(OffloadSpeed, ExpertsAreReadAtTheHostsRate) {
  Card c;
  c.options.offload.cpu_expert_layers = 1000;
  const double slow = c.time();
  c.machine.pools[1].achievable = given(BytesPerSecond(2 * kHostRate));
  const double fast = c.time();
  const double read = all_experts(c) * 4 / 32;  // four of 32 experts
  EXPECT_NEAR(slow - fast, read / kHostRate / 2, 0.01 * (slow - fast));
  c.backend.efficiency_default = 0.5;
  EXPECT_NEAR(c.time(), slow, 1e-9);
}

TEST(OffloadSpeed, EachBlockOfExpertsCostsTheSame) {
  Card c;
  c.join();
  double last = c.time();
  double step = 0;
  for (const int n : {1, 2, 3, 24}) {
    c.options.offload.cpu_expert_layers = n;
    const double now = c.time();
    if (n == 2) step = now - last;
    if (n == 3) {
      EXPECT_NEAR(now - last, step, 1e-6 * step);
    }
    if (n == 24) {
      EXPECT_NEAR(now - last, 21 * step, 1e-6 * now);
    }
    EXPECT_GT(now, last);
    last = now;
  }
}

TEST(OffloadSpeed, CrossingsAreCountedAtEveryBoundary) {
  Card c;
  const auto crossings = [&] {
    Card joined = c;
    joined.join();
    return (joined.time() - c.time()) / kCrossing;
  };
  c.options.offload.cpu_expert_layers = 5;
  EXPECT_NEAR(crossings(), 1 + 2 * 5, 0.01);
  c.options.offload = {};
  c.options.offload.gpu_layers = 10;  // 15 blocks in host memory, then the device
  EXPECT_NEAR(crossings(), 1, 0.01);
  c.options.offload.gpu_layers = 0;
  EXPECT_NEAR(crossings(), 0, 0.01);
}

TEST(OffloadSpeed, NothingOnTheDeviceIsTheHostAlone) {
  Card c;
  c.options.offload.gpu_layers = 0;
  const DecodeStep step = decode_step(c.model, c.options.kv);
  double read = 0;
  for (const Op& op : step.plan.ops) {
    if (op.key.kind != OpKind::Embedding) read += op.traffic.from_memory().value();
  }
  const double before = step.plan.ops.front().key.kind == OpKind::Embedding ? 100e-6 : 0;
  const double host = c.backend.step_seconds ? c.backend.step_seconds->value.value() : 0;
  EXPECT_NEAR(c.time(), read / kHostRate, before + host + 1e-6);
}

TEST(OffloadSpeed, TensorsByNameCountWhereTheyLie) {
  Card c;
  c.options.offload.overrides.push_back({"blk\\.0\\.attn_output\\.weight", kHost});
  const double one = c.time();
  c.options.offload.overrides.push_back({"blk\\.1\\.attn_output\\.weight", kHost});
  EXPECT_GT(c.time(), one);
  c.options.offload.overrides = {{"exps", kHost}};
  const double by_name = c.time();
  c.options.offload = {};
  c.options.offload.cpu_expert_layers = 1000;
  EXPECT_NEAR(by_name, c.time(), 0.01 * by_name);
}

}  // namespace
}  // namespace bandwall
