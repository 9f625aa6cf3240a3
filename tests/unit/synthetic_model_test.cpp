// Made-up models: sizes to the byte, the same bytes for the same seed, finite logits, a tokenizer.
#include "runtime/synthetic_model.h"

#include <gmock/gmock.h>

#include <cmath>

#include "configs/library.h"
#include "hwmodel/error.h"
#include "runtime/engine.h"
#include "runtime/tokenizer.h"
#include "workload/architectures.h"
#include "workload/gguf_header.h"

namespace bandwall {
namespace {

ModelShape small(const std::string& name) {
  ModelShape shape = load_model_shape(name);
  Hyper& h = shape.hyper;
  h.layers = 2;
  h.vocab = 300;
  h.hidden = 256;
  h.heads = 4;
  h.kv_heads = 2;
  h.head_dim_k = h.head_dim_v = 64;
  h.rope_dims = std::min<std::int64_t>(h.rope_dims, 64);
  if (h.experts > 0) {
    h.experts = 8;
    h.experts_used = 2;
    h.expert_ffn = 256;
  }
  if (h.ffn > 0) h.ffn = 512;
  return shape;
}

std::vector<std::byte> whole(const ModelSpec& spec, const SyntheticOptions& options) {
  std::vector<std::byte> file;
  write_synthetic(spec, options,
                  [&](auto piece) { file.insert(file.end(), piece.begin(), piece.end()); });
  return file;
}

TEST(SyntheticModel, SameSeedSameBytesAndExactSize) {
  const ModelSpec spec = model_from_shape(small("qwen3-30b-a3b"), "Q4_K_M");
  const auto one = whole(spec, {.seed = 7, .vocabulary = true});
  EXPECT_EQ(static_cast<std::int64_t>(one.size()),
            synthetic_bytes(spec, {.seed = 7, .vocabulary = true}));
  EXPECT_EQ(one, whole(spec, {.seed = 7, .vocabulary = true}));
  EXPECT_NE(one, whole(spec, {.seed = 8, .vocabulary = true}));
  const GgufFile file = parse_gguf(one, "synthetic");
  EXPECT_EQ(file.computed_bytes, static_cast<std::int64_t>(one.size()));
  EXPECT_TRUE(file.size_matches());
}

TEST(SyntheticModel, SpecSurvivesTheFile) {
  for (const char* name : {"minimax-m2.5", "gpt-oss-20b", "qwen3-30b-a3b", "llama-3.1-8b"}) {
    for (const char* mix : {"Q4_K_M", "Q3_K_M", "Q8_0", "MXFP4_MOE", "Q2_K", "F16"}) {
      const ModelSpec spec = model_from_shape(small(name), mix);
      const auto bytes = whole(spec, {});
      const GgufFile file = parse_gguf(bytes, "synthetic");
      const ModelSpec back = model_from_gguf(std::span(&file, 1));
      EXPECT_EQ(back.quantization, mix) << name;
      EXPECT_EQ(back.weight_bytes(), spec.weight_bytes()) << name << mix;
      ASSERT_EQ(back.tensors.size(), spec.tensors.size());
      for (std::size_t i = 0; i < spec.tensors.size(); ++i) {
        EXPECT_EQ(back.tensors[i].name, spec.tensors[i].name);
        EXPECT_EQ(back.tensors[i].format, spec.tensors[i].format) << spec.tensors[i].name;
        EXPECT_EQ(back.tensors[i].role, spec.tensors[i].role) << spec.tensors[i].name;
      }
    }
  }
}

// Every shipped shape: the keys written give back the same hyper-parameters.
TEST(SyntheticModel, KeysAreTheInverseOfReading) {
  for (const std::string& name : model_names()) {
    const ModelShape shape = load_model_shape(name);
    const ModelSpec spec = model_from_shape(shape, "Q8_0");
    const Architecture& a = *find_architecture(spec.architecture);
    GgufHeader header;
    header.text("general.architecture", spec.architecture);
    write_hyper(a, spec.hyper, header);
    const auto bytes = header.bytes();
    const GgufFile file = parse_gguf(bytes, name);
    std::vector<Diagnostic> problems;
    Hyper back = read_hyper(a, file, problems);
    EXPECT_TRUE(problems.empty()) << name << (problems.empty() ? "" : problems[0].message);
    back.vocab = spec.hyper.vocab;  // counted from the tensors
    back.tied_head = spec.hyper.tied_head;
    back.qk_norm = spec.hyper.qk_norm;  // by the tensors, where a model may do without
    back.key_is_value = spec.hyper.key_is_value;  // by the tensors too
    back.rms_eps = spec.hyper.rms_eps;  // float32 in files
    // Derived from float32 keys.
    EXPECT_NEAR(back.attention_scale, spec.hyper.attention_scale, 1e-6) << name;
    EXPECT_NEAR(back.yarn_attn_factor, spec.hyper.yarn_attn_factor, 1e-6) << name;
    EXPECT_NEAR(back.router_scale, spec.hyper.router_scale, 1e-6) << name;
    back.attention_scale = spec.hyper.attention_scale;
    back.yarn_attn_factor = spec.hyper.yarn_attn_factor;
    back.router_scale = spec.hyper.router_scale;
    EXPECT_EQ(back, spec.hyper) << name;
  }
}

TEST(SyntheticModel, RunsWithFiniteLogitsAndATokenizer) {
  const ModelSpec spec = model_from_shape(small("minimax-m2.5"), "Q3_K_M");
  const SyntheticModel memory = synthetic_model(spec, {.seed = 1, .vocabulary = true});
  const LoadedModel model = LoadedModel::from_memory(memory.bytes(), "synthetic");
  const Tokenizer tokenizer = Tokenizer::from_gguf(model.files().front());
  const std::string text = "the wall \xc3\xa9 \n";
  EXPECT_EQ(tokenizer.decode(tokenizer.encode(text, {})), text);
  Engine engine(model, {.context = 64, .threads = 1});
  const std::vector<std::int32_t> tokens = {1, 2, 3, 4};
  double spread = 0;
  for (const float x : engine.evaluate(tokens, Outputs::Last)) {
    ASSERT_TRUE(std::isfinite(x));
    spread = std::max(spread, std::fabs(double{x}));
  }
  EXPECT_GT(spread, 0.01);
  EXPECT_LT(spread, 100);
}

TEST(SyntheticModel, RefusesWhatHasNoTensorList) {
  const ModelSpec spec = model_from_shape(load_model_shape("minimax-m2.5"), "UD-Q3_K_XL");
  EXPECT_THAT([&] { synthetic_bytes(spec, {}); },
              ::testing::ThrowsMessage<Error>(::testing::HasSubstr("Q4_K_M")));
  ModelShape shape = small("qwen3-30b-a3b");
  shape.hyper.vocab = 100;
  EXPECT_THROW(synthetic_bytes(model_from_shape(shape, "Q8_0"), {.vocabulary = true}), Error);
}

}  // namespace
}  // namespace bandwall
