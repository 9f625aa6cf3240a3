// bandwall fit: the bytes of one configuration against what the machine has, with the arithmetic;
// a ranking of all that is shipped, or of machines; a placement of several models.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <iterator>
#include <map>

#include "analysis/fit_remedies.h"
#include "analysis/fit_together.h"
#include "hwmodel/error.h"
#include "reports/cli/commands.h"
#include "reports/cli/common.h"
#include "reports/cli/fit_options.h"
#include "reports/cli/fit_print.h"
#include "reports/cli/fit_train.h"
#include "runtime/thread_pool.h"
#include "workload/mix.h"

namespace bandwall {
namespace {

std::string form_of(const Arguments& a) {
  return a.choice("output", {"text", "md", "json", "csv"});
}

int one_model(const Arguments& a, const std::string& text, const Target& target) {
  const ModelChoice model = choose_model(text, a.text("mix"));
  FitAnswer answer;
  answer.model = model.title;
  answer.weight_bytes = model.spec.weight_bytes();
  answer.machine = target.machine;
  answer.options = fit_options(a, target);
  answer.fit = fit(target.machine, model.spec, answer.options);
  const int devices = std::max(1, target.machine.devices);
  for (std::string& n : idle_options(a, model.spec, answer.options, devices)) {
    answer.fit.notes.push_back(std::move(n));
  }
  const int code = exit_code(answer.fit.verdict);
  if (a.on("print")) {
    fmt::print("{}", fit_print_columns(answer.fit, devices));
    return code;
  }
  answer.decode_ts = decode_speed(target.machine, target.backend, model.spec, answer.options,
                                  placed(target.machine, model.spec, answer.options),
                                  decode_step(model.spec, answer.options.kv));
  if (answer.fit.verdict != Verdict::Fits) {
    answer.remedies = remedies(target.machine, target.backend, model.spec,
                               model.shape ? &*model.shape : nullptr, answer.options, answer.fit);
  }
  fmt::print("{}", fit_answer(answer, form_of(a)));
  return code;
}

RankRow rank_row(const ModelSpec& model, const Target& target, const FitOptions& o,
                 const Placement& p, const DecodeStep& step) {
  const FitReport f = fit_quick(target.machine, model, p, o);
  RankRow row;
  row.mix = model.quantization;
  row.machine = target.machine.name;
  row.weight_bytes = model.weight_bytes();
  row.verdict = f.verdict;
  const Deciding d = deciding(f);
  row.needed = d.needed;
  row.usable = d.usable;
  row.headroom = d.headroom;
  if (f.verdict != Verdict::DoesNotFit) {
    row.decode_ts = decode_speed(target.machine, target.backend, model, o, p, step);
  }
  return row;
}

// By machine; what fits first, the most model first.
void rank(std::vector<RankRow>& rows) {
  std::stable_sort(rows.begin(), rows.end(), [](const RankRow& x, const RankRow& y) {
    if (x.machine != y.machine) return x.machine < y.machine;
    if (x.verdict != y.verdict) return x.verdict < y.verdict;
    return x.weight_bytes > y.weight_bytes;
  });
}

Verdict best_of(const std::vector<RankRow>& rows) {
  Verdict best = Verdict::DoesNotFit;
  for (const RankRow& r : rows) best = std::min(best, r.verdict);
  return best;
}

int one_model_on_many(const Arguments& a, const std::string& text,
                      const std::vector<Target>& targets) {
  const ModelChoice model = choose_model(text, a.text("mix"));
  std::string name = model.title;  // its mix has a column of its own
  const std::string mix = ":" + model.spec.quantization;
  if (name.ends_with(mix)) name.resize(name.size() - mix.size());
  std::vector<RankRow> rows;
  for (const Target& t : targets) {
    const FitOptions o = fit_options(a, t);
    rows.push_back(rank_row(model.spec, t, o, placed(t.machine, model.spec, o),
                            decode_step(model.spec, o.kv)));
    rows.back().model = name;
  }
  fmt::print("{}", rank_table(rows, form_of(a)));
  return exit_code(best_of(rows));
}

// Every mix by rule and every published one; with --mix that one, where the model has it.
std::vector<ModelSpec> mixes_of(const ModelShape& shape, const std::string& only) {
  std::vector<ModelSpec> specs;
  if (!only.empty()) {
    if (has_mix(shape, only)) specs.push_back(model_from_shape(shape, only));
    return specs;
  }
  for (const PublishedMix& mix : shape.published) {
    specs.push_back(model_from_shape(shape, mix.name));
  }
  for (const Mix& mix : all_mixes()) specs.push_back(model_from_shape(shape, mix.name));
  return specs;
}

std::vector<RankRow> rows_of(const std::string& name, const std::vector<Target>& targets,
                             const std::vector<FitOptions>& options, const std::string& mix) {
  std::vector<RankRow> rows;
  for (const ModelSpec& spec : mixes_of(load_model_shape(name), mix)) {
    const DecodeStep step = decode_step(spec, options.front().kv);
    std::map<int, Placement> placements;  // the options are alike but for the machine's devices
    for (std::size_t i = 0; i < targets.size(); ++i) {
      auto [p, fresh] = placements.try_emplace(targets[i].machine.devices);
      if (fresh) p->second = placed(targets[i].machine, spec, options[i]);
      rows.push_back(rank_row(spec, targets[i], options[i], p->second, step));
      rows.back().model = name;
    }
  }
  return rows;
}

// Models are independent of each other: one after the other on each processor.
std::vector<RankRow> rows_of_all(const std::vector<Target>& targets,
                                 const std::vector<FitOptions>& options, const std::string& mix) {
  const std::vector<std::string> names = model_names();
  std::vector<std::vector<RankRow>> parts(names.size());
  WorkQueue queue;
  queue.reset(static_cast<std::int64_t>(names.size()), 1);
  ThreadPool(default_threads(), Pinning::Off).run([&](int, int) {
    for (std::int64_t begin = 0, end = 0; queue.take(begin, end);) {
      const auto i = static_cast<std::size_t>(begin);
      parts[i] = rows_of(names[i], targets, options, mix);
    }
  });
  std::vector<RankRow> rows;
  for (std::vector<RankRow>& part : parts) {
    std::move(part.begin(), part.end(), std::back_inserter(rows));
  }
  return rows;
}

int all_models(const Arguments& a) {
  if (!a.positional().empty() || a.has("model")) {
    throw Error::input("--all", "ranks every shipped model; leave the model out");
  }
  const std::vector<Target> targets =
      fit_targets(a, a.has("machine") ? a.list("machine") : machine_names());
  std::vector<FitOptions> options;
  for (const Target& t : targets) options.push_back(fit_options(a, t));
  const std::string mix = a.text("mix");
  std::vector<RankRow> rows = rows_of_all(targets, options, mix);
  if (rows.empty()) {
    throw Error::input("--mix", fmt::format("no shipped model has '{}'; 'bandwall inspect MODEL:?' "
                                            "names those of one",
                                            mix));
  }
  rank(rows);
  fmt::print("{}", rank_table(rows, form_of(a)));
  return kExitDone;
}

// "asr=3GB": a size by name, unless a file is called so.
bool is_sized(const std::string& text) {
  const std::size_t at = text.rfind('=');
  std::error_code ignored;
  return at != std::string::npos && at > 0 && !std::filesystem::exists(text, ignored);
}

int several_models(const Arguments& a, const std::vector<Target>& targets) {
  std::vector<ModelChoice> models;
  std::vector<Resident> residents;
  const FitOptions o = fit_options(a, targets.front());
  models.reserve(a.positional().size());  // residents point into it
  for (const std::string& text : a.positional()) {
    if (is_sized(text)) {
      const std::size_t at = text.rfind('=');
      const Bytes size = parse_bytes_option(text.substr(0, at), text.substr(at + 1));
      residents.push_back({text.substr(0, at), nullptr, o, size});
      continue;
    }
    models.push_back(choose_model(text, a.text("mix")));
    residents.push_back({models.back().title, &models.back().spec, o, Bytes(0)});
  }
  std::vector<Machine> machines;
  for (const Target& t : targets) machines.push_back(t.machine);
  const Together together = fit_together(residents, machines);
  fmt::print("{}", together_table(together, residents, form_of(a)));
  return exit_code(together.verdict);
}

// --print is of one model on one machine, in its own form.
void check_print(const Arguments& a, bool one) {
  if (!a.on("print")) return;
  if (!one) throw Error::input("--print", "is of one model on one machine");
  if (a.has("output")) throw Error::input("--print", "has a form of its own; leave -o out");
}

int run_fit(const Arguments& a) {
  check_train_options(a);
  const std::vector<std::string>& models = a.positional();
  const bool several = models.size() > 1 || (models.size() == 1 && is_sized(models.front()));
  check_print(a, !a.on("all") && !several && a.list("machine").size() == 1);
  if (a.on("all")) return all_models(a);
  if (several) {
    if (a.has("model")) {
      throw Error::input("fit", "models as arguments and --model; give all as arguments");
    }
    return several_models(a, fit_targets(a, a.list("machine")));
  }
  const std::string text = model_argument(a);
  const std::vector<Target> targets = fit_targets(a, a.list("machine"));
  if (a.has("train")) return fit_train(a, text, targets);
  return targets.size() > 1 ? one_model_on_many(a, text, targets)
                            : one_model(a, text, targets.front());
}

}  // namespace

CommandSpec command_fit() {
  CommandSpec c{"fit",
                "fit MODEL.. --machine M [OPTIONS]",
                "does it fit? exact bytes of models and contexts on machines, with the reason",
                0,
                16,
                fit_option_table(),
                run_fit};
  return c;
}

}  // namespace bandwall
