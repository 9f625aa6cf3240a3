// Rows of a benchmark in the five forms of llama-bench, with prediction and bandwidth added.
//   BenchRow r;  r.samples = {...};   fmt::print("{}", bench_text({r}, BenchForm::Markdown));
// Fields that llama-bench has keep their names and units (avg_ns, avg_ts: tokens per second, mean
// and standard deviation over the repetitions); ours follow: n_batch_sequences, pred_ts, pred_error
// (predicted / measured - 1, the median of the repetitions), bound_by, bytes (metered, per
// repetition, weights + KV
// + state), gb_per_s, read_gb_per_s (plain reading in the same seconds) and read_share. Pure text.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "hwmodel/units.h"

namespace bandwall {

struct BenchRow {
  std::string model_file, model_type, cpu, isa;
  std::int64_t model_bytes = 0, parameters = 0;
  int threads = 0;
  std::int64_t n_batch = 0, n_ubatch = 0;
  bool mapped = false;  // weights are used in the mapping of their file
  std::string type_k, type_v;
  std::int64_t n_prompt = 0, n_gen = 0, n_depth = 0;
  std::int64_t sequences = 1;  // that decode together
  std::string test_time;       // ISO 8601, UTC
  std::vector<Seconds> samples;
  std::vector<BytesPerSecond> reads;  // plain reading around each sample
  Bytes bytes;
  double predicted_ts = 0, predicted_low = 0, predicted_high = 0;  // medians over the repetitions
  std::vector<double> predictions;  // before each repetition, at the bandwidth of that moment
  std::string profile;              // hash of the figures they are made with
  std::string bound;
  std::vector<double> peer_ts;  // another program on the same file, pair by pair

  std::int64_t tokens() const { return (n_prompt + n_gen) * sequences; }
  std::string test() const;  // "pp512", "tg128 @ d4096", "pp512+tg128", "tg32 x8"
  double ts(std::size_t sample) const;
  double median_ts() const;
  double read_share() const;  // median of the repetitions; 0 without reads
};

enum class BenchForm { Markdown, Csv, Json, JsonLines, Sql };

// What comes before the first row, for one row, and after the last: rows are printed as they end.
std::string bench_head(BenchForm form);
std::string bench_row(BenchForm form, const BenchRow& row, bool first);
std::string bench_foot(BenchForm form);

// Pair by pair: ours, theirs, ratio; the median last. Empty without a peer.
std::string bench_pairs(const BenchRow& row, const std::string& peer);

}  // namespace bandwall
