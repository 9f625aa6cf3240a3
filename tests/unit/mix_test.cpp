#include "workload/mix.h"

#include <gmock/gmock.h>

#include "hwmodel/error.h"
#include "tests/support/shapes.h"

namespace bandwall {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using namespace testing;

Format format_of(const ModelSpec& m, std::string_view tensor) { return m.find(tensor)->format; }

std::string failure(const ModelShape& s, std::string_view mix) {
  try {
    model_from_shape(s, mix);
  } catch (const Error& e) {
    return e.what();
  }
  return "no error";
}

TEST(Mix, FormatsOfOneMixByRole) {
  const ModelSpec m = model_from_shape(minimax_m2(), "q3_k_m");
  EXPECT_EQ(m.name, "minimax-m2.5:Q3_K_M");
  EXPECT_EQ(m.quantization, "Q3_K_M");
  EXPECT_EQ(format_of(m, "output.weight"), Format::Q6_K);
  EXPECT_EQ(format_of(m, "token_embd.weight"), Format::Q3_K);
  EXPECT_EQ(format_of(m, "blk.0.attn_v.weight"), Format::Q5_K);
  EXPECT_EQ(format_of(m, "blk.2.attn_v.weight"), Format::Q4_K);
  EXPECT_EQ(format_of(m, "blk.2.ffn_down_exps.weight"), Format::Q5_K);  // 2 < 62 / 16
  EXPECT_EQ(format_of(m, "blk.3.ffn_down_exps.weight"), Format::Q4_K);
  EXPECT_EQ(format_of(m, "blk.3.ffn_up_exps.weight"), Format::Q3_K);
  EXPECT_EQ(format_of(m, "blk.3.ffn_gate_inp.weight"), Format::F32);
  EXPECT_EQ(format_of(m, "blk.3.exp_probs_b.bias"), Format::F32);
  EXPECT_EQ(format_of(m, "blk.3.attn_q_norm.weight"), Format::F32);
}

TEST(Mix, EightExpertsGetBetterAttention) {
  const ModelSpec m = model_from_shape(mixtral(), "Q4_K_M");
  EXPECT_EQ(format_of(m, "blk.5.attn_v.weight"), Format::Q8_0);
  EXPECT_EQ(format_of(m, "blk.5.attn_k.weight"), Format::Q8_0);
  EXPECT_EQ(format_of(m, "blk.5.attn_output.weight"), Format::Q5_K);
  EXPECT_EQ(format_of(m, "blk.5.attn_q.weight"), Format::Q4_K);
}

TEST(Mix, LargeLlamaLiftsItsValues) {
  EXPECT_EQ(format_of(model_from_shape(llama_70b(), "Q3_K_S"), "blk.9.attn_v.weight"),
            Format::Q5_K);
  EXPECT_EQ(format_of(model_from_shape(llama_8b(), "Q3_K_S"), "blk.9.attn_v.weight"), Format::Q3_K);
}

TEST(Mix, TiedTableIsTheHead) {
  ModelShape s = llama_8b();
  s.hyper.tied_head = true;
  const ModelSpec m = model_from_shape(s, "Q4_K_M");
  EXPECT_EQ(m.find("output.weight"), nullptr);
  EXPECT_EQ(format_of(m, "token_embd.weight"), Format::Q6_K);
  EXPECT_EQ(format_of(model_from_shape(s, "F16"), "token_embd.weight"), Format::F16);
}

TEST(Mix, ShortRowsFallBack) {
  const ModelSpec m = model_from_shape(gpt_oss(24, 32), "Q4_K_M");  // rows of 2880
  EXPECT_EQ(format_of(m, "blk.5.attn_q.weight"), Format::Q5_0);
  EXPECT_EQ(format_of(m, "blk.5.attn_output.weight"), Format::Q4_K);  // rows of 4096
  EXPECT_EQ(format_of(m, "output.weight"), Format::Q8_0);
  EXPECT_EQ(format_of(m, "blk.0.ffn_down_exps.weight"), Format::Q8_0);  // Q6_K -> Q8_0
  EXPECT_EQ(format_of(m, "blk.0.ffn_down_exps.bias"), Format::F32);
  EXPECT_EQ(format_of(model_from_shape(gpt_oss(24, 32), "Q2_K"), "blk.5.attn_q.weight"),
            Format::Q4_0);
  ModelShape odd = llama_8b();
  odd.hyper.ffn = 1000;
  EXPECT_EQ(format_of(model_from_shape(odd, "Q4_K_S"), "blk.9.ffn_down.weight"), Format::F16);
}

TEST(Mix, EveryMixWorksOnEveryShape) {
  for (const ModelShape& s : {minimax_m2(), gpt_oss(24, 32), qwen3_30b(), llama_8b(), mixtral(),
                              qwen3_8b(), nemotron_nano(), nemotron_super()}) {
    const std::int64_t f16 = model_from_shape(s, "F16").weight_bytes();
    for (const std::string& mix : known_mixes()) {
      const ModelSpec m = model_from_shape(s, mix);
      EXPECT_LE(m.weight_bytes(), mix == "F32" ? 2 * f16 : f16) << s.name << " " << mix;
      for (const TensorSpec& t : m.tensors) EXPECT_GT(t.bytes, 0) << t.name;
    }
  }
}

TEST(Mix, PublishedSizeIsMetToTheByte) {
  ModelShape s = minimax_m2();
  s.published = {{.name = "UD-Q3_K_XL", .file_bytes = 101'930'000'001, .note = "a listing"}};
  s.default_mix = "UD-Q3_K_XL";
  const ModelSpec m = model_from_shape(s, "");
  EXPECT_EQ(m.weight_bytes(), 101'930'000'001);
  EXPECT_EQ(m.parameters(), 228'689'764'864);
  EXPECT_EQ(format_of(m, "blk.0.attn_q.weight"), Format::Q8_0);
  EXPECT_EQ(m.find("blk.0.attn_q.weight")->bytes, row_bytes(Format::Q8_0, 3072) * 6144);
  EXPECT_THAT(m.bytes_note, HasSubstr("a listing"));
  const TensorSpec* first = m.find("blk.0.ffn_up_exps.weight");
  const TensorSpec* last = m.find("blk.61.ffn_up_exps.weight");
  EXPECT_LE(std::abs(first->bytes - last->bytes), 1);
  EXPECT_NEAR(8.0 * static_cast<double>(first->bytes) / static_cast<double>(first->values()), 3.5,
              0.1);
  s.published[0].file_bytes = 1000;
  EXPECT_THAT(failure(s, "ud-q3_k_xl"), HasSubstr("leaves nothing for the experts"));
}

TEST(Mix, PublishedSizeOfADenseModelSharesItsFeedForward) {
  ModelShape s = llama_8b();
  s.published = {{.name = "tuned", .file_bytes = 5'000'000'000}};
  const ModelSpec m = model_from_shape(s, "tuned");
  EXPECT_EQ(m.weight_bytes(), 5'000'000'000);
  EXPECT_EQ(format_of(m, "blk.0.attn_q.weight"), Format::Q8_0);
}

TEST(Mix, ScalesOfFp8BlocksCountBegunBlocks) {
  TensorSpec t;
  t.dims[0] = 200;
  t.dims[1] = 130;
  t.dims[2] = 3;
  EXPECT_EQ(tensor_bytes(Format::FP8_BLOCK128, t), 3 * (200 * 130 + 4 * 2 * 2));
}

TEST(Mix, UnknownNamesAreRefusedWithTheKnown) {
  ModelShape s = minimax_m2();
  s.published = {{.name = "UD-Q3_K_XL", .file_bytes = 101'930'000'000}};
  EXPECT_THAT(failure(s, "Q4_K_N"),
              AllOf(HasSubstr("minimax-m2.5: unknown quantization 'Q4_K_N'"),
                    HasSubstr("did you mean Q4_K_M?"), HasSubstr("known are UD-Q3_K_XL, F32")));
  s.architecture = "minimax";
  EXPECT_THAT(failure(s, "Q4_K_M"), HasSubstr("unknown architecture 'minimax'"));
}

TEST(Mix, BadShapesAreRefused) {
  ModelShape s = minimax_m2();
  s.hyper.kv_heads = 7;
  s.hyper.experts_used = 300;
  EXPECT_THAT(failure(s, "Q4_K_M"), AllOf(HasSubstr("not divisible by head_count_kv 7"),
                                          HasSubstr("expert_used_count is 300")));
  s = nemotron_super();
  s.hyper.pattern.pop_back();
  EXPECT_THAT(failure(s, "Q4_K_M"), HasSubstr("87 letters for 88 blocks"));
}

}  // namespace
}  // namespace bandwall
