#include "workload/ledger.h"

namespace bandwall {
namespace {

void merge(LedgerRow& into, const LedgerRow& from) {
  into.calls += from.calls;
  into.traffic += from.traffic;
  into.flops += from.flops;
  into.time += from.time;
}

}  // namespace

std::string_view name(OpKind kind) {
  switch (kind) {
    case OpKind::Embedding: return "embedding";
    case OpKind::AttnNorm: return "attn_norm";
    case OpKind::QkvProj: return "qkv_proj";
    case OpKind::RopeKv: return "rope_kv";
    case OpKind::Attention: return "attention";
    case OpKind::AttnOut: return "attn_out";
    case OpKind::SsmIn: return "ssm_in";
    case OpKind::Ssm: return "ssm";
    case OpKind::SsmOut: return "ssm_out";
    case OpKind::FfnNorm: return "ffn_norm";
    case OpKind::Router: return "router";
    case OpKind::Experts: return "experts";
    case OpKind::SharedExpert: return "shared_expert";
    case OpKind::DenseFfn: return "dense_ffn";
    case OpKind::OutputNorm: return "output_norm";
    case OpKind::Head: return "head";
  }
  return "?";
}

Traffic& Traffic::operator+=(const Traffic& o) {
  weights += o.weights;
  kv_read += o.kv_read;
  kv_written += o.kv_written;
  state += o.state;
  activations += o.activations;
  return *this;
}

Seconds Ledger::op_time() const {
  Seconds t;
  for (const auto& [key, row] : rows) t += row.time;
  return t;
}

Traffic Ledger::traffic() const {
  Traffic t;
  for (const auto& [key, row] : rows) t += row.traffic;
  return t;
}

Flops Ledger::flops() const {
  Flops f;
  for (const auto& [key, row] : rows) f += row.flops;
  return f;
}

std::map<OpKind, LedgerRow> Ledger::by_kind() const {
  std::map<OpKind, LedgerRow> kinds;
  for (const auto& [key, row] : rows) merge(kinds[key.kind], row);
  return kinds;
}

Ledger& Ledger::operator+=(const Ledger& o) {
  for (const auto& [key, row] : o.rows) merge(rows[key], row);
  steps += o.steps;
  tokens += o.tokens;
  wall += o.wall;
  return *this;
}

}  // namespace bandwall
