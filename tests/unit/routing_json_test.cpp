#include "reports/routing_json.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace bandwall {
namespace {

TEST(RoutingJson, CountsByExpertAndStep) {
  Hyper h;
  h.layers = 3;
  h.experts = 4;
  h.experts_used = 2;
  Meter meter;
  meter.experts = {{}, {{0, 3}, {3, 1}, {3, 0}}, {{2, 1}, {1, 2}, {2, 1}}};  // layer 0 is dense
  meter.ledger.tokens = 3;
  meter.ledger.steps = 2;
  meter.steps = {{{.tokens_per_sequence = 2}, {{0.0, 3.0, 2.0}}, {}},
                 {{.tokens_per_sequence = 1}, {{0.0, 2.0, 2.0}}, {}}};
  const Meter none;
  const auto j =
      nlohmann::json::parse(routing_json("tiny", h, {{"prefill", &meter}, {"decode", &none}}));
  EXPECT_EQ(j["schema"], 1);
  EXPECT_EQ(j["experts"], 4);
  EXPECT_TRUE(j["units"].contains("counts"));
  const auto& prefill = j["phases"][0];
  EXPECT_EQ(prefill["tokens"], 3);
  ASSERT_EQ(prefill["layers"].size(), 2u);
  EXPECT_EQ(prefill["layers"][0]["layer"], 1);
  EXPECT_EQ(prefill["layers"][0]["counts"], (std::vector<int>{2, 1, 0, 3}));
  EXPECT_EQ(prefill["layers"][0]["distinct_per_step"], (std::vector<int>{3, 2}));
  EXPECT_EQ(prefill["layers"][1]["counts"], (std::vector<int>{0, 3, 3, 0}));
  EXPECT_EQ(j["phases"][1]["name"], "decode");
  EXPECT_TRUE(j["phases"][1]["layers"].empty());
}

}  // namespace
}  // namespace bandwall
