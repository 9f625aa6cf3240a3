// NaN and infinities. Every step looks at what its layers leave behind (watch and all_finite, less
// than 0.5 % of a decode step); when something shows up, the engine runs the step again, looks at
// the result of each op (bad_output) and scans the weights of the first bad one.
#pragma once

#include <optional>
#include <span>
#include <string>

#include "runtime/engine.h"
#include "runtime/pass.h"

namespace bandwall {

// True when no value is NaN or infinite.
bool all_finite(const float* x, std::int64_t n);

// False when the residual rows, or anything watched since the step began, is no finite number.
bool layer_is_finite(Pass& p);

// Vectors (norms, biases, sinks, factors) are few: all are checked before the first step. Throws
// Error (Running) like throw_bad_numbers.
void check_vectors(const LoadedModel& model);

// Marks the step as suspect when a value is NaN or infinite. For results that may not reach the
// residual rows as such: scores that a sigmoid or softmax brings back into range.
void watch(Pass& p, const float* x, std::int64_t n);

// What is wrong with the rows that an op has just written, or nothing: "nan at value 7 of position
// 3". logits: `rows` rows of the head.
std::optional<std::string> bad_output(const Pass& p, OpKind kind, std::int64_t rows,
                                      const float* logits);

// Names the op and layer, and the tensor and index when a weight of the op is no finite number.
// Throws Error (Running).
[[noreturn]] void throw_bad_numbers(const LoadedModel& model, OpKind kind, std::int64_t layer,
                                    std::span<const std::int32_t> tokens, const std::string& what);

}  // namespace bandwall
