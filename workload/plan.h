// The Plan: the ops of one forward pass (step) with their exact traffic and work. Prediction prices
// it; the engine executes the same ops. Same keys, same order, same bytes once the routing is
// known.
//   Plan p = plan_step(model, {.k = f16, .v = f16}, {.tokens_per_sequence = 1, .past = 4096},
//                      expected_routing(model, 1));
// Traffic rules (per op): weights = bytes of the tensors (rows) read: the whole matrix for a
// projection, n rows for the embedding, distinct experts x bytes of one expert, output head only in
// steps that need logits. KV read = visible cells x (K + V) bytes per cell, each cell once per op;
// a window layer sees min(window, past + i + 1) positions. Activations: rules in plan.cpp.
#pragma once

#include <vector>

#include "workload/ledger.h"
#include "workload/model_spec.h"

namespace bandwall {

struct KvConfig {
  const KvFormat* k = nullptr;
  const KvFormat* v = nullptr;
};

// One forward pass: `sequences` sequences, each `tokens_per_sequence` new tokens after `past`
// tokens.
struct Step {
  std::int64_t sequences = 1;
  std::int64_t tokens_per_sequence = 1;
  std::int64_t past = 0;
  std::int64_t output_rows = 1;          // positions that need logits, over all sequences
  std::vector<std::int64_t> pasts = {};  // of each sequence where they differ; empty: all `past`
  std::int64_t tokens() const { return sequences * tokens_per_sequence; }
};

// Distinct experts that one step touches, per layer (0 for layers without experts). Fractions are
// expectations; a recorded routing has whole numbers.
struct Routing {
  std::vector<double> distinct_experts;
  bool recorded = false;  // from routers at work, not from an assumption
};

// Distinct ones of E experts after n tokens that choose k each. Uniform and independent:
// E * (1 - (1 - k/E)^n). With a concentration c > 0 the experts' probabilities are drawn from
// Beta(c k/E, c (1 - k/E)), so that some are chosen often and many hardly ever (beta-binomial):
// E * (1 - B(a, b + n) / B(a, b)). c = 0: uniform.
double expected_distinct(double experts, double used, double tokens, double concentration = 0);
Routing expected_routing(const ModelSpec& model, std::int64_t tokens, double concentration = 0);
// The same for the positions of a step; in the last layer only those whose logits are wanted
// choose.
Routing expected_routing(const ModelSpec& model, const Step& step, double concentration = 0);

// Share of the tokens that chose each expert, by layer; a layer's shares sum to the experts used by
// a token. An empty layer was not recorded.
struct ExpertShares {
  std::vector<std::vector<double>> layers;
};
// Distinct experts of n tokens that choose independently of each other with these shares:
// sum over experts of 1 - (1 - p_e)^n. Layers without a record are taken as uniform.
Routing recorded_routing(const ModelSpec& model, const Step& step, const ExpertShares& shares);

struct WeightStream {
  Format format;
  Bytes bytes;            // streamed in this op and step
  std::int64_t matrices;  // how many separate matrices (calls to a kernel)
  double rows_of_x;  // activations rows each matrix is applied to (tokens, or tokens per expert)
  Flops flops;
};

struct Op {
  OpKey key;
  Traffic traffic;
  Flops flops;
  std::vector<WeightStream> streams;  // weights by format, sums to traffic.weights
  Elements
      kv_scores;  // query heads x head_dim x visible positions, K and V: for the KV element roof
};

struct Plan {
  Step step;
  std::vector<Op> ops;  // execution order
  Bytes weights() const;
  Bytes kv() const;  // read + written
  Traffic traffic() const;
};

Plan plan_step(const ModelSpec& model, const KvConfig& kv, const Step& step,
               const Routing& routing);

// Steps of a prompt in micro-batches of `n_ubatch`; the last `output_rows` positions need logits.
std::vector<Step> prefill_steps(std::int64_t n_prompt, std::int64_t past, std::int64_t n_ubatch,
                                std::int64_t output_rows);

// Positions that `tokens` new positions after `past` see in layer `layer`: the distinct cells that
// one step reads, and the sum over the new positions (the pairs that are scored).
struct VisibleCells {
  std::int64_t distinct = 0, pairs = 0;
};
VisibleCells visible_cells(const Hyper& hyper, std::int64_t layer, std::int64_t tokens,
                           std::int64_t past);

// Cells that a layer's cache holds for each sequence: none without attention, `context` for full
// layers, round256(min(context, window + n_ubatch)) for window layers: while a micro-batch is
// written, its first position still sees a whole window.
std::int64_t kv_cells(const Hyper& hyper, std::int64_t layer, std::int64_t context,
                      std::int64_t n_ubatch);

// Bytes of one cached position over all layers (each layer's K + V), and of a cache with kv_cells
// in every layer.
Bytes kv_bytes_per_position(const ModelSpec& model, const KvConfig& kv);
Bytes kv_cache_bytes(const ModelSpec& model, const KvConfig& kv, std::int64_t context,
                     std::int64_t n_ubatch);

// A Ledger with the Plan's traffic and flops and no times.
Ledger ledger_of(const Plan& plan);

}  // namespace bandwall
