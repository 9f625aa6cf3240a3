#include "reports/routing_json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "hwmodel/error.h"

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

TEST(RoutingJson, ReadsTheSharesBack) {
  Hyper h;
  h.layers = 2;
  h.experts = 4;
  h.experts_used = 2;
  Meter meter, more;
  meter.experts = {{}, {{0, 3}, {3, 1}}};
  more.experts = {{}, {{3, 0}}};
  meter.steps = {{{.tokens_per_sequence = 2}, {{0.0, 3.0}}, {}}};
  more.steps = {{{.tokens_per_sequence = 1}, {{0.0, 2.0}}, {}}};
  const std::string text = routing_json("tiny", h, {{"prefill", &meter}, {"decode", &more}});
  const ExpertShares shares = read_routing(text, "routing.json", h);
  ASSERT_EQ(shares.layers.size(), 2u);
  EXPECT_TRUE(shares.layers[0].empty());
  const std::vector<double> wanted = {2 / 3.0, 1 / 3.0, 0, 1};
  for (std::size_t e = 0; e < 4; ++e) EXPECT_DOUBLE_EQ(shares.layers[1][e], wanted[e]);
}

TEST(RoutingJson, RefusesOtherTexts) {
  Hyper h;
  h.layers = 1;
  h.experts = 2;
  h.experts_used = 1;
  for (const char* text :
       {"", "[]", "{}", "nonsense", R"({"phases": 3})", R"({"experts": 3, "phases": []})",
        R"({"experts": 2, "phases": [1]})", R"({"experts": 2, "phases": [{"layers": [1]}]})",
        R"({"experts": 2, "phases": [{"layers": [{"layer": 1, "counts": [1, 1]}]}]})",
        R"({"experts": 2, "phases": [{"layers": [{"layer": -1, "counts": [1, 1]}]}]})",
        R"({"experts": 2, "phases": [{"layers": [{"layer": 0, "counts": [1]}]}]})",
        R"({"experts": 2, "phases": [{"layers": [{"layer": 0, "counts": [1, -1]}]}]})",
        R"({"experts": 2, "phases": [{"layers": [{"layer": 0, "counts": [1, 1e99]}]}]})"}) {
    EXPECT_THROW(read_routing(text, "routing.json", h), Error) << text;
  }
}

}  // namespace
}  // namespace bandwall
