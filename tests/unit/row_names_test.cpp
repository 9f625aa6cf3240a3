// Words of measured rows and what they mean here: machines, backends, KV formats, stored weights.
#include "configs/row_names.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "configs/library.h"
#include "hwmodel/error.h"

namespace bandwall {
namespace {

using testing::HasSubstr;

Measurement row(const std::string& device, const std::string& engine, const std::string& stack) {
  Measurement m;
  m.device = device;
  m.engine = engine;
  m.backend = stack;
  m.model = "gpt-oss-20b";
  m.quant = "MXFP4";
  m.tok_s = 50;
  m.marks = engine_marks(engine);
  return m;
}

std::string machine_of(const std::string& device) {
  const RowMeaning r =
      meaning_of(row(device, "llama.cpp b7941 (llama-bench)", "CUDA"), row_names());
  return r.problem.empty() ? r.machine : r.problem;
}

TEST(RowNames, DevicesByPatternByWordsAndByOwnName) {
  EXPECT_EQ(machine_of("GB10 (DGX Spark)"), "gb10");
  EXPECT_EQ(machine_of("NVIDIA DGX Spark"), "gb10");
  EXPECT_EQ(machine_of("ASUS Ascent GX10"), "gb10");
  EXPECT_EQ(machine_of("gb10"), "gb10");
  EXPECT_EQ(machine_of("Apple M3 Ultra (60-core, 256 GB)"), "m3-ultra");
  EXPECT_EQ(machine_of("Strix Halo (Ryzen AI Max+ 395)"), "strix-halo");
  EXPECT_EQ(machine_of("AMD RYZEN AI MAX+ PRO 395 w/ Radeon 8060S"), "strix-halo");
  EXPECT_EQ(machine_of("NVIDIA GeForce RTX 5090"), "rtx-5090");
  EXPECT_EQ(machine_of("2x GB10 (TP=2, RoCE 200G)"), "2xgb10");
  EXPECT_EQ(machine_of("4 x GB10"), "4xgb10");
  EXPECT_EQ(machine_of("2\u00d7 DGX Spark"), "2xgb10");
  EXPECT_EQ(machine_of("2 DGX Spark"), "2xgb10");
  EXPECT_EQ(machine_of("Dual DGX Spark"), "2xgb10");
  EXPECT_EQ(machine_of("DGX Spark x2"), "2xgb10");
  EXPECT_EQ(machine_of("DGX Spark (x2)"), "2xgb10");
  EXPECT_EQ(machine_of("1x RTX 5090"), "rtx-5090");
  EXPECT_EQ(machine_of("RTX5090"), "rtx-5090");
  EXPECT_EQ(machine_of("Jetson AGX Thor 128GB"), "thor");
  EXPECT_EQ(machine_of("4090 RTX"), "rtx-4090");
}

TEST(RowNames, DevicesThatAreNotDescribed) {
  EXPECT_EQ(machine_of("Quantum 9000"), "no machine describes the device: Quantum 9000");
  EXPECT_THAT(machine_of("RTX 5090 Laptop GPU"), HasSubstr("no machine describes"));
  EXPECT_THAT(machine_of("RTX 3090 Ti"), HasSubstr("no machine describes"));
  EXPECT_THAT(machine_of("A100 80GB PCIe"), HasSubstr("no machine describes"));
  EXPECT_THAT(machine_of("2x EPYC 9355 (experts) + RTX PRO 6000"), HasSubstr("several kinds"));
  EXPECT_THAT(machine_of("2x RTX 5090"), HasSubstr("no link joins several"));
}

RowMeaning meaning(const std::string& engine, const std::string& stack) {
  return meaning_of(row("gb10", engine, stack), row_names());
}

TEST(RowNames, EnginesBecomeBackends) {
  EXPECT_EQ(meaning("llama.cpp b9187 (llama-bench)", "CUDA").backend, "llama.cpp-cuda");
  EXPECT_EQ(meaning("llama.cpp-cuda", "").backend, "llama.cpp-cuda");
  EXPECT_EQ(meaning("anything", "llama.cpp-cuda").backend, "llama.cpp-cuda");
  EXPECT_EQ(meaning("HF transformers (PyTorch)", "CUDA").problem,
            "no backend describes the engine: HF transformers on cuda");
}

TEST(RowNames, BuildNumbersChooseTheFamily) {
  const RowNames names = parse_row_names(
      "schema: 1\nbackends:\n"
      "  - {engine: [\"llama.cpp*\"], to_build: 7000, backend: bandwall-cpu, n_ubatch: 256}\n"
      "  - {engine: [\"llama.cpp*\"], from_build: 7001, backend: llama.cpp-cuda, n_ubatch: 512}\n",
      "names.yaml");
  const auto backend = [&](const std::string& engine) {
    return meaning_of(row("gb10", engine, "CUDA"), names).backend;
  };
  EXPECT_EQ(backend("llama.cpp b6918 (llama-bench)"), "bandwall-cpu");
  EXPECT_EQ(backend("llama.cpp b7001"), "llama.cpp-cuda");
  EXPECT_EQ(backend("llama.cpp build 6918"), "bandwall-cpu");
  EXPECT_EQ(backend("llama.cpp (2024)"), "llama.cpp-cuda");  // no build: the newest family
}

TEST(RowNames, KvFormats) {
  Measurement m = row("gb10", "llama.cpp", "CUDA");
  EXPECT_EQ(meaning_of(m, row_names()).kv.k->name, "f16");
  m.type_k = "q8_0";
  m.type_v = "q4_0";
  EXPECT_EQ(meaning_of(m, row_names()).kv.v->name, "q4_0");
  m.type_k = m.type_v = "fp8_e4m3";
  EXPECT_EQ(meaning_of(m, row_names()).kv.k->name, "fp8");
  m.type_k = m.type_v = "auto";
  EXPECT_EQ(meaning_of(m, row_names()).kv.k->name, "bf16");
  m.type_k = "q7_9";
  EXPECT_EQ(meaning_of(m, row_names()).problem, "no KV format of this name: q7_9");
}

ModelMeaning weights(const std::string& shape, const std::string& quant,
                     const std::string& backend = "llama.cpp-cuda", double gib = 0) {
  Measurement m = row("gb10", "x", "CUDA");
  m.quant = quant;
  m.file_gib = gib;
  return weights_of(m, load_model_shape(shape), backend, row_names());
}

double gib(const ModelMeaning& w) { return static_cast<double>(w.model.weight_bytes()) / kGiB; }

TEST(RowNames, QuantizationsBecomeFormats) {
  EXPECT_NEAR(gib(weights("gpt-oss-20b", "MXFP4")), 11.27, 0.05);
  EXPECT_NEAR(gib(weights("gpt-oss-20b", "MXFP4", "vllm")), 12.83, 0.1);  // attention in BF16
  EXPECT_NEAR(gib(weights("qwen3-30b-a3b", "Q8_0")), 30.25, 0.05);
  EXPECT_NEAR(gib(weights("llama-3.1-8b", "bf16", "vllm")), 14.96, 0.05);
  EXPECT_DOUBLE_EQ(gib(weights("llama-3.1-8b", "IQ2_M - 2.7 bpw")),
                   gib(weights("llama-3.1-8b", "IQ2_M")));
  EXPECT_DOUBLE_EQ(gib(weights("llama-3.1-8b", "GPTQ-Int8", "vllm")),
                   gib(weights("llama-3.1-8b", "FP8", "vllm")));
  EXPECT_THAT(weights("llama-3.1-8b", "Int4-Int8Mix", "vllm").problem, HasSubstr("not stated"));
  // Groups of 64 with two 16-bit figures: half a bit more than the name says.
  EXPECT_NEAR(gib(weights("llama-3.1-8b", "5bit-DWQ", "mlx")) * kGiB * 8 / 8.03e9, 5.5, 0.01);
  // Every matrix but the tables in 4.5 bits.
  EXPECT_NEAR(gib(weights("llama-3.1-8b", "NVFP4", "vllm")) * kGiB / 1e9, 6.03, 0.05);
  // Recipes for vLLM leave delta layers in BF16, 30 of them with 33.6 million values.
  EXPECT_NEAR((gib(weights("qwen3.6-35b-a3b", "BF16", "vllm")) -
               gib(weights("qwen3.6-35b-a3b", "NVFP4", "vllm"))) *
                  kGiB / 1e9,
              (34.66 - 1.017 - 1.01) * (2 - 0.5625), 0.3);
  EXPECT_EQ(weights("llama-3.1-8b", "Q4_K_M default (not stated per row)").problem,
            "the quantization is not stated");
  EXPECT_EQ(weights("llama-3.1-8b", "wonderful-3").problem,
            "no formats known of the quantization: wonderful-3");
}

TEST(RowNames, TheSizeOfTheFileDecidesWhereNoRuleExists) {
  const ModelMeaning ud = weights("glm-4.6", "UD-Q4_K_XL", "llama.cpp-cuda", 189.69);
  EXPECT_EQ(ud.problem, "");
  EXPECT_NEAR(gib(ud), 189.69, 0.01);
  // A published file of this size bears another label.
  EXPECT_NEAR(gib(weights("gpt-oss-20b", "F16", "llama.cpp-cuda", 12.83)), 12.83, 0.1);
  EXPECT_THAT(weights("llama-3.1-8b", "Q8_0", "llama.cpp-cuda", 4.58).problem,
              HasSubstr("contradiction"));
}

TEST(RowNames, TheShippedNamesLeadSomewhere) {
  const std::vector<std::string> machines = machine_names();
  for (const DeviceName& d : row_names().machines) {
    EXPECT_TRUE(d.machine.empty() ||
                std::find(machines.begin(), machines.end(), d.machine) != machines.end())
        << d.machine;
  }
  EXPECT_GT(row_names().quants.size(), 10u);
  EXPECT_GT(row_names().kv.size(), 1u);
}

TEST(RowNames, BadNamesFilesSayWhere) {
  const auto refusal = [](const std::string& text) -> std::string {
    try {
      parse_row_names(text, "names.yaml");
    } catch (const Error& e) {
      return e.what();
    }
    return "";
  };
  EXPECT_THAT(refusal("schema: 1\nmachines:\n  - {machine: gb10}\n"), HasSubstr("device"));
  EXPECT_THAT(refusal("schema: 1\nquants:\n  - {quant: [x], attention: Q9, tables: F32, experts: "
                      "F32, rest: F32}\n"),
              HasSubstr("attention"));
  EXPECT_THAT(refusal("schema: 1\nkv:\n  - {text: [x], format: nothing}\n"), HasSubstr("nothing"));
  EXPECT_THAT(refusal("schema: 2\n"), HasSubstr("schema"));
}

}  // namespace
}  // namespace bandwall
