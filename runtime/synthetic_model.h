// A made-up model file: the true shape of a model with random, ordinary weights, the same bytes for
// the same seed on every machine.
//   SyntheticModel s = synthetic_model(model_from_shape(shape, "Q3_K_M"), {.seed = 1});
//   LoadedModel m = LoadedModel::from_memory(s.bytes(), "minimax-m2.5:Q3_K_M, synthetic");
// For measuring: it reads and computes like the model of that shape and says nothing. Blocks are
// drawn in the quantized domain, with magnitudes near 1/sqrt(row length), so that activations
// neither die out nor overflow; routers choose evenly. The vocabulary is byte-level BPE.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>

#include "runtime/probes.h"
#include "workload/model_spec.h"

namespace bandwall {

struct SyntheticOptions {
  std::uint64_t seed = 1;
  bool vocabulary = false;  // with a tokenizer, so that text can go in
};

// Bytes of the whole file. Throws Error (Input) when the spec has no GGUF form: a published
// checkpoint of which only the total is known, or formats of other file types.
std::int64_t synthetic_bytes(const ModelSpec& spec, const SyntheticOptions& options);

// Hands the file over piece by piece, in order.
using ByteSink = std::function<void(std::span<const std::byte>)>;
void write_synthetic(const ModelSpec& spec, const SyntheticOptions& options, const ByteSink& sink);

struct SyntheticModel {
  std::unique_ptr<Arena> memory;
  std::size_t size = 0;
  std::span<const std::byte> bytes() const { return {memory->data(), size}; }
};
// The same in memory, in pages of a kind. Throws Error (Running) with the bytes asked for when the
// system has no room.
SyntheticModel synthetic_model(const ModelSpec& spec, const SyntheticOptions& options,
                               Pages pages = Pages::Huge);

// Every matrix in `format` where its rows allow, vectors and routers in F32: a shape to probe with.
ModelSpec uniform_spec(const std::string& architecture, const Hyper& hyper, Format format);

}  // namespace bandwall
