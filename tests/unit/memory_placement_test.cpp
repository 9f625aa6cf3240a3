#include "analysis/memory_placement.h"

#include <gtest/gtest.h>

#include <numeric>

#include "hwmodel/error.h"
#include "tests/support/hand_model.h"

namespace bandwall {
namespace {

using namespace testing_support;

std::int64_t sum(const Placement& p) {
  return std::accumulate(p.weights.begin(), p.weights.end(), p.host_weights + p.table);
}

ModelSpec experts_model() {
  return hand_model({.layers = 8, .experts = 8, .experts_used = 2, .expert_ffn = 256});
}

TEST(Placement, EverythingIsSomewhereOnce) {
  const ModelSpec m = experts_model();
  const Offload cases[] = {
      {},
      {.gpu_layers = 0, .overrides = {}, .shares = {}},
      {.gpu_layers = 3, .overrides = {}, .shares = {}},
      {.gpu_layers = 99, .overrides = {}, .shares = {}},
      {.gpu_layers = {}, .cpu_expert_layers = 5, .overrides = {}, .shares = {}},
      {.gpu_layers = {}, .overrides = {{"ffn_up", kHost}}, .shares = {}}};
  for (const Offload& o : cases) {
    for (const int devices : {1, 2, 3, 7}) {
      EXPECT_EQ(sum(place(m, devices, o, {})), m.weight_bytes()) << devices;
    }
  }
}

TEST(Placement, NoPatternIsSlow) {
  const ModelSpec m = experts_model();
  Offload o;
  o.overrides = {{"(.*)*(.*)*(.*.*)*!", kHost}};  // would outlive the test if tried way by way
  EXPECT_EQ(place(m, 1, o, {}).host_weights, 0);
}

TEST(Placement, TheLastLayersAndTheOutputAreOffloaded) {
  const ModelSpec m = hand_model({.layers = 8});
  Offload o;
  o.gpu_layers = 3;  // the output and two blocks
  const Placement p = place(m, 1, o, {});
  EXPECT_EQ(p.layer_where, (std::vector<int>{-1, -1, -1, -1, -1, -1, 0, 0, 0}));
  o.gpu_layers = 0;
  EXPECT_EQ(place(m, 1, o, {}).weights[0], 0);
  o.gpu_layers = 9;
  EXPECT_EQ(place(m, 1, o, {}).host_weights, 0);
}

TEST(Placement, SharesDivideTheBlocks) {
  const ModelSpec m = hand_model({.layers = 7});
  Offload o;
  o.shares = {3, 1};
  EXPECT_EQ(place(m, 2, o, {}).layer_where, (std::vector<int>{0, 0, 0, 0, 0, 0, 1, 1}));
  o.shares = {0, 1};
  EXPECT_EQ(place(m, 2, o, {}).weights[0], 0);
  o.shares = {1, 0};
  EXPECT_EQ(place(m, 2, o, {}).weights[1], 0);
  o.shares.clear();
  EXPECT_EQ(place(m, 2, o, {}).layer_where, (std::vector<int>{0, 0, 0, 0, 1, 1, 1, 1}));
}

TEST(Placement, ExpertsOfTheFirstLayersStayInHostMemory) {
  const ModelSpec m = experts_model();
  Offload o;
  o.cpu_expert_layers = 2;
  const Placement p = place(m, 1, o, {});
  std::int64_t experts = 0;
  for (const TensorSpec& t : m.tensors) {
    if (t.layer >= 0 && t.layer < 2 && t.name.find("_exps") != std::string::npos)
      experts += t.bytes;
  }
  EXPECT_GT(experts, 0);
  EXPECT_EQ(p.host_weights, experts);
  EXPECT_EQ(p.host_experts, experts);
  EXPECT_EQ(p.staged, experts / 2) << "one block's at a time";
  Offload same;
  same.overrides = {{R"(blk\.[01]\.ffn_.*_exps)", kHost}};
  EXPECT_EQ(place(m, 1, same, {}).host_weights, experts);
}

TEST(Placement, TensorSplitDividesMatricesAndKeepsVectors) {
  const ModelSpec m = experts_model();
  Offload o;
  o.split = Split::Tensor;
  const Placement p = place(m, 2, o, {});
  EXPECT_GE(sum(p), m.weight_bytes());
  EXPECT_LT(p.weights[0], m.weight_bytes() * 6 / 10);
  o.split = Split::Expert;
  const Placement e = place(m, 2, o, {});
  EXPECT_GT(e.weights[0], p.weights[0]) << "attention is on both";
}

TEST(Placement, BadOptionsAreRefused) {
  const ModelSpec m = hand_model({});
  const auto refused = [&](const Offload& o, int devices) {
    EXPECT_THROW(place(m, devices, o, {}), Error);
  };
  Offload o;
  o.overrides = {{"(", kHost}};
  refused(o, 1);
  o.overrides = {{"ffn", 1}};
  refused(o, 1);
  o.overrides = {{"", kHost}};
  refused(o, 1);
  o.overrides = {{std::string(1000, 'a'), kHost}};
  refused(o, 1);
  o = {};
  o.shares = {1};
  refused(o, 2);
  o.shares = {0, 0};
  refused(o, 2);
  o.shares = {-1, 2};
  refused(o, 2);
}

}  // namespace
}  // namespace bandwall
