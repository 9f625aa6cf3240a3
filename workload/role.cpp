// Names of roles, for tables and messages.
#include "workload/model_spec.h"

namespace bandwall {

std::string_view name(Role role) {
  switch (role) {
    case Role::TokenEmbedding: return "token_embedding";
    case Role::OutputNorm: return "output_norm";
    case Role::OutputHead: return "output_head";
    case Role::RopeFactors: return "rope_factors";
    case Role::AttnNorm: return "attn_norm";
    case Role::AttnQ: return "attn_q";
    case Role::AttnK: return "attn_k";
    case Role::AttnV: return "attn_v";
    case Role::AttnOut: return "attn_out";
    case Role::AttnQNorm: return "attn_q_norm";
    case Role::AttnKNorm: return "attn_k_norm";
    case Role::AttnSinks: return "attn_sinks";
    case Role::AttnPostNorm: return "attn_post_norm";
    case Role::FfnPostNorm: return "ffn_post_norm";
    case Role::AttnQA: return "attn_q_a";
    case Role::AttnQANorm: return "attn_q_a_norm";
    case Role::AttnQB: return "attn_q_b";
    case Role::AttnKvA: return "attn_kv_a";
    case Role::AttnKvANorm: return "attn_kv_a_norm";
    case Role::AttnKB: return "attn_k_b";
    case Role::AttnVB: return "attn_v_b";
    case Role::Indexer: return "indexer";
    case Role::FfnNorm: return "ffn_norm";
    case Role::Router: return "router";
    case Role::RouterBias: return "router_bias";
    case Role::ExpertGate: return "expert_gate";
    case Role::ExpertUp: return "expert_up";
    case Role::ExpertDown: return "expert_down";
    case Role::DenseGate: return "dense_gate";
    case Role::DenseUp: return "dense_up";
    case Role::DenseDown: return "dense_down";
    case Role::SharedGate: return "shared_gate";
    case Role::SharedUp: return "shared_up";
    case Role::SharedDown: return "shared_down";
    case Role::LatentDown: return "latent_down";
    case Role::LatentUp: return "latent_up";
    case Role::SharedRouter: return "shared_router";
    case Role::SsmIn: return "ssm_in";
    case Role::SsmGate: return "ssm_gate";
    case Role::SsmRates: return "ssm_rates";
    case Role::SsmConv: return "ssm_conv";
    case Role::SsmDt: return "ssm_dt";
    case Role::SsmA: return "ssm_a";
    case Role::SsmD: return "ssm_d";
    case Role::SsmNorm: return "ssm_norm";
    case Role::SsmOut: return "ssm_out";
    case Role::LayerEmbedding: return "layer_embedding";
    case Role::LayerInput: return "layer_input";
    case Role::Other: return "other";
  }
  return "?";
}

}  // namespace bandwall
