#include "runtime/weights.h"

#include <fmt/format.h>

#include "hwmodel/error.h"

namespace bandwall {
namespace {

Matrix* matrix_slot(Role role, LayerWeights& w) {
  switch (role) {
    case Role::AttnQ:
      return &w.q;
    case Role::AttnK:
      return &w.k;
    case Role::AttnV:
      return &w.v;
    case Role::AttnOut:
      return &w.o;
    case Role::Router:
      return &w.router;
    case Role::ExpertGate:
      return &w.expert_gate;
    case Role::ExpertUp:
      return &w.expert_up;
    case Role::ExpertDown:
      return &w.expert_down;
    case Role::AttnQA:
      return &w.q_a;
    case Role::AttnQB:
      return &w.q_b;
    case Role::AttnKvA:
      return &w.kv_a;
    case Role::AttnKB:
      return &w.k_b;
    case Role::AttnVB:
      return &w.v_b;
    case Role::DenseGate:
      return &w.gate;
    case Role::DenseUp:
      return &w.up;
    case Role::DenseDown:
      return &w.down;
    case Role::SharedRouter:
      return &w.shared_router;
    case Role::SharedGate:
      return &w.shared_gate;
    case Role::SharedUp:
      return &w.shared_up;
    case Role::SharedDown:
      return &w.shared_down;
    case Role::LatentDown:
      return &w.latent_down;
    case Role::LatentUp:
      return &w.latent_up;
    case Role::SsmIn:
      return &w.ssm_in;
    case Role::SsmGate:
      return &w.ssm_gate;
    case Role::SsmRates:
      return &w.ssm_rates;
    case Role::SsmOut:
      return &w.ssm_out;
    default:
      return nullptr;
  }
}

Vector* vector_slot(Role role, LayerWeights& w) {
  switch (role) {
    case Role::AttnNorm:
      return &w.attn_norm;
    case Role::AttnQNorm:
      return &w.q_norm;
    case Role::AttnKNorm:
      return &w.k_norm;
    case Role::AttnSinks:
      return &w.sinks;
    case Role::AttnPostNorm:
      return &w.attn_post_norm;
    case Role::FfnPostNorm:
      return &w.ffn_post_norm;
    case Role::AttnQANorm:
      return &w.q_a_norm;
    case Role::AttnKvANorm:
      return &w.kv_a_norm;
    case Role::FfnNorm:
      return &w.ffn_norm;
    case Role::RouterBias:
      return &w.selection_bias;
    case Role::SsmDt:
      return &w.ssm_dt;
    case Role::SsmA:
      return &w.ssm_a;
    case Role::SsmD:
      return &w.ssm_d;
    case Role::SsmNorm:
      return &w.ssm_norm;
    default:
      return nullptr;
  }
}

void set_matrix(const TensorSpec& t, const std::byte* data, Matrix& m) {
  m.format = t.format;
  m.data = data;
  m.cols = t.dims[0];
  m.rows = t.dims[1];
  m.count = t.dims[2];
  m.row_bytes = row_bytes(t.format, t.dims[0]);
}

Vector vector_of(const TensorSpec& t, const std::byte* data) {
  BANDWALL_CHECK(t.format == Format::F32);
  return {reinterpret_cast<const float*>(data), t.values()};
}

// From rows of one channel's taps to rows of one tap's channels: lanes run along channels.
void set_taps(const TensorSpec& t, const std::byte* data, LayerWeights& w) {
  const Vector values = vector_of(t, data);
  if (t.is_bias) {
    w.ssm_conv_bias = values;
    return;
  }
  w.ssm_taps.resize(static_cast<std::size_t>(values.size));
  for (std::int64_t c = 0; c < t.dims[1]; ++c) {
    for (std::int64_t j = 0; j < t.dims[0]; ++j) {
      w.ssm_taps[static_cast<std::size_t>(j * t.dims[1] + c)] = values.data[c * t.dims[0] + j];
    }
  }
}

Matrix* matrix_of(const TensorSpec& t, ModelWeights& w) {
  if (t.layer >= 0) return matrix_slot(t.role, w.layers[static_cast<std::size_t>(t.layer)]);
  if (t.role == Role::TokenEmbedding) return &w.embedding;
  return t.role == Role::OutputHead ? &w.head : nullptr;
}

// NVFP4 files hold a float32 factor beside each matrix: one, or one per expert.
void read_scales(const LoadedModel& model, ModelWeights& w) {
  constexpr std::string_view kEnd = ".scale";
  for (const TensorSpec& t : model.spec().tensors) {
    if (!t.name.ends_with(kEnd) || t.layer >= model.spec().hyper.layers) continue;
    const std::string matrix = t.name.substr(0, t.name.size() - kEnd.size()) + ".weight";
    const TensorSpec* spec = model.spec().find(matrix);
    Matrix* m = spec == nullptr ? nullptr : matrix_of(*spec, w);
    if (m == nullptr) continue;
    if (t.format != Format::F32 || (t.values() != 1 && t.values() != m->count)) {
      throw Error::input(model.files().front().file_name,
                         fmt::format("tensor {}: {} values of {}, one or {} of F32 are needed",
                                     t.name, t.values(), name(t.format), m->count));
    }
    const Vector values = vector_of(t, model.data(t));
    m->scales.assign(values.data, values.data + values.size);
    m->scales.resize(static_cast<std::size_t>(m->count), values.data[0]);
  }
}

}  // namespace

ModelWeights resolve_weights(const LoadedModel& model) {
  const ModelSpec& spec = model.spec();
  ModelWeights w;
  w.layers.resize(static_cast<std::size_t>(spec.hyper.layers));
  for (const TensorSpec& t : spec.tensors) {
    if (t.role == Role::Other || t.layer >= spec.hyper.layers) continue;
    const std::byte* data = model.data(t);
    if (t.layer < 0) {
      if (t.role == Role::TokenEmbedding) set_matrix(t, data, w.embedding);
      if (t.role == Role::OutputHead) set_matrix(t, data, w.head);
      if (t.role == Role::OutputNorm) w.output_norm = vector_of(t, data);
      if (t.role == Role::RopeFactors) w.rope_factors = vector_of(t, data);
      continue;
    }
    LayerWeights& layer = w.layers[static_cast<std::size_t>(t.layer)];
    if (t.role == Role::SsmConv) {
      set_taps(t, data, layer);
    } else if (Vector* v = vector_slot(t.role, layer)) {
      *v = vector_of(t, data);
    } else if (Matrix* m = matrix_slot(t.role, layer)) {
      if (t.is_bias)
        m->bias = vector_of(t, data).data;
      else
        set_matrix(t, data, *m);
    }
  }
  read_scales(model, w);
  if (spec.hyper.tied_head) w.head = w.embedding;
  return w;
}

}  // namespace bandwall
