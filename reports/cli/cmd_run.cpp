// bandwall run: the main job. Loads a model, predicts, runs the real kernels, and prints tokens and
// the prediction beside the measurement, op by op.
#include <fmt/format.h>
#include <unistd.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "analysis/fit.h"
#include "analysis/pricing.h"
#include "hwmodel/error.h"
#include "reports/cli/commands.h"
#include "reports/cli/common.h"
#include "reports/cli/host_profile.h"
#include "reports/cli/synthetic.h"
#include "reports/routing_json.h"
#include "reports/run_report.h"
#include "runtime/calibrate.h"
#include "runtime/chat_template.h"
#include "runtime/host.h"
#include "runtime/micro_batch.h"
#include "runtime/sampler.h"
#include "runtime/tokenizer.h"

namespace bandwall {
namespace {

constexpr const char* kDemoOpening = "Memory bandwidth";  // the demo model goes on from here

// Everything a run needs, made before the first timed token.
struct Job {
  std::optional<SyntheticModel> memory;  // outlives the model that lies in it
  std::optional<SyntheticChoice> synthetic;
  LoadedModel model;
  Tokenizer tokenizer;
  std::string prompt;                // as shown
  std::vector<std::int32_t> tokens;  // as evaluated
  std::int64_t n_gen = 0;
  EngineOptions engine;
  KvConfig kv;
  SamplerOptions sampler;
};

std::string given_prompt(const Arguments& a) {
  if (a.has("prompt") && a.has("file")) throw Error::input("run", "give -p or -f, not both");
  const std::string text = a.has("file") ? read_file(a.text("file"), 64 << 20) : a.text("prompt");
  if (text.empty() && (a.has("file") || a.has("prompt"))) {
    throw Error::input(a.has("file") ? a.text("file") : "--prompt",
                       "the prompt is empty; give some text, or leave the option out");
  }
  return text;
}

// Without -c: what is needed, up to what the model was trained for; beyond that only on request.
std::int64_t chosen_context(const Arguments& a, std::int64_t n_prompt, std::int64_t n_gen,
                            std::int64_t trained) {
  const std::int64_t needed = n_prompt + n_gen;
  const std::int64_t asked = a.integer("ctx-size", 0, std::int64_t{1} << 31);
  if (asked == 0 && needed > trained) {
    throw Error::input(
        "--ctx-size", fmt::format("the prompt has {} tokens and -n asks for {}: {} positions, but "
                                  "the model was trained for {}; shorten them, or give -c {} to go "
                                  "beyond",
                                  n_prompt, n_gen, needed, trained, needed));
  }
  if (asked == 0) return (needed + 255) / 256 * 256;
  if (needed > asked) {
    throw Error::input("--ctx-size",
                       fmt::format("the prompt has {} tokens and -n asks for {}: {} positions, "
                                   "but the context is {}; raise -c or shorten them",
                                   n_prompt, n_gen, needed, asked));
  }
  return asked;
}

Job open_job(const Arguments& a) {
  std::optional<SyntheticModel> memory;
  std::optional<SyntheticChoice> synthetic;
  if (a.has("synthetic")) {
    if (a.has("model")) throw Error::input("run", "give -m or --synthetic, not both");
    synthetic = choose_synthetic(a, a.text("synthetic"));
    memory = build_synthetic(*synthetic);
  } else if (a.has("layers") || a.has("vocab")) {
    throw Error::input("run", "--layers and --vocab go with --synthetic");
  }
  LoadedModel model = synthetic ? LoadedModel::from_memory(memory->bytes(), synthetic->title)
                                : open_model(a.text("model"), chosen_loading(a));
  model.require_kernels();
  Tokenizer tokenizer = Tokenizer::from_gguf(model.files().front());
  return {std::move(memory),
          std::move(synthetic),
          std::move(model),
          std::move(tokenizer),
          {},
          {},
          0,
          {},
          {},
          {}};
}

Job prepare(const Arguments& a) {
  Job job = open_job(a);
  const bool demo = !job.synthetic && a.text("model") == "demo";
  job.prompt = given_prompt(a);
  const bool chat = demo && !a.on("raw") && !job.prompt.empty();
  if (job.prompt.empty()) job.prompt = demo ? kDemoOpening : "The memory bandwidth of a machine";
  job.tokens =
      job.tokenizer.encode(chat ? demo_chat_prompt(job.prompt) : job.prompt,
                           {.special = chat ? SpecialTokens::Parse : SpecialTokens::Plain});
  if (job.tokens.empty()) throw Error::input("--prompt", "the prompt has no tokens");
  job.n_gen = a.integer("n-predict", 0, 1 << 24);
  job.kv = kv_config(a);
  job.engine.context = chosen_context(a, static_cast<std::int64_t>(job.tokens.size()), job.n_gen,
                                      job.model.spec().hyper.context_train);
  job.engine.n_ubatch = a.has("ubatch-size") ? a.integer("ubatch-size", 1, 1 << 16)
                                             : usual_ubatch(job.model.spec().hyper);
  job.engine.threads = a.has("threads") ? static_cast<int>(a.integer("threads", 1, 1024)) : 0;
  job.engine.k = job.kv.k;
  job.engine.v = job.kv.v;
  job.sampler.temperature = static_cast<float>(a.number("temp", 0, 100));
  job.sampler.top_k = static_cast<std::int32_t>(a.integer("top-k", 0, 1 << 24));
  job.sampler.top_p = static_cast<float>(a.number("top-p", 0, 1));
  job.sampler.min_p = static_cast<float>(a.number("min-p", 0, 1));
  job.sampler.seed = static_cast<std::uint64_t>(a.integer("seed", 0, INT64_MAX));
  return job;
}

// The steps of the job in order: micro-batches of the prompt, then one token at a time.
// A long generation is priced at kMostDepths depths; each stands for the `stride` steps around it.
struct Forecast {
  std::vector<Prediction> prefill, decode;
  std::int64_t stride = 1;
};
constexpr std::int64_t kMostDepths = 4096;

Forecast forecast(const Job& job, const Host& host, int threads) {
  const ModelSpec& spec = job.model.spec();
  Forecast f;
  const auto price = [&](const Step& step) {
    return predict(host.profile.machine, host.profile.backend, spec, job.kv, step,
                   expected_routing(spec, step), threads);
  };
  const auto n_prompt = static_cast<std::int64_t>(job.tokens.size());
  for (const Step& s : prefill_steps(n_prompt, 0, job.engine.n_ubatch, 1))
    f.prefill.push_back(price(s));
  const std::int64_t steps = std::max<std::int64_t>(0, job.n_gen - 1);
  f.stride = steps / kMostDepths + 1;
  for (std::int64_t i = 0; i < steps; i += f.stride) {
    const std::int64_t past = n_prompt + std::min(i + f.stride / 2, steps - 1);
    f.decode.push_back(
        price({.sequences = 1, .tokens_per_sequence = 1, .past = past, .output_rows = 1}));
  }
  return f;
}

// Sums the first `steps` predictions; the rest were made for tokens that were not generated.
Phase predicted_phase(const std::string& name, const std::vector<Prediction>& predictions,
                      std::int64_t stride, std::int64_t steps) {
  Phase phase;
  phase.name = name;
  std::map<OpKind, std::pair<Seconds, Bound>> longest;
  for (std::int64_t i = 0; i < steps; ++i) {
    const Prediction& p = predictions[static_cast<std::size_t>(i / stride)];
    phase.predicted += p.ledger;
    phase.speed_of_light += p.speed_of_light;
    for (const OpPrediction& op : p.ops) {
      auto& best = longest.try_emplace(op.key.kind, Seconds(0), op.bound).first->second;
      if (op.expected > best.first) best = {op.expected, op.bound};
    }
  }
  for (const auto& [kind, best] : longest) phase.bounds[kind] = best.second;
  phase.tokens = phase.predicted.tokens;
  phase.steps = steps;
  return phase;
}

// Joins what was measured; bytes are predicted again from the routing that really happened.
void settle(Phase& phase, const Job& job, const Meter& meter, const Machine& machine, int threads) {
  phase.measured = meter.ledger;
  Ledger replayed;
  for (const Meter::StepRecord& s : meter.steps) {
    replayed += ledger_of(plan_step(job.model.spec(), job.kv, s.step, s.routing));
  }
  phase.comparison = compare(phase.predicted, phase.measured);
  const Comparison exact = compare(replayed, phase.measured);
  phase.comparison.bytes_equal = exact.bytes_equal;
  phase.comparison.unequal = exact.unequal;
  const double steps = static_cast<double>(std::max<std::int64_t>(1, phase.steps));
  phase.ceiling =
      achievable_bandwidth(machine, phase.measured.traffic().from_memory() / steps, threads);
}

std::vector<ElsewhereRow> elsewhere(const Arguments& a, const Job& job) {
  std::vector<ElsewhereRow> rows;
  for (const std::string& name : a.list("machine")) {
    if (name.empty()) continue;
    const Target target =
        choose_target(name, a.optional_text("backend"), a.optional_text("profile"));
    Scenario s;
    s.kv = job.kv;
    if (a.has("ubatch-size")) s.n_ubatch = job.engine.n_ubatch;
    s.n_prompt = static_cast<std::int64_t>(job.tokens.size());
    ElsewhereRow row;
    row.machine = name;
    row.backend = target.backend.name;
    row.prefill = predict_prefill(target.machine, target.backend, job.model.spec(), s);
    s.depth = s.n_prompt;
    s.n_gen = std::max<std::int64_t>(1, job.n_gen);
    s.n_prompt = 0;
    row.decode = predict_decode(target.machine, target.backend, job.model.spec(), s);
    FitOptions options;
    options.context = job.engine.context;
    options.kv = job.kv;
    if (a.has("ubatch-size")) options.n_ubatch = job.engine.n_ubatch;
    if (target.backend.context_bytes) options.runtime_bytes = target.backend.context_bytes->value;
    row.fit = fit(target.machine, job.model.spec(), options);
    rows.push_back(row);
  }
  return rows;
}

enum class Form { Text, Markdown, Json, JsonLines };

// Tokens as they come: text streams, JSON lines are events, the others keep quiet.
void emit_token(Form form, std::int32_t id, const std::string& piece) {
  if (form == Form::Text) {
    fmt::print("{}", piece);
  } else if (form == Form::JsonLines) {
    const nlohmann::ordered_json j = {{"event", "token"}, {"id", id}, {"text", piece}};
    fmt::print("{}\n", j.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace));
  } else {
    return;
  }
  // Nobody reads any more, or the disk is full: more tokens would be wasted work.
  if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0) {
    throw Error::running("stdout", "cannot be written; generation stops");
  }
}

struct Generated {
  std::vector<std::int32_t> ids;
  Meter prefill, decode;
  std::uint64_t hash = 0;
};

Generated generate(const Job& job, Engine& engine, Form form, bool record_experts) {
  Generated g;
  g.prefill.record_experts = g.decode.record_experts = record_experts;
  Sampler sampler(job.sampler);
  std::span<const float> logits = engine.evaluate(job.tokens, Outputs::Last, &g.prefill);
  while (static_cast<std::int64_t>(g.ids.size()) < job.n_gen) {
    const std::int32_t id = sampler.sample(logits);
    if (job.tokenizer.is_end_of_generation(id)) break;
    g.ids.push_back(id);
    emit_token(form, id, job.tokenizer.is_control(id) ? "" : job.tokenizer.piece(id));
    if (static_cast<std::int64_t>(g.ids.size()) == job.n_gen) break;
    const std::int32_t next[] = {id};
    logits = engine.evaluate(next, Outputs::Last, &g.decode);
  }
  g.hash = logits_hash(logits);
  return g;
}

// One token, not metered: page faults of the mapping and first-touch costs are not decode speed.
void warm_up(const Job& job, Engine& engine) {
  engine.evaluate(std::span(job.tokens).first(1), Outputs::Last);
  engine.reset();
}

void print_result(Form form, const RunResult& run) {
  switch (form) {
    case Form::Text:
      fmt::print("\n\n{}", run_text(run));
      break;
    case Form::Markdown:
      fmt::print("{}\n\n{}", run.text, run_markdown(run));
      break;
    case Form::Json:
      fmt::print("{}", run_json(run));
      break;
    case Form::JsonLines:
      fmt::print("{}", run_json_line(run));
      break;
  }
}

RunResult describe(const Arguments& a, const Job& job, const Engine& engine, const Host& host) {
  RunResult run;
  run.model = !job.synthetic && a.text("model") == "demo" ? "demo" : job.model.spec().name;
  run.quantization = job.model.spec().quantization;
  run.file_bytes = job.model.file_bytes();
  run.prompt = job.prompt;
  run.n_prompt = static_cast<std::int64_t>(job.tokens.size());
  run.n_gen = job.n_gen;
  run.context = job.engine.context;
  run.threads = engine.options().threads;
  run.isa = engine.options().table->isa;
  run.k_type = job.kv.k->name;
  run.v_type = job.kv.v->name;
  run.seed = job.sampler.seed;
  run.profile_note = host.note;
  run.notes = job.tokenizer.warnings();
  return run;
}

// Opened before the work, so that a path that cannot be written costs nothing.
std::optional<OutputFile> open_routing_file(const Arguments& a, const Hyper& hyper) {
  if (!a.has("routing")) return std::nullopt;
  if (hyper.experts == 0) {
    throw Error::input("--routing", "this model has no experts; leave the option out");
  }
  return std::optional<OutputFile>(std::in_place, a.text("routing"));
}

Form chosen_form(const Arguments& a) {
  const std::string form = a.choice("output", {"text", "md", "json", "jsonl"});
  return form == "text"   ? Form::Text
         : form == "md"   ? Form::Markdown
         : form == "json" ? Form::Json
                          : Form::JsonLines;
}

int run_run(const Arguments& a) {
  const Form form = chosen_form(a);
  Job job = prepare(a);
  std::optional<OutputFile> routing_file = open_routing_file(a, job.model.spec().hyper);
  std::optional<OutputFile> prediction_file;
  if (a.has("predicted")) prediction_file.emplace(a.text("predicted"));
  Engine engine(job.model, job.engine);
  engine.set_interrupt(&interrupted());
  const int threads = engine.options().threads;
  std::vector<ElsewhereRow> rows = elsewhere(a, job);  // a wrong name is found before the probes
  Host host = host_profile(a, job.model.spec(), threads);
  warm_up(job, engine);
  const BytesPerSecond seen = host.profile.machine.pool().peak.value;
  const BandwidthNow before = probe_bandwidth(threads, &job.model);
  follow_bandwidth(host.profile.machine, host.profile.backend, before.median.memory, threads,
                   before.median.pages);

  RunResult run = describe(a, job, engine, host);
  run.elsewhere = std::move(rows);
  const Forecast f = forecast(job, host, threads);
  run.phases.push_back(
      predicted_phase("prefill", f.prefill, 1, static_cast<std::int64_t>(f.prefill.size())));
  if (!f.decode.empty())
    run.phases.push_back(predicted_phase("decode", f.decode, f.stride, job.n_gen - 1));
  run.basis = f.prefill.front().basis;
  if (prediction_file) {
    const std::string text = prediction_json(run);
    prediction_file->write(text.data(), text.size());
    prediction_file->commit();
  }
  if (form == Form::Text) fmt::print("{}\n> {}\n", prediction_line(run), job.prompt);
  if (form == Form::JsonLines) {
    fmt::print(
        "{}\n",
        nlohmann::ordered_json{{"event", "prediction"},
                               {"prefill_tokens_per_second", run.phases.front().ts_predicted()},
                               {"decode_tokens_per_second", run.phases.back().ts_predicted()}}
            .dump());
  }
  std::fflush(stdout);

  const Generated g = generate(job, engine, form, routing_file.has_value());
  const BandwidthNow after = probe_bandwidth(threads);
  // The ceiling: the best plain read seen while calibrating, before or after.
  follow_bandwidth(host.profile.machine, host.profile.backend,
                   std::max({seen, before.best, after.best}), threads);
  run.text = job.tokenizer.decode(g.ids);
  run.logits_hash = g.hash;
  run.phases.resize(1);
  settle(run.phases[0], job, g.prefill, host.profile.machine, threads);
  if (!g.decode.steps.empty()) {
    run.phases.push_back(predicted_phase("decode", f.decode, f.stride,
                                         static_cast<std::int64_t>(g.decode.steps.size())));
    settle(run.phases[1], job, g.decode, host.profile.machine, threads);
  }
  run.bytes_equal = true;
  for (const Phase& p : run.phases) run.bytes_equal = run.bytes_equal && p.comparison.bytes_equal;
  if (routing_file) {
    const std::string text = routing_json(run.model, job.model.spec().hyper,
                                          {{"prefill", &g.prefill}, {"decode", &g.decode}});
    routing_file->write(text.data(), text.size());
    routing_file->commit();
  }
  print_result(form, run);
  if (job.synthetic) tell_full_depth(*job.synthetic, host, after.median.memory, job.kv, threads);
  std::fflush(stdout);  // the report comes before what is wrong with it
  require_equal_bytes(run);
  return kExitDone;
}

}  // namespace

CommandSpec command_run() {
  CommandSpec c{
      "run",
      "run [-m FILE] [-p TEXT] [-n N] [OPTIONS]",
      "the main job: real tokens, bytes per op, predicted beside measured, and a fit verdict",
      0,
      0,
      {},
      run_run};
  c.options = {
      {"model,m", "FILE", "demo",
       "a GGUF file (any part of a split one), hf:ORG/NAME[:QUANT] (also -hf), ollama:NAME[:TAG], "
       "or "
       "the embedded demo model"},
      option_synthetic(),
      {"prompt,p", "TEXT", "", "prompt; the demo model gets it as a chat turn"},
      {"file,f", "FILE", "", "prompt from a file"},
      {"n-predict,n", "N", "96", "tokens to generate"},
      {"machine,M", "NAME,..", "gb10", "other machines to predict the same job on"},
      {"backend", "NAME", "", "software stack there; each machine's usual one when not given"},
      option_context("0"),
      option_threads(),
      {"ubatch-size,ub", "N", "",
       "tokens per micro-batch in prefill (512 to 2048 by the number of experts when not given)"},
      option_kv_k(),
      option_kv_v(),
      {"temp", "T", "0", "temperature; 0 is greedy"},
      {"top-k", "K", "40", "keep the K best tokens, 0 = all"},
      {"top-p", "P", "0.95", "keep the smallest set with this share of probability"},
      {"min-p", "P", "0.05", "drop tokens below this share of the best"},
      {"seed,s", "N", "42", "seed of the sampler"},
      {"raw", "", "", "no chat form for the demo model: the prompt as it is"},
      {"predicted", "FILE", "", "save the prediction before the run, as JSON"},
      {"routing", "FILE", "", "save which experts were chosen how often, as JSON"},
      option_profile(),
      option_output("text", "text, md, json, jsonl")};
  for (const OptionSpec& o : options_loading()) c.options.push_back(o);
  for (const OptionSpec& o : options_cut()) c.options.push_back(o);
  for (const OptionSpec& o : options_ignored()) c.options.push_back(o);
  return c;
}

}  // namespace bandwall
