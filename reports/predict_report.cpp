#include "reports/predict_report.h"

#include <cmath>
#include <cstdlib>

#include <fmt/format.h>

#include "reports/table.h"

namespace bandwall {
namespace {

using Json = nlohmann::ordered_json;

std::string milliseconds(Seconds t) { return fmt::format("{:.3f}", t.value() * 1e3); }

void append(std::string& sum, const std::string& term) { sum += (sum.empty() ? "" : " + ") + term; }

// "1.53 GB / 231 GB/s": the rate is what the amount was priced at.
std::string streamed(Bytes amount, Seconds t) {
  return fmt::format("{} / {}", human(amount), human(amount / t));
}

std::string weights_term(const ExplainedOps& e) {
  Bytes all;
  std::string formats;
  for (const auto& [format, bytes] : e.weights) {
    all += bytes;
    formats += (formats.empty() ? "" : "+") + format;
  }
  return streamed(all, e.cost.weights) + " " + formats;
}

// amounts / rates + ... with the numbers that price() used.
std::string formula(const ExplainedOps& e) {
  const double count = static_cast<double>(e.count);
  std::string sum;
  if (e.cost.weights > Seconds(0)) append(sum, weights_term(e));
  if (e.cost.dequantization > Seconds(0)) {
    append(sum, fmt::format("{} unpacking beyond memory", human(e.cost.dequantization)));
  }
  if (e.cost.kv > Seconds(0)) {
    const Bytes moved = e.traffic.kv_read + e.traffic.kv_written + e.traffic.state;
    append(sum, streamed(moved, e.cost.kv) + (e.traffic.state > Bytes(0) ? " state" : " KV"));
  }
  if (e.cost.compute > Seconds(0)) {
    append(sum, fmt::format("{:.3g} GFLOP / {}", e.flops.value() / kGiga,
                            human(e.flops / e.cost.compute)));
  }
  if (e.cost.overhead > Seconds(0)) {
    append(sum, fmt::format("{} x {}", e.count, human(e.cost.overhead / count)));
  }
  if (e.expected > e.cost.total() * (1 + 1e-9)) append(sum, "held by the speed of light");
  return sum.empty() ? "nothing" : sum;
}

std::string percent(double share) { return fmt::format("{:.1f} %", 100 * share); }

// Four significant digits: more would be noise, and differ between math libraries.
double rounded(double v) {
  return v == 0 || !std::isfinite(v) ? 0 : std::strtod(fmt::format("{:.4g}", v).c_str(), nullptr);
}

Json seconds(Seconds t) { return rounded(t.value()); }

}  // namespace

nlohmann::ordered_json explain_json(const std::vector<ExplainedOps>& groups, Seconds host) {
  Json ops = Json::array();
  for (const ExplainedOps& e : groups) {
    Json weights = Json::object();
    for (const auto& [format, bytes] : e.weights) weights[format] = bytes.count();
    ops.push_back({{"op", name(e.kind)},
                   {"ops", e.count},
                   {"weight_bytes", weights},
                   {"kv_bytes", (e.traffic.kv_read + e.traffic.kv_written).count()},
                   {"state_bytes", e.traffic.state.count()},
                   {"flops", rounded(e.flops.value())},
                   {"seconds_weights", seconds(e.cost.weights)},
                   {"seconds_dequantization", seconds(e.cost.dequantization)},
                   {"seconds_kv", seconds(e.cost.kv)},
                   {"seconds_compute", seconds(e.cost.compute)},
                   {"seconds_overhead", seconds(e.cost.overhead)},
                   {"seconds_expected", seconds(e.expected)},
                   {"seconds_speed_of_light", seconds(e.speed_of_light)}});
  }
  return {{"ops", ops}, {"seconds_step_host", seconds(host)}};
}

nlohmann::ordered_json elasticity_json(const std::vector<Elasticity>& all) {
  Json j = Json::object();
  for (const Elasticity& e : all) j[e.figure] = std::round(e.value * 1e3) / 1e3;
  return j;
}

nlohmann::ordered_json service_json(const Scenario& s, const Service& r) {
  return {{"users", r.users},
          {"n_prompt", s.n_prompt},
          {"n_gen", s.n_gen},
          {"ttft_s", seconds(r.ttft)},
          {"tpot_s", seconds(r.tpot)},
          {"itl_median_s", seconds(r.itl_median)},
          {"itl_beside_prompt_s", seconds(r.itl_chunk)},
          {"request_s", seconds(r.request)},
          {"ts_generated", rounded(r.ts_generated)},
          {"ts_total", rounded(r.ts_total)},
          {"saturated", r.saturated}};
}

nlohmann::ordered_json speculation_json(const SpeculationOptions& o, const Speculation& s) {
  Json j = {{"n_draft", o.n_draft},
            {"acceptance", o.acceptance},
            {"tokens_per_round", rounded(s.tokens_per_round)},
            {"draft_s", seconds(s.draft)},
            {"verify_s", seconds(s.verify)},
            {"ts", rounded(s.ts)},
            {"speedup", rounded(s.speedup)}};
  j["break_even_acceptance"] = s.break_even ? Json(rounded(*s.break_even)) : Json();
  return j;
}

nlohmann::ordered_json load_json(Bytes file, const LoadTime& t) {
  Json j = {{"file_bytes", file.count()}, {"sequential_s", seconds(t.sequential)}};
  j["read_ahead_s"] = t.read_ahead ? seconds(*t.read_ahead) : Json();
  j["page_faults_s"] = t.faults ? seconds(*t.faults) : Json();
  return j;
}

nlohmann::ordered_json cost_json(const PricedPhase& p) {
  Json j = {{"watts", rounded(p.energy.power.value())},
            {"joules_per_token", rounded(p.energy.joules.value() / p.tokens)},
            {"is_upper_bound", p.energy.bound},
            {"usd_per_mtok_electricity", rounded(p.cost.usd_electricity)}};
  j["usd_per_mtok_machine"] = p.cost.usd_machine ? Json(rounded(*p.cost.usd_machine)) : Json();
  return j;
}

std::string explain_text(const std::vector<ExplainedOps>& groups, Seconds host, Seconds step) {
  Table table({{"op"},
               {"ops", Align::Right},
               {"seconds = amounts / rates + ops x fixed cost"},
               {"ms", Align::Right},
               {"share", Align::Right},
               {"light ms", Align::Right}});
  Seconds light;
  for (const ExplainedOps& e : groups) {
    table.add({std::string(name(e.kind)), std::to_string(e.count), formula(e),
               milliseconds(e.expected), percent(e.expected / step),
               milliseconds(e.speed_of_light)});
    light += e.speed_of_light;
  }
  if (host > Seconds(0)) {
    table.add(
        {"step", "1", "host time of a step", milliseconds(host), percent(host / step), "0.000"});
  }
  table.rule();
  table.add({"sum", "", "", milliseconds(step), "100.0 %", milliseconds(light)});
  return table.text();
}

std::string elasticity_text(const std::vector<Elasticity>& all) {
  std::string out = "10 % more of a figure moves tokens per second by\n";
  double rates = 0, costs = 0;
  Table table({{"figure"}, {"elasticity", Align::Right}, {"+10 % gives", Align::Right}});
  for (const Elasticity& e : all) {
    table.add({e.figure, fmt::format("{:+.3f}", e.value), fmt::format("{:+.1f} %", 10 * e.value)});
    (e.value > 0 ? rates : costs) += e.value;
  }
  out += table.text();
  return out + fmt::format(
                   "rates {:.3f}, fixed costs {:.3f}; their distance is 1 where no op is "
                   "held by the speed of light\n",
                   rates, costs);
}

std::string service_text(const Scenario& s, const Service& r) {
  Table table({{"users", Align::Right},
               {"prompt", Align::Right},
               {"generated", Align::Right},
               {"TTFT ms", Align::Right},
               {"TPOT ms", Align::Right},
               {"ITL ms", Align::Right},
               {"ITL beside a prompt ms", Align::Right},
               {"request s", Align::Right},
               {"generated tok/s", Align::Right},
               {"all tok/s", Align::Right}});
  const auto ms = [](Seconds t) { return fmt::format("{:.1f}", t.value() * 1e3); };
  table.add({std::to_string(r.users), std::to_string(s.n_prompt), std::to_string(s.n_gen),
             ms(r.ttft), ms(r.tpot), ms(r.itl_median), ms(r.itl_chunk),
             fmt::format("{:.2f}", r.request.value()), fmt::format("{:.1f}", r.ts_generated),
             fmt::format("{:.1f}", r.ts_total)});
  std::string out = table.text();
  if (r.saturated) {
    out += "note: the prompts alone fill the time; fewer users or shorter prompts shorten TTFT\n";
  }
  return out;
}

std::string speculation_text(const SpeculationOptions& o, const Speculation& s) {
  std::string out = fmt::format(
      "speculative decoding, {} guessed tokens, acceptance {:.2f}: {:.2f} tokens per round of "
      "{:.2f} ms draft + {:.2f} ms verification (plain step {:.2f} ms)\n",
      o.n_draft, o.acceptance, s.tokens_per_round, s.draft.value() * 1e3, s.verify.value() * 1e3,
      s.plain.value() * 1e3);
  out += fmt::format("  {:.2f} tok/s, {:.2f} x plain decoding; ", s.ts, s.speedup);
  return out + (s.break_even ? fmt::format("pays above an acceptance of {:.2f}\n", *s.break_even)
                             : "it cannot pay: a round takes longer than its tokens one by one\n");
}

std::string load_text(Bytes file, const LoadTime& t) {
  std::string out =
      fmt::format("load {}: {:.1f} s in large reads", gb_and_gib(file), t.sequential.value());
  if (t.read_ahead) out += fmt::format(", {:.1f} s mapped with read-ahead", t.read_ahead->value());
  if (t.faults) out += fmt::format(", {:.1f} s mapped page by page", t.faults->value());
  return out + "\n";
}

std::string cost_text(const std::vector<PricedPhase>& phases, const CostOptions& o) {
  Table table({{"test"},
               {"W", Align::Right},
               {"J/token", Align::Right},
               {"USD/Mtok electricity", Align::Right},
               {"USD/Mtok machine", Align::Right}});
  bool bound = false;
  for (const PricedPhase& p : phases) {
    bound = bound || p.energy.bound;
    const char* most = p.energy.bound ? "<= " : "";
    table.add({p.name, fmt::format("{}{:.0f}", most, p.energy.power.value()),
               fmt::format("{}{:.3g}", most, p.energy.joules.value() / p.tokens),
               fmt::format("{}{:.3f}", most, p.cost.usd_electricity),
               p.cost.usd_machine ? fmt::format("{:.3f}", *p.cost.usd_machine) : "-"});
  }
  std::string out = table.text();
  out += fmt::format("at {:.2f} USD/kWh, {:g} years of use at a utilization of {:.2f}\n",
                     o.usd_per_kwh, o.years, o.utilization);
  if (bound)
    out += "note: <=: the machine's energy per byte is unknown; its full power was taken\n";
  return out;
}

}  // namespace bandwall
