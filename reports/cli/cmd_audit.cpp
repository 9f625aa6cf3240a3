// bandwall audit: figures that somebody stated, each judged with its arithmetic.
#include <fmt/format.h>

#include "configs/library.h"
#include "reports/audit_report.h"
#include "reports/cli/commands.h"
#include "reports/cli/common.h"

namespace bandwall {
namespace {

int run_audit(const Arguments& a) {
  const std::string form = a.choice("output", {"text", "md", "json"});
  const AuditReport report = audit_file(load_claims(a.positional().front()));
  fmt::print("{}", form == "json" ? audit_json(report)
                   : form == "md" ? audit_markdown(report)
                                  : audit_text(report));
  return all_consistent(report) ? kExitDone : kExitTolerance;
}

}  // namespace

CommandSpec command_audit() {
  return {"audit",
          "audit FILE|NAME [OPTIONS]",
          "are these figures possible? claims about memory, speed, power and cost, each judged",
          1,
          1,
          {option_output("text", "text, md, json")},
          run_audit};
}

}  // namespace bandwall
