#include "reports/bench_report.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace bandwall {
namespace {

BenchRow row() {
  BenchRow r;
  r.model_file = "a \"b\" 'c'.gguf";
  r.model_type = "qwen3moe Q4_K_M";
  r.isa = "avx512";
  r.model_bytes = std::int64_t{1} << 30;
  r.parameters = 2'500'000'000;
  r.threads = 2;
  r.n_batch = 2048;
  r.n_ubatch = 512;
  r.type_k = r.type_v = "f16";
  r.n_gen = 10;
  r.samples = {Seconds(1), Seconds(2), Seconds(4)};  // 10, 5, 2.5 tokens per second
  r.reads = {BytesPerSecond(40e9), BytesPerSecond(40e9), BytesPerSecond(20e9)};
  r.bytes = Bytes(20e9);
  r.predicted_ts = 6;
  r.bound = "weight_bandwidth";
  return r;
}

TEST(BenchReport, NamesOfTestsAreThoseOfLlamaBench) {
  BenchRow r;
  r.n_prompt = 512;
  EXPECT_EQ(r.test(), "pp512");
  r.n_depth = 4096;
  EXPECT_EQ(r.test(), "pp512 @ d4096");
  r.n_gen = 128;
  r.n_depth = 0;
  EXPECT_EQ(r.test(), "pp512+tg128");
  r.n_prompt = 0;
  r.sequences = 8;
  EXPECT_EQ(r.test(), "tg128 x8");
}

TEST(BenchReport, FiguresByHand) {
  const BenchRow r = row();
  EXPECT_DOUBLE_EQ(r.median_ts(), 5);
  EXPECT_DOUBLE_EQ(r.read_share(), 0.25);  // shares 0.5, 0.25, 0.25
  const auto j = nlohmann::json::parse(bench_row(BenchForm::JsonLines, r, true));
  EXPECT_DOUBLE_EQ(j["avg_ts"], 17.5 / 3);
  EXPECT_DOUBLE_EQ(j["pred_error"], 0.2);
  EXPECT_EQ(j["avg_ns"], 2333333333);
  EXPECT_DOUBLE_EQ(j["gb_per_s"], 10);
  EXPECT_EQ(j["samples_ns"].size(), 3u);
  EXPECT_EQ(j["n_gen"], 10);
}

TEST(BenchReport, JsonIsOneArrayWhateverTheRows) {
  const std::string text = bench_head(BenchForm::Json) + bench_row(BenchForm::Json, row(), true) +
                           bench_row(BenchForm::Json, row(), false) + bench_foot(BenchForm::Json);
  EXPECT_EQ(nlohmann::json::parse(text).size(), 2u);
}

TEST(BenchReport, CsvAndSqlQuote) {
  EXPECT_NE(bench_row(BenchForm::Csv, row(), true).find("\"a \"\"b\"\" 'c'.gguf\""),
            std::string::npos);
  EXPECT_NE(bench_row(BenchForm::Sql, row(), true).find("'a \"b\" ''c''.gguf'"), std::string::npos);
  EXPECT_NE(bench_head(BenchForm::Sql).find("avg_ts REAL"), std::string::npos);
  const std::string head = bench_head(BenchForm::Csv);
  const auto columns = std::count(head.begin(), head.end(), ',');
  BenchRow plain = row();
  plain.model_file = "x";
  const std::string line = bench_row(BenchForm::Csv, plain, true);
  EXPECT_EQ(std::count(line.begin(), line.end(), ','), columns);
}

TEST(BenchReport, PairsShowEachRatioAndTheMedian) {
  BenchRow r = row();
  EXPECT_EQ(bench_pairs(r, "peer"), "");
  r.peer_ts = {5, 5, 5};
  const std::string text = bench_pairs(r, "peer");
  for (const char* ratio : {"2.00", "1.00", "0.50"}) {
    EXPECT_NE(text.find(ratio), std::string::npos) << text;
  }
}

}  // namespace
}  // namespace bandwall
