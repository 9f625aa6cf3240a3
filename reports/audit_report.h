// Looks up what the claims of a file name, judges them, and prints the result as text, markdown or
// JSON.
//   AuditReport r = audit_file(load_claims("seed-posts"));   audit_markdown(r)
#pragma once

#include <string>
#include <vector>

#include "analysis/audit.h"
#include "workload/claim.h"

namespace bandwall {

struct AuditReport {
  ClaimFile file;
  std::vector<Judgement> judgements;  // one per claim, in order
};

AuditReport audit_file(ClaimFile file);
bool all_consistent(const AuditReport& report);

std::string audit_text(const AuditReport& report);
std::string audit_markdown(const AuditReport& report);
std::string audit_json(const AuditReport& report);

}  // namespace bandwall
