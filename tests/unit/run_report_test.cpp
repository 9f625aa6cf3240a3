#include "reports/run_report.h"

#include <gtest/gtest.h>

#include "hwmodel/error.h"

namespace bandwall {
namespace {

TEST(RunReport, BytesThatDifferAreAnErrorThatNamesTheOp) {
  RunResult run;
  run.model = "tiny";
  run.phases.resize(2);
  run.phases[0].name = "prefill";
  run.phases[1].name = "decode";
  run.phases[0].comparison.bytes_equal = true;
  run.bytes_equal = true;
  EXPECT_NO_THROW(require_equal_bytes(run));
  run.bytes_equal = false;
  run.phases[1].comparison.unequal = {{OpKind::Experts, 3}, {OpKind::Head, -1}};
  try {
    require_equal_bytes(run);
    FAIL() << "not refused";
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), Error::Kind::Running);  // exit 1
    const std::string text = e.what();
    for (const char* part : {"tiny", "decode", "2 op(s)", "op experts of layer 3"}) {
      EXPECT_NE(text.find(part), std::string::npos) << part << " in " << text;
    }
  }
  run.phases[1].comparison.unequal = {{OpKind::Head, -1}};
  EXPECT_THROW(require_equal_bytes(run), Error);
}

}  // namespace
}  // namespace bandwall
