// JSON of llama-bench, vllm bench serve and bandwall itself, one document or one object per line.
#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "hwmodel/error.h"
#include "reports/import_results.h"

namespace bandwall {
namespace {

using Json = nlohmann::json;

constexpr std::int64_t kMostCount = 1'000'000'000;

std::string text_of(const Json& j, const char* key) {
  const auto found = j.find(key);
  return found != j.end() && found->is_string() ? found->get<std::string>() : "";
}

std::optional<double> number_of(const Json& j, const char* key, double most) {
  const auto found = j.find(key);
  if (found == j.end() || !found->is_number()) return std::nullopt;
  const double v = found->get<double>();
  return std::isfinite(v) && v >= 0 && v <= most ? std::optional(v) : std::nullopt;
}

std::optional<std::int64_t> count_of(const Json& j, const char* key) {
  const auto v = number_of(j, key, static_cast<double>(kMostCount));
  if (!v || *v != std::floor(*v)) return std::nullopt;
  return static_cast<std::int64_t>(*v);
}

std::optional<bool> flag_of(const Json& j, const char* key) {
  const auto found = j.find(key);
  if (found == j.end()) return std::nullopt;
  if (found->is_boolean()) return found->get<bool>();
  if (!found->is_number() || found->get<double>() < 0)
    return std::nullopt;  // -1: the program's choice
  return found->get<double>() != 0;
}

// bandwall probe writes the fields of llama-bench, and where it asked.
bool is_probe(const Json& j) { return !text_of(j, "engine").empty() && j.contains("endpoint"); }

// One row of llama-bench; empty: it is one, otherwise why it is none.
std::string add_llama_row(const Json& j, Measurement m, std::vector<Measurement>& rows) {
  const auto n_prompt = count_of(j, "n_prompt"), n_gen = count_of(j, "n_gen");
  if (!n_prompt || !n_gen) return "n_prompt or n_gen: not stated, or no count";
  if (*n_prompt > 0 && *n_gen > 0) {
    return fmt::format(
        "pp{}+tg{}: prompt and generation in one time; run them apart (-p N -n 0, "
        "-p 0 -n N)",
        *n_prompt, *n_gen);
  }
  const auto ts = number_of(j, "avg_ts", 1e9);
  if (!ts || !(*ts > 0)) return "avg_ts: no number above 0";
  m.phase = *n_gen > 0 ? MeasuredPhase::Decode : MeasuredPhase::Prefill;
  m.n_tokens = *n_gen > 0 ? *n_gen : *n_prompt;
  if (*m.n_tokens < 1) return "n_prompt and n_gen are both 0";
  m.depth = count_of(j, "n_depth").value_or(0);
  m.batch = std::max<std::int64_t>(1, count_of(j, "n_batch_sequences").value_or(1));
  m.ubatch = count_of(j, "n_ubatch");
  if (m.ubatch == 0) m.ubatch.reset();
  m.type_k = text_of(j, "type_k");
  m.type_v = text_of(j, "type_v");
  if (m.type_k.empty() != m.type_v.empty()) m.type_k = m.type_v = m.type_k + m.type_v;
  m.flash_attention = flag_of(j, "flash_attn");
  m.tok_s = *ts;
  m.backend = text_of(j, "backends");
  if (m.backend.empty()) m.backend = text_of(j, "backend");
  const auto build = count_of(j, "build_number");
  const bool own = m.backend.starts_with("bandwall");
  m.engine =
      own ? "bandwall-cpu"
          : fmt::format("llama.cpp{} (llama-bench)", build ? fmt::format(" b{}", *build) : "");
  if (own) m.backend = "bandwall-cpu";
  if (is_probe(j)) {
    m.engine = text_of(j, "engine");
    m.backend.clear();  // the field tells what the prediction was for
    if (const auto middle = number_of(j, "median_ts", 1e9); middle && *middle > 0)
      m.tok_s = *middle;
    if (m.phase == MeasuredPhase::Prefill && m.batch > 1) {
      return "prompts of several requests: how they share a step is the server's choice";
    }
  }
  m.device = text_of(j, "gpu_info");
  if (m.device.empty()) m.device = text_of(j, "cpu_info");
  const FileLabel label = label_of_file(text_of(j, "model_filename"));
  const std::string type = text_of(j, "model_type");
  m.model = label.model.empty() ? type : label.model;
  m.quant = label.quant.empty() ? quant_of_type(type) : label.quant;
  m.file_gib = number_of(j, "model_size", 1e15).value_or(0) / kGiB;
  m.marks = engine_marks(m.engine);
  rows.push_back(std::move(m));
  return "";
}

double first_number(const Json& j, std::initializer_list<const char*> keys) {
  for (const char* key : keys) {
    if (const auto v = number_of(j, key, 1e12); v && *v > 0) return *v;
  }
  return 0;
}

std::string add_vllm_rows(const Json& j, Measurement m, std::vector<Measurement>& rows) {
  const auto completed = count_of(j, "completed");
  const double in = first_number(j, {"total_input_tokens", "total_input"});
  const double out = first_number(j, {"total_output_tokens", "total_output"});
  const double tpot = first_number(j, {"median_tpot_ms", "mean_tpot_ms"});
  const double ttft = first_number(j, {"median_ttft_ms", "mean_ttft_ms"});
  if (!completed || *completed < 1 || !(out > 0)) {
    return "no request was completed (completed, total_output_tokens)";
  }
  const double requests = static_cast<double>(*completed);
  const auto n_in = static_cast<std::int64_t>(std::llround(std::min(in / requests, 1e9)));
  const auto n_out = static_cast<std::int64_t>(std::llround(std::min(out / requests, 1e9)));
  m.engine = "vLLM (bench serve)";
  m.backend = "CUDA";
  m.model = text_of(j, "model_id");
  if (m.model.empty()) m.model = text_of(j, "model");
  const auto asked = count_of(j, "max_concurrency");
  const double busy = first_number(j, {"duration"});
  // Without a limit, the mean number of requests in flight by Little's law.
  const double flight =
      busy > 0 ? requests * (ttft + tpot * (static_cast<double>(n_out) - 1)) / (1000 * busy) : 1;
  m.batch =
      asked && *asked > 0 ? *asked : std::max<std::int64_t>(1, std::llround(std::min(flight, 1e6)));
  m.batch = std::min<std::int64_t>(m.batch, *completed);
  if (n_out > 1 && tpot > 0) {
    Measurement tg = m;
    tg.engine += m.batch > 1 ? " aggregate" : "";
    tg.phase = MeasuredPhase::Decode;
    tg.n_tokens = n_out;
    tg.depth = n_in;
    tg.tok_s = static_cast<double>(m.batch) * 1000 / tpot;  // TPOT leaves the first token out
    tg.marks = engine_marks(tg.engine);
    if (!(tg.tok_s <= 1e9)) return "the time per token is no time";
    rows.push_back(std::move(tg));
  }
  if (m.batch == 1 && n_in > 0 && static_cast<double>(n_in) * 1000 / ttft <= 1e9) {
    m.phase = MeasuredPhase::Prefill;
    m.n_tokens = n_in;
    m.depth = 0;
    m.tok_s = static_cast<double>(n_in) * 1000 / ttft;
    m.marks = engine_marks(m.engine);
    rows.push_back(std::move(m));
  }
  return n_out > 1 && tpot > 0 ? "" : "no time per token (median_tpot_ms, mean_tpot_ms)";
}

std::string add_run_rows(const Json& j, Measurement m, std::vector<Measurement>& rows) {
  m.engine = m.backend = "bandwall-cpu";
  m.device = "this";
  const FileLabel label = label_of_file(text_of(j, "model"));
  m.model = label.model;
  m.quant = text_of(j, "quantization");
  m.file_gib = number_of(j, "model_size", 1e15).value_or(0) / kGiB;
  m.type_k = text_of(j, "type_k");
  m.type_v = text_of(j, "type_v");
  if (m.type_k.empty() != m.type_v.empty()) m.type_k = m.type_v = m.type_k + m.type_v;
  m.flash_attention = true;
  const auto n_prompt = count_of(j, "n_prompt");
  std::string wrong = "no phase with measured_tokens_per_second";
  for (const Json& p : j["phases"]) {
    if (!p.is_object()) continue;
    const auto ts = number_of(p, "measured_tokens_per_second", 1e9);
    const auto tokens = count_of(p, "tokens");
    if (!ts || !(*ts > 0) || !tokens || *tokens < 1) continue;
    Measurement one = m;
    one.phase = text_of(p, "phase") == "prefill" ? MeasuredPhase::Prefill : MeasuredPhase::Decode;
    one.n_tokens = *tokens;
    one.depth = one.phase == MeasuredPhase::Decode ? n_prompt.value_or(0) : 0;
    one.tok_s = *ts;
    rows.push_back(std::move(one));
    wrong.clear();
  }
  return wrong;
}

// The kind of one object and what it adds; wrappers that hold a row of llama-bench are opened once.
bool add_object(const Json& j, int line, const std::string& name, Imported& into) {
  if (!j.is_object()) return false;
  Measurement m;
  m.line = line;
  m.source = name;
  std::string kind, wrong;
  if (j.contains("avg_ts") ||
      (j.contains("n_gen") && j.contains("n_prompt") && !j.contains("phases"))) {
    const bool own = text_of(j, "backends").starts_with("bandwall");
    kind = is_probe(j) ? "bandwall probe" : own ? "bandwall bench" : "llama-bench";
    wrong = add_llama_row(j, m, into.file.rows);
  } else if (j.contains("total_output_tokens") || j.contains("median_tpot_ms") ||
             j.contains("mean_tpot_ms")) {
    kind = "vllm bench serve";
    wrong = add_vllm_rows(j, m, into.file.rows);
  } else if (j.contains("phases") && j["phases"].is_array()) {
    kind = "bandwall run";
    wrong = add_run_rows(j, m, into.file.rows);
  } else {
    for (const auto& [key, inner] : j.items()) {
      if (inner.is_object() && inner.contains("avg_ts")) {
        return add_object(inner, line, name, into);
      }
    }
    if (!j.contains("bench_raw")) return false;
    kind = "llama-bench";
    wrong = "the result is null: the test failed";
  }
  into.kind = kind + " JSON";
  if (!wrong.empty()) into.file.skipped.push_back({line, wrong});
  return true;
}

}  // namespace

bool import_json(std::string_view text, const std::string& name, Imported& into) {
  const std::size_t first = text.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos || (text[first] != '{' && text[first] != '[')) return false;
  const Json whole = Json::parse(text, nullptr, false);
  bool known = false;
  if (!whole.is_discarded()) {
    if (!whole.is_array()) return add_object(whole, 1, name, into);
    int place = 0;
    for (const Json& j : whole) {
      ++place;  // of arrays the place of the object stands for its line
      if (add_object(j, place, name, into)) {
        known = true;
      } else {
        into.file.skipped.push_back({place, "an element of no known kind"});
      }
    }
    return known;
  }
  int line = 0;
  while (!text.empty()) {
    ++line;
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view one = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (one.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    const Json j = Json::parse(one, nullptr, false);
    if (j.is_discarded()) {
      into.file.skipped.push_back({line, "no JSON: cut short, or damaged"});
    } else if (add_object(j, line, name, into)) {
      known = true;
    } else {
      into.file.skipped.push_back({line, "an object of no known kind"});
    }
  }
  return known;
}

}  // namespace bandwall
