// Laws of imported results: what bench writes reads back the same from every form it writes, and
// cutting a file short costs rows, never more.
#include <gtest/gtest.h>

#include <random>

#include "hwmodel/error.h"
#include "reports/bench_report.h"
#include "reports/import_results.h"

namespace bandwall {
namespace {

BenchRow random_row(std::mt19937_64& r) {
  BenchRow b;
  b.model_file = "/models/gpt-oss-20b-Q8_0.gguf";
  b.model_type = "gpt-oss 20B Q8_0";
  b.cpu = "a cpu, with \"quotes\"";
  b.isa = "avx512";
  b.model_bytes = 12'000'000'000 + static_cast<std::int64_t>(r() % 1'000'000'000);
  b.parameters = 20'900'000'000;
  b.threads = 1 + static_cast<int>(r() % 64);
  b.n_batch = 2048;
  b.n_ubatch = 1 + static_cast<std::int64_t>(r() % 4096);
  b.type_k = "f16";
  b.type_v = "q8_0";
  (r() % 2 == 0 ? b.n_prompt : b.n_gen) = 1 + static_cast<std::int64_t>(r() % 4096);
  b.n_depth = r() % 2 == 0 ? 0 : static_cast<std::int64_t>(r() % 65536);
  b.sequences = b.n_gen > 0 ? 1 + static_cast<std::int64_t>(r() % 8) : 1;
  b.samples.assign(3, Seconds(static_cast<double>(1 + r() % 1'000'000) / 1000));
  b.bytes = Bytes(1e9);
  b.bound = "weight_bandwidth";
  return b;
}

std::string written(BenchForm form, const std::vector<BenchRow>& rows) {
  std::string text = bench_head(form);
  for (std::size_t i = 0; i < rows.size(); ++i) text += bench_row(form, rows[i], i == 0);
  return text + bench_foot(form);
}

TEST(ResultsProperty, EveryFormOfBenchReadsBackTheSame) {
  std::mt19937_64 r(3);
  for (int round = 0; round < 100; ++round) {
    std::vector<BenchRow> rows;
    for (std::size_t i = 0; i < 1 + r() % 5; ++i) rows.push_back(random_row(r));
    for (const BenchForm form :
         {BenchForm::Json, BenchForm::JsonLines, BenchForm::Csv, BenchForm::Markdown}) {
      const Imported read = import_results(written(form, rows), "bench");
      ASSERT_TRUE(read.file.skipped.empty()) << read.file.skipped[0].reason;
      ASSERT_EQ(read.file.rows.size(), rows.size());
      for (std::size_t i = 0; i < rows.size(); ++i) {
        const Measurement& m = read.file.rows[i];
        EXPECT_EQ(m.phase == MeasuredPhase::Prefill, rows[i].n_prompt > 0);
        EXPECT_EQ(m.n_tokens, rows[i].n_prompt + rows[i].n_gen);
        EXPECT_EQ(m.depth, rows[i].n_depth);
        EXPECT_EQ(m.batch, rows[i].sequences);
        EXPECT_EQ(m.ubatch, rows[i].n_ubatch);
        EXPECT_EQ(m.quant, "Q8_0");
        EXPECT_NEAR(m.tok_s, rows[i].ts(0), 0.006 + 1e-5 * rows[i].ts(0));
      }
    }
  }
}

TEST(ResultsProperty, CutFilesGiveNoMoreRowsAndNoCrash) {
  std::mt19937_64 r(5);
  const std::vector<BenchRow> rows = {random_row(r), random_row(r), random_row(r)};
  for (const BenchForm form :
       {BenchForm::Json, BenchForm::JsonLines, BenchForm::Csv, BenchForm::Markdown}) {
    const std::string text = written(form, rows);
    for (std::size_t size = 0; size < text.size(); size += 7) {
      try {
        EXPECT_LE(import_results(text.substr(0, size), "bench").file.rows.size(), rows.size());
      } catch (const Error& e) {
        EXPECT_EQ(e.kind(), Error::Kind::Input);
      }
    }
  }
}

}  // namespace
}  // namespace bandwall
