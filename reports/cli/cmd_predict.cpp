// bandwall predict: tokens per second of a model on a machine, with llama-bench's field names.
#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "analysis/fit.h"
#include "hwmodel/error.h"
#include "reports/cli/commands.h"
#include "reports/cli/common.h"
#include "reports/cli/predict_more.h"
#include "reports/cli/what_if.h"
#include "reports/routing_json.h"
#include "reports/table.h"

namespace bandwall {
namespace {

struct Row {
  std::int64_t n_prompt = 0, n_gen = 0, depth = 0, batch = 1, n_ubatch = 512;
  Throughput t;
  More more;
};

std::string test_name(const Row& r) {
  std::string name = r.n_gen > 0 ? fmt::format("tg{}", r.n_gen) : fmt::format("pp{}", r.n_prompt);
  if (r.batch > 1) name += fmt::format(" x{}", r.batch);
  if (r.depth > 0) name += fmt::format(" @ d{}", r.depth);
  return name;
}

Scenario asked(const Arguments& a, const ModelSpec& model, const Row& r) {
  Scenario s;
  s.n_prompt = r.n_prompt;
  s.n_gen = r.n_gen;
  s.depth = r.depth;
  s.batch = r.batch;
  s.n_ubatch = r.n_ubatch;
  s.kv = kv_config(a);
  s.threads = a.has("threads") ? static_cast<int>(a.integer("threads", 1, 1024)) : 0;
  if (a.has("routing")) {
    const std::string file = a.text("routing");
    s.shares = std::make_shared<const ExpertShares>(
        read_routing(read_file(file, 1 << 28), file, model.hyper));
  }
  return s;
}

std::vector<Row> price(const Arguments& a, const ModelSpec& model, const Target& target) {
  std::vector<Row> rows;
  const auto prompts = a.integers("n-prompt", 0, 1 << 24);
  const auto gens = a.integers("n-gen", 0, 1 << 24);
  for (const std::int64_t depth : a.integers("n-depth", 0, 1 << 28)) {
    for (const std::int64_t batch : a.integers("batch", 1, 1 << 16)) {
      for (const std::int64_t ubatch : a.integers("ubatch-size", 1, 1 << 20)) {
        for (const std::int64_t n : prompts) {
          if (n == 0 || batch > 1) continue;  // a batch is a decode batch
          Row r{n, 0, depth, batch, ubatch, {}, {}};
          r.t = predict_prefill(target.machine, target.backend, model, asked(a, model, r));
          rows.push_back(r);
        }
        for (const std::int64_t n : gens) {
          if (n == 0) continue;
          Row r{0, n, depth, batch, ubatch, {}, {}};
          r.t = predict_decode(target.machine, target.backend, model, asked(a, model, r));
          rows.push_back(r);
        }
      }
    }
  }
  if (rows.empty()) throw Error::input("predict", "nothing to predict: -p and -n are both 0");
  return rows;
}

// Rates are written with four decimals: more would be noise, and differ between math libraries.
double rounded(double v) { return std::round(v * 1e4) / 1e4; }

std::string json(const Arguments& a, const ModelChoice& model, const Target& target,
                 const std::vector<Row>& rows) {
  nlohmann::ordered_json all = nlohmann::ordered_json::array();
  for (const Row& r : rows) {
    all.push_back({{"model_filename", model.title},
                   {"model_type", model.spec.architecture + " " + model.spec.quantization},
                   {"model_size", model.spec.weight_bytes()},
                   {"model_n_params", model.spec.parameters()},
                   {"machine", target.machine.name},
                   {"backend", target.backend.name},
                   {"n_prompt", r.n_prompt},
                   {"n_gen", r.n_gen},
                   {"n_depth", r.depth},
                   {"n_batch_sequences", r.batch},
                   {"type_k", a.text("cache-type-k")},
                   {"type_v", a.text("cache-type-v")},
                   {"n_ubatch", r.n_ubatch},
                   {"pred_ts", rounded(r.t.ts)},
                   {"pred_ts_low", rounded(r.t.ts_low)},
                   {"pred_ts_high", rounded(r.t.ts_high)},
                   {"pred_ts_speed_of_light", rounded(r.t.ts_speed_of_light)},
                   {"bound_by", name(r.t.bound)},
                   {"bytes_weights", r.t.bytes_weights.count()},
                   {"bytes_kv", r.t.bytes_kv.count()},
                   {"basis", name(r.t.basis)},
                   {"notes", r.t.notes}});
    all.back().update(r.more.json);
  }
  return all.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

std::string text(const ModelChoice& model, const Target& target, const std::vector<Row>& rows,
                 bool markdown) {
  Table table({{"test"},
               {"tok/s", Align::Right},
               {"low", Align::Right},
               {"high", Align::Right},
               {"speed of light", Align::Right},
               {"weights GB", Align::Right},
               {"KV GB", Align::Right},
               {"bound by"}});
  for (const Row& r : rows) {
    table.add({test_name(r), fmt::format("{:.2f}", r.t.ts), fmt::format("{:.2f}", r.t.ts_low),
               fmt::format("{:.2f}", r.t.ts_high), fmt::format("{:.2f}", r.t.ts_speed_of_light),
               fmt::format("{:.3f}", r.t.bytes_weights.value() / kGiga),
               fmt::format("{:.3f}", r.t.bytes_kv.value() / kGiga), std::string(name(r.t.bound))});
  }
  std::string out = fmt::format("{} ({}) on {}, {}: basis {}\n\n", model.title,
                                gb_and_gib(bytes(model.spec.weight_bytes())), target.machine.title,
                                target.backend.title, name(rows.front().t.basis));
  out += markdown ? table.markdown() : table.text();
  std::vector<std::string> notes = rows.front().t.notes;
  notes.insert(notes.end(), model.notes.begin(), model.notes.end());
  for (const std::string& n : notes) out += "note: " + n + "\n";
  for (const Row& r : rows) out += r.more.text;
  return out;
}

int run_predict(const Arguments& a) {
  const ModelChoice model = choose_model(model_argument(a), a.text("mix"));
  Target target =
      choose_target(a.text("machine"), a.optional_text("backend"), a.optional_text("profile"));
  const std::vector<std::string> settings = apply_settings(a, target);
  const std::string form = a.choice("output", {"text", "md", "json"});
  std::vector<Row> rows = price(a, model.spec, target);
  for (Row& r : rows) r.t.notes.insert(r.t.notes.end(), settings.begin(), settings.end());
  for (Row& r : rows) r.more = more_about(a, model, target, asked(a, model.spec, r), r.t);
  const std::string out =
      form == "json" ? json(a, model, target, rows) : text(model, target, rows, form == "md");
  fmt::print("{}", out);
  return kExitDone;
}

}  // namespace

CommandSpec command_predict() {
  CommandSpec c{"predict",
                "predict MODEL --machine M [--backend B] [OPTIONS]",
                "tokens per second of prefill and decode on a machine, before anything runs",
                0,
                1,
                {},
                run_predict};
  c.options = {
      option_model(),
      option_mix(),
      {"machine,M", "NAME", "gb10", "a shipped machine, a YAML file, 'this', or several: 2xgb10"},
      {"backend", "NAME", "", "software stack; the machine's usual one when not given"},
      {"n-prompt,p", "N,..", "512", "prompt tokens; lists and ranges: 512,1024 or 0-4096+1024"},
      {"n-gen,n", "N,..", "128", "generated tokens"},
      {"n-depth,d", "N,..", "0", "tokens already in the KV cache"},
      {"batch,B", "N,..", "1", "sequences decoded together"},
      option_kv_k(),
      option_kv_v(),
      option_ubatch(),
      option_threads(),
      option_profile(),
      option_set(),
      {"routing", "FILE", "",
       "expert choices recorded by `run --routing`, instead of assumed ones"},
      option_output("text", "text, md, json")};
  for (const OptionSpec& o : options_more()) c.options.push_back(o);
  for (const OptionSpec& o : options_ignored()) c.options.push_back(o);
  return c;
}

}  // namespace bandwall
