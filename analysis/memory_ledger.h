// The ledger of memory: every line of what a configuration holds, where, and the arithmetic.
//   MemoryLedger l = memory_ledger(model, placement, options);
// Rules of llama.cpp (ggml-org/llama.cpp src/llama-context.cpp, llama-kv-cache*.cpp and its logs):
//   cells   n = context rounded up to 256; split over slots: n / slots rounded up, times slots
//   window  min(n, window x (unified ? slots : 1) + ubatch) rounded up; whole n with swa_full
//   state   slots x (1 + draft_max) rows of 4 x (convolution tail + state) bytes, every layer
//   compute max(4 ub (vocab + hidden), 6 ub n + 8 ub ffn); without flash attention the second is
//           4 ub (n (heads + 1) + 2 q + 2 hidden); in host memory 4 ub (n + 2 hidden)
//   output  4 x vocab x slots; sparse attention also keeps the indexer's key of each cell, in f16
// Not counted unless runtime_bytes is known: the program's own context, and the pool into which 3
// or more query tokens expand the quantized K and V of a layer to f16 (ggml-cuda fattn). Other
// engines: see CacheLayout. Pure: no I/O. Byte figures are rounded up to whole bytes.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "analysis/memory_placement.h"
#include "workload/plan.h"

namespace bandwall {

enum class MemoryGroup { Weights, Kv, State, Compute, Output, Draft, Projector, Runtime, Cache };
std::string_view name(MemoryGroup group);  // "weights", "kv", ...

struct FitOptions {
  std::int64_t context = 4096;  // positions; of all slots together where the engine shares them
  KvConfig kv;
  std::int64_t n_ubatch = 512;
  std::int64_t slots = 1;  // sequences served at once
  bool unified = false;    // slots share one stream of cells
  bool flash_attention = true;
  bool swa_full = false;       // window layers keep the whole context
  bool f16_window = false;     // window layers keep f16, whatever kv says
  bool whole_latent = false;   // latent attention keeps keys and values of all heads (older files)
  std::int64_t draft_max = 0;  // tokens that are guessed ahead, at most: snapshots of the state
  Bytes prompt_cache;          // a server's cache of prompts in host memory
  Bytes projector;             // multimodal projector
  std::optional<Bytes> runtime_bytes = {};  // each device: Backend::context_bytes; nullopt: unknown
  Offload offload = {};
  EngineRules engine = {};
  std::shared_ptr<const ModelSpec> draft = nullptr;  // a model that guesses ahead, all on device 0
};

struct MemoryLine {
  MemoryGroup group = MemoryGroup::Weights;
  int where = 0;  // device, or kHost
  std::string what;
  Bytes bytes;
  std::string how;  // the arithmetic, with its numbers
};

// Cells of the cache: streams x full in layers that see all, streams x window in the others.
struct CacheCells {
  double full = 0, window = 0, streams = 1;
};
CacheCells cache_cells(const Hyper& hyper, const FitOptions& options);

struct MemoryLedger {
  std::vector<MemoryLine> lines;
  Bytes on(int where) const;  // sum of what lies there
  Bytes of(MemoryGroup group) const;
  Bytes of(MemoryGroup group, int where) const;
};

// explain: with the text of `how` (searches go without).
MemoryLedger memory_ledger(const ModelSpec& model, const Placement& placement,
                           const FitOptions& options, bool explain = true);

// What loading takes at most, beside which steady state is less: with a mapped file its pages stay
// in memory beside the copies on devices (they are given back under pressure, too late on machines
// with one pool); read directly, the largest tensor is held twice.
struct LoadPeak {
  Bytes mapped, direct;  // in the pool that host memory belongs to
  std::string how_mapped, how_direct;
};
LoadPeak load_peak(const ModelSpec& model, const Placement& placement, const FitOptions& options,
                   bool one_pool);

// Throws Error (Input) for options that no program would take: sizes outside their range, a
// quantized V cache without flash attention, offload with an engine that has none.
void check_fit_options(const FitOptions& options);

}  // namespace bandwall
