// bandwall compare: results that other programs wrote beside predictions, with the likely cause of
// each gap.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <set>

#include "hwmodel/error.h"
#include "reports/cli/commands.h"
#include "reports/cli/common.h"
#include "reports/comparison_report.h"
#include "reports/import_results.h"

namespace bandwall {
namespace {

constexpr std::int64_t kMostBytes = 64'000'000;

struct Held {
  std::optional<Target> target;
  std::optional<ModelSpec> model;
  std::optional<ProfileFile> host;
};

Held held_against(const Arguments& a) {
  Held h;
  if (a.has("machine")) {
    h.target =
        choose_target(a.text("machine"), a.optional_text("backend"), a.optional_text("profile"));
  } else if (a.has("backend")) {
    throw Error::input("--backend", "stands alone; name the machine too (--machine)");
  }
  if (a.has("model")) h.model = choose_model(a.text("model"), a.text("mix")).spec;
  if (!a.has("model") && a.has("mix")) throw Error::input("--mix", "is of no --model");
  h.host = profile_if_any(a);
  return h;
}

// What was read, and every machine and backend that its rows were held against.
std::string title_of(const std::vector<Imported>& read, const Validation& v) {
  std::vector<std::string> parts;
  for (const Imported& i : read) parts.push_back(fmt::format("{} ({})", i.file.name, i.kind));
  std::set<std::string> against;
  for (const CheckedRow& row : v.rows) {
    against.insert(row.attributes.at("machine") + ", " + row.attributes.at("backend"));
  }
  return fmt::format("{} against {}", fmt::join(parts, ", "), fmt::join(against, " and "));
}

// Why no row could be predicted, in terms of what to give.
[[noreturn]] void nothing_predicted(const Validation& v) {
  std::vector<Diagnostic> problems;
  std::set<std::string> said;
  for (const LeftRow& l : v.left) {
    if (!said.insert(l.reason).second) continue;  // once, at its first row
    std::string way;
    if (l.reason.find("model") != std::string::npos) way = "; name it with --model NAME[:MIX]";
    if (l.reason.find("device") != std::string::npos) way = "; name it with --machine";
    if (l.reason.find("engine") != std::string::npos) way = "; name it with --backend";
    problems.push_back({fmt::format("{}:{}", l.file, l.line), l.reason + way});
    if (problems.size() == 5) break;
  }
  if (problems.empty()) problems.push_back({"compare", "the files hold no result"});
  throw Error(Error::Kind::Input, std::move(problems));
}

int run_compare(const Arguments& a) {
  const std::string form = a.choice("output", {"text", "md", "json"});
  const std::optional<double> tolerance = tolerance_of(a);
  const Held held = held_against(a);
  std::vector<Imported> read;
  for (const std::string& path : a.positional()) {
    read.push_back(import_results(read_file(path, kMostBytes), path));
  }
  std::vector<MeasurementFile> files;
  for (const Imported& i : read) files.push_back(i.file);
  ValidationOptions options;
  options.explain = true;
  if (held.target) options.at = &held.target->machine;
  if (held.target && a.has("backend")) options.with = &held.target->backend;
  if (held.target) options.otherwise = &held.target->backend;
  if (held.model) options.model = &*held.model;
  if (held.host) options.host = &*held.host;
  const Validation v = validate_rows(files, options);
  if (v.rows.empty()) nothing_predicted(v);
  const std::string title = title_of(read, v);
  fmt::print("{}", form == "json" ? comparison_json(v, title)
                   : form == "md" ? comparison_markdown(v, title)
                                  : comparison_text(v, title));
  return tolerance && v.all.worst > *tolerance ? kExitTolerance : kExitDone;
}

}  // namespace

CommandSpec command_compare() {
  CommandSpec c{
      "compare",
      "compare FILE ... --machine M [--backend B] [OPTIONS]",
      "results of llama-bench, llama-server, vLLM or bandwall beside predictions, with the "
      "likely cause of each gap",
      1,
      1000,
      {},
      run_compare};
  c.options = {
      {"machine,M", "NAME", "", "where it was measured: a shipped machine, a YAML file, 'this'"},
      {"backend", "NAME", "", "the software; otherwise what the file says, or the machine's usual"},
      {"model,m", "MODEL", "", "the model, where the files do not name a known one"},
      option_mix(),
      option_check("the error of any row"),
      option_profile(),
      option_output("text", "text, md, json")};
  return c;
}

}  // namespace bandwall
