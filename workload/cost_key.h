// The name under which a backend keeps the costs of an op of a model: the kind's own, with a suffix
// where the kernels of one kind have little in common: "attention.latent", "ssm.delta".
#pragma once

#include <string>
#include <vector>

#include "workload/ledger.h"
#include "workload/model_spec.h"

namespace bandwall {

std::string cost_key(const Hyper& hyper, OpKind kind);
std::vector<std::string> cost_keys();  // all that cost_key can give

}  // namespace bandwall
