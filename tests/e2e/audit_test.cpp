// bandwall audit as a user runs it; the shipped reports are what it prints today.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "tests/support/program.h"

namespace bandwall::e2e {
namespace {

using testing::HasSubstr;

TEST(Audit, TheShippedReportsAreWhatItPrints) {
  for (const std::string name : {"seed-posts", "field"}) {
    const Outcome o = run({"audit", name, "-o", "md"});
    EXPECT_EQ(o.exit_code, 5) << o.err;
    const std::string path =
        std::string(BANDWALL_SOURCE_DIR) + "/reports/validation/audit-" + name + ".md";
    if (std::getenv("UPDATE_GOLDEN") != nullptr) {
      std::ofstream(path, std::ios::binary) << o.out;
      continue;
    }
    std::ifstream in(path, std::ios::binary);
    const std::string kept{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
    EXPECT_EQ(kept, o.out) << "UPDATE_GOLDEN=1 rewrites " << path;
  }
}

TEST(Audit, AFileOfOnesOwn) {
  const std::string path = file("mine.yaml",
                                "schema: 1\ntitle: mine\nclaims:\n  - statement: fast\n"
                                "    source: me\n    kind: decode\n    model: gpt-oss-120b\n"
                                "    machine: gb10\n    value: 58 tok/s\n");
  const Outcome o = run({"audit", path});
  EXPECT_EQ(o.exit_code, 0) << o.err;
  EXPECT_THAT(o.out, HasSubstr("1 claims: 1 consistent"));
  const auto j = nlohmann::json::parse(run({"audit", path, "-o", "json"}).out);
  EXPECT_EQ(j["claims"][0]["verdict"], "consistent");
}

TEST(Audit, BadFilesSayWhere) {
  const auto refusal = [](const std::string& text) {
    const Outcome o = run({"audit", file("bad.yaml", text)});
    EXPECT_EQ(o.exit_code, 2);
    return o.err;
  };
  EXPECT_THAT(refusal("schema: 1\ntitle: t\nclaims:\n  - statement: s\n    kind: nonsense\n"),
              HasSubstr("bad.yaml:5:"));
  EXPECT_THAT(refusal("claims: 3\n"), HasSubstr("schema: missing"));
  EXPECT_THAT(refusal(std::string("\0\1\2", 3)), HasSubstr("bad.yaml"));
  EXPECT_THAT(run({"audit"}).err, HasSubstr("an argument is missing"));
  EXPECT_THAT(run({"audit", "seed-post"}).err, HasSubstr("did you mean seed-posts?"));
  EXPECT_THAT(run({"audit", "/no/such.yaml"}).err, HasSubstr("cannot be read"));
}

}  // namespace
}  // namespace bandwall::e2e
