#include "analysis/validate.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "analysis/quantile.h"
#include "hwmodel/error.h"

namespace bandwall {
namespace {

constexpr double kConstantEfficiency = 0.55;  // AlexsJones/llmfit: share of the peak bandwidth

// Values a token is multiplied by: of experts the chosen share, of the tables the head alone.
double active_values(const ModelSpec& model) {
  const Hyper& h = model.hyper;
  const double share = h.experts > 0 ? static_cast<double>(h.experts_used) / h.experts : 1;
  double values = 0;
  for (const TensorSpec& t : model.tensors) {
    if (t.role == Role::Other || (t.role == Role::TokenEmbedding && !h.tied_head)) continue;
    const bool expert =
        t.role == Role::ExpertGate || t.role == Role::ExpertUp || t.role == Role::ExpertDown;
    values += static_cast<double>(t.values()) * (expert ? share : 1);
  }
  return values;
}

// The highest 16-bit rate, or the highest of all where the machine states none.
double peak_compute(const Machine& machine) {
  double best = 0, any = 0;
  for (const ComputeRate& r : machine.compute) {
    const double rate = r.peak.value.value();
    any = std::max(any, rate);
    if (r.numeric == "bf16" || r.numeric == "fp16") best = std::max(best, rate);
  }
  return (best > 0 ? best : any) * machine.devices;
}

void decode_baselines(const RowInputs& in, const Throughput& t, RowResult& r) {
  const double peak = in.machine->pool().peak.value.value() * in.machine->devices;
  const double b = static_cast<double>(in.row->batch);
  const double weights = t.bytes_weights.value(), kv = t.bytes_kv.value();
  if (weights > 0) {
    r.naive = b * peak / weights;
    r.naive_kv = b * peak / (weights + kv);
  }
  const double parameters = static_cast<double>(in.model->parameters());
  const double active = active_values(*in.model) / parameters;
  const double file = static_cast<double>(in.model->weight_bytes());
  if (in.row->batch == 1 && file * active > 0) {
    r.constant = kConstantEfficiency * peak / (file * active);
  }
}

struct Window {
  double seconds = 0, fastest = 0, slowest = 0;
};

Window window_of(const Throughput& t, double tokens) {
  Window w;
  if (!(t.ts > 0)) return w;
  w.seconds = tokens / t.ts;
  w.fastest = t.ts_high > 0 ? tokens / t.ts_high : w.seconds;
  w.slowest = t.ts_low > 0 ? tokens / t.ts_low : w.seconds;
  return w;
}

void set_result(RowResult& r, const Window& w, double tokens) {
  if (!(w.seconds > 0)) return;
  r.predicted = tokens / w.seconds;
  r.low = tokens / w.slowest;
  r.high = tokens / w.fastest;
}

Scenario scenario_of(const RowInputs& in) {
  Scenario s;
  s.kv = in.kv;
  s.batch = in.row->batch;
  s.depth = in.row->depth.value_or(0);
  s.n_ubatch = in.row->ubatch.value_or(in.n_ubatch);
  return s;
}

// The prompts that are read inside the time of a decode row: of end-to-end clocks its own, of
// requests that arrive together those of the others.
Window prompts_inside(const RowInputs& in) {
  const Measurement& m = *in.row;
  const bool staggered = m.marks.staggered && m.batch > 1 && m.depth.value_or(0) > 0;
  if (!staggered && !m.marks.end_to_end) return {};
  Scenario s = scenario_of(in);
  s.batch = 1;
  s.depth = 0;
  s.n_prompt = m.depth.value_or(0) > 0 ? *m.depth : kShortPrompt;
  const double times = staggered ? static_cast<double>(m.batch - 1) : 1;
  const Throughput t = predict_prefill(*in.machine, *in.backend, *in.model, s);
  Window w = window_of(t, static_cast<double>(s.n_prompt));
  return {w.seconds * times, w.fastest * times, w.slowest * times};
}

void take_over(const Throughput& t, RowResult& r) {
  r.speed_of_light = t.ts_speed_of_light;
  r.bound = t.bound;
  r.basis = t.basis;
  r.known_limit = t.known_limit;
  r.notes = t.notes;
}

void check_decode(const RowInputs& in, RowResult& r) {
  const Measurement& m = *in.row;
  Scenario s = scenario_of(in);
  s.n_gen = m.n_tokens.value_or(kUnstatedTokens);
  if (m.marks.end_to_end && s.depth == 0) s.depth = kShortPrompt;
  const Throughput t = predict_decode(*in.machine, *in.backend, *in.model, s);
  take_over(t, r);
  decode_baselines(in, t, r);
  const double tokens = static_cast<double>(s.n_gen * s.batch);
  Window w = window_of(t, tokens);
  const Window prompts = prompts_inside(in);
  set_result(
      r, {w.seconds + prompts.seconds, w.fastest + prompts.fastest, w.slowest + prompts.slowest},
      tokens);
  if (m.marks.off_by_one && s.n_gen > 1) {
    r.measured *= static_cast<double>(s.n_gen - 1) / static_cast<double>(s.n_gen);
  }
  r.faster_than_light = s.batch == 1 && !m.marks.speculative && r.measured > t.ts_speed_of_light;
}

void check_prefill(const RowInputs& in, RowResult& r) {
  if (!in.row->n_tokens) throw Error::input("n_tokens", "the length of the prompt is not stated");
  Scenario s = scenario_of(in);
  s.n_prompt = *in.row->n_tokens;
  const double compute = peak_compute(*in.machine), values = active_values(*in.model);
  if (compute > 0 && values > 0) r.naive = r.naive_kv = compute / (2 * values);
  const Throughput t = predict_prefill(*in.machine, *in.backend, *in.model, s);
  take_over(t, r);
  r.predicted = t.ts;
  r.low = t.ts_low;
  r.high = t.ts_high;
}

}  // namespace

std::string_view name(Regime regime) {
  switch (regime) {
    case Regime::Decode:
      return "decode";
    case Regime::Depth:
      return "decode at depth";
    case Regime::BatchedDecode:
      return "batched decode";
    case Regime::Prefill:
      return "prefill";
  }
  return "?";
}

Regime regime_of(const Measurement& m) {
  if (m.phase == MeasuredPhase::Prefill) return Regime::Prefill;
  if (m.batch > 1) return Regime::BatchedDecode;
  return m.depth.value_or(0) >= kDepthFrom ? Regime::Depth : Regime::Decode;
}

std::string attention_kind(const Hyper& h) {
  for (std::int64_t l = 0; l < h.layers; ++l) {
    if (h.recurs(l)) return "hybrid";
  }
  if (h.kv_rank > 0) return "latent";
  return h.window > 0 ? "window" : "plain";
}

RowResult check_row(const RowInputs& in) {
  RowResult r;
  r.measured = in.row->tok_s;
  r.regime = regime_of(*in.row);
  if (in.row->phase == MeasuredPhase::Prefill) {
    check_prefill(in, r);
  } else {
    check_decode(in, r);
  }
  if (!(r.predicted > 0) || !std::isfinite(r.predicted)) {
    throw Error::input(in.model->name, "gives no finite speed for this row");
  }
  r.error = r.predicted / r.measured - 1;
  r.inside = r.measured >= r.low && r.measured <= r.high;
  return r;
}

RowAttributes attributes_of(const RowInputs& in, const RowResult& result,
                            const std::string& model_name) {
  const Measurement& m = *in.row;
  const Hyper& h = in.model->hyper;
  std::map<Format, std::int64_t> bytes;
  for (const TensorSpec& t : in.model->tensors) {
    if (t.role != Role::Other) bytes[t.format] += t.bytes;
  }
  const auto most = std::max_element(
      bytes.begin(), bytes.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
  std::string marks;
  const auto mark = [&](bool set, const char* word) {
    if (set) marks += (marks.empty() ? "" : " ") + std::string(word);
  };
  mark(m.marks.aggregate, "aggregate");
  mark(m.marks.staggered, "staggered");
  mark(m.marks.speculative, "speculative");
  mark(m.marks.eager, "eager");
  mark(m.marks.end_to_end, "end-to-end");
  mark(m.marks.off_by_one, "off-by-one");
  return {{"device", m.device},
          {"machine", in.machine->name},
          {"devices", fmt::format("{}", in.machine->devices)},
          {"engine", m.engine},
          {"stack", m.backend},
          {"backend", in.backend->name},
          {"model", model_name},
          {"quant", m.quant},
          {"format", most == bytes.end() ? "" : std::string(name(most->first))},
          {"regime", std::string(name(result.regime))},
          {"phase", std::string(name(m.phase))},
          {"attention", attention_kind(in.model->hyper)},
          {"marks", marks},
          {"flash_attention", m.flash_attention ? (*m.flash_attention ? "on" : "off") : ""},
          {"kv", std::string(in.kv.k->name) + "/" + std::string(in.kv.v->name)},
          {"basis", std::string(name(result.basis))},
          {"test", test_name(m)},
          {"experts", h.experts > 0 ? "yes" : "no"},
          {"expert_width", fmt::format("{}", h.expert_ffn)},
          {"head_width", fmt::format("{}", h.head_dim_k)},
          {"heads_per_kv_head", fmt::format("{}", h.kv_heads > 0 ? h.heads / h.kv_heads : 0)},
          {"faster_than_light", result.faster_than_light ? "yes" : "no"},
          {"known_limit", result.known_limit ? "yes" : "no"}};
}

ErrorSummary summarize(const std::vector<RowResult>& rows, const std::vector<std::size_t>& which) {
  ErrorSummary s;
  s.n = which.size();
  std::vector<double> errors, signed_errors, naive, naive_kv, constant;
  std::size_t inside = 0;
  for (const std::size_t i : which) {
    const RowResult& r = rows[i];
    const auto off = [&](double baseline) { return std::fabs(baseline / r.measured - 1); };
    errors.push_back(std::fabs(r.error));
    signed_errors.push_back(r.error);
    if (r.naive > 0) naive.push_back(off(r.naive));
    if (r.naive_kv > 0) naive_kv.push_back(off(r.naive_kv));
    if (r.constant > 0) constant.push_back(off(r.constant));
    inside += r.inside ? 1 : 0;
    if (errors.size() == 1 || errors.back() > s.worst) {
      s.worst = errors.back();
      s.worst_row = i;
    }
  }
  if (s.n == 0) return s;
  s.median = quantile(errors, 0.5);
  s.p90 = quantile(errors, 0.9);
  s.bias = quantile(signed_errors, 0.5);
  s.naive = quantile(naive, 0.5);
  s.naive_kv = quantile(naive_kv, 0.5);
  s.constant = quantile(constant, 0.5);
  s.coverage = static_cast<double>(inside) / static_cast<double>(s.n);
  const double best = std::min(s.naive, s.naive_kv);
  if (best > 0) s.skill = 1 - s.median / best;
  return s;
}

RowClass classify(const RowAttributes& row, const ValidationRules& rules) {
  RowClass c;
  for (std::size_t i = 0; i < rules.failing.size() && c.failing < 0; ++i) {
    if (rules.failing[i].where.holds(row)) c.failing = static_cast<int>(i);
  }
  for (std::size_t i = 0; i < rules.bars.size() && c.failing < 0 && c.bar < 0; ++i) {
    if (rules.bars[i].where.holds(row)) c.bar = static_cast<int>(i);
  }
  return c;
}

bool meets(const ErrorSummary& s, const Bar& bar) {
  return (bar.median == 0 || s.median <= bar.median) && (bar.p90 == 0 || s.p90 <= bar.p90) &&
         (bar.worst == 0 || s.worst <= bar.worst);
}

}  // namespace bandwall
