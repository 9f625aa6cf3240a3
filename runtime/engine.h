// The engine: runs a model file with real kernels and meters every op.
//   LoadedModel model = LoadedModel::open("model.gguf");
//   Engine engine(model, {.context = 4096, .threads = 2});
//   auto logits = engine.evaluate(tokens, Outputs::Last, &meter);   // appends to the KV cache
// Several sequences, one token of each per step, so that weights are read once for all of them:
//   Engine engine(model, {.context = 4096, .sequences = 8});
//   engine.evaluate(prompt, Outputs::Last, &meter, 3);              // the prompt of sequence 3
//   auto rows = engine.evaluate_step(tokens, &meter);               // tokens: {sequence, id}
// Weights are used in place, in the mapping or where the file was read to; nothing is copied again.
// Logits are bitwise the same for every thread count. Not thread-safe; one owner; the model must
// outlive its engines.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "runtime/kernels/kernels.h"
#include "workload/ledger.h"
#include "workload/model_spec.h"
#include "workload/plan.h"

namespace bandwall {

struct Interrupted {};

// Mapped: pages of the file come when touched, and the system may drop them. Copied: the whole file
// is read into memory of this process, in huge pages where the system allows them, which read
// faster.
enum class Loading { Mapped, Copied };

// A model in memory: all parts of the file, its spec, and where each tensor lies.
class LoadedModel {
 public:
  // Finds split siblings. Copied: throws Error (Input) with the bytes needed and those available
  // before anything is read, and Interrupted when the flag is set meanwhile.
  static LoadedModel open(const std::string& path, Loading loading = Loading::Mapped,
                          const std::atomic<bool>* interrupt = nullptr);
  static LoadedModel from_memory(std::span<const std::byte> bytes, std::string name);  // demo model
  LoadedModel(LoadedModel&&) noexcept;
  ~LoadedModel();

  const ModelSpec& spec() const;
  std::span<const GgufFile> files() const;
  const std::byte* data(const TensorSpec& tensor) const;  // packed values, in place
  const GgufValue* metadata(std::string_view key) const;
  std::int64_t file_bytes() const;
  const std::vector<std::string>& notes() const;  // oddities that do no harm, for the user
  std::vector<std::span<const std::byte>> mappings() const;  // of files; empty for what was copied
  // Throws Error (Input) naming the first tensor whose format has no kernel.
  void require_kernels() const;

 private:
  LoadedModel();
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

enum class KernelMode { Fast, Reference };
// Auto: before the first step the whole file is brought into memory and mapped, when it fits; a
// step then does not pay for page faults. Off: pages come as they are touched.
enum class Prefault { Auto, Off };
enum class Outputs { None, Last, All };

struct EngineOptions {
  std::int64_t context = 4096;  // positions of each sequence; refused beyond memory, not beyond
                                // training length
  std::int64_t sequences = 1;
  std::int64_t n_ubatch = 512;
  int threads = 0;              // 0: physical cores
  const KvFormat* k = nullptr;  // nullptr: f16
  const KvFormat* v = nullptr;
  bool rotate_kv = true;  // quantized K and V are rotated, which makes them more exact
  KernelMode kernels = KernelMode::Fast;
  const KernelTable* table = nullptr;  // force an instruction set (tests); nullptr: best
  bool pin_threads = true;
  Prefault prefault = Prefault::Auto;
};

// What really happened, step by step: a Ledger of times and bytes, and the routing.
struct Meter {
  Ledger ledger;  // sums over steps
  // routing[layer] -> distinct experts of each metered step, for replay through plan_step.
  struct StepRecord {
    Step step;
    Routing routing;
    Seconds wall;
  };
  std::vector<StepRecord> steps;
  // Chosen expert ids, when record_experts: experts[layer][position] in falling score.
  bool record_experts = false;
  std::vector<std::vector<std::vector<std::int32_t>>> experts;
};

struct SequenceToken {
  std::int64_t sequence = 0;
  std::int32_t token = 0;
};

class Engine {
 public:
  Engine(const LoadedModel& model, EngineOptions options);
  ~Engine();

  // Appends tokens to the sequence in micro-batches. Returns logits: none, the last row, or all.
  // Throws Error (Input) when the context would overflow or an id is unknown, Error (Running) for
  // NaN or Inf, naming op, layer and tensor. Micro-batches done stay (position()); recurrent state
  // has seen a part of the one cut short: Error (Input) until rewind(0) or reset() of the sequence.
  std::span<const float> evaluate(std::span<const std::int32_t> tokens, Outputs outputs,
                                  Meter* meter = nullptr, std::int64_t sequence = 0);
  // One step: one token after what the cache holds of each named sequence, at most one each.
  // Returns a row of logits per token, in their order. Bitwise what each sequence gets alone,
  // except with AVX-512 and quantized weights from three tokens on, where sums have another order.
  // Errors as evaluate; also Error (Input) for a sequence that is named twice or does not exist.
  std::span<const float> evaluate_step(std::span<const SequenceToken> tokens,
                                       Meter* meter = nullptr);
  void reset();  // empties the cache and clears the recurrent state of every sequence
  // Keeps the first `position` positions. Throws Error (Input) when a window layer has dropped
  // cells that the next position sees, and, for models with recurrent layers, whose state cannot be
  // cut back, unless `position` is 0 or, when no step was cut short, the present one.
  void rewind(std::int64_t position, std::int64_t sequence = 0);
  bool can_rewind(std::int64_t position, std::int64_t sequence = 0) const;
  std::int64_t position(std::int64_t sequence = 0) const;
  const EngineOptions& options() const;  // as resolved (threads, KV formats, table)
  Bytes kv_bytes() const;                // allocated cache
  // A flag that another thread or a signal handler may set: evaluate then throws Interrupted.
  void set_interrupt(const std::atomic<bool>* flag);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace bandwall
