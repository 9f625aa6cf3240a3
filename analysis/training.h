// Does fine-tuning fit? Bytes of weights, gradients, optimizer state, adapters and activations of
// one training step against what the machine has.
//   TrainReport r = fit_training(machine, model, {.mode = TrainMode::Qlora, .sequence = 4096});
//   r.needed + r.headroom == r.usable
// Sources: mixed precision and optimizer state, Rajbhandari et al. 1910.02054 (16 B per parameter
// with Adam; 18 with float32 gradients); 8-bit states, Dettmers et al. 2110.02861; LoRA, Hu et al.
// 2106.09685: r (in + out) values per matrix; QLoRA, Dettmers et al. 2305.14314: NF4 with doubly
// quantized scales, 4 + 8/64 + 32/(64 x 256) = 4.127 bits; activations, Korthikanti et al.
// 2205.05198, counted per tensor without dropout for grouped heads, gated feed-forward parts and
// experts. One device holds all: no sharding. Figures are for 2-byte activations.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "analysis/fit.h"
#include "hwmodel/machine.h"
#include "workload/model_spec.h"

namespace bandwall {

enum class TrainMode { Full, Lora, Qlora };
enum class Optimizer { Adamw, Adamw8bit, Sgd };
enum class Recompute { None, Selective, Full };
std::string_view name(TrainMode mode);
std::string_view name(Optimizer optimizer);
std::string_view name(Recompute recompute);
std::optional<TrainMode> train_mode_from_name(std::string_view name);
std::optional<Optimizer> optimizer_from_name(std::string_view name);
std::optional<Recompute> recompute_from_name(std::string_view name);

struct TrainOptions {
  TrainMode mode = TrainMode::Full;
  Optimizer optimizer = Optimizer::Adamw;
  Recompute recompute = Recompute::Selective;  // attention scores again in the backward pass
  std::int64_t sequence = 2048;                // tokens per sequence
  std::int64_t batch = 1;                      // sequences per step and device
  std::int64_t rank = 16;                      // of LoRA adapters, on every matrix of the blocks
  std::optional<Bytes> runtime_bytes;          // Backend::context_bytes
};

struct TrainLine {
  std::string what;
  Bytes bytes;
  std::string how;  // the arithmetic, with its numbers
};

struct TrainReport {
  Verdict verdict = Verdict::DoesNotFit;
  std::vector<TrainLine> lines;
  Bytes needed, usable, headroom;
  std::int64_t trained = 0;  // parameters with gradients
  std::int64_t frozen = 0;
  std::optional<std::int64_t> max_sequence;  // largest multiple of 256 that fits; nullopt: none
  std::vector<std::string> notes;
};

// Throws Error (Input) for a sequence, batch or rank out of range.
TrainReport fit_training(const Machine& machine, const ModelSpec& model,
                         const TrainOptions& options);

// Bytes of the activations that one sequence-batch keeps for the backward pass, all layers.
Bytes activation_bytes(const ModelSpec& model, const TrainOptions& options);
// Values of the adapters of rank r on the matrices of the blocks.
std::int64_t adapter_values(const ModelSpec& model, std::int64_t rank);

}  // namespace bandwall
