// bandwall calibrate --fit-backend: figures of a backend from measured rows.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "tests/support/program.h"

namespace bandwall::e2e {
namespace {

using ::testing::HasSubstr;

TEST(FitBackend, FitsTheShippedRowsAndWritesABackendThatPredictUses) {
  const std::string path =
      (std::filesystem::temp_directory_path() / "fitted-backend.yaml").string();
  const Outcome o = run({"calibrate", "--fit-backend", "gb10-llama.cpp", "--machine", "gb10",
                         "--from", "llama.cpp-cuda-b6918", "--out", path});
  ASSERT_EQ(o.exit_code, 0) << o.err;
  EXPECT_THAT(o.out, HasSubstr("50 rows of 5 models"));
  EXPECT_THAT(o.out, HasSubstr("leave-one-model-out: median"));
  EXPECT_THAT(o.out, HasSubstr("no, kept: interval"));
  EXPECT_THAT(o.out, HasSubstr("measured with another backend: llama.cpp-cuda"));
  const Outcome p = run({"predict", "gpt-oss-20b", "--machine", "gb10", "--backend", path});
  EXPECT_EQ(p.exit_code, 0) << p.err;
  EXPECT_THAT(p.out, HasSubstr("tg128"));
  std::filesystem::remove(path);
}

TEST(FitBackend, RefusesRowsThatCannotTell) {
  const Outcome none = run({"calibrate", "--fit-backend", "apple", "--machine", "gb10"});
  EXPECT_EQ(none.exit_code, 2);
  EXPECT_THAT(none.err, HasSubstr("another machine"));
  const std::string path = (std::filesystem::temp_directory_path() / "few-rows.csv").string();
  std::ofstream(path) << "device,engine,backend,model,quant,phase,n_tokens,depth,tok_s,source\n"
                         "gb10,llama.cpp,CUDA,gpt-oss-20b,MXFP4,tg,32,0,80,here\n";
  const Outcome few = run({"calibrate", "--fit-backend", path, "--machine", "gb10"});
  EXPECT_EQ(few.exit_code, 2);
  EXPECT_THAT(few.err, HasSubstr("over-parameterised"));
  const Outcome missing = run({"calibrate", "--fit-backend", "no-such.csv"});
  EXPECT_EQ(missing.exit_code, 2);
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace bandwall::e2e
