// Speculative decoding: a draft guesses `n_draft` tokens, one step of the model verifies them all.
//   Speculation s = speculate(machine, backend, model, scenario, {.n_draft = 3, .acceptance =
//   0.7});
// With acceptance a per token, independent, a round of g guesses yields
//   (1 - a^(g+1)) / (1 - a)   tokens (Leviathan et al. 2023, arXiv 2211.17192, equation 1)
// and takes g draft steps and one verification of g + 1 tokens per sequence, which reads the union
// of the experts that those tokens choose: why sparse models gain less than dense ones.
// Tokens of one sequence share experts more than unrelated ones do; the union here is that of
// expected_routing(), so the verification is on the slow side.
#pragma once

#include <optional>

#include "analysis/predict.h"

namespace bandwall {

struct SpeculationOptions {
  std::int64_t n_draft = 3;          // 1..1024
  double acceptance = 0.7;           // of one guessed token, 0..1
  const ModelSpec* draft = nullptr;  // nullptr: the model's own blocks of multi-token prediction
};

struct Speculation {
  double tokens_per_round = 0;       // of each sequence, expected
  Seconds draft, verify;             // of one round
  Seconds plain;                     // of one step without speculation
  double ts = 0;                     // tokens per second of all sequences
  double speedup = 0;                // over plain decoding
  std::optional<double> break_even;  // acceptance at which it neither gains nor loses; none: never
};

// Decode in the middle of scenario.n_gen tokens after scenario.depth, scenario.batch sequences.
// A block of multi-token prediction costs what the model's last block and its head cost. Throws
// Error (Input) when the model has no such blocks and no draft is given, or when an option is
// outside its range.
Speculation speculate(const Machine& machine, const Backend& backend, const ModelSpec& model,
                      const Scenario& scenario, const SpeculationOptions& options);

}  // namespace bandwall
