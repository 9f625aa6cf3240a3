// bandwall validate: every measured row predicted, and how far the predictions are off.
#include <fmt/format.h>

#include <cmath>

#include "hwmodel/error.h"
#include "reports/cli/commands.h"
#include "reports/cli/common.h"
#include "reports/validation_report.h"

namespace bandwall {
namespace {

std::vector<MeasurementFile> files_of(const Arguments& a) {
  std::vector<MeasurementFile> files;
  const std::vector<std::string> names =
      a.positional().empty() ? measurement_names() : a.positional();
  for (const std::string& name : names) files.push_back(load_measurements(name));
  return files;
}

int run_validate(const Arguments& a) {
  const std::string form = a.choice("output", {"text", "md", "json", "csv"});
  const std::optional<double> tolerance = tolerance_of(a);
  const std::optional<ProfileFile> host = profile_if_any(a);
  ValidationOptions options;
  if (a.has("machine")) options.machine = load_machine(a.text("machine")).name;
  if (a.has("backend")) options.backend = load_backend(a.text("backend")).name;
  options.host = host ? &*host : nullptr;
  const Validation v = validate_rows(files_of(a), options);
  fmt::print("{}", form == "json"  ? validation_json(v)
                   : form == "csv" ? validation_csv(v)
                   : form == "md"  ? validation_markdown(v)
                                   : validation_text(v));
  if (a.has("svg")) write_file(a.text("svg"), validation_svg(v));
  if (v.rows.empty()) throw Error::input("validate", "no row could be predicted");
  return tolerance && v.judged.median > *tolerance ? kExitTolerance : kExitDone;
}

}  // namespace

CommandSpec command_validate() {
  CommandSpec c{"validate",
                "validate [ROWS.csv|NAME ...] [OPTIONS]",
                "every measured row predicted: errors per class, bars, baselines, failing classes",
                0,
                100,
                {},
                run_validate};
  c.options = {{"machine,M", "NAME", "", "only rows of this machine"},
               {"backend", "NAME", "", "only rows of this backend"},
               {"svg", "FILE", "", "write a chart: predicted over measured"},
               option_check("the median error, failing classes left out"),
               option_profile(),
               option_output("text", "text, md, json, csv")};
  return c;
}

}  // namespace bandwall
