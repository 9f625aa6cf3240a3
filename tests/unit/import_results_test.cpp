// Results of other programs, in their own words: what is read from each kind of file.
#include "reports/import_results.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "hwmodel/error.h"

namespace bandwall {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

constexpr const char* kRow =
    R"({"build_number": 7941, "gpu_info": "NVIDIA GB10", "backends": "CUDA",)"
    R"( "model_filename": "/models/gpt-oss-20b-mxfp4.gguf", "model_type": "gpt-oss 20B MXFP4 MoE",)"
    R"( "model_size": 12101121024, "n_ubatch": 2048, "type_k": "f16", "type_v": "q8_0",)"
    R"( "flash_attn": true, "n_prompt": 0, "n_gen": 32, "n_depth": 4096, "avg_ts": 79.2})";

TEST(ImportResults, LlamaBenchJsonOfTwoAges) {
  const Imported i = import_results(std::string("[") + kRow + "]", "bench.json");
  EXPECT_EQ(i.kind, "llama-bench JSON");
  ASSERT_THAT(i.file.rows, SizeIs(1));
  const Measurement& m = i.file.rows[0];
  EXPECT_EQ(m.engine, "llama.cpp b7941 (llama-bench)");
  EXPECT_EQ(m.device, "NVIDIA GB10");
  EXPECT_EQ(m.backend, "CUDA");
  EXPECT_EQ(m.model, "gpt-oss-20b");
  EXPECT_EQ(m.quant, "mxfp4");
  EXPECT_NEAR(m.file_gib, 11.27, 0.01);
  EXPECT_EQ(m.ubatch, 2048);
  EXPECT_EQ(m.type_v, "q8_0");
  EXPECT_EQ(m.flash_attention, true);
  EXPECT_EQ(test_name(m), "tg32 @ d4096");
  EXPECT_EQ(m.tok_s, 79.2);
  // b9749 writes -1 where it chooses by itself.
  const Imported automatic = import_results(
      R"({"model_type": "llama 7B Q4_0", "backends": "CPU", "n_prompt": 512, "n_gen": 0,)"
      R"( "n_depth": 0, "avg_ts": 1000.0, "flash_attn": -1})",
      "auto.json");
  ASSERT_THAT(automatic.file.rows, SizeIs(1));
  EXPECT_EQ(automatic.file.rows[0].flash_attention, std::nullopt);
  // Before depth was a column of its own.
  const Imported old = import_results(
      R"({"model_type": "llama 7B Q4_0", "backends": "Metal", "n_prompt": 512, "n_gen": 0,)"
      R"( "avg_ts": 1000, "flash_attn": 0})",
      "old.json");
  ASSERT_THAT(old.file.rows, SizeIs(1));
  EXPECT_EQ(old.file.rows[0].depth, 0);
  EXPECT_EQ(old.file.rows[0].quant, "Q4_0");
  EXPECT_EQ(old.file.rows[0].flash_attention, false);
}

TEST(ImportResults, JsonLinesKeepWhatCanBeRead) {
  const std::string text = std::string(kRow) + "\n{\"cut\n\n[1]\n" + kRow + "\n" +
                           R"({"avg_ts": null, "n_prompt": 512, "n_gen": 0})" + "\n" +
                           R"({"avg_ts": 5, "n_prompt": 512, "n_gen": 128})" + "\n" +
                           R"({"mode": "tg", "bench_raw": )" + kRow + "}\n";
  const Imported i = import_results(text, "bench.jsonl");
  EXPECT_THAT(i.file.rows, SizeIs(3));
  EXPECT_EQ(i.file.rows[1].line, 5);
  ASSERT_THAT(i.file.skipped, SizeIs(4));
  EXPECT_EQ(i.file.skipped[0].line, 2);
  EXPECT_THAT(i.file.skipped[0].reason, HasSubstr("cut short"));
  EXPECT_THAT(i.file.skipped[2].reason, HasSubstr("avg_ts"));
  EXPECT_THAT(i.file.skipped[3].reason, HasSubstr("pp512+tg128: prompt and generation"));
}

TEST(ImportResults, LlamaBenchCsvAndTable) {
  const Imported csv = import_results(
      "build_number,backends,model_filename,model_type,model_size,n_ubatch,type_k,type_v,"
      "flash_attn,n_prompt,n_gen,n_depth,avg_ts\n"
      "\"6097\",\"ROCm\",\"/m/qwen3-30b-a3b-Q8_0.gguf\",\"qwen3moe 30B.A3B Q8_0\",\"32483931648\","
      "\"512\",\"f16\",\"f16\",\"1\",\"512\",\"0\",\"0\",\"1472.0\"\nshort\n",
      "bench.csv");
  EXPECT_EQ(csv.kind, "llama-bench CSV");
  ASSERT_THAT(csv.file.rows, SizeIs(1));
  EXPECT_EQ(csv.file.rows[0].model, "qwen3-30b-a3b");
  EXPECT_EQ(csv.file.rows[0].quant, "Q8_0");
  EXPECT_EQ(csv.file.rows[0].line, 2);
  EXPECT_THAT(csv.file.skipped, SizeIs(1));

  const Imported md = import_results(
      "some words\n\n"
      "| model | size | params | backend | ngl | n_ubatch | fa | test | t/s |\n"
      "| --- | ---: | ---: | --- | --: | --: | -: | ---: | ---: |\n"
      "| gpt-oss 20B MXFP4 MoE | 11.27 GiB | 20.91 B | CUDA | 99 | 2048 | 1 | pp2048 @ d4096 | "
      "3990.00 \xc2\xb1 1.20 |\n"
      "| gpt-oss 20B MXFP4 MoE | 11.27 GiB | 20.91 B | CUDA | 99 | 2048 | 1 | tg32 | 83.43 "
      "\xc2\xb1 "
      "0.10 |\n"
      "| gpt-oss 20B MXFP4 MoE | 11.27 GiB | 20.91 B | CUDA | 99 | 2048 | 1 | pp512+tg128 | 9.0 |\n"
      "\nbuild: 9515c613 (6097)\n",
      "bench.md");
  EXPECT_EQ(md.kind, "llama-bench table");
  ASSERT_THAT(md.file.rows, SizeIs(2));
  EXPECT_EQ(md.file.rows[0].engine, "llama.cpp b6097 (llama-bench)");
  EXPECT_EQ(test_name(md.file.rows[0]), "pp2048 @ d4096");
  EXPECT_EQ(md.file.rows[0].quant, "MXFP4");
  EXPECT_EQ(md.file.rows[1].tok_s, 83.43);
  EXPECT_THAT(md.file.skipped, SizeIs(1));
}

TEST(ImportResults, LogsOfServerAndCli) {
  const Imported i = import_results(
      "llama_model_loader: loaded meta data with 33 key-value pairs from "
      "/m/gpt-oss-20b-MXFP4.gguf\n"
      "print_info: file size   = 11.27 GiB (4.63 BPW)\n"
      "llama_context: n_ubatch      = 2048\nllama_context: flash_attn    = 1\n"
      "llama_kv_cache: size = 96 MiB, K (q8_0): 48.00 MiB, V (q8_0): 48.00 MiB\n"
      "prompt eval time =     252.79 ms /   512 tokens (    0.49 ms per token,  2025.40 tokens per "
      "second)\n"
      "       eval time =    2389.04 ms /   128 tokens (   18.66 ms per token,    53.58 tokens per "
      "second)\n"
      "      total time =    2641.83 ms /   640 tokens\n"
      "llama_perf_context_print: eval time =     100.00 ms /    10 runs   (   10.00 ms per token)\n"
      "llama_perf_context_print: prompt eval time = broken\n",
      "server.log");
  EXPECT_EQ(i.kind, "llama.cpp log");
  ASSERT_THAT(i.file.rows, SizeIs(3));
  const Measurement& pp = i.file.rows[0];
  EXPECT_EQ(pp.phase, MeasuredPhase::Prefill);
  EXPECT_NEAR(pp.tok_s, 2025.4, 0.1);
  EXPECT_EQ(pp.model, "gpt-oss-20b");
  EXPECT_EQ(pp.quant, "MXFP4");
  EXPECT_EQ(pp.ubatch, 2048);
  EXPECT_EQ(pp.type_k, "q8_0");
  EXPECT_EQ(pp.flash_attention, true);
  EXPECT_EQ(i.file.rows[1].depth, 512);
  EXPECT_NEAR(i.file.rows[1].tok_s, 53.58, 0.01);
  EXPECT_EQ(i.file.rows[2].n_tokens, 10);
  EXPECT_THAT(i.file.skipped, SizeIs(1));
}

// Lines of llama-server b9749, shortened: a prompt, one that reuses 140 of its tokens, two at once.
TEST(ImportResults, LogsOfServerKnowReuseAndCompany) {
  const Imported i = import_results(
      "0.00.003 I cmn  common_param: common_params_print_info: build 9749 (d32676d77) with GNU\n"
      "0.00.005 I srv    load_model: loading model '/m/Qwen3-4B-Q8_0.gguf'\n"
      "0.00.014 I llama_context: flash_attn    = auto\n"
      "0.00.017 I resolve_fused_ops: Flash Attention enabled\n"
      "0.26.100 I slot launch_slot_: id  0 | task 202 | processing task, is_child = 0\n"
      "0.26.461 I slot print_timing: id  0 | task 202 | prompt eval time =     820.22 ms /   197 "
      "tokens (    4.16 ms per token,   240.18 tokens per second)\n"
      "0.26.461 I slot print_timing: id  0 | task 202 |        eval time =     287.12 ms /    16 "
      "tokens (   17.95 ms per token,    55.73 tokens per second)\n"
      "0.26.462 I slot print_timing: id  0 | task 202 |       total time =    1107.34 ms /   213 "
      "tokens\n"
      "0.26.462 I slot      release: id  0 | task 202 | stop processing: n_tokens = 212, truncated "
      "= "
      "0\n"
      "0.26.465 I slot launch_slot_: id  0 | task 228 | processing task, is_child = 0\n"
      "0.27.095 I slot print_timing: id  0 | task 228 | prompt eval time =     322.25 ms /    69 "
      "tokens (    4.67 ms per token,   214.12 tokens per second)\n"
      "0.27.095 I slot print_timing: id  0 | task 228 |        eval time =     306.93 ms /    16 "
      "tokens (   19.18 ms per token,    52.13 tokens per second)\n"
      "0.27.096 I slot      release: id  0 | task 228 | stop processing: n_tokens = 224, truncated "
      "= "
      "0\n"
      "0.29.000 I slot launch_slot_: id  1 | task 245 | processing task, is_child = 0\n"
      "0.29.001 I slot launch_slot_: id  2 | task 246 | processing task, is_child = 0\n"
      "0.29.191 I slot print_timing: id  1 | task 245 | prompt eval time =    1093.85 ms /   135 "
      "tokens (    8.10 ms per token,   123.42 tokens per second)\n"
      "0.29.192 I slot      release: id  1 | task 245 | stop processing: n_tokens = 135, truncated "
      "= "
      "0\n"
      "0.29.192 I slot print_timing: id  2 | task 246 | prompt eval time =    1094.36 ms /   127 "
      "tokens (    8.62 ms per token,   116.05 tokens per second)\n"
      "0.29.192 I slot      release: id  2 | task 246 | stop processing: n_tokens = 127, truncated "
      "= "
      "0\n",
      "server.log");
  ASSERT_THAT(i.file.rows, SizeIs(4));
  EXPECT_EQ(test_name(i.file.rows[0]), "pp197");
  EXPECT_EQ(test_name(i.file.rows[1]), "tg16 @ d197");
  EXPECT_EQ(test_name(i.file.rows[2]), "pp69 @ d140");
  EXPECT_EQ(test_name(i.file.rows[3]), "tg16 @ d209");
  EXPECT_EQ(i.file.rows[0].engine, "llama.cpp b9749 (log)");
  EXPECT_EQ(i.file.rows[0].model, "Qwen3-4B");
  EXPECT_EQ(i.file.rows[0].flash_attention, true);
  EXPECT_TRUE(i.file.rows[1].marks.off_by_one);  // 16 tokens in the time of 15
  EXPECT_FALSE(i.file.rows[0].marks.off_by_one);
  EXPECT_THAT(i.file.notes, SizeIs(1));
  ASSERT_THAT(i.file.skipped, SizeIs(2));
  EXPECT_THAT(i.file.skipped[0].reason, HasSubstr("other requests ran at the same time"));
}

// What llama-completion b9749 logs: runs, not tokens, and no task.
TEST(ImportResults, LogsOfCompletionCountRuns) {
  const Imported i = import_results(
      "0.00.031.853 I common_perf_print: prompt eval time =       1.30 ms /    12 tokens (    0.11 "
      "ms "
      "per token,  9216.59 tokens per second)\n"
      "0.00.031.854 I common_perf_print:        eval time =       7.86 ms /    31 runs   (    0.25 "
      "ms "
      "per token,  3944.02 tokens per second)\n",
      "completion.log");
  ASSERT_THAT(i.file.rows, SizeIs(2));
  EXPECT_EQ(test_name(i.file.rows[1]), "tg31 @ d12");
  EXPECT_FALSE(i.file.rows[1].marks.off_by_one);
  EXPECT_THAT(i.file.notes, IsEmpty());
}

TEST(ImportResults, VllmBenchServe) {
  const Imported one = import_results(
      R"({"backend": "vllm", "model_id": "Qwen/Qwen3-32B", "max_concurrency": 1, "completed": 10,)"
      R"( "duration": 100.0, "total_input_tokens": 10240, "total_output_tokens": 1280,)"
      R"( "median_ttft_ms": 512.0, "median_tpot_ms": 80.0})",
      "serve.json");
  EXPECT_EQ(one.kind, "vllm bench serve JSON");
  ASSERT_THAT(one.file.rows, SizeIs(2));
  EXPECT_EQ(test_name(one.file.rows[0]), "tg128 @ d1024");
  EXPECT_NEAR(one.file.rows[0].tok_s, 12.5, 1e-9);
  EXPECT_NEAR(one.file.rows[1].tok_s, 2000, 1e-9);
  EXPECT_EQ(one.file.rows[0].model, "Qwen/Qwen3-32B");
  // Without a limit: (500 + 127 x 80) ms x 10 requests in 10 s are 10.7 in flight, of 10 in all.
  const Imported many = import_results(
      R"({"model_id": "m", "completed": 10, "duration": 10.0, "total_input_tokens": 10240,)"
      R"( "total_output_tokens": 1280, "mean_ttft_ms": 500, "mean_tpot_ms": 80.0})",
      "serve.json");
  ASSERT_THAT(many.file.rows, SizeIs(1));
  EXPECT_EQ(many.file.rows[0].batch, 10);
  EXPECT_TRUE(many.file.rows[0].marks.aggregate);
  const Imported none = import_results(
      R"({"model_id": "m", "completed": 0, "total_output_tokens": 0, "mean_tpot_ms": 0})",
      "s.json");
  EXPECT_THAT(none.file.rows, IsEmpty());
  EXPECT_THAT(none.file.skipped, SizeIs(1));
}

TEST(ImportResults, OwnProbes) {
  const auto read = [](const std::string& lengths) {
    return import_results(
        "{\"endpoint\": \"/completions\", \"engine\": \"llama.cpp (probe, reuse counted)\", "
        "\"model_filename\": \"/m/Qwen3-4B-Q8_0.gguf\", " +
            lengths +
            ", \"n_depth\": 0, \"n_batch_sequences\": 4, \"avg_ts\": 90.0, \"median_ts\": 100.0}",
        "p.json");
  };
  const Imported tg = read("\"n_prompt\": 0, \"n_gen\": 16");
  EXPECT_EQ(tg.kind, "bandwall probe JSON");
  ASSERT_THAT(tg.file.rows, SizeIs(1));
  EXPECT_EQ(tg.file.rows[0].engine, "llama.cpp (probe, reuse counted)");
  EXPECT_EQ(tg.file.rows[0].tok_s, 100);
  const Imported pp = read("\"n_prompt\": 64, \"n_gen\": 0");
  EXPECT_THAT(pp.file.rows, IsEmpty());
  ASSERT_THAT(pp.file.skipped, SizeIs(1));
  EXPECT_THAT(pp.file.skipped[0].reason, HasSubstr("the server's choice"));
}

TEST(ImportResults, OwnRunsAndRows) {
  const Imported run = import_results(
      R"({"model": "gpt-oss-20b.gguf", "quantization": "MXFP4_MOE", "n_prompt": 512,)"
      R"( "type_k": "f16", "type_v": "f16", "phases": [{"phase": "prefill", "tokens": 512,)"
      R"( "measured_tokens_per_second": 90.5}, {"phase": "decode", "tokens": 32,)"
      R"( "measured_tokens_per_second": 12.5}, 7, {"phase": "decode"}]})",
      "run.json");
  EXPECT_EQ(run.kind, "bandwall run JSON");
  ASSERT_THAT(run.file.rows, SizeIs(2));
  EXPECT_EQ(run.file.rows[0].device, "this");
  EXPECT_EQ(test_name(run.file.rows[1]), "tg32 @ d512");
  const Imported rows =
      import_results("device,engine,model,phase,tok_s\ngb10,llama.cpp-cuda,m,tg,50\n", "rows.csv");
  EXPECT_EQ(rows.kind, "measured rows");
  EXPECT_THAT(rows.file.rows, SizeIs(1));
}

TEST(ImportResults, LabelsOfFiles) {
  EXPECT_EQ(label_of_file("/m/GLM-4.6-UD-Q4_K_XL-00001-of-00005.gguf").quant, "UD-Q4_K_XL");
  EXPECT_EQ(label_of_file("/m/GLM-4.6-UD-Q4_K_XL-00001-of-00005.gguf").model, "GLM-4.6");
  EXPECT_EQ(label_of_file("llama-2-7b.Q4_K_M.gguf").quant, "Q4_K_M");
  EXPECT_EQ(label_of_file("Qwen3-32B").quant, "");
  EXPECT_EQ(label_of_file("").model, "");
  EXPECT_EQ(quant_of_type("qwen3moe 30B.A3B Q4_K - Medium"), "Q4_K - Medium");
  EXPECT_EQ(quant_of_type("llama 7B all F32"), "F32");
  EXPECT_EQ(quant_of_type("nothing"), "");
}

TEST(ImportResults, OtherFilesAreRefusedWithWhatWasWanted) {
  for (const char* text : {"", "hello\nworld\n", "{}", "[1, 2]", "{\"a\": 1}", "| a | b |\n",
                           "a,b\n1,2\n", "\xff\xfe\x00",
                           "CREATE TABLE IF NOT EXISTS llama_bench (\n  build_commit TEXT,\n"
                           "  avg_ts REAL\n);\n\nINSERT INTO llama_bench (build_commit, avg_ts) "
                           "VALUES ('d32676d77', '10373.150065');\n"}) {
    try {
      import_results(text, "x.txt");
      ADD_FAILURE() << text;
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), Error::Kind::Input);
      EXPECT_THAT(e.what(), HasSubstr("llama-bench (json, jsonl, csv, md)"));
    }
  }
}

}  // namespace
}  // namespace bandwall
