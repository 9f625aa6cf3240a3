// bandwall fit: the bytes of one configuration against what the machine has, with the arithmetic.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "analysis/fit.h"
#include "reports/cli/commands.h"
#include "reports/cli/common.h"
#include "reports/table.h"

namespace bandwall {
namespace {

int exit_code(Verdict verdict) {
  switch (verdict) {
    case Verdict::Fits:
      return kExitDone;
    case Verdict::TooClose:
      return kExitTooClose;
    case Verdict::DoesNotFit:
      return kExitDoesNotFit;
  }
  return kExitFailed;
}

std::string json(const ModelChoice& model, const Machine& machine, const FitOptions& o,
                 const FitReport& r) {
  nlohmann::ordered_json lines = nlohmann::ordered_json::array();
  for (const FitLine& l : r.lines) {
    lines.push_back({{"what", l.what}, {"bytes", l.bytes.count()}, {"how", l.how}});
  }
  nlohmann::ordered_json j = {{"model", model.title},
                              {"machine", machine.name},
                              {"context", o.context},
                              {"type_k", o.kv.k->name},
                              {"type_v", o.kv.v->name},
                              {"n_ubatch", o.n_ubatch},
                              {"verdict", name(r.verdict)},
                              {"needed_bytes", r.needed.count()},
                              {"usable_bytes", r.usable.count()},
                              {"headroom_bytes", r.headroom.count()},
                              {"lines", lines},
                              {"max_context", r.max_context ? nlohmann::ordered_json(*r.max_context)
                                                            : nlohmann::ordered_json(nullptr)},
                              {"notes", r.notes}};
  return j.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

std::string sentence(const FitReport& r, const std::string& machine) {
  switch (r.verdict) {
    case Verdict::Fits:
      return fmt::format("fits on {} with {} to spare", machine, gb_and_gib(r.headroom));
    case Verdict::TooClose:
      return r.headroom < Bytes(0) ? fmt::format("too close to call on {}: short by {}", machine,
                                                 gb_and_gib(Bytes(0) - r.headroom))
                                   : fmt::format("too close to call on {}: {} to spare", machine,
                                                 gb_and_gib(r.headroom));
    case Verdict::DoesNotFit:
      return fmt::format("does not fit on {}: short by {}", machine,
                         gb_and_gib(Bytes(0) - r.headroom));
  }
  return "";
}

std::string text(const ModelChoice& model, const Machine& machine, const FitOptions& o,
                 const FitReport& r, bool markdown) {
  Table table({{"what"}, {"GB", Align::Right}, {"GiB", Align::Right}, {"how"}});
  const auto row = [&](const std::string& what, Bytes b, const std::string& how) {
    table.add({what, fmt::format("{:.2f}", b.value() / kGiga),
               fmt::format("{:.2f}", b.value() / kGiB), how});
  };
  for (const FitLine& l : r.lines) row(l.what, l.bytes, l.how);
  table.rule();
  row("needed", r.needed, "sum of the lines");
  row("usable", r.usable,
      fmt::format("visible - reserve of {}: {} pool", machine.name, machine.pool().name));
  row("headroom", r.headroom, "usable - needed");
  std::string out = fmt::format("{}, {} positions, K {} / V {}: {}\n\n", model.title, o.context,
                                o.kv.k->name, o.kv.v->name, sentence(r, machine.name));
  out += markdown ? table.markdown() : table.text();
  out += r.max_context ? fmt::format("\nlargest context that fits: {} positions\n", *r.max_context)
                       : std::string("\nno context fits\n");
  for (const std::string& n : r.notes) out += "note: " + n + "\n";
  return out;
}

int run_fit(const Arguments& a) {
  ModelChoice model = choose_model(model_argument(a));
  const Target target =
      choose_target(a.text("machine"), a.optional_text("backend"), a.optional_text("profile"));
  const Machine& machine = target.machine;
  FitOptions options;
  options.context = a.integer("ctx-size", 1, std::int64_t{1} << 40);
  options.kv = kv_config(a);
  options.n_ubatch = a.integer("ubatch-size", 1, 1 << 20);
  options.sequences = a.integer("parallel", 1, 1 << 16);
  if (target.backend.context_bytes) options.runtime_bytes = target.backend.context_bytes->value;
  const FitReport report = fit(machine, model.spec, options);
  const std::string form = a.choice("output", {"text", "md", "json"});
  fmt::print("{}", form == "json" ? json(model, machine, options, report)
                                  : text(model, machine, options, report, form == "md"));
  return exit_code(report.verdict);
}

}  // namespace

CommandSpec command_fit() {
  CommandSpec c{"fit",
                "fit MODEL --machine M [OPTIONS]",
                "does it fit? exact bytes of a model and context on a machine, with the reason",
                0,
                1,
                {},
                run_fit};
  c.options = {
      option_model(),
      {"machine,M", "NAME", "gb10", "a shipped machine, a YAML file, 'this', or several: 2xgb10"},
      {"backend", "NAME", "", "software stack; the machine's usual one when not given"},
      option_context("4096"),
      option_kv_k(),
      option_kv_v(),
      option_ubatch(),
      {"parallel,np", "N", "1", "sequences (slots), each with its own context"},
      option_profile(),
      option_output("text", "text, md, json")};
  for (const OptionSpec& o : options_ignored()) c.options.push_back(o);
  return c;
}

}  // namespace bandwall
