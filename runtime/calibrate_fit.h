// From samples of the engine's ops to the rates of a backend, each from the ops that show it:
// stream rates from decode, rates of products over rows from prompts, fixed and elementwise costs
// of the small ops, attention from depths, head shapes and KV formats together.
//   FormatSamples s = ...;  fit_format(s, Format::Q4_K, far, backend);
// Rates of memory are kept as shares of the plain reading beside each sample, times `far`, plain
// reading as the profile states it. Pure: no clock, no engine.
#pragma once

#include <string>
#include <vector>

#include "runtime/engine_probe.h"

namespace bandwall {

struct FormatSamples {
  std::vector<StepSample> decode;
  std::map<std::int64_t, std::vector<StepSample>> prompts;  // by tokens
  std::int64_t experts_used = 0;
  double working_set = 0;  // bytes of the model
};

// Attention of one token: one row per step.
struct AttentionSample {
  double seconds = 0, bytes = 0, elements = 0, activations = 0, read = 0;
};

// Fixed and elementwise cost of the ops that hardly stream, beside cold caches; op_seconds and
// activation_stream of their kinds are replaced. Also attention of many positions: attention_rate.
void fit_small_ops(const std::vector<FormatSamples>& all, double far, Backend& backend);

// stream, stream ".experts", gemm, gemm ".experts" of a format, and the elementwise rate of
// feed-forward ops where there is none yet. Needs op_seconds.
void fit_format(const FormatSamples& samples, Format format, double far, Backend& backend);

// kv_stream and kv_scores of a KV format; the fixed cost of attention from the first format.
// Remarks: figures that the samples do not determine, and what was taken instead.
void fit_attention(const std::vector<AttentionSample>& samples, const std::string& kv_format,
                   double far, Backend& backend, std::vector<std::string>& remarks);

}  // namespace bandwall
