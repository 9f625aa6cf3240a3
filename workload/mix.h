// Quantization mixes: which format each tensor gets when a model is quantized to "Q4_K_M" and such.
// Rules: ggml-org/llama.cpp src/llama-quant.cpp; they reproduce published file sizes to 4 digits.
//   ModelSpec m = model_from_shape(llama_8b, "Q4_K_M");    // 4.8944 bits per weight
// IQ mixes are taken as made with an importance matrix, as published ones are. Publisher-tuned
// mixes have no rule: see PublishedMix (model_spec.h). Shapes are also known as NVFP4, FP8 and INT4
// checkpoints: every matrix but tables and routers, unless they list their own. Does not quantize
// anything.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "workload/model_spec.h"

namespace bandwall {

enum class Importance { With, Without };  // matters for IQ3_XXS, IQ4_XS, IQ4_NL, Q4_0 and Q5_0

struct Mix {
  std::string_view name;
  Format base;  // what a matrix gets when no rule lifts it
};
const std::vector<Mix>& all_mixes();
const Mix* find_mix(std::string_view name);  // any letter case; nullptr when unknown
// A rule, published for this model, or a checkpoint of other engines: what model_from_shape takes.
bool has_mix(const ModelShape& shape, std::string_view name);

// Sets format and bytes of every tensor of a model of this shape.
void apply_mix(const Mix& mix, Importance importance, std::string_view architecture,
               const Hyper& hyper, std::vector<TensorSpec>& tensors);

// The model with its matrices quantized to the mix by rule, whatever they are stored as; tensors
// that GGUF files of its architecture do not hold (vision towers) are left out. Throws Error
// (Input) for an unknown mix, with the known ones.
ModelSpec remix(const ModelSpec& model, std::string_view mix);

// Formats by class of tensor; with file_bytes, experts (feed-forward matrices of a dense model)
// share what the file has left, in proportion to their values and summing exactly. Throws Error
// (Input) when the other tensors alone exceed the file.
void apply_published(const PublishedMix& mix, std::vector<TensorSpec>& tensors);

// Exact bytes of a tensor. FP8_BLOCK128 counts a scale for each 128 x 128 block begun.
std::int64_t tensor_bytes(Format format, const TensorSpec& tensor);

}  // namespace bandwall
