#include "reports/probe_report.h"

#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "configs/measurements.h"
#include "reports/table.h"
#include "reports/validation_report.h"
#include "reports/version.h"
#include "workload/gguf.h"

namespace bandwall {
namespace {

using Json = nlohmann::ordered_json;

constexpr double kAsPredicted = 0.15;

double share_of_wall(const ProbeRow& r) {
  return r.result->speed_of_light > 0 ? r.row.tok_s / r.result->speed_of_light : 0;
}

std::string ms(double seconds) { return fmt::format("{:.2f}", seconds * 1e3); }
std::string rate(double ts) { return ts > 0 ? fmt::format("{:.2f}", ts) : "-"; }

const std::vector<double>& server_ts(const ProbeRow& r) {
  return r.prefill() ? r.measures.server_prefill_ts : r.measures.server_decode_ts;
}

std::vector<std::string> cells(const ProbeRow& r) {
  const ProbeMeasures& m = r.measures;
  std::vector<std::string> c = {test_name(r.row)};
  if (r.prefill()) {
    c.insert(c.end(), {ms(median(m.ttft)), "", "", ""});
  } else {
    c.insert(c.end(), {"", ms(median(m.itl)), ms(quantile(m.itl, 0.95)), ms(median(m.tpot))});
  }
  c.push_back(rate(r.row.tok_s));
  c.push_back(server_ts(r).empty() ? "" : rate(median(server_ts(r))));
  if (!r.result) {
    c.insert(c.end(), {"", "", "", ""});
  } else {
    c.insert(c.end(), {rate(r.result->predicted),
                       fmt::format("{:.2f}-{:.2f}", r.result->low, r.result->high),
                       fmt::format("{:+.1f} %", 100 * r.result->error),
                       fmt::format("{:.0f} %", 100 * share_of_wall(r))});
  }
  return c;
}

double rounded(double v) { return std::round(v * 1e6) / 1e6; }

Json json_row(const ProbeSubject& s, const ProbeRow& r) {
  const ProbeMeasures& m = r.measures;
  const double mean = [&] {
    double sum = 0;
    for (const double x : r.samples) sum += x;
    return r.samples.empty() ? 0 : sum / static_cast<double>(r.samples.size());
  }();
  double squares = 0;
  for (const double x : r.samples) squares += (x - mean) * (x - mean);
  const auto n = static_cast<double>(r.samples.size());
  Json j = {{"build_commit", std::string(version())},
            {"url", s.url},
            {"endpoint", s.endpoint},
            {"server", s.server},
            {"engine", r.row.engine},
            {"model_filename", s.model},
            {"model_type", s.shape},
            {"model_size", s.model_bytes},
            {"test_time", s.test_time},
            {"n_prompt", r.prefill() ? *r.row.n_tokens : 0},
            {"n_gen", r.prefill() ? 0 : *r.row.n_tokens},
            {"n_depth", *r.row.depth},
            {"n_batch_sequences", r.row.batch},
            {"avg_ts", rounded(mean)},
            {"stddev_ts", n > 1 ? rounded(std::sqrt(squares / (n - 1))) : 0},
            {"median_ts", rounded(r.row.tok_s)},
            {"samples_ts", r.samples}};
  if (r.prefill()) {
    j["ttft_ms"] = rounded(1e3 * median(m.ttft));
    j["ttft_p95_ms"] = rounded(1e3 * quantile(m.ttft, 0.95));
  } else {
    j["itl_ms"] = rounded(1e3 * median(m.itl));
    j["itl_p95_ms"] = rounded(1e3 * quantile(m.itl, 0.95));
    j["tpot_ms"] = rounded(1e3 * median(m.tpot));
    j["tokens_per_chunk"] = rounded(m.tokens_per_chunk);
  }
  j["server_ts"] = server_ts(r).empty() ? Json(nullptr) : Json(rounded(median(server_ts(r))));
  j["prompt_tokens_from"] = m.counted_prompts ? "usage" : "words";
  j["tokens_from"] = m.counted_tokens ? "usage" : "chunks";
  if (r.result) {
    j["machine"] = r.row.device;
    j["backend"] = s.backend;
    j["pred_ts"] = rounded(r.result->predicted);
    j["pred_ts_low"] = rounded(r.result->low);
    j["pred_ts_high"] = rounded(r.result->high);
    j["pred_ts_speed_of_light"] = rounded(r.result->speed_of_light);
    j["bound_by"] = name(r.result->bound);
    j["basis"] = name(r.result->basis);
    j["pred_error"] = rounded(r.result->error);
    j["of_speed_of_light"] = rounded(share_of_wall(r));
    j["causes"] = causes_json(r.causes);
  }
  j["reading"] = likely_reading(r);
  j["notes"] = s.notes;
  return j;
}

// Measures that explain a decode rate by themselves, prediction or not.
std::string seen_in_tokens(const ProbeRow& r) {
  const ProbeMeasures& m = r.measures;
  if (r.samples.empty()) {
    return "no rate: the tokens came in one piece; something between client and server buffers the "
           "stream, or the answer ended after one token";
  }
  if (!m.together) {
    return fmt::format(
        "the answers did not overlap: the server has fewer than {} slots (llama-server -np, "
        "OLLAMA_NUM_PARALLEL, vLLM --max-num-seqs)",
        r.row.batch);
  }
  if (m.tokens_per_chunk > 1.3) {
    return fmt::format(
        "{:.1f} tokens arrive at once: speculative decoding, or a server that streams in groups",
        m.tokens_per_chunk);
  }
  if (quantile(m.itl, 0.95) > 2 * median(m.itl)) {
    return fmt::format(
        "uneven: one gap in twenty is {:.1f} times the usual one or longer: other requests, "
        "a busy machine or the network",
        quantile(m.itl, 0.95) / median(m.itl));
  }
  return "";
}

std::string against_prediction(const ProbeRow& r) {
  const RowResult& p = *r.result;
  if (p.inside) {
    // A wide band (a backend that was never measured here) holds much that is far off.
    return fmt::format("{}, bound by {}: {:.0f} % of the wall",
                       std::abs(p.error) <= kAsPredicted ? "as predicted" : "inside the band",
                       name(p.bound), 100 * share_of_wall(r));
  }
  const bool slower = p.measured < p.low;
  std::string text =
      fmt::format("{:.0f} % {} than predicted", 100 * std::abs(p.measured / p.predicted - 1),
                  slower ? "slower" : "faster");
  const double own = median(server_ts(r));
  if (slower && own >= p.low) {
    return text + fmt::format(
                      ", not by the server's own clock ({:.2f} tok/s): tokenizing, queue or "
                      "network took the rest",
                      own);
  }
  if (!r.causes.empty()) {
    text += fmt::format(": {} ({})", r.causes.front().cause, r.causes.front().arithmetic);
  }
  return text;
}

}  // namespace

std::string likely_reading(const ProbeRow& r) {
  if (r.prefill() && r.samples.empty()) {
    return "no rate: the server does not say how much of the prompt came from its cache";
  }
  const std::string seen = r.prefill() ? "" : seen_in_tokens(r);
  if (!seen.empty()) return seen;
  return r.result ? against_prediction(r) : "";
}

std::string probe_text(const ProbeSubject& s, const std::vector<ProbeRow>& rows, bool markdown) {
  Table table({{"test"},
               {"TTFT ms", Align::Right},
               {"ITL ms", Align::Right},
               {"p95", Align::Right},
               {"TPOT ms", Align::Right},
               {"tok/s", Align::Right},
               {"server's", Align::Right},
               {"predicted", Align::Right},
               {"low-high", Align::Right},
               {"error", Align::Right},
               {"of wall", Align::Right}});
  for (const ProbeRow& r : rows) table.add(cells(r));
  std::string out = fmt::format("{} at {} ({}), {}\n", printable(s.model), s.url,
                                s.server.empty() ? "unknown server" : s.server, s.endpoint);
  if (!s.predicted_for.empty()) out += "predicted: " + s.predicted_for + "\n";
  out += "\n" + (markdown ? table.markdown() : table.text()) + "\n";
  for (const ProbeRow& r : rows) {
    const std::string reading = likely_reading(r);
    if (reading.empty()) continue;
    out += fmt::format("{}{}: {}\n", markdown ? "- " : "", test_name(r.row), reading);
  }
  for (const std::string& n : s.notes) out += (markdown ? "- note: " : "note: ") + n + "\n";
  return out;
}

std::string probe_json(const ProbeSubject& s, const std::vector<ProbeRow>& rows) {
  Json all = Json::array();
  for (const ProbeRow& r : rows) all.push_back(json_row(s, r));
  return all.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::string probe_csv(const std::vector<ProbeRow>& rows) {
  std::vector<Measurement> measured;
  for (const ProbeRow& r : rows) {
    if (r.row.tok_s > 0) measured.push_back(r.row);
  }
  return write_measurements(measured);
}

}  // namespace bandwall
