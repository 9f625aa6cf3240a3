#include "configs/settings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "configs/library.h"
#include "hwmodel/error.h"

namespace bandwall {
namespace {

using ::testing::HasSubstr;

template <class T>
std::string refusal(const T& thing, std::string_view path, std::string_view value) {
  try {
    with_figure(thing, path, value);
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

TEST(Settings, ReplaceOneFigureAndNothingElse) {
  const Machine gb10 = load_machine("gb10");
  Machine wanted = gb10;
  for (MemoryPool& p : wanted.pools) {
    p.peak = {BytesPerSecond(546e9), {Source::Kind::Assumed, "set by hand"}};
  }
  EXPECT_EQ(with_figure(gb10, "pools.unified.peak", "546 GB/s"), wanted);
  EXPECT_EQ(with_figure(gb10, "memory.peak", "546GB/s"), wanted);
}

TEST(Settings, ReachItemsOfListsAndKeysWithDots) {
  const Machine m = with_figure(load_machine("gb10"), "compute.bf16.peak", "200 TFLOP/s");
  EXPECT_EQ(m.rate("bf16")->peak.value, FlopsPerSecond(200e12));
  const Machine n = with_figure(load_machine("gb10"), "links.nvme.bandwidth", "7 GB/s");
  EXPECT_EQ(n.link("nvme")->bandwidth.value, BytesPerSecond(7e9));
  const Backend b =
      with_figure(load_backend("llama.cpp-cuda"), "op_seconds.attention.latent", "9 us");
  EXPECT_EQ(b.op_seconds.at("attention.latent").value, Seconds(9e-6));
}

TEST(Settings, KeepTheOtherPartOfAGemmRate) {
  const Backend before = load_backend("llama.cpp-cuda");
  const Backend after = with_figure(before, "gemm.default", "50 TFLOP/s");
  EXPECT_EQ(after.gemm.at("default").value.rate, FlopsPerSecond(50e12));
  EXPECT_EQ(after.gemm.at("default").value.n_half, before.gemm.at("default").value.n_half);
}

TEST(Settings, MayAddARowWhereKeysAreFree) {
  const Backend b = with_figure(load_backend("llama.cpp-cuda"), "stream.IQ3_S", "150 GB/s");
  EXPECT_EQ(b.stream.at("IQ3_S").value, BytesPerSecond(150e9));
}

TEST(Settings, RefuseWhatTheReaderRefuses) {
  const Machine gb10 = load_machine("gb10");
  EXPECT_THAT(refusal(gb10, "memory.peak", "546"), HasSubstr("no unit"));
  EXPECT_THAT(refusal(gb10, "memory.achievable", "900 GB/s"), HasSubstr("above the peak"));
  EXPECT_THAT(refusal(gb10, "memory.peek", "546 GB/s"), HasSubstr("peak"));
  EXPECT_THAT(refusal(gb10, "pools", "1"), HasSubstr("group of figures"));
  EXPECT_THAT(refusal(gb10, "pools.unified", "1"), HasSubstr("group of figures"));
  EXPECT_THAT(refusal(gb10, "", "1"), HasSubstr("group of figures"));
  EXPECT_THAT(refusal(gb10, "compute.fp3.peak", "1 TFLOP/s"), HasSubstr("fp3"));
  EXPECT_THAT(refusal(load_backend("llama.cpp-cuda"), "stream.Q9", "1 GB/s"), HasSubstr("Q9"));
}

}  // namespace
}  // namespace bandwall
