// What a model is made of: hyper-parameters and the list of its tensors with formats and bytes.
// One ModelSpec comes from a GGUF file, or from a shipped shape plus a quantization mix.
//   ModelSpec m = model_from_gguf(files);            m.architecture == "minimax-m2"
//   ModelSpec m = model_from_shape(shape, "Q3_K_M"); // bytes by llama.cpp's mix rules
// Tensor names and dims follow GGUF: dims[0] is the row length, then rows, then experts.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "workload/format.h"
#include "workload/gguf.h"

namespace bandwall {

// The part a tensor plays in a step; the op that reads it follows from it (plan.h).
enum class Role {
  TokenEmbedding, OutputNorm, OutputHead, RopeFactors,
  AttnNorm, AttnQ, AttnK, AttnV, AttnOut, AttnQNorm, AttnKNorm, AttnSinks,
  AttnPostNorm, FfnPostNorm,  // of what a part gives, before it is added (gemma3)
  AttnQA, AttnQANorm, AttnQB, AttnKvA, AttnKvANorm, AttnKB, AttnVB,  // latent attention
  Indexer,               // chooses the positions that sparse attention reads
  FfnNorm, Router, RouterBias, ExpertGate, ExpertUp, ExpertDown,
  DenseGate, DenseUp, DenseDown, SharedGate, SharedUp, SharedDown,
  SharedRouter,          // one score that scales the shared expert
  LatentDown, LatentUp,  // into and out of the narrower space that the experts work in
  // Recurrent mixers (Mamba-2, gated delta net): input projections (SsmGate: z, SsmRates: beta and
  // alpha, where they are matrices of their own), convolution, vectors per head, output.
  SsmIn, SsmGate, SsmRates, SsmConv, SsmDt, SsmA, SsmD, SsmNorm, SsmOut,
  // A second table of narrow rows, one per layer, and what brings them into the hidden state.
  LayerEmbedding, LayerInput,
  Other,  // known file content that a step does not read (MTP blocks, scales of other engines)
};
std::string_view name(Role role);

enum class RouterKind { None, SoftmaxAll, SoftmaxSelected, SigmoidBias };
enum class RopeKind { None, Neighbours, Halves };  // no rotation; (0,1),(2,3)..; (i, i + rot/2)
enum class QkNorm { None, PerHead, WholeWidth };
// Of the gate, times up. ClampedSwiglu: gpt-oss, limit 7, alpha 1.702; Gelu: the tanh form.
// ReluSquared: max(0, up)^2, without a gate matrix.
enum class Activation { Silu, ClampedSwiglu, Gelu, ReluSquared };

// Shape and constants of a decoder-only transformer. Sizes are values, not bytes.
struct Hyper {
  std::int64_t layers = 0, hidden = 0, vocab = 0, context_train = 0;
  std::int64_t heads = 0, kv_heads = 0, head_dim_k = 0, head_dim_v = 0;
  std::int64_t ffn = 0;                           // dense feed-forward width, 0 = none
  std::int64_t experts = 0, experts_used = 0, expert_ffn = 0, shared_ffn = 0, dense_layers = 0;
  std::int64_t expert_interval = 0;               // only every so many-th layer has them; 0: all
  std::int64_t mtp_layers = 0;                    // blocks of multi-token prediction that follow
  std::int64_t window = 0;                        // sliding window in positions, 0 = none
  std::int64_t window_period = 0;                 // the last of so many layers is full; 0 = none is
  bool chunked = false;  // a window begins at a multiple of its width instead (Llama-4)
  // Width and number of heads of keys and values in layers that slide; 0: as in the others
  // (Gemma-4). The head widths and kv_heads above are those of the layers that see all.
  std::int64_t window_head_dim = 0, window_kv_heads = 0;
  bool key_is_value = false;  // layers that see all project keys only, which are their values too
  // So many last layers project no keys and values: they attend to the cells of the last layer of
  // their kind before them. borrowed_ffn: their feed-forward width, 0 = ffn.
  std::int64_t borrowed_kv_layers = 0, borrowed_ffn = 0;
  std::int64_t layer_embedding = 0;  // values per token and layer from a table of their own
  bool tied_head = false;
  double rms_eps = 1e-5;

  RopeKind rope = RopeKind::Halves;
  std::int64_t rope_dims = 0;
  double rope_base = 10000.0;
  double rope_scale = 1.0;                        // linear: positions are divided by it
  bool yarn = false;
  double yarn_factor = 1.0, yarn_beta_fast = 32.0, yarn_beta_slow = 1.0, yarn_attn_factor = 1.0;
  std::int64_t yarn_original_context = 0;
  double rope_base_sliding = 0;  // of layers that slide, without linear scaling; 0: as the others

  RouterKind router = RouterKind::None;
  bool router_norm = true;                        // weights of the chosen sum to 1
  double router_scale = 1.0;
  std::int64_t expert_groups = 0, expert_groups_used = 0;  // chosen before experts; 0: no groups
  QkNorm qk_norm = QkNorm::None;
  Activation activation = Activation::Silu;
  double embedding_scale = 1.0;                   // factor of the embedded tokens
  double attention_scale = 0.0;                   // factor of q k; 0: 1 / sqrt(head_dim_k)

  // Multi-head latent attention (DeepSeek-V2, arXiv 2405.04434), 0 = plain attention: the cache
  // keeps kv_rank values and rope_dims rotated ones per position, which all heads share as their
  // one key; its first kv_rank are also the value. Then kv_heads is 1, head_dim_k kv_rank +
  // rope_dims and head_dim_v kv_rank; mla_key and mla_value are a head's widths outside that space.
  std::int64_t kv_rank = 0, q_rank = 0, mla_key = 0, mla_value = 0;
  // Sparse attention over it (DeepSeek-V3.2, GLM-5): heads and width of the indexer; 0: none.
  std::int64_t index_heads = 0, index_width = 0;

  // Hybrids: one letter per block, M Mamba-2, E experts, * attention, - dense feed-forward; a block
  // holds that one mixer. Empty: every block attends and then feeds forward.
  std::string pattern = {};
  // Hybrids whose blocks hold a mixer and a feed-forward part, one letter per block: C a short
  // convolution of ssm_inner channels, * attention. Empty: see attention_interval.
  std::string mixers = {};
  // Hybrids whose blocks hold a mixer and a feed-forward part: every so many-th layer attends, the
  // others are gated delta nets. 0: all attend.
  std::int64_t attention_interval = 0;
  // Recurrent mixers. Mamba-2: ssm_heads heads share ssm_groups input and output vectors of
  // ssm_state values. Delta net: ssm_heads value heads, ssm_groups key heads of ssm_state values.
  std::int64_t ssm_inner = 0, ssm_state = 0, ssm_heads = 0, ssm_groups = 0, ssm_conv = 0;
  std::int64_t expert_latent = 0;                 // width the experts see, 0 = hidden
  bool attention_gate = false;                    // each head of q is followed by its gate

  // True when layer `l` sees only the last `window` positions (its own included).
  bool slides(std::int64_t l) const {
    return window > 0 && (window_period == 0 || l % window_period != window_period - 1);
  }
  std::int64_t q_width() const { return heads * head_dim_k; }
  std::int64_t q_rows() const { return q_width() * (attention_gate ? 2 : 1); }  // of the matrix
  std::int64_t k_width() const { return kv_heads * head_dim_k; }
  // What a cache cell holds of values: nothing where the key holds them too.
  std::int64_t v_width() const { return kv_rank > 0 ? 0 : kv_heads * head_dim_v; }
  std::int64_t out_width() const { return heads * (kv_rank > 0 ? mla_value : head_dim_v); }
  // The same of layer `l`, where layers that slide have heads of their own.
  std::int64_t key_dim(std::int64_t l) const {
    return own_window_heads(l, window_head_dim, head_dim_k);
  }
  std::int64_t value_dim(std::int64_t l) const {
    return own_window_heads(l, window_head_dim, head_dim_v);
  }
  std::int64_t kv_heads_of(std::int64_t l) const {
    return own_window_heads(l, window_kv_heads, kv_heads);
  }
  std::int64_t q_width(std::int64_t l) const { return heads * key_dim(l); }
  std::int64_t q_rows(std::int64_t l) const { return q_width(l) * (attention_gate ? 2 : 1); }
  std::int64_t k_width(std::int64_t l) const { return kv_heads_of(l) * key_dim(l); }
  std::int64_t v_width(std::int64_t l) const {
    return kv_rank > 0 ? 0 : kv_heads_of(l) * value_dim(l);
  }
  // True when layer `l` writes cells; the others do not attend, or attend to those of another.
  bool owns_kv(std::int64_t l) const { return attends(l) && l < layers - borrowed_kv_layers; }
  std::int64_t dense_ffn(std::int64_t l) const {
    return borrowed_ffn > 0 && l >= layers - borrowed_kv_layers ? borrowed_ffn : ffn;
  }
  bool is_moe_layer(std::int64_t l) const {
    if (!pattern.empty()) return pattern[static_cast<std::size_t>(l)] == 'E';
    return experts > 0 && l >= dense_layers &&
           (expert_interval == 0 || (l + 1) % expert_interval == 0);
  }
  bool attends(std::int64_t l) const {
    if (!pattern.empty()) return pattern[static_cast<std::size_t>(l)] == '*';
    if (!mixers.empty()) return mixers[static_cast<std::size_t>(l)] == '*';
    return attention_interval == 0 || (l + 1) % attention_interval == 0;
  }
  // True when layer `l` keeps recurrent state instead of keys and values.
  bool recurs(std::int64_t l) const {
    if (!pattern.empty()) return pattern[static_cast<std::size_t>(l)] == 'M';
    return !attends(l);
  }
  bool is_dense_layer(std::int64_t l) const {
    return pattern.empty() ? !is_moe_layer(l) : pattern[static_cast<std::size_t>(l)] == '-';
  }
  // float32 values of recurrent state per sequence: the last inputs of the convolution and the
  // state itself, of one recurrent layer and of all.
  std::int64_t conv_channels() const { return ssm_inner + 2 * ssm_groups * ssm_state; }
  std::int64_t conv_tail_values() const { return (ssm_conv - 1) * conv_channels(); }
  std::int64_t layer_state_values() const { return conv_tail_values() + ssm_state * ssm_inner; }
  std::int64_t state_values() const;
  friend bool operator==(const Hyper&, const Hyper&) = default;

 private:
  std::int64_t own_window_heads(std::int64_t l, std::int64_t own, std::int64_t others) const {
    return own > 0 && slides(l) ? own : others;
  }
};

struct TensorSpec {
  std::string name;
  Role role = Role::Other;
  bool is_bias = false;              // the additive companion of the role's matrix
  int layer = -1;                    // -1: not in a block
  Format format = Format::F32;
  int n_dims = 1;
  std::int64_t dims[4] = {1, 1, 1, 1};
  std::int64_t bytes = 0;            // exact; for publisher-tuned mixes the published share
  std::int64_t values() const { return dims[0] * dims[1] * dims[2] * dims[3]; }
};

struct ModelSpec {
  std::string name;                  // "minimax-m2.5:Q3_K_M" or general.name
  std::string architecture;          // GGUF spelling, "minimax-m2"
  std::string quantization;          // mix name, or the dominant type
  Hyper hyper;
  std::vector<TensorSpec> tensors;
  std::int64_t file_bytes = 0;       // all parts of a GGUF; 0 when the model is a shape
  std::string bytes_note;            // how they are known: "computed by mix rules", ...

  std::int64_t parameters() const;   // stored values of all tensors but Role::Other
  std::int64_t weight_bytes() const; // sum of tensor bytes
  const TensorSpec* find(std::string_view tensor_name) const;
};

// All parts of one model, in split order (one entry when it is not split).
// Throws Error (Input) for an unknown architecture (lists the known ones), missing keys, missing
// tensors, wrong shapes, duplicated tensors: all problems at once.
ModelSpec model_from_gguf(std::span<const GgufFile> files);

// general.file_type of a mix (enum llama_ftype in include/llama.h); nullopt for others.
std::optional<std::int64_t> file_type_number(std::string_view mix);

// Architectures whose steps the engine runs, and those whose bytes are counted only; each is one
// row of a table (architectures.cpp), and model_from_gguf reads them all.
std::vector<std::string> known_architectures();
std::vector<std::string> counted_architectures();

// A shipped shape: Hyper plus names; configs/ reads it from YAML.
// Formats by class: attention (and every other matrix that is no expert), input and output tables,
// experts (feed-forward matrices of a dense model), rest (vectors and routers).
struct PublishedMix {                // a mix without a rule (UD-Q3_K_XL), a checkpoint (NVFP4)
  std::string name;
  std::int64_t file_bytes = 0;       // published total; 0 = computed from formats below
  Format attention = Format::Q8_0, tables = Format::Q8_0;
  Format experts = Format::Q3_K, rest = Format::F32;
  struct Override {                  // the first whose pattern (with *) is the tensor's name
    std::string tensors;
    Format format;
  };
  std::vector<Override> overrides = {};
  std::string note = {};             // source, printed with the answer
  std::string alias_warning = {};    // e.g. why 228 GB is quoted
};
struct ModelShape {
  std::string name, architecture;
  std::vector<std::string> aliases = {};  // models that differ in their weights only
  Hyper hyper;
  std::int64_t published_parameters = 0;  // 0 = unknown
  std::vector<PublishedMix> published;
  std::string default_mix;
};

// Tensors of the architecture at this shape, formats by llama.cpp's mix rules (Q2_K .. Q8_0, F16,
// BF16, F32, MXFP4_MOE) or by a published mix of the shape. Throws Error (Input) with the known
// names and a did-you-mean for an unknown mix.
ModelSpec model_from_shape(const ModelShape& shape, std::string_view mix);
std::vector<std::string> known_mixes();

}  // namespace bandwall
