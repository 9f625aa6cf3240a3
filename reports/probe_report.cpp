#include "reports/probe_report.h"

#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "reports/table.h"
#include "reports/version.h"

namespace bandwall {
namespace {

using Json = nlohmann::ordered_json;

double error_of(const ProbeRow& r) { return r.predicted->ts / r.ts() - 1; }
double share_of_wall(const ProbeRow& r) {
  return r.predicted->ts_speed_of_light > 0 ? r.ts() / r.predicted->ts_speed_of_light : 0;
}

std::string ms(double seconds) { return fmt::format("{:.2f}", seconds * 1e3); }
std::string rate(double ts) { return ts > 0 ? fmt::format("{:.2f}", ts) : "-"; }

const std::vector<double>& server_ts(const ProbeRow& r) {
  return r.prefill ? r.measures.server_prefill_ts : r.measures.server_decode_ts;
}

std::vector<std::string> cells(const ProbeRow& r) {
  const ProbeMeasures& m = r.measures;
  std::vector<std::string> c = {r.test()};
  if (r.prefill) {
    c.insert(c.end(), {ms(median(m.ttft)), "", "", ""});
  } else {
    c.insert(c.end(), {"", ms(median(m.itl)), ms(quantile(m.itl, 0.95)), ms(median(m.tpot))});
  }
  c.push_back(rate(r.ts()));
  c.push_back(server_ts(r).empty() ? "" : rate(median(server_ts(r))));
  if (!r.predicted || r.samples.empty()) {
    c.insert(c.end(), {r.predicted ? rate(r.predicted->ts) : "", "", "", ""});
  } else {
    c.insert(c.end(), {rate(r.predicted->ts),
                       fmt::format("{:.2f}-{:.2f}", r.predicted->ts_low, r.predicted->ts_high),
                       fmt::format("{:+.1f} %", 100 * error_of(r)),
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
            {"model_filename", s.model},
            {"model_type", s.shape},
            {"model_size", s.model_bytes},
            {"test_time", s.test_time},
            {"n_prompt", r.prefill ? r.n_tokens : 0},
            {"n_gen", r.prefill ? 0 : r.n_tokens},
            {"n_depth", r.depth},
            {"n_batch_sequences", r.concurrency},
            {"avg_ts", rounded(mean)},
            {"stddev_ts", n > 1 ? rounded(std::sqrt(squares / (n - 1))) : 0},
            {"median_ts", rounded(r.ts())},
            {"samples_ts", r.samples}};
  if (r.prefill) {
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
  if (r.predicted) {
    j["machine"] = s.machine;
    j["backend"] = s.backend;
    j["pred_ts"] = rounded(r.predicted->ts);
    j["pred_ts_low"] = rounded(r.predicted->ts_low);
    j["pred_ts_high"] = rounded(r.predicted->ts_high);
    j["pred_ts_speed_of_light"] = rounded(r.predicted->ts_speed_of_light);
    j["bound_by"] = name(r.predicted->bound);
    j["basis"] = name(r.predicted->basis);
    if (!r.samples.empty()) {
      j["pred_error"] = rounded(error_of(r));
      j["of_speed_of_light"] = rounded(share_of_wall(r));
    }
  }
  j["reading"] = likely_reading(r);
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
        r.concurrency);
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
  const Throughput& p = *r.predicted;
  const double off = 100 * std::abs(r.ts() / p.ts - 1);
  if (p.ts_speed_of_light > 0 && r.ts() > 1.02 * p.ts_speed_of_light) {
    return r.prefill
               ? "faster than the wall: part of the prompt came from a cache, or the model or "
                 "machine is another one (--shape, --mix, --machine)"
               : "faster than the wall: speculative decoding, fewer bytes than predicted for "
                 "(--shape, --mix), or another machine";
  }
  if (r.ts() > p.ts_high) {
    return fmt::format(
        "{:.0f} % faster than predicted: newer kernels than the backend's figures, or a smaller "
        "quantization than named",
        off);
  }
  if (r.ts() >= p.ts_low) {
    return fmt::format("as predicted, bound by {}: {:.0f} % of the wall", name(p.bound),
                       100 * share_of_wall(r));
  }
  if (r.prefill) {
    const double extra = median(r.measures.ttft) - p.total.value();
    return fmt::format(
        "{:.0f} % slower than predicted: {:.1f} ms before the first token are not the model's at "
        "its usual rates: tokenizing, queue, network, other micro-batches (-ub)",
        off, 1e3 * std::max(0.0, extra));
  }
  const double extra =
      static_cast<double>(r.concurrency) / r.ts() - static_cast<double>(r.concurrency) / p.ts;
  return fmt::format(
      "{:.0f} % slower than predicted, {:.2f} ms more per step: layers or experts off the device, "
      "no graphs, sampling or a busy machine",
      off, 1e3 * extra);
}

}  // namespace

std::string ProbeRow::test() const {
  std::string text = fmt::format("{}{}", prefill ? "pp" : "tg", n_tokens);
  if (concurrency > 1) text += fmt::format(" x{}", concurrency);
  if (depth > 0) text += fmt::format(" @ d{}", depth);
  return text;
}

std::string likely_reading(const ProbeRow& r) {
  if (r.prefill && r.samples.empty()) {
    return "no rate: the server does not say how much of the prompt came from its cache";
  }
  const std::string seen = r.prefill ? "" : seen_in_tokens(r);
  if (!seen.empty()) return seen;
  return r.predicted ? against_prediction(r) : "";
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
  std::string out = fmt::format("{} at {} ({}), {}\n", s.model, s.url,
                                s.server.empty() ? "unknown server" : s.server, s.endpoint);
  if (!s.predicted_for.empty()) out += "predicted: " + s.predicted_for + "\n";
  out += "\n" + (markdown ? table.markdown() : table.text()) + "\n";
  for (const ProbeRow& r : rows) {
    const std::string reading = likely_reading(r);
    if (reading.empty()) continue;
    out += fmt::format("{}{}: {}\n", markdown ? "- " : "", r.test(), reading);
  }
  for (const std::string& n : s.notes) out += (markdown ? "- note: " : "note: ") + n + "\n";
  return out;
}

std::string probe_json(const ProbeSubject& s, const std::vector<ProbeRow>& rows) {
  Json all = Json::array();
  for (const ProbeRow& r : rows) {
    all.push_back(json_row(s, r));
    all.back()["notes"] = s.notes;
  }
  return all.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::string probe_csv(const ProbeSubject& s, const std::vector<ProbeRow>& rows) {
  std::string out =
      "device,engine,backend,model,model_file_gib,quant,phase,n_tokens,depth,batch,ubatch,kv_type,"
      "flash_attn,tok_s,source\n";
  const std::string engine = (s.server.empty() ? "unknown server" : s.server) + " (probe)";
  for (const ProbeRow& r : rows) {
    if (r.samples.empty()) continue;
    out += fmt::format(
        "{},{},{},{},{},{},{},{},{},{},{},{},,{:.2f},{}\n", quoted(s.machine), quoted(engine),
        quoted(s.backend), quoted(s.shape.empty() ? s.model : s.shape),
        s.model_bytes > 0 ? fmt::format("{:.4g}", static_cast<double>(s.model_bytes) / 1073741824.0)
                          : "",
        quoted(s.quant), r.prefill ? "pp" : "tg", r.n_tokens, r.depth, r.concurrency,
        s.n_ubatch > 0 ? std::to_string(s.n_ubatch) : "", s.kv_type, r.ts(),
        quoted(fmt::format("bandwall probe of {} as {} at {}, {}", s.model, s.endpoint, s.url,
                           s.test_time)));
  }
  return out;
}

}  // namespace bandwall
