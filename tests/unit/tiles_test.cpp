#include "analysis/tiles.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "analysis/attention_tile.h"
#include "analysis/gemm_tile.h"
#include "configs/library.h"
#include "hwmodel/error.h"

namespace bandwall {
namespace {

using testing::HasSubstr;

SmLimits limits(std::string_view capability) {
  return sm_limits(*find_compute_capability(capability));
}

std::int64_t resident(std::string_view capability, std::int64_t shared, std::int64_t registers,
                      std::int64_t threads) {
  return occupancy(limits(capability), {shared, registers, threads}).blocks;
}

GemmTile tile(std::int64_t m, std::int64_t n, std::int64_t k, std::string_view a,
              std::string_view b = "") {
  GemmTile t;
  t.m = m, t.n = n, t.k = k;
  t.a = find_tile_format(a);
  t.b = find_tile_format(b.empty() ? a : b);
  t.c = t.d = find_tile_format("bf16");
  return t;
}

template <class Run>
std::string why(Run run) {
  try {
    run();
  } catch (const Error& e) {
    return e.what();
  }
  return "accepted";
}

TEST(Occupancy, TwoBlocksEndAtTheKnownByte) {
  EXPECT_EQ(resident("12.1", 50176, 128, 256), 2);
  EXPECT_EQ(resident("12.1", 50177, 128, 256), 1);
  EXPECT_EQ(resident("9.0", 50177, 128, 256), 2);
  EXPECT_EQ(resident("12.1", 101376, 0, 128), 1);
  EXPECT_EQ(resident("12.1", 101377, 0, 128), 0);
}

TEST(Occupancy, LargestSharedIsTheEdge) {
  for (const ComputeCapability& c : compute_capabilities()) {
    const SmLimits l = sm_limits(c);
    for (std::int64_t n = 1; n <= 6; ++n) {
      const std::int64_t edge = largest_shared(l, n);
      EXPECT_GE(occupancy(l, {edge, 0, 32}).by_shared, n) << c.name;
      EXPECT_LT(occupancy(l, {edge + 1, 0, 32}).by_shared, n) << c.name;
    }
  }
  EXPECT_EQ(largest_shared(limits("12.1"), 2), 50176);
  EXPECT_EQ(largest_shared(limits("12.1"), 3), 33024);
  EXPECT_EQ(largest_shared(limits("12.1"), 4), 24576);
  EXPECT_EQ(largest_shared(limits("9.0"), 2), 115712);
  EXPECT_EQ(largest_shared(limits("9.0"), 3), 76800);
  EXPECT_EQ(largest_shared(limits("9.0"), 0), 0);
  EXPECT_EQ(largest_shared(limits("9.0"), 33), 0);
}

TEST(Occupancy, RegistersAreTakenInWarpsOfFourPartitions) {
  EXPECT_EQ(resident("12.1", 0, 168, 384), 1);
  EXPECT_EQ(resident("12.1", 0, 128, 256), 2);
  EXPECT_EQ(resident("12.1", 24576, 64, 128), 4);
  EXPECT_EQ(resident("10.0", 24576, 64, 128), 8);
  EXPECT_EQ(resident("12.1", 0, 64, 1024), 1);
  EXPECT_EQ(resident("12.1", 0, 65, 1024), 0);
  EXPECT_EQ(resident("12.1", 0, 256, 32), 0);
}

TEST(Occupancy, NamesWhatLimits) {
  EXPECT_EQ(occupancy(limits("12.1"), {50176, 0, 128}).limited_by, "shared memory");
  EXPECT_EQ(occupancy(limits("12.1"), {0, 128, 256}).limited_by, "registers");
  EXPECT_EQ(occupancy(limits("12.1"), {0, 16, 1024}).limited_by, "warps");
  EXPECT_EQ(occupancy(limits("12.1"), {0, 16, 32}).limited_by, "blocks");
}

TEST(Occupancy, APreferredCarveOutIsRoundedUpToTheNextOne) {
  Launch launch{9000, 0, 128};
  launch.carveout_percent = 25;  // 25 KiB: the next carve-out is 32 KiB
  EXPECT_EQ(occupancy(limits("12.1"), launch).by_shared, 32768 / 10112);
  launch.carveout_percent = 0;  // less than a block: the next that holds one
  EXPECT_EQ(occupancy(limits("12.1"), launch).by_shared, 1);
}

TEST(Occupancy, ShippedMachinesSayWhatTheirCapabilitySays) {
  int checked = 0;
  for (const std::string& name : machine_names()) {
    const Machine m = load_machine(name);
    if (!m.kernel_limits) continue;
    const SmLimits own = sm_limits(m);
    const SmLimits row = sm_limits(*own.capability);
    EXPECT_EQ(own.shared_per_sm, row.shared_per_sm) << name;
    EXPECT_EQ(own.shared_per_block, row.shared_per_block) << name;
    EXPECT_EQ(own.reserved_per_block, row.reserved_per_block) << name;
    EXPECT_EQ(own.registers_per_sm, row.registers_per_sm) << name;
    EXPECT_EQ(own.warps_per_sm, row.warps_per_sm) << name;
    EXPECT_EQ(own.blocks_per_sm, row.blocks_per_sm) << name;
    ++checked;
  }
  EXPECT_EQ(checked, 4);
}

TEST(Occupancy, MachinesWithoutCapabilityAreRefusedByName) {
  EXPECT_THAT(why([] { sm_limits(load_machine("m3-ultra")); }), HasSubstr("m3-ultra: names no"));
  Machine m = load_machine("gb10");
  m.kernel_limits->warps_per_sm.value = 0.1;
  EXPECT_THAT(why([&] { sm_limits(m); }), HasSubstr("kernel_limits.warps_per_sm is outside"));
}

TEST(GemmTile, Nvfp4OnGb10ByTheFormula) {
  const TileKernel k = gemm_kernel(tile(128, 128, 128, "nvfp4"), GemmStyle::Sm120, 101376);
  EXPECT_EQ(k.stages, 4);
  EXPECT_EQ(k.shared_bytes, 88064);
  EXPECT_EQ(largest_stage_count(tile(128, 128, 128, "nvfp4"), GemmStyle::Sm120, 101376), 4);
}

TEST(GemmTile, MixedOperandsTakeAByteEach) {
  const auto bytes = [](std::string_view a, std::string_view b) {
    return gemm_kernel(tile(128, 128, 128, a, b), GemmStyle::Sm120, 101376).shared_bytes;
  };
  EXPECT_EQ(bytes("mxfp8", "mxfp4"), bytes("mxfp8", "mxfp8"));
  EXPECT_EQ(bytes("mxfp6", "mxfp6"), bytes("mxfp8", "mxfp8"));
  EXPECT_EQ(bytes("fp4", "fp8"), bytes("fp8", "fp8"));
}

TEST(GemmTile, GateAndUpTogetherDoubleB) {
  GemmTile t = tile(128, 128, 128, "nvfp4");
  t.stages = 2;
  t.fused_gate_up = true;
  const TileKernel k = gemm_kernel(t, GemmStyle::Sm120, 101376);
  EXPECT_EQ(k.parts.front().bytes, 2 * (8192 + 2 * 8192 + 1024 + 2 * 1024));
}

TEST(GemmTile, AnAutomaticCountBelowTwoDoesNotCompile) {
  for (const GemmTile& t : {tile(256, 128, 128, "mxfp8"), tile(128, 128, 256, "mxfp8", "mxfp4"),
                            tile(256, 128, 256, "nvfp4")}) {
    const TileKernel k = gemm_kernel(t, GemmStyle::Sm120, 101376);
    EXPECT_THAT(k.refused, HasSubstr("room for 1 stage of")) << k.title;
    EXPECT_THAT(k.refused, HasSubstr("does not compile"));
    EXPECT_GT(k.shared_bytes, 101376) << "what the least legal count needs";
    EXPECT_EQ(largest_stage_count(t, GemmStyle::Sm120, 101376), 0);
  }
}

TEST(GemmTile, IllegalShapesAreRefusedWithTheRule) {
  const auto refused = [](const GemmTile& t, GemmStyle style) {
    return gemm_kernel(t, style, 232448).refused;
  };
  EXPECT_THAT(refused(tile(64, 128, 128, "nvfp4"), GemmStyle::Sm120), HasSubstr("128 rows"));
  EXPECT_THAT(refused(tile(128, 192, 128, "nvfp4"), GemmStyle::Sm120), HasSubstr("none of 8, 16"));
  EXPECT_THAT(refused(tile(128, 128, 64, "mxfp8"), GemmStyle::Sm120), HasSubstr("multiple of 128"));
  EXPECT_THAT(refused(tile(128, 128, 128, "nvfp4", "mxfp8"), GemmStyle::Sm120),
              HasSubstr("one instruction takes one kind"));
  EXPECT_THAT(refused(tile(256, 128, 64, "bf16"), GemmStyle::Sm100), HasSubstr("pair two SMs"));
  EXPECT_THAT(refused(tile(128, 512, 64, "bf16"), GemmStyle::Sm90), HasSubstr("up to 256"));
  GemmTile one = tile(128, 128, 128, "nvfp4");
  one.stages = 1;
  EXPECT_THAT(refused(one, GemmStyle::Sm120), HasSubstr("at least 2"));
}

TEST(GemmTile, AbsurdInputIsAnError) {
  const auto error = [](GemmTile t, GemmStyle style = GemmStyle::Sm120) {
    return why([&] { gemm_kernel(t, style, 101376); });
  };
  EXPECT_THAT(error(tile(0, 128, 128, "nvfp4")), HasSubstr("M = 0"));
  EXPECT_THAT(error(tile(128, -8, 128, "nvfp4")), HasSubstr("N = -8"));
  EXPECT_THAT(error(tile(128, 128, INT64_MAX, "nvfp4")), HasSubstr("K = 9223372036854775807"));
  EXPECT_THAT(error(tile(128, 128, 130, "nvfp4")), HasSubstr("no multiple of 8"));
  EXPECT_THAT(error(tile(128, 128, 128, "nvfp4", "fp8")), HasSubstr("scale both or neither"));
  EXPECT_THAT(error(tile(128, 128, 64, "bf16")), HasSubstr("use --style multistage"));
  EXPECT_THAT(error(tile(128, 128, 64, "nvfp4"), GemmStyle::Sm90), HasSubstr("no formula"));
  GemmTile t = tile(128, 128, 128, "nvfp4");
  t.stages = 0;
  EXPECT_THAT(error(t), HasSubstr("0 stages"));
  t.stages = INT32_MAX;
  EXPECT_THAT(error(t), HasSubstr("2147483647 stages"));
  t.stages = 2;
  t.d = find_tile_format("nvfp4");
  EXPECT_THAT(error(t), HasSubstr("nvfp4 as C or D"));
}

// Whatever the tile: parts sum to the total, another stage costs, the chosen count is the largest
// that the builder's own rule allows.
TEST(GemmTile, HoldsForEveryTileOfAGrid) {
  int seen = 0;
  for (const GemmStyle style :
       {GemmStyle::Multistage, GemmStyle::Sm90, GemmStyle::Sm100, GemmStyle::Sm120}) {
    for (const char* format : {"nvfp4", "mxfp8", "fp8", "bf16"}) {
      for (const std::int64_t m : {64, 128, 256}) {
        for (const std::int64_t n : {8, 32, 64, 128, 256}) {
          GemmTile t = tile(m, n, 128, format);
          t.grouped = seen % 2 == 1;
          if (seen % 3 == 1) t.c = nullptr;
          TileKernel k;
          try {
            k = gemm_kernel(t, style, 232448);
          } catch (const Error&) {
            continue;
          }
          ++seen;
          t.stages = k.stages + 1;
          EXPECT_GT(gemm_kernel(t, style, 232448).shared_bytes, k.shared_bytes) << k.title;
          if (k.refused.empty()) {
            EXPECT_GE(k.stages, style == GemmStyle::Multistage ? 1 : 2) << k.title;
            EXPECT_LE(k.shared_bytes, 232448 + kSuspiciousSpare) << k.title;
          }
        }
      }
    }
  }
  EXPECT_GT(seen, 100);
}

TEST(AttentionTile, FormulasOfTheField) {
  AttentionTile t;
  t.m = 128, t.n = 64, t.dim_k = t.dim_v = 128;
  EXPECT_EQ(attention_kernel(t).shared_bytes, 65536);
  t.m = t.n = 64, t.dim_k = t.dim_v = 256;
  EXPECT_EQ(attention_kernel(t).shared_bytes, 98304);
  t.family = AttentionFamily::FlashBackward;
  t.dim_k = t.dim_v = 128, t.stages = 2;
  EXPECT_EQ(attention_kernel(t).shared_bytes, 2 * (2 * 64 * 256 + 64 * 256));
  // FlashInfer's probe for head sizes 448 and 256 in bf16 finds no room on 12.x.
  t = {AttentionFamily::FlashInfer, 16, 64, 448, 256};
  EXPECT_EQ(attention_kernel(t).shared_bytes, 104448);
  EXPECT_EQ(largest_stage_count(t, 101376), 0);
}

TEST(AttentionTile, BadInputIsAnError) {
  AttentionTile t;
  EXPECT_THAT(why([&] { attention_kernel(t); }), HasSubstr("tile rows of 0"));
  t.m = t.n = 64, t.dim_k = t.dim_v = INT64_MAX;
  EXPECT_THAT(why([&] { attention_kernel(t); }), HasSubstr("head size of"));
  t.dim_k = t.dim_v = 100;
  EXPECT_THAT(why([&] { attention_kernel(t); }), HasSubstr("no multiple of 8"));
  t.family = AttentionFamily::LlamaMma;
  EXPECT_THAT(why([&] { attention_kernel(t); }), HasSubstr("no tensor-core kernel for head 100"));
  t = {AttentionFamily::FlashInferMla, 64, 16, 512, 512};
  EXPECT_THAT(why([&] { attention_kernel(t); }), HasSubstr("576:512"));
}

TEST(AttentionTile, QuantizedProductsOfLlamaCpp) {
  EXPECT_EQ(mmq_kernel("q8_0", 128, 128, 256).shared_bytes, 57856);
  EXPECT_EQ(mmq_kernel("q2_k", 128, 128, 256).shared_bytes, 128 * 100 * 4 + 18432 + 512);
  EXPECT_EQ(mmq_kernel("nvfp4_generic", 128, 64, 256).shared_bytes, 128 * 84 * 4 + 9216 + 256);
  EXPECT_THAT(why([] { mmq_kernel("q4_x", 128, 8, 256); }), HasSubstr("did you mean"));
  EXPECT_THAT(why([] { mmq_kernel("q4_k", 128, 7, 256); }), HasSubstr("multiples of 8"));
  EXPECT_THAT(why([] { mmq_kernel("q4_k", 128, 8, 33); }), HasSubstr("warps of 32"));
}

TEST(JudgeKernel, SaysWhatIsTooMuch) {
  GemmTile t = tile(128, 128, 128, "mxfp8");
  t.stages = 3;
  const TileReport r =
      judge_kernel("gb10", limits("12.1"), gemm_kernel(t, GemmStyle::Sm120, 101376));
  EXPECT_FALSE(r.launches);
  EXPECT_EQ(r.spare, -14336);
  EXPECT_EQ(r.reason,
            "needs 115712 B of shared memory (main loop 101376 + epilogue 13312 + barriers 1024), "
            "14336 B more than the 101376 B a block may have on 12.1");
}

TEST(JudgeKernel, SaysWhichInstructionIsMissing) {
  const TileKernel k = gemm_kernel(tile(128, 128, 256, "nvfp4"), GemmStyle::Sm100, 232448);
  EXPECT_TRUE(judge_kernel("b200", limits("10.0"), k).launches);
  EXPECT_THAT(judge_kernel("gb10", limits("12.1"), k).reason,
              HasSubstr("compute capability 12.1 has no tcgen05 (tensor memory); these have it: "
                        "10.0, 10.3, 11.0"));
  EXPECT_THAT(judge_kernel("h200", limits("9.0"),
                           gemm_kernel(tile(128, 128, 128, "nvfp4"), GemmStyle::Sm120, 232448))
                  .reason,
              HasSubstr("these have it: 12.0, 12.1"));
}

TEST(JudgeKernel, SuspectsAutomaticCountsThatBarelyFit) {
  const auto notes = [](const GemmTile& t) {
    std::string all;
    for (const std::string& n :
         judge_kernel("gb10", limits("12.1"), gemm_kernel(t, GemmStyle::Sm120, 101376)).notes) {
      all += n + "\n";
    }
    return all;
  };
  EXPECT_THAT(notes(tile(128, 128, 128, "mxfp4")), HasSubstr("suspicious"));
  EXPECT_THAT(notes(tile(128, 64, 128, "nvfp4")), HasSubstr("suspicious"));
  EXPECT_THAT(notes(tile(128, 128, 128, "nvfp4")), testing::Not(HasSubstr("suspicious")));
}

TEST(JudgeKernel, RegistersAndThreadsRefuseToo) {
  EXPECT_THAT(judge_kernel("x", limits("12.1"), kernel_of_bytes(0, 65, 1024)).reason,
              HasSubstr("32 warps (counted as 32) x 2304 registers = 73728, more than the 65536"));
  EXPECT_THAT(judge_kernel("x", limits("12.1"), kernel_of_bytes(0, 300, 32)).reason,
              HasSubstr("300 registers per thread"));
  EXPECT_THAT(judge_kernel("x", limits("12.1"), kernel_of_bytes(0, 0, 1025)).reason,
              HasSubstr("1025 threads"));
  EXPECT_FALSE(judge_kernel("x", limits("12.1"), kernel_of_bytes(102400, 0, 0)).launches);
  EXPECT_TRUE(judge_kernel("x", limits("12.1"), kernel_of_bytes(101376, 0, 0)).launches);
  EXPECT_THAT(why([] { kernel_of_bytes(-1, 0, 0); }), HasSubstr("0 to 2^40"));
  EXPECT_THAT(why([] { kernel_of_bytes(INT64_MAX, 0, 0); }), HasSubstr("0 to 2^40"));
}

}  // namespace
}  // namespace bandwall
