// Made-up models from the command line: "MODEL:MIX" cut to some layers, in memory or as a file.
//   SyntheticChoice c = choose_synthetic(arguments, arguments.text("synthetic"));
//   SyntheticModel memory = build_synthetic(c);   LoadedModel::from_memory(memory.bytes(), c.title)
#pragma once

#include "reports/cli/host_profile.h"
#include "reports/cli/options.h"
#include "runtime/engine.h"
#include "runtime/synthetic_model.h"

namespace bandwall {

struct SyntheticChoice {
  ModelSpec cut, full;  // with the layers and vocabulary asked for; as the model is
  std::string title;    // "minimax-m2.5:Q3_K_M, 4 of 62 layers, synthetic"
  SyntheticOptions options;
  bool is_cut() const { return cut.hyper.layers != full.hyper.layers; }
};

// Reads --layers and --vocab of the command; Errors name the option and what is known.
SyntheticChoice choose_synthetic(const Arguments& arguments, const std::string& text);

// The weights in memory; refused with the needed bytes when they exceed what is available.
SyntheticModel build_synthetic(const SyntheticChoice& choice);

// When layers were left out: what the whole model weighs, reads per token and would give here in
// decode at the present read bandwidth, as a line on stderr.
void tell_full_depth(const SyntheticChoice& choice, const Host& host, BytesPerSecond now,
                     const KvConfig& kv, int threads);

OptionSpec option_synthetic();
std::vector<OptionSpec> options_cut();  // --layers, --vocab

}  // namespace bandwall
