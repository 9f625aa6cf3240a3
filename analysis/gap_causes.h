// Why a measured speed is not the predicted one: candidate causes, each with its arithmetic.
//   for (const GapCause& c : likely_causes(in, result, shallow)) ...   // the likeliest first
// Each rule asks which single figure would have to differ, and by how much, for the prediction to
// give what was measured; the causes are the pitfalls that public measurements showed (cache hits
// counted as prefill, time on the way to a server, other weights under the label, kernels started
// one by one, cache formats that cost unpacking, experts shared by a batch, small micro-batches).
// Nothing is fitted.
#pragma once

#include <string>
#include <vector>

#include "analysis/validate.h"

namespace bandwall {

struct GapCause {
  std::string cause;       // "kernels started one by one"
  std::string arithmetic;  // "3.1 ms more per token / 48 layers = 65 us per layer"
};

// A row of the same model, software and batch at a lower depth, or none.
struct ShallowRow {
  const Measurement* row = nullptr;
  const RowResult* result = nullptr;
};

// Empty where the measured value lies inside the band.
std::vector<GapCause> likely_causes(const RowInputs& in, const RowResult& r,
                                    const ShallowRow& shallow = {});

}  // namespace bandwall
