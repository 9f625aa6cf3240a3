#include "configs/model_names.h"

#include <gtest/gtest.h>

#include "configs/library.h"

namespace bandwall {
namespace {

std::string named(std::string_view published) { return shape_named(published).value_or("nothing"); }

TEST(ModelNames, EveryShapeAndAliasIsKnownByItsName) {
  for (const std::string& name : model_names()) {
    EXPECT_EQ(named(name), name);
    for (const std::string& alias : load_model_shape(name).aliases) EXPECT_EQ(named(alias), name);
  }
}

struct Case {
  const char* published;
  const char* shape;
};

const Case kSpellings[] = {
    {"Qwen/Qwen3.6-35B-A3B", "qwen3.6-35b-a3b"},
    {"RedHatAI/Qwen3.6-35B-A3B-NVFP4", "qwen3.6-35b-a3b"},
    {"Qwen3.6-35B-A3B-UD-Q4_K_XL.gguf", "qwen3.6-35b-a3b"},
    {"Qwen_Qwen3.5-35B-A3B", "qwen3.6-35b-a3b"},
    {"unsloth_gpt-oss-20b-GGUF", "gpt-oss-20b"},
    {"ggml-org/gpt-oss-120b-GGUF", "gpt-oss-120b"},
    {"gpt-oss-20b-F16", "gpt-oss-20b"},
    {"openai_gpt-oss-20b-MXFP4", "gpt-oss-20b"},
    {"gpt-oss-120b-mxfp4-00001-of-00003.gguf", "gpt-oss-120b"},
    {"Meta-Llama-3.1-8B-Instruct-Q4_K_M.gguf", "llama-3.1-8b"},
    {"llama31-8b", "llama-3.1-8b"},
    {"Llama 3.1 8B", "llama-3.1-8b"},
    {"meta-llama/Llama-3.1-8B-Instruct", "llama-3.1-8b"},
    {"NousResearch/Hermes-3-Llama-3.1-8B", "llama-3.1-8b"},
    {"DeepSeek-R1-Distill-Llama-8B", "llama-3.1-8b"},
    {"llama33-70b-nvfp4", "llama-3.1-70b"},
    {"nvidia/Llama-3.3-70B-Instruct-FP8", "llama-3.1-70b"},
    {"Llama-3-70B", "llama-3.1-70b"},
    {"qwen25-coder-7b", "qwen2.5-coder-7b"},
    {"Qwen2.5-7B-Instruct-AWQ", "qwen2.5-coder-7b"},
    {"Qwen2-7B", "qwen2.5-coder-7b"},
    {"qwen3-coder-30b", "qwen3-30b-a3b"},
    {"Qwen3-Coder-30B-A3B-Instruct", "qwen3-30b-a3b"},
    {"unsloth/Qwen3-30B-A3B-Instruct-2507-GGUF:Q4_K_XL", "qwen3-30b-a3b"},
    {"Qwen3-Coder-Next", "qwen3-next-80b-a3b"},
    {"Qwen/Qwen3-Next-80B-A3B-Thinking", "qwen3-next-80b-a3b"},
    {"Qwen3-235B-A22B-GPTQ-Int4", "qwen3-235b-a22b"},
    {"Qwen/Qwen3-8B-Base", "qwen3-8b"},
    {"deepseek-ai/DeepSeek-R1-0528-Qwen3-8B", "qwen3-8b"},
    {"Qwen3-32B", "qwen3-32b"},
    {"DeepSeek-R1-671B", "deepseek-v3"},
    {"DeepSeek-V3-0324-UD-Q4_K_XL", "deepseek-v3"},
    {"nvidia/DeepSeek-V3.1-NVFP4", "deepseek-v3"},
    {"MiniMaxAI/MiniMax-M2.7", "minimax-m2.5"},
    {"MiniMax-M2.5-229B", "minimax-m2.5"},
    {"zai-org_GLM-4.6-FP8", "glm-4.6"},
    {"GLM-4.5-Air-Q4_K_S", "glm-4.5-air"},
    {"nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-NVFP4", "nemotron-3-nano-30b-a3b"},
    {"nemotron-nano-30b-a3b-nvfp4", "nemotron-3-nano-30b-a3b"},
    {"nvidia/Nemotron-3-Nano-Omni-30B-A3B-Reasoning-BF16", "nemotron-3-nano-30b-a3b"},
    {"nemotron-super-120b-a12b-nvfp4", "nemotron-3-super-120b-a12b"},
    {"moonshotai/Kimi-K2-Instruct-0905", "kimi-k2"},
    {"Kimi-K2-Thinking-1T", "kimi-k2"},
    {"devstral-24b", "mistral-small-24b"},
    {"Mistral-Small-3.2-24B-Instruct-2506", "mistral-small-24b"},
    {"gemma-3-4b-it-qat", "gemma-3-4b"},
    {"gemma3-27b-it-4bit", "gemma-3-27b"},
    {"Mixtral-8x7B-Instruct-v0.1", "mixtral-8x7b"},
    {"nvidia/Gemma-4-26B-A4B-NVFP4", "gemma-4-26b-a4b"},
    {"gemma4-31b-nvfp4", "gemma-4-31b"},
    {"gemma-4-31B-it-QAT", "gemma-4-31b"},
    {"gemma-4-12B-it-QAT", "gemma-4-12b"},
    {"gemma-4-e4b", "gemma-4-e4b"},
    {"ibm-granite_granite-4.1-30b", "granite-4.1-30b"},
    {"ibm-granite/granite-4.1-8b", "granite-4.1-8b"},
    {"mistralai/Ministral-3-3B-Instruct-2512", "ministral-3-3b"},
    {"nvidia/NVIDIA-Nemotron-3-Nano-4B-BF16", "nemotron-3-nano-4b"},
    {"Qwen/Qwen3.5-2B", "qwen3.5-2b"},
    {"Qwen3.5-0.8B-Base", "qwen3.5-0.8b"},
    {"Qwen/Qwen3.8-27B-FP8", "qwen3.6-27b"},
    {"ArliAI_Qwen3.5-27B-RpRMax-v1", "qwen3.6-27b"},
    {"Jackrong_Qwen3.5-9B-Neo", "qwen3.5-9b"},
    {"phi4-mini", "phi-4-mini"},
    {"Phi-4-mini-instruct", "phi-4-mini"},
    {"codestral-22b", "codestral-22b"},
    {"deepseek-coder-v2-lite", "deepseek-coder-v2-lite"},
    {"qwen25-coder-32b", "qwen2.5-32b"},
    {"Qwen2.5-72B-Instruct", "qwen2.5-72b"},
    {"zai-org_GLM-4.7-Flash", "glm-4.7-flash"},
    {"llama-2-7b", "llama-2-7b"},
    {"Llama-2-7b-chat-hf", "llama-2-7b"},
    {"Llama-3.2-3B", "llama-3.2-3b"},
    {"LFM2.5-1.2B-Thinking", "lfm2-1.2b"},
    {"meta-llama/Llama-4-Scout-17B-16E-Instruct", "llama-4-scout-17b-16e"},
    {"Qwen3-VL-32B-Instruct", "qwen3-32b"},
    {"nvidia/NVIDIA-Nemotron-Nano-9B-v2", "nemotron-nano-9b-v2"},
    {"mistralai/Devstral-Small-2-24B-Instruct-2512", "mistral-small-24b"},
    {"DeepSeek-V3.2-Exp", "deepseek-v3.2"},
    {"Kwaipilot_KAT-Coder-V2.5-Dev", "qwen3.6-35b-a3b"},
    {"allenai_SERA-8B-GA", "qwen3-8b"},
    {"NVIDIA-Nemotron-3.5-Lightning-30B-A3B", "nemotron-3-nano-30b-a3b"},
    {"nvidia/Llama-3.1-Nemotron-Nano-8B-v1", "llama-3.1-8b"},
    {"llama3.1:8b-instruct-q4_K_M", "llama-3.1-8b"},
    {"qwen3:30b-a3b", "qwen3-30b-a3b"},
    {"gpt-oss:120b", "gpt-oss-120b"},
    {"qwen3moe 30B.A3B Q8_0", "qwen3-30b-a3b"},
    {"qwen35moe 35B.A3B Q4_K - Medium", "qwen3.6-35b-a3b"},
    {"llama4 17Bx16E (Scout)", "llama-4-scout-17b-16e"},
    {"Meta-Llama-3-8B-Instruct.Q4_K_M.gguf", "llama-3.1-8b"},
    {"Phi-4-abliterated", "phi-4"},
    {"GLM-4.5-Air-106B-A12B", "glm-4.5-air"},
    {"MiniMax-M2.5-REAP-139B-A10B", "minimax-m2.5-reap-139b"},
    {"speakleash_Bielik-11B-v3.0-Instruct", "bielik-11b"},
    {"Fara1.5-4B", "qwen3.5-4b"},
    {"Devstral-Small-2507", "mistral-small-24b"},
    {"medgemma-27b-it", "gemma-3-27b"},
};

TEST(ModelNames, PublishersSpellTheSameModelInManyWays) {
  for (const Case& c : kSpellings) EXPECT_EQ(named(c.published), c.shape) << c.published;
}

TEST(ModelNames, NothingIsSaidWhenTheNameSpeaksAgainstIt) {
  const char* const cases[] = {
      "",
      "a model",
      "Q4_K_M.gguf",
      "Qwen3",
      "Qwen3-35B-A3B",   // another size
      "Qwen3-30B-A22B",  // another active size
      "Qwen3.6-35B-A12B",
      "DeepSeek-R1-70B",  // no size of the model: a distilled one
      "deepseek-r1:8b",
      "Phi-4-14B-A3B",             // an active size of a dense model
      "DeepSeek-R1-Distill-Qwen",  // distilled
      "DeepSeek-V4-Exp",
      "GLM-4.6V-Flash",
      "GLM-4.5-Air-REAP",
      "MiniMax-M2.5-REAP",
      "MiniMax-M2.5-Lite",
      "MiniMax-M3",
      "Qwen3-Embedding-8B",
      "Qwen3-8B-Reranker",
      "Phi-4-multimodal-instruct",
      "Phi-4-mini-flash-reasoning",
      "Qwen2.5-Omni-7B",
      "LFM2.5-Audio-1.5B-JP",
      "gpt-oss-20b-eagle3",
      "Llama-3.1-8B-Draft-Qwen3-8B",
      "Llama-3.1-Nemotron-Ultra-253B",
      "SicariusSicariiStuff_Assistant_Pepe_70B",
      "BAAI_AREX-Turbo",
      "8B",
      "A3B",
  };
  for (const char* name : cases) EXPECT_EQ(named(name), "nothing") << name;
  EXPECT_EQ(named(std::string(100'000, 'q')), "nothing");
  EXPECT_EQ(named(std::string(300, '-') + "\xff\n qwen3-8b"), "qwen3-8b");
}

TEST(ModelNames, TwoModelsInOneNameAreNone) {
  EXPECT_EQ(named("Qwen3-8B-Llama-3.1-8B"), "nothing");
}

}  // namespace
}  // namespace bandwall
