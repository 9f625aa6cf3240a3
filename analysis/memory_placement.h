// Where each tensor of a model lies: on which device, or in host memory, as llama.cpp places them.
//   Placement p = place(model, 2, {.gpu_layers = 40}, rules);
// Layer split: the last gpu_layers of (blocks + output) are offloaded, the output first; devices
// get consecutive blocks in proportion to their shares. Tensor split: every matrix is divided,
// vectors and routers are kept by all. Expert split: experts are divided, the rest is kept by all.
// The token table stays in host memory where the engine says so; a tied head is then a copy of it.
// Throws Error (Input) for a pattern that is no regular expression or a device that does not exist.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "hwmodel/engine_rules.h"
#include "workload/model_spec.h"

namespace bandwall {

inline constexpr int kHost = -1;  // instead of a device number

enum class Split { Layer, Tensor, Expert };
std::string_view name(Split split);  // "layer", "tensor", "expert"

struct TensorOverride {
  std::string pattern;  // ECMAScript regular expression, searched in tensor names
  int where = kHost;
};

struct Offload {
  std::optional<std::int64_t> gpu_layers;  // -ngl: of blocks + output; nullopt: all
  std::int64_t cpu_expert_layers = 0;  // -ncmoe: experts of the first N blocks stay in host memory
  std::vector<TensorOverride> overrides;  // -ot: the first pattern that is found decides
  std::vector<double> shares;             // -ts: of devices, in proportion; empty: even
  Split split = Split::Layer;
  bool nothing_on_host() const {
    return !gpu_layers && cpu_expert_layers == 0 && overrides.empty();
  }
};

struct Placement {
  int devices = 1;
  Split split = Split::Layer;
  std::vector<double> shares;         // of devices, sum 1
  std::vector<int> layer_where;       // of each block's cache and state; one more: the output
  std::vector<std::int64_t> weights;  // bytes on each device, without head_copy
  std::vector<std::int64_t> tensors;  // count, likewise
  std::vector<std::int64_t> padding;  // bytes that kernels need behind rows and tensors
  std::int64_t host_weights = 0;      // bytes in host memory, without the table
  std::int64_t host_experts = 0;      // of them experts
  std::int64_t table = 0;             // token table in host memory
  std::int64_t head_copy = 0;         // copy of the table beside the output, where the head is tied
  std::int64_t staged = 0;            // experts of one block in host memory, the most
  struct InHost {
    std::int64_t dense = 0, experts = 0;  // bytes, without the table
  };
  std::vector<InHost> host_layers;    // of each block; one more: the output
  std::int64_t largest_tensor = 0;    // what a loader without mmap holds twice
  int output() const { return layer_where.back(); }
};

Placement place(const ModelSpec& model, int devices, const Offload& offload,
                const EngineRules& rules);

}  // namespace bandwall
