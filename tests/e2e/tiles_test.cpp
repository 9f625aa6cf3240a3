// bandwall tiles as a user runs it: verdicts, exit codes, forms, and what bad options say.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/support/program.h"

namespace bandwall::e2e {
namespace {

using testing::HasSubstr;

nlohmann::json tiles_json(std::vector<std::string> words) {
  words.insert(words.begin(), "tiles");
  words.insert(words.end(), {"-o", "json"});
  return nlohmann::json::parse(run(words).out);
}

std::string refusal(std::vector<std::string> words) {
  words.insert(words.begin(), "tiles");
  const Outcome o = run(words);
  EXPECT_EQ(o.exit_code, 2) << o.out;
  EXPECT_EQ(o.out, "");
  return o.err;
}

TEST(Tiles, TheSameTileOnTwoMachines) {
  const Outcome o = run({"tiles", "--machine", "gb10,b200", "--gemm", "128x128x128", "--a", "nvfp4",
                         "--b", "nvfp4", "--stages", "auto"});
  EXPECT_EQ(o.exit_code, 0) << o.err;
  EXPECT_THAT(o.out, HasSubstr("gb10: CUTLASS sm120 GEMM 128x128x128 of nvfp4 x nvfp4"));
  EXPECT_THAT(o.out, HasSubstr("88064"));
  EXPECT_THAT(o.out, HasSubstr("largest stage count that fits: 4"));
  EXPECT_THAT(o.out, HasSubstr("b200: CUTLASS sm100 GEMM"));
}

TEST(Tiles, RefusedSomewhereIsExitThree) {
  const Outcome o = run({"tiles", "--machine", "gb10,b200", "--gemm", "128x128x128", "--a", "mxfp8",
                         "--stages", "3"});
  EXPECT_EQ(o.exit_code, 3);
  EXPECT_THAT(o.out, HasSubstr("gb10: does not launch: needs 115712 B of shared memory"));
  EXPECT_THAT(o.out, HasSubstr("b200: launches:"));
}

TEST(Tiles, EveryKindOfKernelInJson) {
  const auto bytes = [](const std::vector<std::string>& words) {
    return tiles_json(words)[0]["shared_bytes"].get<std::int64_t>();
  };
  EXPECT_EQ(bytes({"--gemm", "128x64x128", "--a", "nvfp4", "--grouped"}), 101376);
  EXPECT_EQ(bytes({"--gemm", "128x128x128", "--a", "nvfp4", "--c", "none"}), 83968);
  EXPECT_EQ(bytes({"--gemm", "128x128x128", "--a", "nvfp4", "--c", "fp32"}), 100352);
  EXPECT_EQ(bytes({"--gemm", "128x128x64", "--stages", "3"}), 98304);
  EXPECT_EQ(bytes({"--cc", "9.0", "--gemm", "128x128x64"}), 229760);
  EXPECT_EQ(bytes({"--cc", "9.0", "--gemm", "128x128x64", "--schedule", "pingpong"}), 214016);
  EXPECT_EQ(bytes({"--fa", "128x64", "--head-dim", "128"}), 65536);
  EXPECT_EQ(bytes({"--fa", "4x16", "--head-dim", "576:512", "--attention", "llama-mma"}), 96064);
  EXPECT_EQ(bytes({"--mmq", "128x128", "--a", "q6_k"}), 57856);
  EXPECT_EQ(bytes({"--kernel", "102400:168:384"}), 102400);
}

TEST(Tiles, KernelByBytesRegistersAndThreads) {
  const auto j = tiles_json({"--machine", "gb10,h200", "--kernel", "50177:128:256"});
  EXPECT_EQ(j[0]["blocks_per_sm"], 1);
  EXPECT_EQ(j[1]["blocks_per_sm"], 2);
  EXPECT_EQ(run({"tiles", "--cc", "8.0,12.1", "--kernel", "101377"}).exit_code, 3);
  EXPECT_EQ(run({"tiles", "--cc", "8.0,9.0", "--kernel", "101377"}).exit_code, 0);
}

TEST(Tiles, MarkdownAndCsv) {
  EXPECT_THAT(run({"tiles", "--kernel", "1000", "-o", "md"}).out, HasSubstr("| target"));
  EXPECT_THAT(run({"tiles", "--kernel", "1000:32:64", "-o", "csv"}).out,
              HasSubstr("\"gb10\",12.1,\"kernel\",0,1000,101376,100376,24,launches,"));
}

TEST(Tiles, BadOptionsAreNamed) {
  EXPECT_THAT(refusal({}), HasSubstr("name a kernel: --gemm MxNxK"));
  EXPECT_THAT(refusal({"--gemm", "128x128"}), HasSubstr("'128x128' is not a tile MxNxK"));
  EXPECT_THAT(refusal({"--gemm", "128x128x"}), HasSubstr("is not a tile"));
  EXPECT_THAT(refusal({"--gemm", "-128x128x64"}), HasSubstr("is not a tile"));
  EXPECT_THAT(refusal({"--gemm", "99999999999999999999x1x1"}), HasSubstr("is not a tile"));
  EXPECT_THAT(refusal({"--gemm", "4104x128x64"}), HasSubstr("M = 4104"));
  EXPECT_THAT(refusal({"--gemm", "128x128x64", "--stages", "0"}), HasSubstr("--stages: '0'"));
  EXPECT_THAT(refusal({"--gemm", "128x128x64", "--a", "nvfp5"}), HasSubstr("did you mean nvfp4?"));
  EXPECT_THAT(refusal({"--gemm", "128x128x64", "--kernel", "5"}),
              HasSubstr("one kernel at a time"));
  EXPECT_THAT(refusal({"--kernel", "5", "--grouped"}),
              HasSubstr("--grouped: goes with --gemm only"));
  EXPECT_THAT(refusal({"--kernel", "12e9"}), HasSubstr("is not BYTES"));
  EXPECT_THAT(refusal({"--kernel", "9223372036854775807"}), HasSubstr("0 to 2^40"));
  EXPECT_THAT(refusal({"--kernel", "5", "--cc", "13.0"}), HasSubstr("--cc: '13.0' is none of"));
  EXPECT_THAT(refusal({"--kernel", "5", "--machine", "strix-halo"}), HasSubstr("names no compute"));
  EXPECT_THAT(refusal({"--kernel", "5", "--machine", "gb11"}), HasSubstr("did you mean gb10?"));
  EXPECT_THAT(refusal({"--fa", "64x64", "--head-dim", "0"}), HasSubstr("head size of 0"));
  EXPECT_THAT(refusal({"--fa", "64x64", "--attention", "flsh"}), HasSubstr("did you mean flash?"));
  EXPECT_THAT(refusal({"--mmq", "128x8", "--a", "q9"}), HasSubstr("is no type of llama.cpp's"));
  EXPECT_THAT(refusal({"--kernel", "5", "--threads", "2000"}), HasSubstr("from 1 to 1024"));
}

}  // namespace
}  // namespace bandwall::e2e
