#include "reports/cli/backend_fit.h"

#include <fmt/format.h>

#include <algorithm>
#include <list>
#include <map>

#include "analysis/fit_backend.h"
#include "analysis/validate.h"
#include "configs/library.h"
#include "configs/measurements.h"
#include "configs/row_names.h"
#include "hwmodel/error.h"
#include "reports/cli/common.h"
#include "reports/table.h"
#include "reports/validation.h"

namespace bandwall {
namespace {

// Rows of a file as what a fit needs, and why others were left.
struct Usable {
  std::list<ModelSpec> models;  // rows point to them
  std::vector<FitRow> rows;
  std::map<std::string, int> left;  // reason, count
};

std::vector<Step> steps_of(const Measurement& m, std::int64_t n_ubatch) {
  const std::int64_t depth = m.depth.value_or(0), n = m.n_tokens.value_or(kUnstatedTokens);
  if (m.phase == MeasuredPhase::Decode) return {{m.batch, 1, depth + (n - 1) / 2, m.batch}};
  return prefill_steps(n, depth, m.ubatch.value_or(n_ubatch), 1);
}

// Why a row says more, or less, than what a backend's figures are; empty: it can be used.
std::string unfit(const Measurement& m, const RowMeaning& r, const Machine& machine,
                  const Backend& start) {
  if (!r.problem.empty()) return r.problem;
  if (r.machine != machine.name) return "measured on another machine: " + r.machine;
  if (r.backend != start.name) return "measured with another backend: " + r.backend;
  const EngineMarks& k = m.marks;
  if (k.speculative) return "speculative decoding";
  if (k.eager || k.end_to_end || k.staggered || k.off_by_one) {
    return "the clock of a server, not of its steps";
  }
  if (m.phase == MeasuredPhase::Prefill && (m.batch > 1 || !m.n_tokens)) {
    return "prompts of several requests or of unknown length";
  }
  return "";
}

Usable usable_rows(const MeasurementFile& file, const Machine& machine, const Backend& start) {
  Usable u;
  std::map<std::string, const ModelSpec*> known;
  if (!file.skipped.empty()) u.left["cannot be read"] = static_cast<int>(file.skipped.size());
  for (const Measurement& m : file.rows) {
    const RowMeaning r = meaning_of(m, row_names());
    std::string why = unfit(m, r, machine, start);
    const std::string key = fmt::format("{}\n{}\n{}", m.model, m.quant, m.file_gib);
    if (why.empty() && known.find(key) == known.end()) {
      const auto shape = shape_of_row(m.model);
      ModelMeaning w;
      w.problem = "no shape is known of the model: " + m.model;
      if (shape) w = weights_of(m, *shape, start.name, row_names());
      why = w.problem;
      if (why.empty()) known[key] = &u.models.emplace_back(std::move(w.model));
    }
    if (!why.empty()) {
      ++u.left[why];
      continue;
    }
    const double tokens = m.phase == MeasuredPhase::Decode ? static_cast<double>(m.batch)
                                                           : static_cast<double>(*m.n_tokens);
    u.rows.push_back(
        {m.model, known.at(key), r.kv, steps_of(m, r.n_ubatch), Seconds(tokens / m.tok_s)});
  }
  return u;
}

std::string errors_line(std::string_view what, const FitErrors& e) {
  if (e.n == 0) return fmt::format("{}: one model only, none can be left out\n", what);
  return fmt::format("{}: median {:.1f} %, mean {:.1f} %, worst {:.1f} % of {} rows\n", what,
                     100 * e.median, 100 * e.mean, 100 * e.worst, e.n);
}

std::string report(const BackendFit& fit, const Usable& u) {
  Table table(
      {{"figure"}, {"time x", Align::Right}, {"90 % interval", Align::Right}, {"identified"}});
  for (const FittedFactor& f : fit.factors) {
    table.add({std::string(name(f.what)), fmt::format("{:.3f}", f.factor),
               fmt::format("{:.2f} to {:.2f}", f.low, f.high),
               f.identified ? "yes" : "no, kept: " + f.why});
  }
  std::string text = fmt::format("{} rows of {} models\n{}\n{}{}{}", u.rows.size(), fit.models,
                                 table.text(), errors_line("before the fit", fit.before),
                                 errors_line("in-sample", fit.in_sample),
                                 errors_line("leave-one-model-out", fit.left_out));
  for (const auto& [why, count] : u.left) {
    text += fmt::format("left out, {} row{}: {}\n", count, count == 1 ? "" : "s", why);
  }
  return text;
}

}  // namespace

int run_fit_backend(const Arguments& a) {
  const Machine machine = load_machine(a.text("machine"));
  const Backend start = load_backend(a.has("from") ? a.text("from") : machine.default_backend);
  const Usable u = usable_rows(load_measurements(a.text("fit-backend")), machine, start);
  if (u.rows.empty() && !u.left.empty()) {
    const auto most =
        std::max_element(u.left.begin(), u.left.end(),
                         [](const auto& x, const auto& y) { return x.second < y.second; });
    throw Error::input(a.text("fit-backend"),
                       fmt::format("no row of {} with {}; most were left out because: {}",
                                   machine.name, start.name, most->first));
  }
  BackendFit fit = fit_backend(machine, start, u.rows);
  fmt::print("{}", report(fit, u));
  if (!a.has("out")) return kExitDone;
  const std::string path = a.text("out");
  if (path == "-") {
    fmt::print("{}", write_backend(fit.backend));
  } else {
    write_file(path, write_backend(fit.backend));
    fmt::print("backend written to {}\n", path);
  }
  return kExitDone;
}

}  // namespace bandwall
