// A made-up model file in memory: an architecture at a given shape with random, ordinary weights.
//   SyntheticModel s = synthetic_model("llama", hyper, Format::Q8_0);
//   LoadedModel m = LoadedModel::from_memory(s.bytes(), "probe");
// For measuring only: it computes like a model of that shape and says nothing. No tokenizer.
#pragma once

#include <memory>
#include <span>
#include <string>

#include "runtime/probes.h"
#include "workload/model_spec.h"

namespace bandwall {

struct SyntheticModel {
  std::unique_ptr<Arena> memory;
  std::size_t size = 0;
  std::span<const std::byte> bytes() const { return {memory->data(), size}; }
};

// Matrices in `format` where their rows allow, vectors and routers in F32.
SyntheticModel synthetic_model(const std::string& architecture, const Hyper& hyper, Format format);

}  // namespace bandwall
