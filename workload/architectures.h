// One row per model architecture: what its graph is made of and which tensors its files hold.
//   const Architecture* a = find_architecture("qwen3moe");
//   for (const ExpectedTensor& t : expected_tensors(*a, hyper)) ...   // names, roles, dims
// Adding an architecture is one row of the table in architectures.cpp, plus a block function when
// its blocks are not "attention, then feed-forward". Tensor names: gguf-py/gguf/constants.py of
// ggml-org/llama.cpp. Does not read files.
#pragma once

#include <string_view>
#include <vector>

#include "hwmodel/error.h"
#include "workload/model_spec.h"

namespace bandwall {

enum class Need { Never, Optional, Always };

struct ExpectedTensor {
  TensorSpec spec;       // format and bytes not set
  bool required = true;  // optional tensors are read when a file has them; shapes leave them out
};

struct Architecture {
  std::string_view name;
  RopeKind rope = RopeKind::Halves;
  QkNorm qk_norm = QkNorm::None;
  Activation activation = Activation::Silu;
  RouterKind router = RouterKind::None;  // None: no experts
  Need experts = Need::Never;
  Need attention_bias = Need::Optional;  // q, k, v and output alike
  Need expert_bias = Need::Never;        // router and expert matrices
  Need sinks = Need::Never;
  std::string_view ffn_norm = "ffn_norm";
  bool alternating_window = false;
  bool from_files = true;  // false: a shape to count with, not yet to run
  void (*block)(const Architecture&, const Hyper&, int layer,
                std::vector<ExpectedTensor>&) = nullptr;
};

const std::vector<Architecture>& all_architectures();
const Architecture* find_architecture(std::string_view name);  // nullptr when unknown

std::vector<ExpectedTensor> expected_tensors(const Architecture& architecture, const Hyper& hyper);

// Appends a diagnostic for every hyper-parameter outside its range or inconsistent with another.
// expected_tensors() may be called when it found nothing.
void check_hyper(const Architecture& architecture, const Hyper& hyper, const std::string& where,
                 std::vector<Diagnostic>& problems);

// Hyper-parameters from the metadata of a file. Collects problems instead of throwing; the result
// is only meaningful when none were added. The head is tied and the vocabulary counted by the
// caller.
Hyper read_hyper(const Architecture& architecture, const GgufFile& file,
                 std::vector<Diagnostic>& problems);

}  // namespace bandwall
