// bandwall probe: times of tokens of any OpenAI-compatible server, measured beside predicted.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <ctime>
#include <exception>
#include <random>

#include "configs/model_names.h"
#include "configs/row_names.h"
#include "hwmodel/error.h"
#include "reports/cli/commands.h"
#include "reports/cli/common.h"
#include "reports/cli/probe_server.h"
#include "reports/import_results.h"
#include "reports/probe_report.h"
#include "reports/validation.h"
#include "workload/gguf.h"

namespace bandwall {
namespace {

struct Test {
  std::int64_t n_prompt = 0, depth = 0, concurrency = 1;
};

struct Plan {
  std::string form;
  std::vector<Test> tests;
  std::int64_t n_gen = 0, repetitions = 0;
  KvConfig kv;
  std::optional<std::int64_t> n_ubatch;  // the server's, where it is given
  std::optional<Target> target;
  std::optional<ModelChoice> model;  // known before the server is asked
};

Plan make_plan(const Arguments& a) {
  Plan plan;
  plan.form = a.choice("output", {"text", "md", "json", "csv"});
  plan.n_gen = a.integer("n-gen", 2, 1 << 20);
  plan.repetitions = a.integer("repetitions", 1, 1000);
  for (const std::int64_t depth : a.integers("n-depth", 0, 1 << 22)) {
    for (const std::int64_t prompt : a.integers("n-prompt", 1, 1 << 22)) {
      for (const std::int64_t c : a.integers("concurrency", 1, 256)) {
        plan.tests.push_back({prompt, depth, c});
      }
    }
  }
  plan.kv = kv_config(a);
  if (a.has("ubatch-size")) plan.n_ubatch = a.integer("ubatch-size", 1, 1 << 20);
  if (a.has("machine")) {
    plan.target =
        choose_target(a.text("machine"), a.optional_text("backend"), a.optional_text("profile"));
  } else if (a.has("backend") || a.has("shape") || a.has("mix")) {
    throw Error::input("probe",
                       "--backend, --shape and --mix serve the prediction, which needs "
                       "--machine too");
  }
  if (a.has("mix") && !a.has("shape")) {
    throw Error::input("--mix", "needs --shape, the model that it quantizes");
  }
  if (plan.target && a.has("shape"))
    plan.model.emplace(choose_model(a.text("shape"), a.text("mix")));
  return plan;
}

std::string api_key(const Arguments& a) {
  if (a.has("api-key")) return a.text("api-key");
  const char* key = std::getenv("BANDWALL_API_KEY");
  return key != nullptr ? key : "";
}

// Short answers may hold none: chats hide the marks that open a thought or a channel.
void expect_tokens(const ProbeClient& client, const ProbeServer& server, const ProbeRound& round) {
  for (const ProbeAnswer& a : round.answers) {
    if (!a.stream.arrivals.empty()) continue;
    throw Error::running(client.shown() + server.endpoint,
                         "the stream held no token; does the model answer at all (curl it)? More "
                         "tokens (-n) pass what a chat hides at first");
  }
}

// One test: prefixes of `depth` tokens are brought into the cache first, each stream its own.
std::vector<ProbeRound> measure(const ProbeClient& client, ProbeServer& server, const Plan& plan,
                                const Test& t, Words& words) {
  const auto streams = static_cast<std::size_t>(t.concurrency);
  std::vector<std::string> prefixes(streams);
  const std::int64_t before = t.depth > 0 ? words_for(server, t.depth) : 0;
  if (before > 0) {
    for (std::string& p : prefixes) p = words.some(before) + " ";
    progress(fmt::format("depth {} x{}", t.depth, t.concurrency));
    ask(client, server, prefixes, 1, true);
  }
  std::vector<ProbeRound> rounds;
  for (std::int64_t r = -1; r < plan.repetitions; ++r) {  // the first warms up and is not kept
    progress(fmt::format("prompt {} depth {} x{}: {} of {}", t.n_prompt, t.depth, t.concurrency,
                         r + 1, plan.repetitions));
    const std::int64_t total = words_for(server, t.depth + t.n_prompt);
    std::vector<std::string> prompts = prefixes;
    const std::int64_t added = std::max<std::int64_t>(1, total - before);
    for (std::string& p : prompts) p += words.some(added);
    const std::int64_t n_gen = r < 0 ? std::min<std::int64_t>(plan.n_gen, 8) : plan.n_gen;
    ProbeRound round = ask(client, server, prompts, n_gen, t.depth > 0);
    if (r >= 0) {
      expect_tokens(client, server, round);
      rounds.push_back(std::move(round));
    } else if (const auto n = round.answers.front().stream.prompt_tokens; server.counts && n) {
      const double per_word =
          (static_cast<double>(*n) - server.base) / static_cast<double>(before + added);
      if (per_word > 0) server.slope = per_word;
    }
  }
  progress_done();
  return rounds;
}

void add_rows(const Plan& plan, const ProbeServer& server, const Test& t,
              const std::vector<ProbeRound>& rounds, std::vector<ProbeRow>& rows) {
  const ProbeMeasures m = measures(rounds);
  const auto prompt = m.counted_prompts ? std::llround(m.prompt_tokens) : t.n_prompt + t.depth;
  const bool known = m.counted_prompts && (m.knows_cached || t.depth == 0);
  ProbeRow pp;
  pp.measures = m;
  pp.row.device = plan.target ? plan.target->machine.name : "";
  pp.row.backend = plan.target ? plan.target->backend.name : "";
  pp.row.engine = fmt::format("{} (probe{})", server.kind.empty() ? "unknown server" : server.kind,
                              m.knows_cached ? ", reuse counted" : "");
  pp.row.marks = engine_marks(pp.row.engine);
  pp.row.model = plan.model ? plan.model->title : printable(server.model);
  pp.row.quant = plan.model ? plan.model->spec.quantization : "";
  pp.row.file_gib = static_cast<double>(server.model_bytes) / kGiB;
  pp.row.batch = t.concurrency;
  pp.row.ubatch = plan.n_ubatch;
  pp.row.type_k = plan.kv.k->name;
  pp.row.type_v = plan.kv.v->name;
  ProbeRow tg = pp;
  pp.row.phase = MeasuredPhase::Prefill;
  pp.row.depth = m.knows_cached ? std::llround(m.cached_tokens) : known ? 0 : t.depth;
  pp.row.n_tokens = std::max<std::int64_t>(1, prompt - *pp.row.depth);
  if (known) pp.samples = m.prefill_ts;
  const double ratio = median(m.server_prefill_ts) / std::max(median(pp.samples), 1e-9);
  if (ratio > 0.9 && ratio < 1.1) pp.row.engine += ", server's clock agrees";
  tg.row.phase = MeasuredPhase::Decode;
  tg.row.depth = prompt;
  tg.row.n_tokens = std::llround(m.generated);
  tg.samples = m.decode_ts;
  for (ProbeRow* r : {&pp, &tg}) {
    r->row.tok_s = median(r->samples);
    rows.push_back(std::move(*r));
  }
}

// The rows beside predictions, by the same code as those of compare.
void foretell(const Plan& plan, std::vector<ProbeRow>& rows, std::vector<std::string>& notes) {
  if (!plan.target || !plan.model) return;
  MeasurementFile file;
  file.name = "probe";
  for (std::size_t i = 0; i < rows.size(); ++i) {
    Measurement& m = rows[i].row;
    m.line = static_cast<int>(i);
    // How several prompts share a step is the server's choice: their sum has no prediction.
    const bool has_one = m.tok_s > 0 && !(rows[i].prefill() && m.batch > 1);
    if (has_one) file.rows.push_back(m);
  }
  ValidationOptions options;
  options.at = &plan.target->machine;
  options.with = &plan.target->backend;
  options.model = &plan.model->spec;
  options.explain = true;
  const Validation v = validate_rows({file}, options);
  for (std::size_t i = 0; i < v.rows.size(); ++i) {
    ProbeRow& row = rows[static_cast<std::size_t>(v.rows[i].row.line)];
    row.result = v.results[i];
    row.causes = v.causes[i];
  }
  for (const LeftRow& l : v.left) {
    notes.push_back(fmt::format("{}: no prediction: {}",
                                test_name(rows[static_cast<std::size_t>(l.line)].row), l.reason));
  }
}

// The model by the server's words: shape and quantization in its name, the size of its file.
void choose_shape(const Arguments& a, const ProbeServer& server, Plan& plan) {
  if (!plan.target || plan.model) return;
  const std::optional<std::string> shape = shape_named(server.model);
  if (!shape) {
    throw Error::input("--shape",
                       fmt::format("the server's model '{}' is none that is shipped; name a model "
                                   "or a file for the prediction (bandwall show model lists them)",
                                   printable(server.model)));
  }
  plan.model.emplace(choose_model(*shape, a.text("mix")));
  Measurement said;
  said.model = server.model;
  said.quant = label_of_file(server.model).quant;
  said.file_gib = static_cast<double>(server.model_bytes) / kGiB;
  ModelMeaning own =
      weights_of(said, load_model_shape(*shape), plan.target->backend.name, row_names());
  if (!own.problem.empty()) return;  // the usual mix; describe() compares the sizes
  plan.model->title = fmt::format("{}:{}", *shape, own.model.quantization);
  plan.model->spec = std::move(own.model);
}

// What a reader of the rows must know of how they were counted.
std::vector<std::string> counting_notes(const Plan& plan, const ProbeServer& server,
                                        const std::vector<ProbeRow>& rows) {
  std::vector<std::string> notes;
  const auto any = [&](auto holds) { return std::any_of(rows.begin(), rows.end(), holds); };
  if (any([](const ProbeRow& r) { return !r.measures.counted_prompts; })) {
    notes.push_back(
        "the server does not count prompt tokens: lengths are those asked for, one per word, and "
        "prefill has no rate");
  }
  if (any([](const ProbeRow& r) { return !r.measures.counted_tokens; })) {
    notes.push_back("the server sends no usage: generated tokens are counted by chunks");
  }
  if (server.plain) {
    notes.push_back(
        "the server takes neither stream_options nor ignore_eos; answers may end before -n tokens");
  }
  if (!server.lists.empty()) {
    notes.push_back(fmt::format("the server does not list '{}' but '{}'; whatever it runs answered",
                                printable(server.model), printable(server.lists)));
  }
  for (const ProbeRow& r : rows) {
    if (r.prefill()) continue;
    const double more = r.measures.tokens_per_chunk - 1;
    if (more >= 0.02 && more <= 0.3) {
      notes.push_back(
          fmt::format("{}: {:.0f} % more tokens than chunks: some had no text; those before the "
                      "first text make the rate look higher",
                      test_name(r.row), 100 * more));
    }
    if (!server.plain && *r.row.n_tokens < plan.n_gen) {
      notes.push_back(
          fmt::format("{}: the answers ended before {} tokens: the context was full, or the model "
                      "stopped",
                      test_name(r.row), plan.n_gen));
    }
  }
  return notes;
}

ProbeSubject describe(const Plan& plan, const ProbeServer& server, const ProbeClient& client,
                      const std::vector<ProbeRow>& rows) {
  ProbeSubject s;
  s.url = client.shown();
  s.endpoint = server.endpoint;
  s.server = server.kind;
  s.model = server.model;
  s.model_bytes = server.model_bytes;
  s.test_time = utc_now();
  s.notes = counting_notes(plan, server, rows);
  if (!plan.target) {
    s.notes.push_back("no prediction: name the server's machine with --machine");
    return s;
  }
  const Target& t = *plan.target;
  s.backend = t.backend.name;
  s.shape = plan.model->title;
  s.predicted_for =
      fmt::format("{} ({}) on {}, {}", s.shape, gb_and_gib(bytes(plan.model->spec.weight_bytes())),
                  t.machine.title, t.backend.title);
  const auto one = std::find_if(rows.rbegin(), rows.rend(),
                                [](const ProbeRow& r) { return r.result.has_value(); });
  if (one != rows.rend()) s.predicted_for += fmt::format(": basis {}", name(one->result->basis));
  if (!same_software(server.kind, t.backend.name)) {
    s.notes.push_back(
        fmt::format("the server is {}, the prediction is for {}: --backend names "
                    "another software stack",
                    server.kind, t.backend.name));
  }
  const auto own = static_cast<double>(plan.model->spec.weight_bytes());
  if (server.model_bytes > 0 &&
      std::abs(own / static_cast<double>(server.model_bytes) - 1) > 0.03) {
    s.notes.push_back(fmt::format(
        "the server's model has {}, the predicted one {}: another "
        "quantization? (--shape, --mix)",
        gb_and_gib(bytes(server.model_bytes)), gb_and_gib(bytes(plan.model->spec.weight_bytes()))));
  }
  return s;
}

int run_probe(const Arguments& a) {
  Plan plan = make_plan(a);
  const ProbeClient client(a.text("url"), api_key(a), Seconds(a.number("timeout", 0.1, 86400)));
  const std::string endpoint = a.choice("endpoint", {"auto", "completions", "chat"});
  const std::uint64_t seed =
      a.has("seed")
          ? static_cast<std::uint64_t>(a.integer("seed", 0, INT64_MAX))
          : static_cast<std::uint64_t>(std::random_device{}()) << 32 | std::random_device{}();
  Words words(seed);
  ProbeServer server;
  find_served_model(client, a.optional_text("model"), server);
  choose_shape(a, server, plan);
  first_contact(client, endpoint, words, server);
  learn_prompt_length(client, words, server);
  std::vector<ProbeRow> rows;
  std::vector<std::string> notes;
  std::exception_ptr stopped;
  try {
    for (const Test& t : plan.tests) {
      add_rows(plan, server, t, measure(client, server, plan, t, words), rows);
    }
  } catch (...) {  // what was measured before is worth printing
    progress_done();
    if (rows.empty()) throw;
    stopped = std::current_exception();
    notes.push_back("stopped before all tests were done");
  }
  foretell(plan, rows, notes);
  ProbeSubject subject = describe(plan, server, client, rows);
  subject.notes.insert(subject.notes.end(), notes.begin(), notes.end());
  for (ProbeRow& r : rows) {
    r.row.source = fmt::format("bandwall probe of {} as {} at {}, {}", printable(subject.model),
                               subject.endpoint, subject.url, subject.test_time);
  }
  fmt::print("{}", plan.form == "json"  ? probe_json(subject, rows)
                   : plan.form == "csv" ? probe_csv(rows)
                                        : probe_text(subject, rows, plan.form == "md"));
  if (stopped) std::rethrow_exception(stopped);
  return kExitDone;
}

}  // namespace

CommandSpec command_probe() {
  CommandSpec c{
      "probe",
      "probe --url http://HOST:PORT/v1 [--machine M] [-p N,..] [-n N] [-d N,..] [OPTIONS]",
      "TTFT, ITL and tok/s of any OpenAI-compatible server, measured beside predicted",
      0,
      0,
      {},
      run_probe};
  c.options = {
      {"url", "URL", "http://127.0.0.1:8080/v1", "the server's API; /v1 when it has no path"},
      {"model,m", "NAME", "", "the model to ask for (the only one that the server lists)"},
      {"machine,M", "NAME", "",
       "what the server runs on, for the prediction: a shipped machine, a YAML file or 'this'"},
      {"backend", "NAME", "", "its software stack; the machine's usual one when not given"},
      {"shape", "MODEL", "",
       "the model to predict for, as in bandwall predict (by the server's name when not given)"},
      option_mix(),
      {"n-prompt,p", "N,..", "512", "prompt tokens"},
      {"n-gen,n", "N", "64", "tokens to generate"},
      {"n-depth,d", "N,..", "0",
       "tokens sent before, as a prefix for the server's cache; whether it reused them is taken "
       "from its answer"},
      {"concurrency,c", "N,..", "1", "requests at the same time"},
      {"repetitions,r", "N", "3", "repetitions of each test, after a warm-up"},
      {"endpoint", "NAME", "auto", "completions, chat, or auto: the first that the server has"},
      {"api-key", "KEY", "", "bearer token (or BANDWALL_API_KEY in the environment)"},
      {"timeout", "SECONDS", "300", "limit of each request, connecting included"},
      {"seed", "N", "", "of the random words (another one in every run, so that no cache helps)"},
      option_kv_k(),
      option_kv_v(),
      option_ubatch(),
      option_profile(),
      option_output("text", "text, md, json, csv")};
  return c;
}

}  // namespace bandwall
