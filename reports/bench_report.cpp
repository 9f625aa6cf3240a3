#include "reports/bench_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "analysis/quantile.h"
#include "reports/table.h"
#include "reports/version.h"

namespace bandwall {
namespace {

using Json = nlohmann::ordered_json;

struct Moments {
  double mean = 0, deviation = 0;
};

Moments moments(const std::vector<double>& x) {
  Moments m;
  if (x.empty()) return m;
  const auto n = static_cast<double>(x.size());
  for (const double v : x) m.mean += v / n;
  if (x.size() < 2) return m;
  for (const double v : x) m.deviation += (v - m.mean) * (v - m.mean) / (n - 1);
  m.deviation = std::sqrt(m.deviation);
  return m;
}

std::vector<double> speeds(const BenchRow& r) {
  std::vector<double> ts;
  for (std::size_t i = 0; i < r.samples.size(); ++i) ts.push_back(r.ts(i));
  return ts;
}

std::vector<double> nanoseconds(const BenchRow& r) {
  std::vector<double> ns;
  for (const Seconds s : r.samples) ns.push_back(s.value() * 1e9);
  return ns;
}

double achieved(const BenchRow& r) {
  std::vector<double> rates;
  for (const Seconds s : r.samples) rates.push_back(r.bytes.value() / s.value());
  return median(rates);
}

double reading(const BenchRow& r) {
  std::vector<double> rates;
  for (const BytesPerSecond b : r.reads) rates.push_back(b.value());
  return median(rates);
}

double error_of(const BenchRow& r) {
  std::vector<double> errors;
  for (std::size_t i = 0; i < r.predictions.size() && i < r.samples.size(); ++i) {
    if (r.ts(i) > 0) errors.push_back(r.predictions[i] / r.ts(i) - 1);
  }
  if (!errors.empty()) return median(errors);
  const double measured = r.median_ts();
  return measured > 0 && r.predicted_ts > 0 ? r.predicted_ts / measured - 1 : 0;
}

// Every scalar field in order; the JSON forms add the samples.
Json fields(const BenchRow& r) {
  const Moments ns = moments(nanoseconds(r)), ts = moments(speeds(r));
  return {{"build_commit", std::string(version())},
          {"build_number", 0},
          {"cpu_info", r.cpu},
          {"gpu_info", ""},
          {"backends", "bandwall-" + r.isa},
          {"model_filename", r.model_file},
          {"model_type", r.model_type},
          {"model_size", r.model_bytes},
          {"model_n_params", r.parameters},
          {"n_batch", r.n_batch},
          {"n_ubatch", r.n_ubatch},
          {"n_threads", r.threads},
          {"type_k", r.type_k},
          {"type_v", r.type_v},
          {"n_gpu_layers", 0},
          {"flash_attn", true},
          {"use_mmap", r.mapped},
          {"n_prompt", r.n_prompt},
          {"n_gen", r.n_gen},
          {"n_depth", r.n_depth},
          {"test_time", r.test_time},
          {"avg_ns", std::llround(ns.mean)},
          {"stddev_ns", std::llround(ns.deviation)},
          {"avg_ts", ts.mean},
          {"stddev_ts", ts.deviation},
          {"n_batch_sequences", r.sequences},
          {"pred_ts", r.predicted_ts},
          {"pred_ts_low", r.predicted_low},
          {"pred_ts_high", r.predicted_high},
          {"pred_error", error_of(r)},
          {"bound_by", r.bound},
          {"bytes", r.bytes.value()},
          {"gb_per_s", achieved(r) / kGiga},
          {"read_gb_per_s", reading(r) / kGiga},
          {"read_share", r.read_share()},
          {"profile", r.profile}};
}

Json with_samples(const BenchRow& r) {
  Json j = fields(r);
  for (const double ns : nanoseconds(r)) j["samples_ns"].push_back(std::llround(ns));
  for (const double ts : speeds(r)) j["samples_ts"].push_back(ts);
  if (!r.peer_ts.empty()) j["peer_samples_ts"] = r.peer_ts;
  return j;
}

std::string scalar_text(const Json& value) {
  return value.is_string() ? value.get<std::string>() : value.dump();
}

std::string joined_names() {
  std::string names;
  const Json all = fields(BenchRow{});  // items() keeps a reference
  for (const auto& [key, value] : all.items()) {
    names += (names.empty() ? "" : ",") + key;
  }
  return names;
}

std::string joined_values(const BenchRow& r, char quote, const char* between) {
  std::string text;
  const Json all = fields(r);
  for (const auto& [key, value] : all.items()) {
    text += (text.empty() ? "" : between) + quoted(scalar_text(value), quote);
  }
  return text;
}

std::string sql_table() {
  std::string text = "CREATE TABLE IF NOT EXISTS llama_bench (\n";
  const Json all = fields(BenchRow{});
  std::size_t i = 0;
  for (const auto& [key, value] : all.items()) {
    const char* type = value.is_string() ? "TEXT" : value.is_number_float() ? "REAL" : "INTEGER";
    text += fmt::format("  {} {}{}\n", key, type, ++i < all.size() ? "," : "");
  }
  return text + ");\n\n";
}

std::string model_size(std::int64_t bytes) {
  return fmt::format("{:.2f} GiB", static_cast<double>(bytes) / 1073741824.0);
}

std::string markdown_row(const BenchRow& r) {
  const Moments ts = moments(speeds(r));
  const std::string kv = r.type_k == r.type_v ? r.type_k : r.type_k + "/" + r.type_v;
  return fmt::format(
      "| {} | {} | {:.2f} B | {} | {} | {} | {} | {} | {:.2f} ± {:.2f} | {:.2f} | {:+.1f} % | {} | "
      "{:.1f} | {} |\n",
      r.model_type, model_size(r.model_bytes), static_cast<double>(r.parameters) / 1e9, r.isa,
      r.threads, r.n_ubatch, kv, r.test(), ts.mean, ts.deviation, r.predicted_ts, 100 * error_of(r),
      r.bound, achieved(r) / kGiga,
      r.reads.empty() ? "" : fmt::format("{:.0f} %", 100 * r.read_share()));
}

}  // namespace

std::string BenchRow::test() const {
  std::string text;
  if (n_prompt > 0) text = fmt::format("pp{}", n_prompt);
  if (n_gen > 0) text += fmt::format("{}tg{}", text.empty() ? "" : "+", n_gen);
  if (sequences > 1) text += fmt::format(" x{}", sequences);
  if (n_depth > 0) text += fmt::format(" @ d{}", n_depth);
  return text;
}

double BenchRow::ts(std::size_t sample) const {
  const double s = samples[sample].value();
  return s > 0 ? static_cast<double>(tokens()) / s : 0;
}

double BenchRow::median_ts() const { return median(speeds(*this)); }

double BenchRow::read_share() const {
  std::vector<double> shares;
  for (std::size_t i = 0; i < reads.size() && i < samples.size(); ++i) {
    shares.push_back(bytes.value() / samples[i].value() / reads[i].value());
  }
  return median(shares);
}

std::string bench_head(BenchForm form) {
  switch (form) {
    case BenchForm::Markdown:
      return "| model | size | params | backend | threads | n_ubatch | KV | test | t/s | pred t/s "
             "| error | bound | GB/s | of read |\n"
             "| --- | ---: | ---: | --- | ---: | ---: | --- | ---: | ---: | ---: | ---: | --- | "
             "---: | ---: |\n";
    case BenchForm::Csv:
      return joined_names() + "\n";
    case BenchForm::Json:
      return "[\n";
    case BenchForm::Sql:
      return sql_table();
    case BenchForm::JsonLines:
      break;
  }
  return "";
}

std::string bench_row(BenchForm form, const BenchRow& r, bool first) {
  switch (form) {
    case BenchForm::Markdown:
      return markdown_row(r);
    case BenchForm::Csv:
      return joined_values(r, '"', ",") + "\n";
    case BenchForm::Json:
      return (first ? "" : ",\n") + with_samples(r).dump(2);
    case BenchForm::JsonLines:
      return with_samples(r).dump() + "\n";
    case BenchForm::Sql:
      return fmt::format("INSERT INTO llama_bench ({}) VALUES ({});\n", joined_names(),
                         joined_values(r, '\'', ", "));
  }
  return "";
}

std::string bench_foot(BenchForm form) { return form == BenchForm::Json ? "\n]\n" : ""; }

std::string bench_pairs(const BenchRow& r, const std::string& peer) {
  if (r.peer_ts.empty()) return "";
  Table table({{"pair"},
               {"bandwall t/s", Align::Right},
               {peer + " t/s", Align::Right},
               {"ratio", Align::Right}});
  std::vector<double> ratios;
  const std::size_t pairs = std::min(r.peer_ts.size(), r.samples.size());
  for (std::size_t i = 0; i < pairs; ++i) {
    ratios.push_back(r.peer_ts[i] > 0 ? r.ts(i) / r.peer_ts[i] : 0);
    table.add({std::to_string(i + 1), fmt::format("{:.2f}", r.ts(i)),
               fmt::format("{:.2f}", r.peer_ts[i]), fmt::format("{:.2f}", ratios.back())});
  }
  table.rule();
  table.add({"median", fmt::format("{:.2f}", r.median_ts()),
             fmt::format("{:.2f}", median(r.peer_ts)), fmt::format("{:.2f}", median(ratios))});
  return fmt::format("{} against {}, in alternation\n{}", r.test(), peer, table.text());
}

}  // namespace bandwall
