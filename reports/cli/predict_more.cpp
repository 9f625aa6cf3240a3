#include "reports/cli/predict_more.h"

#include <algorithm>

#include <fmt/format.h>

#include "hwmodel/error.h"
#include "reports/predict_report.h"

namespace bandwall {
namespace {

std::string title(const Scenario& s) {
  return s.n_gen > 0
             ? fmt::format("tg{} x{} @ d{}", s.n_gen, s.batch, s.depth)
             : fmt::format("pp{} @ d{}, micro-batches of {}", s.n_prompt, s.depth, s.n_ubatch);
}

// The step that stands for the scenario: the middle of decode, the last chunk of a prompt.
Step typical_step(const Scenario& s) {
  if (s.n_gen > 0) return {s.batch, 1, s.depth + (s.n_gen - 1) / 2, s.batch};
  const std::int64_t chunk = std::min(s.n_ubatch, s.n_prompt);
  return {1, chunk, s.depth + (s.n_prompt - 1) / chunk * chunk, 1};
}

void explanation(const ModelChoice& model, const Target& t, const Scenario& s, More& more) {
  const Step step = typical_step(s);
  const Routing routing = routing_of(t.backend, model.spec, s, step);
  const auto time = [&](const Machine& m, const Backend& b) {
    return predict(m, b, model.spec, s.kv, step, routing, s.threads).step;
  };
  const auto groups = explain(t.machine, t.backend, model.spec, s.kv, step, routing, s.threads);
  const Seconds whole = time(t.machine, t.backend);
  Seconds ops;
  for (const ExplainedOps& e : groups) ops += e.expected;
  const Seconds host = std::max(Seconds(0), whole - ops);
  const auto moves = elasticities(t.machine, t.backend, time);
  more.text += fmt::format("\n{}: one step of {} token{} after {}\n\n", title(s), step.tokens(),
                           step.tokens() == 1 ? "" : "s", step.past) +
               explain_text(groups, host, whole) + "\n" + elasticity_text(moves);
  more.json["explain"] = explain_json(groups, host);
  more.json["elasticities"] = elasticity_json(moves);
}

void speculation(const Arguments& a, const ModelChoice& model, const Target& t, const Scenario& s,
                 More& more) {
  SpeculationOptions o;
  o.n_draft = a.integer("spec-draft", 1, 1024);
  o.acceptance = a.number("acceptance", 0, 1);
  std::optional<ModelChoice> draft;
  if (a.has("draft")) {
    draft.emplace(choose_model(a.text("draft")));
    o.draft = &draft->spec;
  }
  const Speculation result = speculate(t.machine, t.backend, model.spec, s, o);
  more.text += "\n" + speculation_text(o, result);
  more.json["speculative"] = speculation_json(o, result);
}

void service(const Arguments& a, const ModelChoice& model, const Target& t, const Scenario& s,
             More& more) {
  for (const std::int64_t prompt : a.integers("n-prompt", 0, 1 << 24)) {
    if (prompt == 0) continue;
    Scenario request = s;
    request.n_prompt = prompt;
    const Service result = serve(t.machine, t.backend, model.spec, request);
    more.text += "\n" + service_text(request, result);
    more.json["serve"].push_back(service_json(request, result));
  }
}

void money(const Arguments& a, const Target& target, const Scenario& s, const Throughput& t,
           More& more) {
  CostOptions o;
  o.usd_per_kwh = a.number("kwh", 0, 1000);
  o.years = a.number("years", 0.01, 100);
  o.utilization = a.number("utilization", 0.0001, 1);
  const double steps = s.n_gen > 0 ? static_cast<double>(s.n_gen) : 1;
  const auto e =
      energy(target.machine, (t.bytes_weights + t.bytes_kv) * steps, t.flops * steps, t.total);
  if (!e) {
    more.text += "\nnote: no power of this machine is known, so no energy and no cost\n";
    return;
  }
  const double tokens = t.ts * t.total.value();
  const PricedPhase phase{title(s), tokens, t.total, *e,
                          cost_per_million(target.machine, *e, t.total, tokens, o)};
  more.text += "\n" + cost_text({phase}, o);
  more.json["cost"] = cost_json(phase);
}

void loading(const ModelChoice& model, const Target& target, More& more) {
  const std::int64_t file =
      model.spec.file_bytes > 0 ? model.spec.file_bytes : model.spec.weight_bytes();
  const auto t = load_time(target.machine, bytes(file));
  if (!t) {
    more.text +=
        "\nnote: this machine states no link \"nvme\", so no load time; give its "
        "bandwidth in a file of your own\n";
    return;
  }
  more.text += "\n" + load_text(bytes(file), *t);
  more.json["load"] = load_json(bytes(file), *t);
}

}  // namespace

std::vector<OptionSpec> options_more() {
  return {
      {"explain", "", "",
       "the arithmetic of every op, and by how much each figure of the machine and backend "
       "moves tokens per second"},
      {"serve", "", "",
       "-B users, each sending prompts of -p and reading -n tokens: TTFT, TPOT, ITL"},
      {"spec-draft", "N", "", "speculative decoding with N guessed tokens per round"},
      {"acceptance", "A", "0.7", "share of guessed tokens that are accepted, 0 to 1"},
      {"draft,md", "MODEL", "", "the model that guesses; without it the model's own MTP blocks"},
      {"load", "", "", "seconds to load the file from disk: large reads, mapped"},
      {"cost", "", "", "energy per token and money per million tokens"},
      {"kwh", "USD", "0.30", "price of electricity"},
      {"years", "Y", "3", "years of use that the machine's price is spread over"},
      {"utilization", "U", "0.5", "share of that time in which it works"}};
}

More more_about(const Arguments& a, const ModelChoice& model, const Target& target,
                const Scenario& s, const Throughput& t) {
  More more;
  if (a.on("explain")) explanation(model, target, s, more);
  if (s.n_gen > 0 && a.has("spec-draft")) speculation(a, model, target, s, more);
  if (s.n_gen > 0 && a.on("serve")) service(a, model, target, s, more);
  if (a.on("cost")) money(a, target, s, t, more);
  if (a.on("load")) loading(model, target, more);
  return more;
}

}  // namespace bandwall
