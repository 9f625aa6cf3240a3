// Checkpoints of Hugging Face: shapes and bytes from their configs and headers.
#include "workload/hf_model.h"

#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>

#include "configs/library.h"
#include "hwmodel/error.h"
#include "tests/support/safetensors_writer.h"
#include "workload/mix.h"

namespace bandwall {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::StWriter;

// A text with the extra keys put before its last brace.
std::string with(std::string text, const std::string& more) {
  return text.insert(text.rfind('}'), ", " + more);
}
std::string without(std::string text, const std::string& part) {
  const std::size_t at = text.find(part);
  EXPECT_NE(at, std::string::npos) << part;
  return text.erase(at, part.size());
}

// Numbers as in the published config.json of the models named.
const std::string kMiniMax = R"({"model_type": "minimax_m2", "num_hidden_layers": 62,
  "hidden_size": 3072, "num_attention_heads": 48, "num_key_value_heads": 8, "head_dim": 128,
  "intermediate_size": 1536, "vocab_size": 200064, "num_experts_per_tok": 8,
  "num_local_experts": 256, "max_position_embeddings": 196608, "rope_theta": 5000000,
  "rotary_dim": 64, "rms_norm_eps": 1e-06, "tie_word_embeddings": false, "num_mtp_modules": 3,
  "dtype": "bfloat16"})";
const std::string kGlm5 = R"({"model_type": "glm_moe_dsa", "first_k_dense_replace": 3,
  "hidden_size": 6144, "head_dim": 64, "index_head_dim": 128, "index_n_heads": 32,
  "intermediate_size": 12288, "kv_lora_rank": 512, "max_position_embeddings": 202752,
  "moe_intermediate_size": 2048, "n_routed_experts": 256, "n_shared_experts": 1,
  "num_attention_heads": 64, "num_experts_per_tok": 8, "num_hidden_layers": 78,
  "num_key_value_heads": 64, "num_nextn_predict_layers": 1, "q_lora_rank": 2048,
  "qk_nope_head_dim": 192, "qk_rope_head_dim": 64, "rms_norm_eps": 1e-05,
  "routed_scaling_factor": 2.5, "scoring_func": "sigmoid", "v_head_dim": 256,
  "rope_parameters": {"rope_theta": 1000000}, "tie_word_embeddings": false,
  "vocab_size": 154880, "dtype": "bfloat16"})";
const std::string kTiny = R"({"model_type": "qwen3_moe", "hidden_size": 64,
  "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 32,
  "vocab_size": 128, "max_position_embeddings": 256, "num_experts": 4, "num_experts_per_tok": 2,
  "moe_intermediate_size": 32, "tie_word_embeddings": false, "dtype": "bfloat16"})";

HfFiles files_of(const std::string& config) {
  HfFiles f;
  f.name = "tiny";
  f.config_name = "config.json";
  f.modelopt_name = "hf_quant_config.json";
  f.config = config;
  return f;
}
ModelSpec read(const std::string& config) { return model_from_hf(files_of(config)); }

template <class Act>
std::string why(Act act) {
  try {
    act();
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), Error::Kind::Input);
    return e.what();
  }
  return "accepted";
}
std::string refused(const std::string& config) {
  return why([&] { read(config); });
}

TEST(HfModel, CheckpointsToTheByte) {
  const ModelSpec fp8 = read(with(kMiniMax, R"("quantization_config": {"quant_method": "fp8",
    "weight_block_size": [128, 128],
    "modules_to_not_convert": ["gate", "e_score_correction_bias", "lm_head"]})"));
  EXPECT_EQ(fp8.parameters(), 228'689'764'864);
  EXPECT_EQ(fp8.weight_bytes(), 230'024'081'408);
  EXPECT_EQ(fp8.quantization, "FP8 128x128");
  const ModelSpec nvfp4 = read(with(kMiniMax, R"("quantization_config": {
    "quant_method": "modelopt", "quant_algo": "NVFP4",
    "ignore": ["lm_head", "model.layers.*.block_sparse_moe.gate", "model.layers.*.self_attn*"]})"));
  EXPECT_EQ(nvfp4.weight_bytes(), 134'401'344'512);
  EXPECT_THAT(nvfp4.bytes_note, HasSubstr("380928 B of tensor scales not counted"));
  const ModelSpec glm = read(with(kGlm5, R"("quantization_config": {"quant_method": "modelopt",
    "quant_algo": "NVFP4",
    "ignore": ["lm_head", "model.layers.*.self_attn.*", "model.layers.78*"]})"));
  EXPECT_EQ(glm.weight_bytes(), 460'816'669'184);
}

TEST(HfModel, ShapesEqualTheShippedOnes) {
  const auto same = [](const std::string& config, const char* name) {
    const ModelSpec read_one = read(config);
    const ModelSpec shipped = model_from_shape(load_model_shape(name), "BF16");
    EXPECT_EQ(read_one.architecture, shipped.architecture) << name;
    EXPECT_EQ(read_one.parameters(), shipped.parameters()) << name;
    EXPECT_TRUE(read_one.hyper == shipped.hyper) << name;
    for (const char* mix : {"Q4_K_M", "IQ3_XXS", "MXFP4_MOE"}) {
      EXPECT_EQ(remix(read_one, mix).weight_bytes(),
                model_from_shape(load_model_shape(name), mix).weight_bytes())
          << name << " " << mix;
    }
  };
  same(kMiniMax, "minimax-m2.5");
  same(kGlm5, "glm-5");
}

// Bytes of the matrices of kTiny: attention 4 x 4096, or 8192 where heads are 128 wide.
std::int64_t tensor_bytes_of(const ModelSpec& m, const char* name) { return m.find(name)->bytes; }

TEST(HfModel, LayoutsOfQuantizedMatrices) {
  const auto bytes = [](const std::string& quantization, const char* tensor) {
    return tensor_bytes_of(read(with(kTiny, "\"quantization_config\": " + quantization)), tensor);
  };
  const char* down = "blk.0.ffn_down_exps.weight";  // 4 experts of 64 rows of 32
  const char* q = "blk.1.attn_q.weight";            // 128 rows of 64
  EXPECT_EQ(bytes(R"({"quant_method": "fp8", "weight_block_size": [128, 128]})", down),
            4 * (64 * 32 + 4));
  EXPECT_EQ(bytes(R"({"quant_method": "fp8", "weight_block_size": [32, 16]})", q),
            128 * 64 + 4 * 4 * 4);
  EXPECT_EQ(bytes(R"({"quant_method": "fp8", "activation_scheme": "static"})", q), 128 * 64);
  EXPECT_EQ(bytes(R"({"quant_method": "fbgemm_fp8"})", q), 128 * 64 + 128 * 4);
  EXPECT_EQ(bytes(R"({"quant_method": "mxfp4"})", q), 128 * 64 * 17 / 32);
  EXPECT_EQ(bytes(R"({"quant_method": "modelopt", "quant_algo": "NVFP4"})", q), 128 * 64 * 9 / 16);
  EXPECT_EQ(bytes(R"({"quant_method": "awq", "bits": 4, "group_size": 32})", q),
            128 * 64 / 2 + 2 * (128 / 2 + 128 * 2));
  EXPECT_EQ(bytes(R"({"quant_method": "gptq", "bits": 4, "group_size": 32})", q),
            128 * 64 / 2 + 2 * (128 / 2 + 128 * 2) + 64 * 4);
  EXPECT_EQ(bytes(R"({"quant_method": "compressed-tensors", "format": "pack-quantized",
              "config_groups": {"g": {"targets": ["Linear"], "weights": {"num_bits": 4,
              "type": "int", "group_size": 32, "symmetric": true}}}})",
                  q),
            128 * 64 / 2 + 128 * 2 * 2 + 16);
  EXPECT_EQ(bytes(R"({"quant_method": "compressed-tensors", "config_groups": {"g": {"weights":
              {"num_bits": 8, "type": "float", "strategy": "channel"}}}})",
                  q),
            128 * 64 + 128 * 2);
  EXPECT_EQ(bytes(R"({"quant_method": "fp8", "modules_to_not_convert": ["q_proj"]})", q),
            2 * 128 * 64);
}

TEST(HfModel, ListsOfModulesDecide) {
  const ModelSpec m = read(with(kTiny, R"("quantization_config": {"quant_method": "modelopt",
    "quant_algo": "MIXED_PRECISION", "ignore": ["mtp*"], "quantized_layers": {
    "model.layers.0.mlp.experts": {"quant_algo": "W4A16_NVFP4", "group_size": 16},
    "model.layers.1.mlp.experts.2.up_proj": {"quant_algo": "NVFP4", "group_size": 16},
    "lm_head": {"quant_algo": "FP8"},
    "model.layers.1.self_attn.k_proj": {"quant_algo": "FP8"}}})"));
  EXPECT_EQ(tensor_bytes_of(m, "blk.0.ffn_up_exps.weight"), 4 * 64 * 32 * 9 / 16);
  EXPECT_EQ(tensor_bytes_of(m, "blk.1.ffn_up_exps.weight"), 64 * 32 * 9 / 16 + 3 * 64 * 32 * 2);
  EXPECT_EQ(tensor_bytes_of(m, "blk.1.ffn_gate_exps.weight"), 4 * 64 * 32 * 2);
  EXPECT_EQ(tensor_bytes_of(m, "output.weight"), 64 * 128);
  EXPECT_EQ(tensor_bytes_of(m, "blk.1.attn_k.weight"), 64 * 64);
  EXPECT_EQ(m.find("blk.1.attn_k.weight")->format, Format::F8_E4M3);
  EXPECT_EQ(tensor_bytes_of(m, "blk.1.attn_q.weight"), 2 * 128 * 64);
}

TEST(HfModel, BareNumbersOfPythonAreTolerated) {
  EXPECT_EQ(
      read(with(kTiny, R"("a": [0.0, Infinity], "b": NaN, "c": -Infinity, "d": "NaN \" Infinity")"))
          .parameters(),
      read(kTiny).parameters());
}

TEST(HfModel, RefusesConfigsThatContradictThemselves) {
  EXPECT_THAT(refused("[]"), HasSubstr("is no JSON object"));
  EXPECT_THAT(refused("{}"), HasSubstr("model_type: is missing"));
  EXPECT_THAT(refused(R"({"model_type": "qwen3_moa"})"), HasSubstr("did you mean qwen3_moe?"));
  EXPECT_THAT(refused(R"({"model_type": "minimax", "num_hidden_layers": 30})"),
              AllOf(HasSubstr("minimax is known but cannot be sized"), HasSubstr("30 layers")));
  const std::string bare =
      without(without(kTiny, R"("hidden_size": 64,)"), R"("vocab_size": 128, )");
  EXPECT_THAT(refused(bare),
              AllOf(HasSubstr("hidden_size: is missing"), HasSubstr("vocab_size: is missing")));
  EXPECT_THAT(refused(with(kTiny, R"("num_local_experts": 8)")), HasSubstr("contradicts"));
  EXPECT_THAT(refused(with(kTiny, R"("layer_types": ["full_attention"])")),
              HasSubstr("layer_types: has 1 entries for num_hidden_layers 2"));
  EXPECT_THAT(refused(with(kTiny, R"("layer_types": ["full_attention", "linear_attention"])")),
              HasSubstr("layer 1 is linear_attention"));
  EXPECT_THAT(refused(with(kTiny, R"("quantization_config": {"quant_method": "exl9"})")),
              HasSubstr("quantization_config.quant_method: 'exl9' is none of fp8"));
  EXPECT_THAT(refused(with(kTiny, R"("hidden_size": 64)")), HasSubstr("given twice"));
  for (const char* value : {"-64", "1e30", "\"64\"", "64.5", "9223372036854775808", "[64]", "{}"}) {
    const std::string text =
        with(without(kTiny, R"("hidden_size": 64,)"), std::string("\"hidden_size\": ") + value);
    EXPECT_THAT(refused(text), HasSubstr("hidden_size: must be a whole number")) << value;
  }
}

TEST(HfModel, HugeNumbersAreRefused) {
  std::string text = kTiny;
  const auto set = [&](const std::string& from, const std::string& to) {
    text.replace(text.find(from), from.size(), to);
  };
  set(R"("hidden_size": 64)", R"("hidden_size": 1048576)");
  set(R"("num_experts": 4)", R"("num_experts": 8192)");
  set(R"("moe_intermediate_size": 32)", R"("moe_intermediate_size": 1048576)");
  EXPECT_THAT(refused(text), HasSubstr("parameters, more than"));
}

TEST(HfModel, TwoQuantizationConfigsMustAgree) {
  HfFiles f = files_of(with(kTiny, R"("quantization_config": {"quant_method": "modelopt",
    "quant_algo": "NVFP4"})"));
  f.modelopt = R"({"producer": {}, "quantization": {"quant_algo": "FP8", "exclude_modules": []}})";
  EXPECT_THAT(why([&] { model_from_hf(f); }),
              HasSubstr("'FP8' contradicts 'NVFP4' of config.json"));
  f.config = kTiny;
  EXPECT_EQ(tensor_bytes_of(model_from_hf(f), "blk.0.attn_q.weight"), 128 * 64);
}

// The tensors of kTiny as an NVFP4 checkpoint stores them, attention in F32.
StWriter tiny_checkpoint() {
  StWriter w;
  w.add("model.embed_tokens.weight", "BF16", {128, 64});
  w.add("model.norm.weight", "BF16", {64});
  w.add("lm_head.weight", "BF16", {128, 64});
  w.add("model.visual.patch.weight", "BF16", {8, 3, 2, 2, 2});
  for (int l = 0; l < 2; ++l) {
    const std::string b = fmt::format("model.layers.{}.", l);
    for (const char* n : {"input_layernorm", "post_attention_layernorm"}) {
      w.add(b + n + ".weight", "BF16", {64});
    }
    w.add(b + "self_attn.q_proj.weight", "F32", {128, 64});
    w.add(b + "self_attn.k_proj.weight", "F32", {64, 64});
    w.add(b + "self_attn.v_proj.weight", "F32", {64, 64});
    w.add(b + "self_attn.o_proj.weight", "F32", {64, 128});
    w.add(b + "self_attn.q_norm.weight", "BF16", {32});
    w.add(b + "self_attn.k_norm.weight", "BF16", {32});
    w.add(b + "mlp.gate.weight", "BF16", {4, 64});
    for (int e = 0; e < 4; ++e) {
      for (const char* p : {"gate_proj", "up_proj", "down_proj"}) {
        const bool down = std::string_view(p) == "down_proj";
        const std::string x = fmt::format("{}mlp.experts.{}.{}.", b, e, p);
        w.add(x + "weight", "U8", {down ? 64 : 32, down ? 16 : 32});
        w.add(x + "weight_scale", "F8_E4M3", {down ? 64 : 32, down ? 2 : 4});
        w.add(x + "weight_scale_2", "F32", {});
        w.add(x + "input_scale", "F32", {});
      }
    }
  }
  return w;
}

TEST(HfModel, HeadersSayTheBytes) {
  const StWriter w = tiny_checkpoint();
  HfFiles f = files_of(kTiny);
  f.shards = {w.header("model.safetensors")};
  const ModelSpec m = model_from_hf(f);
  EXPECT_EQ(m.weight_bytes(), w.data_bytes());
  EXPECT_EQ(m.parameters(), read(kTiny).parameters());
  EXPECT_EQ(m.file_bytes, f.shards[0].file_bytes);
  const TensorSpec* down = m.find("blk.1.ffn_down_exps.weight");
  EXPECT_EQ(down->bytes, 4 * (64 * 16 + 64 * 2 + 8));
  EXPECT_EQ(down->format, Format::NVFP4_ST);
  EXPECT_EQ(down->role, Role::ExpertDown);
  EXPECT_EQ(m.find("blk.0.attn_q.weight")->format, Format::F32);
  const TensorSpec* tower = m.find("model.visual.patch.weight");
  EXPECT_EQ(tower->role, Role::Other);
  EXPECT_EQ(tower->bytes, 2 * 8 * 3 * 2 * 2 * 2);
  EXPECT_EQ(remix(m, "Q8_0").weight_bytes(), remix(read(kTiny), "Q8_0").weight_bytes());
}

TEST(HfModel, HeadersMustHoldTheModelOfTheConfig) {
  HfFiles f =
      files_of(with(without(kTiny, R"("num_hidden_layers": 2,)"), R"("num_hidden_layers": 3)"));
  f.shards = {tiny_checkpoint().header("model.safetensors")};
  EXPECT_THAT(
      why([&] { model_from_hf(f); }),
      AllOf(HasSubstr("tensor layers.2.self_attn.q_proj: not in the headers of the 1"),
            HasSubstr("tensor layers.2.mlp.experts.#.down_proj"), Not(HasSubstr("layers.1."))));
  f = files_of(with(without(kTiny, R"("head_dim": 32,)"), R"("head_dim": 16)"));
  f.shards = {tiny_checkpoint().header("model.safetensors")};
  EXPECT_THAT(why([&] { model_from_hf(f); }),
              HasSubstr("tensor layers.0.self_attn.q_proj: the config gives it 4096 values (64 x "
                        "64), the headers hold 8192"));
  f.config = kTiny;
  f.shards.push_back(f.shards.front());
  EXPECT_THAT(why([&] { model_from_hf(f); }), HasSubstr("also in model.safetensors"));
}

TEST(HfModel, ATensorWithoutValuesIsRefused) {
  const std::string config = without(kGlm5, "\"q_lora_rank\": 2048,");
  try {
    model_from_hf(files_of(config));
    FAIL() << "no error";
  } catch (const Error& e) {
    EXPECT_THAT(e.what(), AllOf(HasSubstr("attn_q"), HasSubstr("no values")));
  }
}

TEST(HfModel, SizesByConfigSayWhatTheConfigLeavesOpen) {
  const auto note = [](const std::string& more) {
    return model_from_hf(files_of(with(kTiny, more))).bytes_note;
  };
  const std::string nvfp4 = R"("quantization_config": {"quant_method": "modelopt",
    "quant_algo": "NVFP4", "ignore": [)";
  EXPECT_THAT(note(nvfp4 + "]}"), HasSubstr("excludes no module"));
  EXPECT_THAT(note(nvfp4 + R"("lm_head"]})"), HasSubstr("what it excludes, taken as BF16"));
  EXPECT_THAT(model_from_hf(files_of(kTiny)).bytes_note, Not(HasSubstr("may be larger")));
}

}  // namespace
}  // namespace bandwall
