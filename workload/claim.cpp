#include "workload/claim.h"

namespace bandwall {

std::string_view name(ClaimKind kind) {
  switch (kind) {
    case ClaimKind::Memory:
      return "memory";
    case ClaimKind::Fit:
      return "fit";
    case ClaimKind::Decode:
      return "decode";
    case ClaimKind::Prefill:
      return "prefill";
    case ClaimKind::Roof:
      return "roof";
    case ClaimKind::Load:
      return "load";
    case ClaimKind::Power:
      return "power";
    case ClaimKind::Cost:
      return "cost";
    case ClaimKind::Limit:
      return "limit";
  }
  return "";
}

}  // namespace bandwall
