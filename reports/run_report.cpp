#include "reports/run_report.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "hwmodel/error.h"
#include "reports/table.h"

namespace bandwall {
namespace {

using Json = nlohmann::ordered_json;

double per_second(std::int64_t tokens, Seconds t) {
  return t > Seconds(0) ? static_cast<double>(tokens) / t.value() : 0;
}

std::string percent(double share) { return fmt::format("{:.0f} %", 100 * share); }
std::string milliseconds(Seconds t) { return fmt::format("{:.3f}", t.value() * 1e3); }
std::string megabytes(Bytes b) { return fmt::format("{:.3f}", b.value() / kMega); }
std::string gigabytes_per_second(BytesPerSecond r) {
  return fmt::format("{:.2f}", r.value() / kGiga);
}

// Ops that move next to nothing per call are no statement about bandwidth: no GB/s, no share.
bool moves_bytes(const ComparisonRow& row) {
  return row.calls > 0 && row.bytes.value() / static_cast<double>(row.calls) >= 4096;
}

Table op_table(const Phase& phase) {
  Table table({{"op"},
               {"calls", Align::Right},
               {"MB", Align::Right},
               {"predicted ms", Align::Right},
               {"measured ms", Align::Right},
               {"ratio", Align::Right},
               {"GB/s", Align::Right},
               {"of ceiling", Align::Right},
               {"bound by"}});
  Seconds predicted, measured;
  for (const ComparisonRow& r : phase.comparison.rows) {
    const auto bound = phase.bounds.find(r.kind);
    table.add({std::string(name(r.kind)), std::to_string(r.calls), megabytes(r.bytes),
               milliseconds(r.predicted), milliseconds(r.measured), fmt::format("{:.2f}", r.ratio),
               moves_bytes(r) ? gigabytes_per_second(r.achieved) : "",
               moves_bytes(r) ? percent(r.achieved / phase.ceiling) : "",
               bound == phase.bounds.end() ? "" : std::string(name(bound->second))});
    predicted += r.predicted;
    measured += r.measured;
  }
  table.rule();
  const Seconds rest = phase.measured.residual(), rest_predicted = phase.predicted.residual();
  table.add({"residual", "", "", milliseconds(rest_predicted), milliseconds(rest), "", "", "", ""});
  table.add({"all", std::to_string(phase.steps), megabytes(phase.measured.traffic().from_memory()),
             milliseconds(phase.predicted.wall), milliseconds(phase.measured.wall),
             fmt::format("{:.2f}", phase.comparison.time_ratio),
             gigabytes_per_second(phase.achieved()), percent(phase.achieved() / phase.ceiling),
             ""});
  return table;
}

Table elsewhere_table(const RunResult& run) {
  Table table({{"machine"},
               {"backend"},
               {"prefill tok/s", Align::Right},
               {"decode tok/s", Align::Right},
               {"low - high", Align::Right},
               {"speed of light", Align::Right},
               {"basis"},
               {"fit"}});
  for (const ElsewhereRow& r : run.elsewhere) {
    table.add({r.machine, r.backend, fmt::format("{:.1f}", r.prefill.ts),
               fmt::format("{:.1f}", r.decode.ts),
               fmt::format("{:.1f} - {:.1f}", r.decode.ts_low, r.decode.ts_high),
               fmt::format("{:.1f}", r.decode.ts_speed_of_light), std::string(name(r.decode.basis)),
               fmt::format("{}, {} free", name(r.fit.verdict), human(deciding(r.fit).headroom))});
  }
  return table;
}

const Phase* find_phase(const RunResult& run, const char* wanted) {
  for (const Phase& p : run.phases) {
    if (p.name == wanted) return &p;
  }
  return nullptr;
}

std::string last_line(const RunResult& run) {
  const Phase* decode = find_phase(run, "decode");
  const Phase& p = decode != nullptr ? *decode : run.phases.back();
  const double tokens = static_cast<double>(p.tokens > 0 ? p.tokens : 1);
  return fmt::format(
      "{} tokens | {:.1f} tok/s measured, {:.1f} expected, {:.1f} speed of light | {} per token | "
      "{} achieved, {} of ceiling | seed {} | logits {:016x}\n",
      p.tokens, p.ts_measured(), p.ts_predicted(), p.ts_speed_of_light(),
      human(p.measured.traffic().from_memory() / tokens), human(p.achieved()),
      percent(p.achieved() / p.ceiling), run.seed, run.logits_hash);
}

std::string report(const RunResult& run, bool markdown) {
  std::string out;
  const auto add = [&](const std::string& title, const Table& table) {
    out += markdown ? "### " + title + "\n\n" + table.markdown() : title + "\n" + table.text();
    out += '\n';
  };
  for (const Phase& p : run.phases) {
    add(fmt::format("{}: {} tokens in {} steps, {:.1f} tok/s measured, {:.1f} predicted (ratio of "
                    "times {:.2f})",
                    p.name, p.tokens, p.steps, p.ts_measured(), p.ts_predicted(),
                    p.comparison.time_ratio),
        op_table(p));
  }
  if (!run.elsewhere.empty()) {
    add(fmt::format(
            "the same job elsewhere, by prediction: {} prompt tokens, {} generated, context {}",
            run.n_prompt, run.n_gen, run.context),
        elsewhere_table(run));
  }
  out +=
      fmt::format("bytes: predicted {} metered in every op ({} read ceiling at this working set)\n",
                  run.bytes_equal ? "equal" : "DIFFER from", human(run.phases.back().ceiling));
  out += fmt::format("{}, {} threads, {} kernels, K {} / V {}\n", run.profile_note, run.threads,
                     run.isa, run.k_type, run.v_type);
  for (const std::string& n : run.notes) out += "note: " + n + "\n";
  return out + last_line(run);
}

Json traffic_json(const Traffic& t) {
  return {{"weights_bytes", t.weights.count()},
          {"kv_read_bytes", t.kv_read.count()},
          {"kv_written_bytes", t.kv_written.count()},
          {"state_bytes", t.state.count()},
          {"activation_bytes", t.activations.count()}};
}

Json phase_prediction(const Phase& p) {
  Json ops = Json::array();
  for (const auto& [key, row] : p.predicted.rows) {
    ops.push_back({{"op", name(key.kind)},
                   {"layer", key.layer},
                   {"calls", row.calls},
                   {"seconds", row.time.value()},
                   {"flops", row.flops.value()},
                   {"traffic", traffic_json(row.traffic)}});
  }
  return {{"phase", p.name},
          {"tokens", p.tokens},
          {"steps", p.steps},
          {"predicted_tokens_per_second", p.ts_predicted()},
          {"speed_of_light_tokens_per_second", p.ts_speed_of_light()},
          {"predicted_seconds", p.predicted.wall.value()},
          {"ops", ops}};
}

Json phase_json(const Phase& p) {
  Json kinds = Json::array();
  for (const ComparisonRow& r : p.comparison.rows) {
    const auto bound = p.bounds.find(r.kind);
    kinds.push_back(
        {{"op", name(r.kind)},
         {"calls", r.calls},
         {"bytes", r.bytes.count()},
         {"predicted_seconds", r.predicted.value()},
         {"measured_seconds", r.measured.value()},
         {"ratio", r.ratio},
         {"achieved_bytes_per_second", r.achieved.value()},
         {"share_of_ceiling", r.achieved / p.ceiling},
         {"bound_by", bound == p.bounds.end() ? Json(nullptr) : Json(name(bound->second))}});
  }
  return {{"phase", p.name},
          {"tokens", p.tokens},
          {"steps", p.steps},
          {"measured_tokens_per_second", p.ts_measured()},
          {"predicted_tokens_per_second", p.ts_predicted()},
          {"speed_of_light_tokens_per_second", p.ts_speed_of_light()},
          {"measured_seconds", p.measured.wall.value()},
          {"predicted_seconds", p.predicted.wall.value()},
          {"residual_seconds", p.measured.residual().value()},
          {"achieved_bytes_per_second", p.achieved().value()},
          {"ceiling_bytes_per_second", p.ceiling.value()},
          {"traffic", traffic_json(p.measured.traffic())},
          {"ops", kinds}};
}

Json throughput_json(const Throughput& t) {
  return {{"pred_ts", t.ts},           {"pred_ts_low", t.ts_low},
          {"pred_ts_high", t.ts_high}, {"pred_ts_speed_of_light", t.ts_speed_of_light},
          {"bound_by", name(t.bound)}, {"basis", name(t.basis)}};
}

Json run_object(const RunResult& run) {
  Json phases = Json::array(), elsewhere = Json::array();
  for (const Phase& p : run.phases) phases.push_back(phase_json(p));
  for (const ElsewhereRow& r : run.elsewhere) {
    elsewhere.push_back({{"machine", r.machine},
                         {"backend", r.backend},
                         {"prefill", throughput_json(r.prefill)},
                         {"decode", throughput_json(r.decode)},
                         {"verdict", name(r.fit.verdict)},
                         {"needed_bytes", r.fit.needed.count()},
                         {"usable_bytes", r.fit.usable.count()},
                         {"headroom_bytes", deciding(r.fit).headroom.count()}});
  }
  return {{"model", run.model},
          {"quantization", run.quantization},
          {"model_size", run.file_bytes},
          {"prompt", run.prompt},
          {"text", run.text},
          {"n_prompt", run.n_prompt},
          {"n_gen", run.n_gen},
          {"context", run.context},
          {"threads", run.threads},
          {"isa", run.isa},
          {"type_k", run.k_type},
          {"type_v", run.v_type},
          {"basis", name(run.basis)},
          {"profile", run.profile_note},
          {"bytes_equal", run.bytes_equal},
          {"phases", phases},
          {"elsewhere", elsewhere},
          {"seed", run.seed},
          {"logits_hash", fmt::format("{:016x}", run.logits_hash)},
          {"notes", run.notes}};
}

// Text made by a model may cut a UTF-8 character at its end: replaced, never an exception.
std::string dump(const Json& j, int indent) {
  return j.dump(indent, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace

double Phase::ts_predicted() const { return per_second(tokens, predicted.wall); }
double Phase::ts_measured() const { return per_second(tokens, measured.wall); }
double Phase::ts_speed_of_light() const { return per_second(tokens, speed_of_light); }
BytesPerSecond Phase::achieved() const {
  return measured.wall > Seconds(0) ? measured.traffic().from_memory() / measured.wall
                                    : BytesPerSecond(0);
}

void require_equal_bytes(const RunResult& run) {
  if (run.bytes_equal) return;
  for (const Phase& p : run.phases) {
    if (p.comparison.bytes_equal || p.comparison.unequal.empty()) continue;
    const OpKey& op = p.comparison.unequal.front();
    throw Error::running(
        run.model,
        fmt::format(
            "{}: the bytes metered in {} op(s) are not the predicted ones, first in op {}{}; "
            "this is a bug of bandwall: report it with the command and the model",
            p.name, p.comparison.unequal.size(), name(op.kind),
            op.layer < 0 ? "" : fmt::format(" of layer {}", op.layer)));
  }
  throw Error::running(run.model,
                       "metered bytes are not the predicted ones; this is a bug of "
                       "bandwall: report it with the command and the model");
}

std::string prediction_line(const RunResult& run) {
  std::string out = "predicted before the run:";
  for (const Phase& p : run.phases)
    out += fmt::format(" {} {:.1f} tok/s,", p.name, p.ts_predicted());
  out.back() = '\n';
  return out;
}

std::string run_text(const RunResult& run) { return report(run, false); }
std::string run_markdown(const RunResult& run) { return report(run, true); }
std::string run_json(const RunResult& run) { return dump(run_object(run), 2); }
std::string run_json_line(const RunResult& run) {
  Json j = {{"event", "result"}};
  j.update(run_object(run));
  return dump(j, -1);
}

std::string prediction_json(const RunResult& run) {
  Json phases = Json::array();
  for (const Phase& p : run.phases) phases.push_back(phase_prediction(p));
  return dump({{"model", run.model},
               {"n_prompt", run.n_prompt},
               {"n_gen", run.n_gen},
               {"context", run.context},
               {"threads", run.threads},
               {"type_k", run.k_type},
               {"type_v", run.v_type},
               {"profile", run.profile_note},
               {"basis", name(run.basis)},
               {"phases", phases}},
              2);
}

}  // namespace bandwall
