#include "workload/name_patterns.h"

#include <gmock/gmock.h>

#include "hwmodel/error.h"

namespace bandwall {
namespace {

bool holds(std::string_view pattern, const std::string& name) {
  NameSet set;
  set.add(pattern, "config.json");
  return set.holds(name);
}

std::string why(std::string_view pattern) {
  try {
    holds(pattern, "x");
  } catch (const Error& e) {
    return e.what();
  }
  return "accepted";
}

const std::string kQ = "model.layers.3.self_attn.q_proj";

TEST(NamePatterns, PlainNamesAreRunsOfComponents) {
  for (const char* p : {"q_proj", "self_attn", "model.layers.3", "layers.3.self_attn.q_proj"}) {
    EXPECT_TRUE(holds(p, kQ)) << p;
  }
  for (const char* p : {"proj", "model.layers", "q_proj.weight", "layers.33", ""}) {
    EXPECT_EQ(holds(p, kQ), std::string_view(p) == "model.layers") << p;
  }
  EXPECT_FALSE(holds("gate", "model.layers.0.mlp.gate_proj"));
}

TEST(NamePatterns, WildcardsMatchTheNameOrAPartThatHoldsIt) {
  for (const char* p : {"model.layers.3.self_attn*", "model.layers.*.self_attn", "*q_proj", "*",
                        "model.layers.?.self_attn.q_proj"}) {
    EXPECT_TRUE(holds(p, kQ)) << p;
  }
  for (const char* p : {"layers.3*", "model.layers.3.mlp*", "*k_proj", "model.layers.?.q_proj"}) {
    EXPECT_FALSE(holds(p, kQ)) << p;
  }
}

TEST(NamePatterns, ExpressionsMatchFromTheStart) {
  for (const char* p : {"re:.*self_attn.*", "re:.*\\.(q|k|v)_proj$", "re:model\\.layers\\.\\d+\\.",
                        "re:^model", "re:.*[a-q]_proj", "re:.*(mlp|self_(attn|x))\\.q_proj",
                        "re:(?:model|other)\\..*q_projx?$"}) {
    EXPECT_TRUE(holds(p, kQ)) << p;
  }
  for (const char* p : {"re:self_attn", "re:.*mlp\\.(gate|up)_proj.*", "re:.*\\.q$",
                        "re:.*[^q]_proj", "re:model\\.layers\\.[0-2]\\."}) {
    EXPECT_FALSE(holds(p, kQ)) << p;
  }
}

TEST(NamePatterns, RefusesWhatItCannotRun) {
  for (const char* p :
       {"re:a{2}", "re:(a", "re:a)", "re:[a", "re:(?=a)b", "re:\\bx", "re:*a", "re:a\\"}) {
    EXPECT_THAT(why(p), ::testing::HasSubstr("pattern re:")) << p;
  }
  EXPECT_THAT(why("re:" + std::string(600, 'a')), ::testing::HasSubstr("longer than 512"));
  std::string many = "re:";
  for (int i = 0; i < 12; ++i) many += "(a|b)";
  EXPECT_THAT(why(many), ::testing::HasSubstr("pattern re:"));
}

TEST(NamePatterns, NoPatternIsSlow) {
  std::string pattern = "re:";
  for (int i = 0; i < 60; ++i) pattern += "a*";
  EXPECT_FALSE(holds(pattern + "$", std::string(5000, 'a') + "b"));
  EXPECT_FALSE(holds(std::string(200, '*') + "b", std::string(2000, 'a')));
}

TEST(NamePatterns, KnowsExpertsNamedByNumber) {
  NameSet set;
  for (const char* p : {"model.layers.0.mlp.experts.17.down_proj", "*experts.3*", "experts"}) {
    set.add(p, "c");
  }
  EXPECT_EQ(set.experts(), (std::set<std::int64_t>{3, 17}));
}

}  // namespace
}  // namespace bandwall
