#include "workload/model_spec.h"

#include <gmock/gmock.h>

#include "hwmodel/error.h"
#include "tests/support/gguf_writer.h"
#include "tests/support/load_model.h"

namespace bandwall {
namespace {

using ::testing::AllOf;
using testing::Blob;
using testing::failure;
using testing::GgufWriter;
using ::testing::HasSubstr;
using testing::load;
using ::testing::Not;
using testing::tiny_model;

TEST(ModelSpec, ReadsEveryArchitecture) {
  for (const std::string& name : known_architectures()) {
    const ModelSpec m = load(tiny_model(name));
    EXPECT_EQ(m.architecture, name);
    EXPECT_EQ(m.name, "tiny");
    EXPECT_EQ(m.hyper.vocab, 32);
    const Hyper made = testing::tiny_hyper(testing::architecture_row(name));
    EXPECT_EQ(m.hyper.head_dim_k, made.head_dim_k);
    EXPECT_EQ(m.hyper.rope_dims, name == "nemotron_h_moe" ? 0 : made.rope_dims);
    EXPECT_EQ(m.hyper.rope_base, 10000.0);
    const bool neighbours = name == "llama" || name == "deepseek2";
    EXPECT_EQ(m.hyper.rope, neighbours                 ? RopeKind::Neighbours
                            : name == "nemotron_h_moe" ? RopeKind::None
                                                       : RopeKind::Halves);
    EXPECT_EQ(m.weight_bytes(), 4 * m.parameters());
    EXPECT_GE(m.file_bytes, m.weight_bytes());
    for (const TensorSpec& t : m.tensors) EXPECT_NE(t.role, Role::Other) << t.name;
  }
  EXPECT_EQ(known_architectures().size(), 12u);
}

TEST(ModelSpec, NamesAndShapesOfOneMiniMaxLayer) {
  const ModelSpec m = load(tiny_model("minimax-m2"));
  const std::vector<std::pair<const char*, std::vector<std::int64_t>>> layer = {
      {"attn_norm.weight", {64}},
      {"attn_q.weight", {64, 64}},
      {"attn_k.weight", {64, 32}},
      {"attn_v.weight", {64, 32}},
      {"attn_output.weight", {64, 64}},
      {"attn_q_norm.weight", {64}},
      {"attn_k_norm.weight", {32}},
      {"ffn_norm.weight", {64}},
      {"ffn_gate_inp.weight", {64, 4}},
      {"exp_probs_b.bias", {4}},
      {"ffn_gate_exps.weight", {64, 32, 4}},
      {"ffn_up_exps.weight", {64, 32, 4}},
      {"ffn_down_exps.weight", {32, 64, 4}}};
  for (const auto& [name, dims] : layer) {
    const TensorSpec* t = m.find(std::string("blk.1.") + name);
    ASSERT_NE(t, nullptr) << name;
    EXPECT_EQ(t->layer, 1);
    EXPECT_EQ(std::vector<std::int64_t>(t->dims, t->dims + t->n_dims), dims) << name;
  }
  EXPECT_EQ(m.tensors.size(), 2 * layer.size() + 3);
  EXPECT_EQ(m.hyper.router, RouterKind::SigmoidBias);
  EXPECT_EQ(m.hyper.qk_norm, QkNorm::WholeWidth);
  EXPECT_FALSE(m.find("blk.0.exp_probs_b.bias")->is_bias);
}

TEST(ModelSpec, GptOssHasBiasesSinksAndAlternatingWindow) {
  const ModelSpec m = load(tiny_model("gpt-oss"));
  EXPECT_EQ(m.hyper.router, RouterKind::SoftmaxSelected);
  EXPECT_EQ(m.hyper.activation, Activation::ClampedSwiglu);
  EXPECT_TRUE(m.hyper.slides(0));
  EXPECT_FALSE(m.hyper.slides(1));
  EXPECT_EQ(m.find("blk.0.post_attention_norm.weight")->role, Role::FfnNorm);
  EXPECT_EQ(m.find("blk.0.attn_sinks.weight")->role, Role::AttnSinks);
  const TensorSpec* bias = m.find("blk.0.ffn_down_exps.bias");
  EXPECT_EQ(bias->role, Role::ExpertDown);
  EXPECT_TRUE(bias->is_bias);
  EXPECT_EQ(bias->dims[0], 64);
  EXPECT_EQ(bias->dims[1], 4);
}

TEST(ModelSpec, MixersOfABlockShowInTheArrays) {
  const ModelSpec m = load(tiny_model("nemotron_h_moe"));
  EXPECT_EQ(m.hyper.pattern, "ME*E");
  EXPECT_EQ(m.hyper.kv_heads, 2);
  EXPECT_EQ(m.hyper.expert_latent, 32);
  EXPECT_EQ(m.hyper.shared_ffn, 48);
  EXPECT_EQ(m.hyper.activation, Activation::ReluSquared);
  EXPECT_EQ(m.hyper.conv_channels(), 64 + 2 * 2 * 8);
  EXPECT_EQ(m.hyper.state_values(), 3 * 96 + 8 * 64);
  EXPECT_EQ(m.find("blk.0.attn_norm.weight")->role, Role::AttnNorm);
  EXPECT_EQ(m.find("blk.1.attn_norm.weight")->role, Role::FfnNorm);
  EXPECT_EQ(m.find("blk.0.ssm_in.weight")->dims[1], 64 + 96 + 4);
  EXPECT_EQ(m.find("blk.1.ffn_up_exps.weight")->dims[0], 32);
  EXPECT_EQ(m.find("blk.1.ffn_gate_exps.weight"), nullptr);
  EXPECT_FALSE(m.find("blk.0.ssm_dt.bias")->is_bias);
  EXPECT_TRUE(m.find("blk.0.ssm_conv1d.bias")->is_bias);

  GgufWriter w = tiny_model("nemotron_h_moe");
  w.set_array("nemotron_h_moe.feed_forward_length", std::vector<std::int32_t>{0, 32, 0});
  EXPECT_THAT(failure(w), HasSubstr("must be an array of at least 4 whole numbers"));
  w.set_array("nemotron_h_moe.feed_forward_length", std::vector<std::int32_t>{0, 32, 0, 48});
  EXPECT_THAT(failure(w), HasSubstr("differs from layer to layer"));
  w = tiny_model("nemotron_h_moe");
  w.tensor("blk.0.ssm_conv1d.weight").type = 1;
  EXPECT_THAT(failure(w), HasSubstr("tensor blk.0.ssm_conv1d.weight: stored as F16, must be F32"));
  w = tiny_model("nemotron_h_moe");
  w.set("nemotron_h_moe.ssm.time_step_rank", 3u);
  EXPECT_THAT(failure(w), AllOf(HasSubstr("ssm.inner_size 64 is not divisible"),
                                HasSubstr("ssm.time_step_rank 3 is not divisible")));
}

TEST(ModelSpec, DeltaNetsStandBetweenAttentionLayers) {
  const ModelSpec m = load(tiny_model("qwen3next"));
  EXPECT_TRUE(m.hyper.recurs(0));
  EXPECT_TRUE(m.hyper.attends(1));
  EXPECT_TRUE(m.hyper.is_moe_layer(0));
  EXPECT_EQ(m.hyper.state_values(), 3 * 96 + 8 * 64);
  EXPECT_EQ(m.find("blk.1.attn_q.weight")->dims[1], 128);  // queries and their gates
  EXPECT_EQ(m.find("blk.1.attn_output.weight")->dims[0], 64);
  EXPECT_EQ(m.find("blk.0.attn_qkv.weight")->role, Role::SsmIn);
  EXPECT_EQ(m.find("blk.0.ffn_gate_inp_shexp.weight")->role, Role::SharedRouter);
  GgufWriter w = tiny_model("qwen3next");
  w.set("qwen3next.full_attention_interval", 0u);
  EXPECT_THAT(failure(w), HasSubstr("full_attention_interval is 0"));
}

TEST(ModelSpec, TiedHeadAndRopeFactors) {
  GgufWriter w = tiny_model("llama");
  w.drop("output.weight");
  w.add("rope_freqs.weight", {8});
  const ModelSpec m = load(w);
  EXPECT_TRUE(m.hyper.tied_head);
  EXPECT_EQ(m.find("rope_freqs.weight")->role, Role::RopeFactors);
}

TEST(ModelSpec, LlamaWithExpertsKeepsTheirWidthInFeedForwardLength) {
  GgufWriter w = tiny_model("llama");
  w.set("llama.expert_count", 8u);
  w.set("llama.expert_used_count", 2u);
  for (int l = 0; l < 2; ++l) {
    const std::string p = "blk." + std::to_string(l) + ".ffn_";
    for (const char* t : {"gate.weight", "up.weight", "down.weight"}) w.drop(p + t);
    w.add(p + "gate_inp.weight", {64, 8});
    w.add(p + "gate_exps.weight", {64, 96, 8});
    w.add(p + "up_exps.weight", {64, 96, 8});
    w.add(p + "down_exps.weight", {96, 64, 8});
  }
  const ModelSpec m = load(w);
  EXPECT_EQ(m.hyper.expert_ffn, 96);
  EXPECT_EQ(m.hyper.ffn, 0);
  EXPECT_EQ(m.hyper.router, RouterKind::SoftmaxAll);
}

TEST(ModelSpec, RopeScaling) {
  GgufWriter w = tiny_model("qwen3");
  w.set("qwen3.rope.scaling.type", "linear");
  w.set("qwen3.rope.scaling.factor", 4.0f);
  EXPECT_EQ(load(w).hyper.rope_scale, 4.0);
  w.set("qwen3.rope.scaling.type", "yarn");
  w.set("qwen3.rope.scaling.original_context_length", 64u);
  const Hyper h = load(w).hyper;
  EXPECT_TRUE(h.yarn);
  EXPECT_EQ(h.yarn_factor, 4.0);
  EXPECT_EQ(h.rope_scale, 1.0);
  EXPECT_EQ(h.yarn_original_context, 64);
  w.set("qwen3.rope.scaling.type", "longrope");
  EXPECT_THAT(failure(w), HasSubstr("key qwen3.rope.scaling.type"));
  w = tiny_model("qwen3");
  w.set("qwen3.rope.freq_base", 0.0f);
  EXPECT_THAT(failure(w), HasSubstr("rope.freq_base is 0"));
  w.set("qwen3.rope.freq_base", 1e6f);
  w.set("qwen3.rope.dimension_count", 15u);
  EXPECT_THAT(failure(w), HasSubstr("rope.dimension_count is 15"));
}

TEST(ModelSpec, PerLayerArraysMustBeUniform) {
  GgufWriter w = tiny_model("qwen3");
  w.set_array("qwen3.attention.head_count_kv", std::vector<std::int32_t>{2, 2});
  EXPECT_EQ(load(w).hyper.kv_heads, 2);
  w.set_array("qwen3.attention.head_count_kv", std::vector<std::int32_t>{2, 4});
  EXPECT_THAT(failure(w), AllOf(HasSubstr("key qwen3.attention.head_count_kv"),
                                HasSubstr("differs from layer to layer")));
}

TEST(ModelSpec, UnknownArchitectureNamesTheKnown) {
  GgufWriter w = tiny_model("qwen3moe");
  w.set("general.architecture", "qwen3mo");
  EXPECT_THAT(failure(w), AllOf(HasSubstr("'qwen3mo' is not supported (did you mean qwen3moe?)"),
                                HasSubstr("minimax-m2, qwen3moe, gpt-oss, llama, qwen3")));
  w.remove("general.architecture");
  EXPECT_THAT(failure(w), HasSubstr("key general.architecture: missing"));
}

TEST(ModelSpec, AllProblemsAtOnce) {
  GgufWriter w = tiny_model("llama");
  w.remove("llama.block_count");
  w.set("llama.attention.head_count", "four");
  w.set("llama.embedding_length", ~0u);
  EXPECT_THAT(failure(w),
              AllOf(HasSubstr("key llama.block_count: is missing"),
                    HasSubstr("key llama.attention.head_count: must be a whole number"),
                    HasSubstr("key llama.embedding_length: 4294967295 is out of range")));
  w = tiny_model("llama");
  w.drop("blk.0.attn_k.weight");
  w.drop("blk.1.ffn_norm.weight");
  w.tensor("blk.1.attn_q.weight").dims = {64, 48};
  w.tensor("output_norm.weight").type = 1;
  EXPECT_THAT(failure(w),
              AllOf(HasSubstr("tensor blk.0.attn_k.weight: missing; expected [64, 32]"),
                    HasSubstr("tensor blk.1.ffn_norm.weight: missing"),
                    HasSubstr("tensor blk.1.attn_q.weight: shape [64, 48] where the metadata asks "
                              "for [64, 64]"),
                    HasSubstr("tensor output_norm.weight: stored as F16, must be F32")));
}

struct BadKey {
  const char* key;
  std::uint32_t value;
  const char* message;
};

TEST(ModelSpec, HyperParametersAreBounded) {
  for (const BadKey& bad : {BadKey{"block_count", 0, "block_count is 0"},
                            {"block_count", 2'000'000'000, "block_count is 2000000000"},
                            {"embedding_length", 0, "embedding_length is 0"},
                            {"attention.head_count", 0, "head_count is 0"},
                            {"attention.head_count_kv", 3, "not divisible by head_count_kv 3"},
                            {"attention.head_count_kv", 0, "head_count_kv is 0"},
                            {"attention.key_length", 1u << 30, "key_length is"},
                            {"expert_count", 0, "expert_count is 0"},
                            {"expert_count", 100'000, "expert_count is 100000"},
                            {"expert_used_count", 5, "expert_used_count is 5, it must be 1 to 4"},
                            {"expert_feed_forward_length", 0, "expert_feed_forward_length is 0"},
                            {"expert_shared_count", 1, "shared experts are not supported"},
                            {"expert_gating_func", 2, "expert_gating_func: 2"},
                            {"context_length", 0, "context_length is 0"}}) {
    GgufWriter w = tiny_model("qwen3moe");
    w.set(std::string("qwen3moe.") + bad.key, bad.value);
    EXPECT_THAT(failure(w), HasSubstr(bad.message)) << bad.key;
  }
  GgufWriter w = tiny_model("gpt-oss");
  w.remove("gpt-oss.attention.sliding_window");
  EXPECT_THAT(failure(w), HasSubstr("attention.sliding_window: is missing"));
}

TEST(ModelSpec, VocabularyMustHaveAsManyTokensAsRows) {
  GgufWriter w = tiny_model("llama");
  w.set_array("tokenizer.ggml.tokens", std::vector<std::string>(32, "t"));
  EXPECT_EQ(load(w).hyper.vocab, 32);
  w.set_array("tokenizer.ggml.tokens", std::vector<std::string>(31, "t"));
  EXPECT_THAT(failure(w), HasSubstr("token_embd.weight: 32 rows for the 31 tokens"));
}

TEST(ModelSpec, FusedTensorsAreNamedOnce) {
  GgufWriter w = tiny_model("qwen3moe");
  w.drop("blk.0.ffn_gate_exps.weight");
  w.drop("blk.0.ffn_up_exps.weight");
  w.add("blk.0.ffn_gate_up_exps.weight", {64, 64, 4});
  EXPECT_THAT(failure(w),
              AllOf(HasSubstr("tensor blk.0.ffn_gate_up_exps.weight: gate and up experts "
                              "fused"),
                    HasSubstr("ffn_gate_exps.weight and ffn_up_exps.weight are needed"),
                    Not(HasSubstr("missing"))));
  GgufWriter q = tiny_model("qwen3");
  for (const char* part : {"attn_q", "attn_k", "attn_v"}) {
    q.drop(std::string("blk.1.") + part + ".weight");
  }
  q.add("blk.1.attn_qkv.weight", {64, 128});
  EXPECT_THAT(failure(q), AllOf(HasSubstr("tensor blk.1.attn_qkv.weight: fused q, k and v"),
                                HasSubstr("attn_q.weight, attn_k.weight and attn_v.weight"),
                                Not(HasSubstr("missing"))));
}

TEST(ModelSpec, ExtraTensorsAreKeptUnlessTheyChangeTheResult) {
  GgufWriter w = tiny_model("qwen3");
  w.add("blk.0.attn_q.scale", {1});
  w.add("blk.7.nextn.eh_proj.weight", {64, 64});
  const ModelSpec m = load(w);
  EXPECT_EQ(m.find("blk.0.attn_q.scale")->role, Role::Other);
  EXPECT_EQ(m.find("blk.7.nextn.eh_proj.weight")->role, Role::Other);
  EXPECT_EQ(m.parameters() + 1 + 64 * 64, m.weight_bytes() / 4);
  w.add("blk.1.ffn_up.bias", {96});
  EXPECT_THAT(failure(w), HasSubstr("tensor blk.1.ffn_up.bias: not part of this architecture"));
}

class Split : public ::testing::Test {
 protected:
  // Metadata only, then the layers, then the rest: as publishers cut large models.
  void SetUp() override {
    const GgufWriter whole = tiny_model("qwen3moe");
    for (std::uint32_t i = 0; i < 3; ++i) {
      GgufWriter& part = parts_[i];
      if (i == 0) part.values = whole.values;
      part.set_as("split.no", GgufType::U16, static_cast<std::uint16_t>(i));
      part.set_as("split.count", GgufType::U16, std::uint16_t{3});
      part.set_as("split.tensors.count", GgufType::I32,
                  static_cast<std::int32_t>(whole.tensors.size()));
    }
    for (const auto& t : whole.tensors)
      parts_[t.name.starts_with("blk") ? 1 : 2].tensors.push_back(t);
  }
  ModelSpec read(const std::vector<int>& which) {
    std::vector<GgufFile> files;
    blobs_.clear();
    blobs_.reserve(which.size());
    for (const int i : which) {
      blobs_.push_back(parts_[i].build());
      files.push_back(parse_gguf(blobs_.back(), split_file_name("m", i + 1, 3)));
    }
    return model_from_gguf(files);
  }
  std::string error(const std::vector<int>& which) {
    try {
      read(which);
    } catch (const Error& e) {
      return e.what();
    }
    return "no error";
  }
  GgufWriter parts_[3];
  std::vector<Blob> blobs_;
};

TEST_F(Split, PartsMakeOneModel) {
  const ModelSpec m = read({0, 1, 2});
  EXPECT_EQ(m.parameters(), load(tiny_model("qwen3moe")).parameters());
  EXPECT_EQ(m.file_bytes,
            static_cast<std::int64_t>(blobs_[0].size() + blobs_[1].size() + blobs_[2].size()));
}

TEST_F(Split, MissingSwappedAndForeignParts) {
  EXPECT_THAT(error({1}),
              AllOf(HasSubstr("m-00002-of-00003.gguf: key split.count: this is one of 3"),
                    HasSubstr("m-00001-of-00003.gguf, m-00003-of-00003.gguf")));
  EXPECT_THAT(error({0, 1}), HasSubstr("3 parts expected, 2 were given"));
  EXPECT_THAT(error({0, 2, 1}), HasSubstr("key split.no: 2 found, 1 expected"));
  parts_[2].add("extra", {8});
  EXPECT_THAT(error({0, 1, 2}), HasSubstr("tensors promised"));
  parts_[2].drop("extra");
  parts_[2].tensors.back().name = "blk.0.attn_q.weight";
  EXPECT_THAT(error({0, 1, 2}), HasSubstr("tensor blk.0.attn_q.weight: also in m-00002-of-00003"));
}

}  // namespace
}  // namespace bandwall
