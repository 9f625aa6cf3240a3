#include "workload/cost_key.h"

namespace bandwall {
namespace {

constexpr OpKind kLatent[] = {OpKind::QkvProj, OpKind::RopeKv, OpKind::Attention, OpKind::AttnOut};
constexpr OpKind kRecurrent[] = {OpKind::SsmIn, OpKind::Ssm, OpKind::SsmOut};

template <std::size_t N>
bool is_in(const OpKind (&kinds)[N], OpKind kind) {
  for (const OpKind k : kinds) {
    if (k == kind) return true;
  }
  return false;
}

std::string with(OpKind kind, const char* suffix) { return std::string(name(kind)) + suffix; }

}  // namespace

std::string cost_key(const Hyper& h, OpKind kind) {
  if (h.kv_rank > 0 && is_in(kLatent, kind)) return with(kind, ".latent");
  if (h.attention_interval > 0 && is_in(kRecurrent, kind)) return with(kind, ".delta");
  if (h.ssm_conv > 0 && h.ssm_state == 0 && is_in(kRecurrent, kind)) return with(kind, ".conv");
  return with(kind, "");
}

std::vector<std::string> cost_keys() {
  std::vector<std::string> keys;
  for (int i = 0; i < kOpKinds; ++i) keys.emplace_back(name(static_cast<OpKind>(i)));
  for (const OpKind kind : kLatent) keys.push_back(with(kind, ".latent"));
  for (const OpKind kind : kRecurrent) keys.push_back(with(kind, ".delta"));
  for (const OpKind kind : kRecurrent) keys.push_back(with(kind, ".conv"));
  return keys;
}

}  // namespace bandwall
