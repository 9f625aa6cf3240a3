// bandwall bench: llama-bench's tests and output forms, with the prediction and the share of plain
// reading beside each figure; --compare puts another engine's llama-bench beside it.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <ctime>
#include <optional>

#include "analysis/predict.h"
#include "analysis/pricing.h"
#include "analysis/quantile.h"
#include "hwmodel/error.h"
#include "reports/bench_report.h"
#include "reports/cli/bench_peer.h"
#include "reports/cli/commands.h"
#include "reports/cli/common.h"
#include "reports/cli/host_profile.h"
#include "reports/cli/synthetic.h"
#include "runtime/calibrate.h"
#include "runtime/host.h"
#include "runtime/micro_batch.h"

namespace bandwall {
namespace {

struct Test {
  std::int64_t n_prompt = 0, n_gen = 0, depth = 0, sequences = 1;
  std::int64_t context() const { return depth + n_prompt + n_gen; }
};

// One set of engine options; its tests share an engine.
struct Setting {
  int threads = 0;
  std::int64_t n_ubatch = 0;  // 0: the usual one of the model
  KvConfig kv;
};

struct Plan {
  BenchForm form = BenchForm::Markdown;
  std::vector<Test> tests;
  std::vector<Setting> settings;
  std::int64_t repetitions = 5, n_batch = 2048;
  bool warm_up = true, recorded_routing = false;
};

struct Subject {
  std::optional<SyntheticModel> memory;  // outlives the model that lies in it
  std::optional<LoadedModel> model;
  std::optional<SyntheticChoice> synthetic;
  std::string file;
};

constexpr std::int64_t kMostTokens = 1 << 24;

BenchForm chosen_form(const Arguments& a) {
  const std::string form = a.choice("output", {"md", "csv", "json", "jsonl", "sql"});
  return form == "md"      ? BenchForm::Markdown
         : form == "csv"   ? BenchForm::Csv
         : form == "json"  ? BenchForm::Json
         : form == "jsonl" ? BenchForm::JsonLines
                           : BenchForm::Sql;
}

// "512,128": a prompt and a generation measured as one test.
void add_pairs(const Arguments& a, std::vector<Test>& tests) {
  const std::vector<std::string> numbers = a.list("pg");
  if (!a.has("pg")) return;
  if (numbers.size() % 2 != 0) {
    throw Error::input("-pg", "needs pairs of numbers: prompt,generated");
  }
  for (std::size_t i = 0; i < numbers.size(); i += 2) {
    const auto part = [&](std::size_t k) {
      return parse_integer_list("-pg", numbers[i + k], 1, kMostTokens).front();
    };
    tests.push_back({part(0), part(1)});
  }
}

std::vector<Test> chosen_tests(const Arguments& a) {
  std::vector<Test> basic;
  const bool only_pairs = a.has("pg") && !a.has("n-prompt") && !a.has("n-gen");
  if (!only_pairs) {
    for (const std::int64_t n : a.integers("n-prompt", 0, kMostTokens)) {
      if (n > 0) basic.push_back({n, 0});
    }
    for (const std::int64_t n : a.integers("n-gen", 0, kMostTokens)) {
      for (const std::int64_t b : a.integers("batched", 1, 4096)) {
        if (n > 0) basic.push_back({0, n, 0, b});
      }
    }
  }
  add_pairs(a, basic);
  std::vector<Test> tests;
  for (const std::int64_t depth : a.integers("n-depth", 0, kMostTokens)) {
    for (Test t : basic) {
      t.depth = depth;
      tests.push_back(t);
    }
  }
  if (tests.empty()) throw Error::input("bench", "no test is left; give -p, -n or -pg above 0");
  return tests;
}

std::vector<KvConfig> chosen_kv(const Arguments& a) {
  std::vector<KvConfig> all;
  for (const std::string& k : a.list("cache-type-k")) {
    for (const std::string& v : a.list("cache-type-v")) {
      all.push_back({kv_format("--cache-type-k", k), kv_format("--cache-type-v", v)});
    }
  }
  return all;
}

Plan make_plan(const Arguments& a) {
  Plan plan;
  plan.form = chosen_form(a);
  plan.tests = chosen_tests(a);
  plan.repetitions = a.integer("repetitions", 1, 100000);
  plan.n_batch = a.integer("batch-size", 1, 1 << 20);
  plan.warm_up = !a.on("no-warmup");
  plan.recorded_routing = a.choice("experts", {"expected", "recorded"}) == "recorded";
  const std::vector<std::int64_t> threads =
      a.has("threads") ? a.integers("threads", 1, 1024) : std::vector<std::int64_t>{0};
  const std::vector<std::int64_t> ubatches =
      a.has("ubatch-size") ? a.integers("ubatch-size", 1, 1 << 16) : std::vector<std::int64_t>{0};
  for (const KvConfig& kv : chosen_kv(a)) {
    for (const std::int64_t ub : ubatches) {
      for (const std::int64_t t : threads) {
        const int resolved = t > 0 ? static_cast<int>(t) : default_threads();
        plan.settings.push_back({resolved, ub, kv});
      }
    }
  }
  return plan;
}

Subject open_subject(const Arguments& a) {
  Subject s;
  if (a.has("synthetic")) {
    if (a.has("model")) throw Error::input("bench", "give -m or --synthetic, not both");
    s.synthetic = choose_synthetic(a, a.text("synthetic"));
    s.memory = build_synthetic(*s.synthetic);
    s.file = s.synthetic->title;
    s.model.emplace(LoadedModel::from_memory(s.memory->bytes(), s.file));
  } else {
    if (a.has("layers") || a.has("vocab")) {
      throw Error::input("bench", "--layers and --vocab go with --synthetic");
    }
    s.file = a.text("model");
    s.model.emplace(open_model(s.file, chosen_loading(a)));
  }
  s.model->require_kernels();
  return s;
}

// The same tokens for every repetition and engine: all over the vocabulary, none special by intent.
std::vector<std::int32_t> some_tokens(std::int64_t n, std::int64_t vocab) {
  std::vector<std::int32_t> tokens;
  std::uint64_t state = 1;
  for (std::int64_t i = 0; i < n; ++i) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    tokens.push_back(static_cast<std::int32_t>((state >> 33) % static_cast<std::uint64_t>(vocab)));
  }
  return tokens;
}

// Brings every sequence to `depth` positions, by going back where the cache allows it.
void go_to_depth(Engine& engine, const Test& t, std::int64_t vocab) {
  bool there = t.depth > 0;
  for (std::int64_t s = 0; s < t.sequences; ++s) {
    there = there && engine.can_rewind(t.depth, s);
  }
  if (!there) engine.reset();
  const std::vector<std::int32_t> tokens = some_tokens(t.depth, vocab);
  for (std::int64_t s = 0; t.depth > 0 && s < t.sequences; ++s) {
    if (there) {
      engine.rewind(t.depth, s);
    } else {
      engine.evaluate(tokens, Outputs::None, nullptr, s);
    }
  }
}

// Evaluates the test once; what it touched goes to the meter.
Seconds repetition(Engine& engine, const Test& t, std::int64_t vocab, Meter& meter) {
  const std::vector<std::int32_t> tokens = some_tokens(t.n_prompt + t.n_gen * t.sequences, vocab);
  const std::span<const std::int32_t> all(tokens);
  const auto start = std::chrono::steady_clock::now();
  if (t.n_prompt > 0) {
    engine.evaluate(all.first(static_cast<std::size_t>(t.n_prompt)), Outputs::Last, &meter);
  }
  for (std::int64_t i = 0; i < t.n_gen; ++i) {
    const auto row = all.subspan(static_cast<std::size_t>(t.n_prompt + i * t.sequences),
                                 static_cast<std::size_t>(t.sequences));
    if (t.sequences == 1) {
      engine.evaluate(row, Outputs::Last, &meter);
      continue;
    }
    std::vector<SequenceToken> step;
    for (std::int64_t s = 0; s < t.sequences; ++s) {
      step.push_back({s, row[static_cast<std::size_t>(s)]});
    }
    engine.evaluate_step(step, &meter);
  }
  return Seconds(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
}

struct Foretold {
  double ts = 0, low = 0, high = 0;
  std::string_view bound;
};

// Tokens per second that the profile foretells at the bandwidth of this moment, for steps of known
// shape and number of experts.
Foretold foretell(const Host& host, const PlainReading& now, const ModelSpec& spec,
                  const Setting& setting, const std::vector<Meter::StepRecord>& steps,
                  double tokens) {
  Machine machine = host.profile.machine;
  Backend backend = host.profile.backend;
  follow_bandwidth(machine, backend, now.memory, setting.threads, now.pages);
  Seconds total, low, high, longest;
  Foretold f;
  for (const Meter::StepRecord& s : steps) {
    const Prediction p =
        predict(machine, backend, spec, setting.kv, s.step, s.routing, setting.threads);
    total += p.step;
    low += p.step * p.low;
    high += p.step * p.high;
    if (p.step > longest) f.bound = name(p.bound);
    longest = std::max(longest, p.step);
  }
  if (!(total > Seconds(0))) return f;
  f.ts = tokens / total.value();
  f.low = tokens / high.value();
  f.high = tokens / low.value();
  return f;
}

// The steps of a test; of experts as many as are expected of even routing.
std::vector<Meter::StepRecord> expected_steps(const Test& t, const ModelSpec& spec,
                                              std::int64_t n_ubatch) {
  std::vector<Meter::StepRecord> steps;
  const auto add = [&](const Step& s) {
    steps.push_back({s, expected_routing(spec, s), Seconds(0)});
  };
  for (const Step& s : prefill_steps(t.n_prompt, t.depth, n_ubatch, 1)) add(s);
  for (std::int64_t i = 0; i < t.n_gen; ++i) {
    add({.sequences = t.sequences,
         .tokens_per_sequence = 1,
         .past = t.depth + t.n_prompt + i,
         .output_rows = t.sequences});
  }
  return steps;
}

BenchRow blank_row(const Subject& subject, const Plan& plan, const Setting& setting,
                   const Engine& engine, const Test& t) {
  const ModelSpec& spec = subject.model->spec();
  BenchRow row;
  row.model_file = subject.file;
  row.model_type = fmt::format("{} {}", spec.architecture, spec.quantization);
  row.cpu = host_info().cpu;
  row.isa = engine.options().table->isa;
  row.model_bytes = subject.model->file_bytes();
  row.parameters = spec.parameters();
  row.threads = setting.threads;
  row.n_batch = plan.n_batch;
  row.n_ubatch = setting.n_ubatch;
  row.mapped = !subject.model->mappings().empty();
  row.type_k = setting.kv.k->name;
  row.type_v = setting.kv.v->name;
  row.n_prompt = t.n_prompt;
  row.n_gen = t.n_gen;
  row.n_depth = t.depth;
  row.sequences = t.sequences;
  row.test_time = utc_now();
  return row;
}

// One test on one engine: what is foretold before each repetition, and what then happens.
class TestRun {
 public:
  TestRun(Engine& engine, const Host& host, const ModelSpec& spec, const Plan& plan,
          const Setting& setting, ReadProbe* probe)
      : engine_(engine), host_(host), spec_(spec), plan_(plan), setting_(setting), probe_(probe) {}

  void measure(const Test& t, const BenchPeer* peer, BenchRow& row) {
    std::vector<Meter::StepRecord> steps = expected_steps(t, spec_, setting_.n_ubatch);
    if (plan_.warm_up || plan_.recorded_routing) {
      const bool whole = plan_.recorded_routing || t.n_gen <= 4;
      Meter recorded;
      go_to_depth(engine_, t, spec_.hyper.vocab);
      repetition(engine_, whole ? t : Test{t.n_prompt, 4, t.depth, t.sequences}, spec_.hyper.vocab,
                 recorded);
      if (plan_.recorded_routing) steps = std::move(recorded.steps);
    }
    std::vector<double> lows, highs;
    for (std::int64_t r = 0; r < plan_.repetitions; ++r) {
      progress(fmt::format("{}: {} of {}", row.test(), r + 1, plan_.repetitions));
      go_to_depth(engine_, t, spec_.hyper.vocab);
      const PlainReading before = reading();
      const Foretold f =
          foretell(host_, before, spec_, setting_, steps, static_cast<double>(row.tokens()));
      row.predictions.push_back(f.ts);
      lows.push_back(f.low);
      highs.push_back(f.high);
      row.bound = f.bound;
      Meter meter;
      row.samples.push_back(repetition(engine_, t, spec_.hyper.vocab, meter));
      if (probe_ != nullptr) row.reads.push_back((before.memory + probe_->sample().memory) / 2.0);
      row.bytes = meter.ledger.traffic().from_memory();
      if (peer != nullptr) row.peer_ts.push_back(peer->measure(row.model_file, row));
    }
    row.predicted_ts = median(row.predictions);
    row.predicted_low = median(lows);
    row.predicted_high = median(highs);
    progress_done();
  }

 private:
  PlainReading reading() const {
    if (probe_ != nullptr) return probe_->sample();
    return {achievable_bandwidth(host_.profile.machine, Bytes(1e15), setting_.threads), {}};
  }

  Engine& engine_;
  const Host& host_;
  const ModelSpec& spec_;
  const Plan& plan_;
  const Setting& setting_;
  ReadProbe* probe_;
};

int run_bench(const Arguments& a) {
  const Plan plan = make_plan(a);
  std::optional<BenchPeer> peer;
  if (a.has("compare")) peer.emplace(a.text("compare"), a.list("compare-args"));
  const Subject subject = open_subject(a);
  if (peer && subject.synthetic) {
    throw Error::input("--compare", "needs a file that both read; write one with bandwall synth");
  }
  const ModelSpec& spec = subject.model->spec();
  std::int64_t context = 0, sequences = 1;
  for (const Test& t : plan.tests) {
    context = std::max(context, t.context());
    sequences = std::max(sequences, t.sequences);
  }
  std::string pairs;
  bool first = true;
  fmt::print("{}", bench_head(plan.form));
  for (Setting setting : plan.settings) {
    if (setting.n_ubatch == 0) setting.n_ubatch = usual_ubatch(spec.hyper);
    EngineOptions options;
    options.context = context;
    options.sequences = sequences;
    options.n_ubatch = setting.n_ubatch;
    options.threads = setting.threads;
    options.k = setting.kv.k;
    options.v = setting.kv.v;
    Engine engine(*subject.model, options);
    engine.set_interrupt(&interrupted());
    const Host host = host_profile(a, spec, setting.threads);
    std::optional<ReadProbe> probe;
    if (!a.on("no-probe")) probe.emplace(setting.threads, &*subject.model);
    const auto bandwidth = [&] {
      return probe ? probe->sample().memory : host.profile.machine.pool().achievable.value;
    };
    for (const Test& t : plan.tests) {
      BenchRow row = blank_row(subject, plan, setting, engine, t);
      row.profile = host.hash;
      TestRun(engine, host, spec, plan, setting, probe ? &*probe : nullptr)
          .measure(t, peer ? &*peer : nullptr, row);
      fmt::print("{}", bench_row(plan.form, row, first));
      std::fflush(stdout);
      first = false;
      if (peer) pairs += "\n" + bench_pairs(row, peer->name());
    }
    if (subject.synthetic) {
      tell_full_depth(*subject.synthetic, host, bandwidth(), setting.kv, setting.threads);
    }
  }
  fmt::print("{}", bench_foot(plan.form));
  if (plan.form == BenchForm::Markdown) fmt::print("{}", pairs);
  return kExitDone;
}

}  // namespace

CommandSpec command_bench() {
  CommandSpec c{
      "bench",
      "bench [-m FILE | --synthetic MODEL:MIX] [-p N,..] [-n N,..] [-d N,..] [OPTIONS]",
      "llama-bench's tests: tok/s of prefill and decode, with prediction and share of the wall",
      0,
      0,
      {},
      run_bench};
  c.options = {
      {"model,m", "FILE", "demo",
       "a GGUF file, hf:ORG/NAME[:QUANT] (also -hf), ollama:NAME or the demo"},
      option_synthetic(),
      {"n-prompt,p", "N,..", "512", "prompt lengths, 0 for none"},
      {"n-gen,n", "N,..", "128", "tokens to generate, 0 for none"},
      {"pg", "P,N", "", "a prompt and a generation as one test; may be repeated"},
      {"n-depth,d", "N,..", "0", "positions in the cache before the test"},
      {"batched,npl", "B,..", "1", "sequences that decode together"},
      {"repetitions,r", "N", "5", "repetitions of each test"},
      {"threads,t", "N,..", "", "threads (physical cores when not given)"},
      {"cache-type-k,ctk", "TYPE,..", "f16", "formats of the K cache"},
      {"cache-type-v,ctv", "TYPE,..", "f16", "formats of the V cache"},
      {"ubatch-size,ub", "N,..", "",
       "tokens per micro-batch in prefill (512 to 2048 by the number of experts when not given)"},
      {"batch-size,b", "N", "2048", "logical batch; only the micro-batch (-ub) changes the work"},
      {"flash-attn,fa", "0|1", "1", "accepted as llama-bench spells it; attention is always fused"},
      {"n-gpu-layers,ngl", "N", "",
       "accepted as llama-bench spells it; this engine runs on the CPU"},
      {"no-probe", "", "",
       "no bandwidth probe beside each repetition: no share of reading, and the "
       "prediction takes the profile's bandwidth"},
      {"no-warmup", "", "", "no untimed repetition first"},
      {"experts", "HOW", "expected",
       "experts touched per step in the prediction: expected (even routing) or recorded (as many "
       "as "
       "in an untimed repetition of the same tokens)"},
      {"compare", "PROGRAM", "",
       "another engine's llama-bench, run in alternation on the same file"},
      {"compare-args", "WORDS", "", "more options for it, separated by commas: -rtr,1"},
      option_profile(),
      option_output("md", "md, csv, json, jsonl, sql")};
  for (const OptionSpec& o : options_loading()) c.options.push_back(o);
  for (const OptionSpec& o : options_cut()) c.options.push_back(o);
  return c;
}

}  // namespace bandwall
