// Readers of the parts of data files, over reader.h; library.h is what others use.
//   Machine m = read_machine(root);   // problems are collected in the Document
// Each reads one mapping and checks what only it knows: known names, order, one figure against
// another. None throws; Document::finish does.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "configs/reader.h"
#include "hwmodel/engine_rules.h"
#include "hwmodel/machine.h"
#include "workload/claim.h"
#include "workload/model_spec.h"

namespace bandwall {

Machine read_machine(Reader& r);
Backend read_backend(Reader& r);
EngineRules read_engine(Reader& r);
ModelShape read_model_shape(Reader& r);
ClaimFile read_claims(Reader& r);

RateCurve read_curve(Reader& r);
// Adds a problem with a did-you-mean at key `at` unless `key` is one of `known`.
void check_key(Reader& r, std::string_view at, const std::string& key,
               const std::vector<std::string>& known);

}  // namespace bandwall
