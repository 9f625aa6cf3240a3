// Steps of the engine itself on made-up models of realistic width that lie far beyond the caches,
// in pages like those of a mapped file: what calibrate() fits the rates of its profile to. Nothing
// between such a probe and a run differs: functions, threads, queues, call pattern, cold caches.
//   const ProbeModel m(wide_spec(Format::Q4_K, size));   ReadProbe read(2, &m.model());
//   EngineProbe probe(m.model(), {.threads = 2}, read);
//   for (const auto& [kind, s] : probe.prompt(64)) ...   // one call of each kind of op
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>

#include "runtime/calibrate.h"
#include "runtime/engine.h"
#include "runtime/probes.h"

namespace bandwall {

// One call of an op in one step, and plain reading beside it.
struct OpSample {
  LedgerRow row;        // calls == 1
  double distinct = 0;  // experts that the step touched in this layer
  double read = 0;      // of the model's pages, bytes per second, mean of before and after
  double memory = 0;    // the same of plain memory
  double seconds() const { return row.time.value(); }
};
using StepSample = std::map<OpKind, OpSample>;

class ProbeModel {
 public:
  explicit ProbeModel(const ModelSpec& spec);
  const LoadedModel& model() const { return *model_; }

 private:
  std::unique_ptr<Arena> memory_;
  std::unique_ptr<LoadedModel> model_;
};

class EngineProbe {
 public:
  EngineProbe(const LoadedModel& model, EngineOptions options, ReadProbe& read);
  // One token after `depth` positions: mean over the layers that have the op.
  StepSample decode(std::int64_t depth);
  // `tokens` positions from an empty cache: the first layer that has the op, which sees them all.
  StepSample prompt(std::int64_t tokens);

 private:
  StepSample sample(std::span<const std::int32_t> tokens, std::int64_t depth);
  PlainReading reading();  // memory stands for the pages of a small model
  void go_to(std::int64_t depth);
  std::span<const std::int32_t> some_tokens(std::int64_t n);

  const LoadedModel& model_;
  Engine engine_;
  ReadProbe& read_;
  std::vector<std::int32_t> tokens_;
  std::size_t next_ = 0;
  std::optional<PlainReading> read_before_;
};

// What a probe model may take, from what this host has. The head is several times the last cache:
// everything else has left it when it is needed again, and so have the page tables of small pages,
// which models of gigabytes read from memory, too.
struct ProbeSize {
  double head_bytes = 0;    // of the head
  double expert_bytes = 0;  // of the experts of one layer
};
ProbeSize probe_size(bool small);

// Attention, a dense layer, and layers of experts with a shared one, all matrices in `format`.
ModelSpec wide_spec(Format format, const ProbeSize& size);
// One layer that attends with heads of a shape, and a head: attention over cold cells.
struct HeadShape {
  std::int64_t heads = 0, kv_heads = 0, dim = 0;
};
ModelSpec attention_spec(const HeadShape& shape, const ProbeSize& size);

}  // namespace bandwall
