// The part of audit.h that judges speeds: speed of light first, then the predictor's band.
//   audit_decode(claim, inputs)
#pragma once

#include "analysis/audit.h"
#include "workload/plan.h"

namespace bandwall {

KvConfig claimed_kv(const Claim& claim);  // f16 where the claim names no format
Judgement audit_decode(const Claim& claim, const AuditInputs& inputs);
Judgement audit_prefill(const Claim& claim, const AuditInputs& inputs);
Judgement audit_roof(const Claim& claim, const AuditInputs& inputs);

}  // namespace bandwall
