// bandwall fit as people use it: verdicts of the known cases, engines, offload, several models and
// machines, forms of output, and one clear error for each bad input.
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>

#include "tests/support/program.h"

namespace bandwall::e2e {
namespace {

using Json = nlohmann::json;
using Words = std::vector<std::string>;

Outcome fit(Words words) {
  words.insert(words.begin(), "fit");
  return run(words);
}

Json fit_json(Words words) {
  words.push_back("-o");
  words.push_back("json");
  const Outcome o = fit(words);
  EXPECT_EQ(o.err, "") << o.out;
  return Json::parse(o.out);
}

// 0 fits, 3 does not fit, 4 too close.
TEST(FitVerdicts, NoFalseFitAndNoFalseRefusal) {
  struct Row {
    Words words;
    int code;
  };
  const Row rows[] = {
      {{"minimax-m2.5:UD-Q3_K_XL", "-c", "96000", "-ctk", "tbq4_0", "-ctv", "tbq3_0"}, 0},
      {{"minimax-m2.5:NVFP4"}, 3},
      {{"minimax-m2.5:NVFP4", "--machine", "2xgb10"}, 0},
      {{"minimax-m2.5:IQ4_XS"}, 4},
      {{"deepseek-v3:Q4_K_M"}, 3},
      {{"deepseek-v3:IQ1_S"}, 3},
      {{"deepseek-v3:Q4_K_M", "--budget", "128GB"}, 3},
      {{"gpt-oss-120b"}, 0},
      {{"qwen3.5-122b-a10b:Q4_K_M", "--budget", "48GB"}, 3},
      {{"qwen3.5-122b-a10b:Q4_K_M", "--budget", "48GiB"}, 3},
      {{"minimax-m2.5-reap-172b:NVFP4"}, 0},
      {{"llama-3.1-8b:Q4_K_M", "--budget", "4.6GiB"}, 3},
  };
  for (const Row& r : rows) {
    const Outcome o = fit(r.words);
    EXPECT_EQ(o.exit_code, r.code) << r.words[0] << "\n" << o.out << o.err;
  }
}

TEST(FitAnswer, TellsWhatWouldHelp) {
  const Json j = fit_json({"minimax-m2.5:NVFP4"});
  EXPECT_EQ(j["verdict"], "does_not_fit");
  ASSERT_FALSE(j["would_fit"].empty());
  EXPECT_EQ(j["would_fit"][0]["verdict"], "fits");
  bool two = false, mix = false;
  for (const Json& r : j["would_fit"]) {
    EXPECT_LT(r["needed_bytes"].get<double>(), 1e12);
    two = two || r["option"] == "--machine 2xgb10";
    mix = mix || r["option"].get<std::string>().rfind("minimax-m2.5:", 0) == 0;
    if (r["verdict"] == "fits") {
      EXPECT_GT(r["decode_tokens_per_second"].get<double>(), 1);
    }
  }
  EXPECT_TRUE(two);
  EXPECT_TRUE(mix);
  EXPECT_TRUE(j["max_context"].is_null());
}

TEST(FitAnswer, SumsCloseInEveryPool) {
  const Json j = fit_json({"qwen3-30b-a3b:Q8_0", "--machine", "rtx-5090", "--host-memory", "64GiB",
                           "-ncmoe", "20", "-c", "16384"});
  EXPECT_EQ(j["verdict"], "fits");
  double lines = 0, needed = 0;
  for (const Json& l : j["lines"]) lines += l["bytes"].get<double>();
  for (const Json& p : j["pools"]) {
    needed += p["needed_bytes"].get<double>();
    EXPECT_EQ(p["needed_bytes"].get<double>() + p["headroom_bytes"].get<double>(),
              p["usable_bytes"].get<double>());
  }
  EXPECT_EQ(lines, needed);
}

TEST(FitAnswer, OffloadMovesBytesToTheHost) {
  const Words base = {"qwen3-30b-a3b:Q8_0", "--machine", "rtx-5090", "--host-memory", "64GiB"};
  const auto device = [&](Words more) {
    Words words = base;
    words.insert(words.end(), more.begin(), more.end());
    return fit_json(words)["pools"][0]["needed_bytes"].get<double>();
  };
  const double all = device({});
  EXPECT_LT(device({"-ngl", "24"}), all * 0.6);
  EXPECT_LT(device({"-ncmoe", "24"}), all * 0.6);
  EXPECT_LT(device({"-ot", "ffn_.*_exps=CPU"}), all * 0.2);
}

TEST(FitAnswer, EnginesDiffer) {
  for (const char* engine : {"llama.cpp", "llama.cpp-2025", "vllm", "tensorrt-llm", "bandwall"}) {
    const Json j = fit_json({"llama-3.1-8b:BF16", "--engine", engine});
    EXPECT_EQ(j["engine"], engine);
    EXPECT_EQ(j["verdict"], "fits");
  }
  const Json v =
      fit_json({"llama-3.1-8b:BF16", "--engine", "vllm", "--gpu-memory-utilization", "0.1"});
  EXPECT_EQ(v["verdict"], "does_not_fit");
}

TEST(FitAnswer, PrintHasLlamaCppsColumns) {
  const Outcome o = fit({"gpt-oss-120b", "-c", "131072", "--print"});
  EXPECT_EQ(o.exit_code, 0);
  // device, model, context, compute; model and compute as an RTX 5090 logged them.
  EXPECT_EQ(o.out.rfind("CUDA0 59851 4635 398\nHost 586 0 ", 0), 0u) << o.out;
}

TEST(FitAnswer, EveryFormOfOutput) {
  EXPECT_NE(fit({"gpt-oss-20b"}).out.find("to spare"), std::string::npos);
  EXPECT_NE(fit({"gpt-oss-20b", "-o", "md"}).out.find("| what"), std::string::npos);
  EXPECT_EQ(fit({"gpt-oss-20b", "-o", "csv"}).out.rfind("what,group,where,bytes,how\n", 0), 0u);
  EXPECT_EQ(fit({"--all", "--machine", "gb10", "-o", "csv"}).out.rfind("machine,model,mix,", 0),
            0u);
}

TEST(FitAll, RanksEveryModelAndMix) {
  const Json rows = fit_json({"--all", "--machine", "gb10,rtx-5090"});
  EXPECT_GT(rows.size(), 800u);
  for (std::size_t i = 1; i < rows.size(); ++i) {
    if (rows[i]["machine"] != rows[i - 1]["machine"] ||
        rows[i]["verdict"] != rows[i - 1]["verdict"]) {
      continue;
    }
    EXPECT_LE(rows[i]["weight_bytes"].get<double>(), rows[i - 1]["weight_bytes"].get<double>());
  }
}

TEST(FitAll, OptionsHoldForEveryRow) {
  for (const Json& r : fit_json({"--all", "--mix", "Q4_K_M"})) EXPECT_EQ(r["mix"], "Q4_K_M");
  const Json published = fit_json({"--all", "--machine", "gb10", "--mix", "ud-q3_k_xl"});
  ASSERT_GT(published.size(), 0u);
  for (const Json& r : published) EXPECT_EQ(r["mix"], "UD-Q3_K_XL");
  const Json small = fit_json({"--all", "--mix", "Q8_0", "--budget", "1GiB"});
  ASSERT_GT(small.size(), 0u);
  for (const Json& r : small) {
    if (r["verdict"] == "fits") EXPECT_LT(r["weight_bytes"].get<double>(), 1024.0 * 1024 * 1024);
  }
  EXPECT_GT(std::count_if(small.begin(), small.end(),
                          [](const Json& r) { return r["verdict"] == "does_not_fit"; }),
            20);
}

TEST(FitAnswer, OptionsWithoutEffectAreSaid) {
  const auto notes = [](Words words) {
    std::string all;
    const Json answer = fit_json(std::move(words));
    for (const Json& n : answer["notes"]) all += n.get<std::string>() + "\n";
    return all;
  };
  const std::string plain = notes({"qwen3-8b"});
  EXPECT_EQ(plain.find("changes nothing"), std::string::npos) << plain;
  const std::string idle = notes({"qwen3-8b", "-ncmoe", "3", "--split", "expert", "--mla-off",
                                  "--swa-full", "-kvu", "--draft-max", "4"});
  for (const char* option :
       {"--n-cpu-moe", "--split", "--mla-off", "--swa-full", "--kv-unified", "--draft-max"}) {
    EXPECT_NE(idle.find(std::string(option) + " changes nothing"), std::string::npos) << option;
  }
  const std::string used = notes({"gpt-oss-20b", "--machine", "2xgb10", "--split", "expert",
                                  "--swa-full", "-kvu", "-np", "2"});
  EXPECT_EQ(used.find("changes nothing"), std::string::npos) << used;
  EXPECT_NE(notes({"qwen3-8b", "--engine", "vllm", "-ub", "64"}).find("--ubatch-size changes"),
            std::string::npos);
}

TEST(FitAnswer, OffloadHasASpeedWhereHostMemoryIsDescribed) {
  const Words base = {"gpt-oss-120b", "--machine", "rtx-5090", "-ncmoe"};
  const auto speed = [&](const char* layers, Words more = {}) {
    Words words = base;
    words.push_back(layers);
    words.insert(words.end(), more.begin(), more.end());
    return fit_json(words)["decode_tokens_per_second"].get<double>();
  };
  EXPECT_GT(speed("20"), speed("30"));
  EXPECT_EQ(speed("20"), speed("20", {"--host-memory", "128GiB"})) << "the size is no speed";
}

TEST(FitTogether, ASizeByNameAlone) {
  EXPECT_EQ(fit_json({"asr=3GB"})["machines"][0]["models"][0], "asr");
}

TEST(FitTogether, TwoModelsOnOneBoxAndOneOnEachOfTwo) {
  const Json one = fit_json({"gpt-oss-120b", "qwen3-8b:Q4_K_M", "--machine", "gb10"});
  EXPECT_EQ(one["verdict"], "fits");
  EXPECT_EQ(one["machines"][0]["models"].size(), 2u);
  const Words two = {"minimax-m2.5:UD-Q3_K_XL", "gpt-oss-120b"};
  EXPECT_EQ(fit({two[0], two[1], "--machine", "gb10"}).exit_code, 3);
  const Json apart = fit_json({two[0], two[1], "--machine", "2xgb10"});
  EXPECT_EQ(apart["verdict"], "fits");
  EXPECT_FALSE(apart["joined"].get<bool>());
  EXPECT_EQ(apart["machines"][0]["models"].size(), 1u);
  EXPECT_EQ(apart["machines"][1]["models"].size(), 1u);
  const Json more = fit_json({"gpt-oss-120b", "asr=3GB", "embeddings=1.2GB", "--machine", "gb10"});
  EXPECT_EQ(more["machines"][0]["models"].size(), 3u);
  EXPECT_EQ(fit({"gpt-oss-120b", "asr=3", "--machine", "gb10"}).exit_code, 2);
  const Json joined = fit_json({"minimax-m2.5:NVFP4", "qwen3-8b:Q4_K_M", "--machine", "2xgb10"});
  EXPECT_EQ(joined["verdict"], "fits");
  EXPECT_TRUE(joined["joined"].get<bool>());
}

TEST(FitThis, NeedsNoCalibration) {
  const Json j = fit_json({"demo", "--machine", "this", "--engine", "bandwall"});
  EXPECT_GT(j["pools"][0]["visible_bytes"].get<double>(), 1e6);
}

TEST(FitBadInput, OneClearErrorEach) {
  const auto refused = [](Words words, const std::string& part) {
    words.insert(words.begin(), "gpt-oss-20b");
    const Outcome o = fit(words);
    EXPECT_EQ(o.exit_code, 2) << words[1] << o.out;
    EXPECT_EQ(o.out, "") << words[1];
    EXPECT_NE(o.err.find(part), std::string::npos) << o.err;
    EXPECT_LE(std::count(o.err.begin(), o.err.end(), '\n'), 2) << o.err;
  };
  refused({"--budget", "110"}, "GiB");
  refused({"--budget", "-5GiB"}, "GiB");
  refused({"--budget", "110 GB/s"}, "GiB");
  refused({"--budget", ""}, "--budget");
  refused({"-c", "-4096"}, "--ctx-size");
  refused({"-c", "99999999999999999999"}, "--ctx-size");
  refused({"-np", "0"}, "--parallel");
  refused({"-ub", "-1"}, "--ubatch-size");
  refused({"-ctk", "q9_0"}, "--cache-type-k");
  refused({"-ctv", "q8_0", "-fa", "off"}, "flash attention");
  refused({"-ts", "1,2"}, "shares");
  refused({"-ts", "x"}, "--tensor-split");
  refused({"-ot", "ffn"}, "PATTERN=CPU");
  refused({"-ot", "(=CPU"}, "regular expression");
  refused({"-ot", "ffn=CUDA5"}, "device 5");
  refused({"--engine", "vlm"}, "vllm");
  refused({"--engine", "vllm", "-ngl", "3"}, "offload");
  refused({"--gpu-memory-utilization", "0.9"}, "--engine vllm");
  refused({"--mmproj", "no-such-file"}, "--mmproj");
  refused({"--draft", "no-such-model"}, "no-such-model");
  refused({"--host-memory", "64GiB"}, "one pool");
  refused({"--all"}, "--all");
  refused({"--split", "rows"}, "row");
  refused({"--draft-max", "-1"}, "--draft-max");
  refused({"-c", "1099511627776"}, "--ctx-size");
  refused({"--print", "-o", "json"}, "--print");
  refused({"--print", "qwen3-8b"}, "--print");
  refused({"--print", "--machine", "gb10,h200"}, "--print");
  refused({"--profile", "x.yaml"}, "--machine this");
  refused({"--train", "lora", "--mix", "Q4_K_M"}, "--mix");
  refused({"--train", "lora", "--cache-ram", "1"}, "--cache-ram");
}

TEST(FitBadInput, OfARanking) {
  const auto refused = [](Words words, const std::string& part) {
    words.insert(words.begin(), "--all");
    const Outcome o = fit(words);
    EXPECT_EQ(o.exit_code, 2) << words[1] << o.out.substr(0, 200);
    EXPECT_NE(o.err.find(part), std::string::npos) << o.err;
  };
  refused({"--print"}, "--print");
  refused({"--mix", "Q9_9"}, "Q9_9");
  refused({"--host-memory", "64GiB"}, "one pool");
  refused({"--profile", "x.yaml"}, "--machine this");
}

TEST(FitBadInput, AMixWithoutAModel) {
  const Outcome o = fit({":Q4_K_M"});
  EXPECT_EQ(o.exit_code, 2);
  EXPECT_NE(o.err.find("no model before the colon"), std::string::npos) << o.err;
}

}  // namespace
}  // namespace bandwall::e2e
