// One row per model architecture: what its graph is made of and which tensors its files hold.
//   const Architecture* a = find_architecture("qwen3moe");
//   for (const ExpectedTensor& t : expected_tensors(*a, hyper)) ...   // names, roles, dims
// Adding an architecture is one row of the table in architectures.cpp, plus a block function when
// its blocks are not "attention, then feed-forward" (architectures_hybrid.cpp). Tensor names:
// gguf-py/gguf/constants.py of ggml-org/llama.cpp. Does not read files.
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
  Need qk_norms = Need::Always;  // Optional: a model of this architecture may do without
  Activation activation = Activation::Silu;
  RouterKind router = RouterKind::None;  // None: no experts
  bool any_router = false;               // softmax or sigmoid, as the file says
  Need experts = Need::Never;
  Need attention_bias = Need::Optional;  // q, k and v
  Need output_bias = Need::Optional;     // of attention
  Need expert_bias = Need::Never;        // router and expert matrices
  bool latent_attention = false;         // Hyper::kv_rank
  Need sinks = Need::Never;
  std::string_view ffn_norm = "ffn_norm";
  bool attention_gate = false;       // Hyper::attention_gate
  bool post_norms = false;           // of what attention and feed-forward give
  bool shared_expert = false;        // beside the routed ones, of a multiple of their width
  bool expert_ffn_is_ffn = false;    // feed_forward_length is the width of one expert, not of all
  bool router_norm = true;           // unless the file says otherwise
  bool split_rates = false;          // beta and alpha of a delta net are matrices of their own
  bool mtp_tables = true;            // blocks of multi-token prediction bring a table and a head
  bool runs = true;                  // false: its bytes are counted, the engine has no kernels
  bool fused = false;                // one matrix of q, k and v, and one of gate and up
  bool selection_bias = true;        // a SigmoidBias router chooses with it; false: there is none
  std::string_view output_norm = "output_norm";
  std::int64_t window_period = 0;    // Hyper::window_period; > 0: files must have a window
  std::int64_t window = 0;           // unless the file says otherwise; 0: it must
  bool chunked = false;              // Hyper::chunked
  double rope_base_sliding = 0;      // unless the file says otherwise; 0: as the full layers
  void (*derive)(Hyper&) = nullptr;  // constants that follow from the shape
  void (*block)(const Architecture&, const Hyper&, int layer,
                std::vector<ExpectedTensor>&) = nullptr;
  // Tensors outside the blocks beside the usual ones; nullptr: none.
  void (*tables)(const Architecture&, const Hyper&, std::vector<ExpectedTensor>&) = nullptr;
};

const std::vector<Architecture>& all_architectures();
const Architecture* find_architecture(std::string_view name);  // nullptr when unknown

std::vector<ExpectedTensor> expected_tensors(const Architecture& architecture, const Hyper& hyper);

// Tensors of the blocks of multi-token prediction (Hyper::mtp_layers), which steps do not read:
// blocks as the others, with a table, a head and a projection of their own (layout of GLM-4.5).
std::vector<ExpectedTensor> mtp_tensors(const Architecture& architecture, const Hyper& hyper);

// Sets what the architecture and not the file or shape decides.
void set_facts(const Architecture& architecture, Hyper& hyper);
// Latent attention: sets the scale of scores from mla_key and YaRN's logarithmic multiplier (0:
// none), and takes YaRN's own magnitude out of the rotation when there is one.
void derive_latent(double yarn_log_multiplier, Hyper& hyper);
// The inverse, for writers of shapes: the multiplier, and the attention factor as files state it.
struct YarnText {
  double log_multiplier = 0, attn_factor = 1;
};
YarnText yarn_before_latent(const Hyper& hyper);

// Appends a diagnostic for every hyper-parameter outside its range or inconsistent with another.
// expected_tensors() may be called when it found nothing.
void check_hyper(const Architecture& architecture, const Hyper& hyper, const std::string& where,
                 std::vector<Diagnostic>& problems);

// Hyper-parameters from the metadata of a file. Collects problems instead of throwing; the result
// is only meaningful when none were added. The head is tied, the vocabulary counted and optional
// norms left out by the caller.
Hyper read_hyper(const Architecture& architecture, const GgufFile& file,
                 std::vector<Diagnostic>& problems);

// The inverse: keys from which read_hyper() makes the same Hyper (the head and the vocabulary are
// the tensors' business).
class GgufHeader;
void write_hyper(const Architecture& architecture, const Hyper& hyper, GgufHeader& header);

// expert_gating_func: 1 softmax, 2 sigmoid, 3 softmax of the chosen; 0 without experts.
std::int64_t gating_code(RouterKind kind);

}  // namespace bandwall
