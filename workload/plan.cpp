// What each op of a step moves and computes.
// Weights: tensors of the op's roles; biases, norm weights and sinks count, rotary factors do not
//   (they are folded into the frequencies when the model is loaded).
// Activations: float32 rows that the op reads and writes, in its order:
//   norms: in, out; qkv: in, q k v; rope_kv: q k v in, q out (k and v go to the cache);
//   attention: q, out, gates (part of q until then); attn_out: in, residual in and out;
//   ssm_in: in, projected rows; ssm: projected rows, convolved rows once, out; ssm_out: in,
//   residual in and out; router: in, scores; a norm of what attention or feed-forward gives is part
//   of attn_out or of the feed-forward op; feed-forward: in, each inner row (gate, up, their
//   product) once, residual in and out; experts also the rows that the experts give before they are
//   added up; a narrower space of the experts: its rows in and out.
//   Latent attention: qkv also the compressed query, written, normed and read, and the queries of
//   all heads before they are taken into the latent space; rope_kv: the latent row in, the rotated
//   part of all queries in and out; attn_out also the heads' values taken out of that space.
//   Embeddings per layer: their rows with embedding, what brings them in with the feed-forward op.
// In the last layer only the positions whose logits are wanted go on once positions are mixed
//   (keys, values and recurrent states need all of them): attention, its output and what follows.
// Flops: 2 per weight and row; attention 2 (K) + 2 (V) per query head, dimension and visible cell;
//   4 per normed value, 3 per rotated one; state: per value and token 5 (Mamba-2), 7 (delta net).
//   Lookups, softmax and activation functions count none.
#include "workload/plan.h"

#include <algorithm>
#include <cmath>

#include "hwmodel/error.h"

namespace bandwall {
namespace {

constexpr double kFloat = 4.0;  // bytes

// Tensors of one block (or outside the blocks), in file order.
class Tensors {
 public:
  explicit Tensors(const ModelSpec& model)
      : blocks_(static_cast<std::size_t>(model.hyper.layers) + 1) {
    for (const TensorSpec& t : model.tensors) {
      if (t.layer < model.hyper.layers)
        blocks_[static_cast<std::size_t>(t.layer + 1)].push_back(&t);
    }
  }
  const std::vector<const TensorSpec*>& block(int layer) const {
    return blocks_[static_cast<std::size_t>(layer + 1)];
  }
  bool has(int layer, Role role) const { return count(layer, role) > 0; }
  double count(int layer, Role role) const {
    return static_cast<double>(std::count_if(block(layer).begin(), block(layer).end(),
                                             [&](const TensorSpec* t) { return t->role == role; }));
  }
  // Rows that the matrices of the role give for one row.
  double rows(int layer, Role role) const {
    std::int64_t sum = 0;
    for (const TensorSpec* t : block(layer)) {
      if (t->role == role && t->n_dims > 1 && !t->is_bias) sum += t->dims[1];
    }
    return static_cast<double>(sum);
  }

 private:
  std::vector<std::vector<const TensorSpec*>> blocks_;
};

void add_stream(Op& op, const WeightStream& s) {
  op.traffic.weights += s.bytes;
  op.flops += s.flops;
  for (WeightStream& have : op.streams) {
    const bool alike = (have.matrices > 0) == (s.matrices > 0);
    if (have.format != s.format || have.rows_of_x != s.rows_of_x || !alike) continue;
    have.bytes += s.bytes;
    have.matrices += s.matrices;
    have.flops += s.flops;
    return;
  }
  op.streams.push_back(s);
}

bool is_matrix(const TensorSpec& t) { return t.n_dims > 1 && !t.is_bias; }

class Builder {
 public:
  Builder(const ModelSpec& model, const KvConfig& kv, const Step& step, const Routing& routing)
      : h_(model.hyper),
        tensors_(model),
        kv_(kv),
        step_(step),
        routing_(routing),
        n_(static_cast<double>(step.tokens())),
        rows_(static_cast<double>(step.output_rows)) {}

  std::vector<Op> build() {
    ops_.reserve(static_cast<std::size_t>(h_.layers) * 11 + 4);
    embedding();
    for (int l = 0; l < h_.layers; ++l) block(l);
    if (step_.output_rows > 0) head();
    return std::move(ops_);
  }

 private:
  Op& begin(OpKind kind, int layer) {
    ops_.push_back(Op{});
    ops_.back().key = {kind, layer};
    return ops_.back();
  }

  // Every tensor of the role, whole, applied to `rows` rows.
  void read(Op& op, Role role, double rows) const {
    for (const TensorSpec* t : tensors_.block(op.key.layer)) {
      if (t->role != role) continue;
      const bool matrix = is_matrix(*t);
      add_stream(op, {t->format, bytes(t->bytes), matrix ? 1 : 0, rows,
                      Flops(matrix ? 2.0 * static_cast<double>(t->values()) * rows : 0.0)});
    }
  }

  // Every tensor of the role, whole; no matrix, whatever its shape.
  void read_vectors(Op& op, Role role) const {
    for (const TensorSpec* t : tensors_.block(op.key.layer)) {
      if (t->role == role) add_stream(op, {t->format, bytes(t->bytes), 0, n_, Flops(0)});
    }
  }

  // `distinct` of the matrices stacked along the last dimension; kept x k rows are spread over
  // them.
  void read_experts(Op& op, Role role, double distinct) const {
    const double pairs = kept_ * static_cast<double>(h_.experts_used);
    const double experts = static_cast<double>(h_.experts);
    for (const TensorSpec* t : tensors_.block(op.key.layer)) {
      if (t->role != role) continue;
      const bool matrix = is_matrix(*t);
      const double values = static_cast<double>(t->values()) / experts;
      add_stream(op, {t->format, Bytes(static_cast<double>(t->bytes) / experts * distinct),
                      matrix ? std::llround(distinct) : 0, pairs / std::max(1.0, distinct),
                      Flops(matrix ? 2.0 * values * pairs : 0.0)});
    }
  }

  static void floats(Op& op, double count) { op.traffic.activations += Bytes(kFloat * count); }
  double width(std::int64_t w) const { return static_cast<double>(w); }

  void embedding() {
    Op& op = begin(OpKind::Embedding, -1);
    for (const TensorSpec* t : tensors_.block(-1)) {
      if (t->role != Role::TokenEmbedding) continue;
      const double one = static_cast<double>(t->bytes) / width(h_.vocab);
      add_stream(op, {t->format, Bytes(one * n_), 1, 1.0, Flops(0)});
    }
    floats(op, n_ * width(h_.hidden));
    if (h_.layer_embedding > 0) layer_rows(op);
  }

  // Rows of the second table, and the hidden state projected to the same width.
  void layer_rows(Op& op) const {
    for (const TensorSpec* t : tensors_.block(-1)) {
      if (t->role != Role::LayerEmbedding) continue;
      const double one = static_cast<double>(t->bytes) / width(h_.vocab);
      add_stream(op, {t->format, Bytes(one * n_), 1, 1.0, Flops(0)});
    }
    read(op, Role::LayerInput, n_);
    const double rows = width(h_.layer_embedding * h_.layers);
    floats(op, n_ * (width(h_.hidden) + 4 * rows));
    op.flops += Flops(4 * n_ * rows);
  }

  void norm(OpKind kind, int layer, Role role, double rows) {
    Op& op = begin(kind, layer);
    read(op, role, rows);
    const double norms = 2 * rows * width(h_.hidden) * tensors_.count(layer, role);
    floats(op, norms);
    op.flops += Flops(2 * norms);
  }

  void block(int l) {
    kept_ = l + 1 < h_.layers ? n_ : rows_;
    if (tensors_.has(l, Role::AttnNorm)) norm(OpKind::AttnNorm, l, Role::AttnNorm, n_);
    if (h_.attends(l) && h_.kv_rank > 0) latent_attention_part(l);
    if (h_.attends(l) && h_.kv_rank == 0) attention_part(l);
    if (h_.recurs(l)) recurrent_part(l);
    if (kept_ == 0) return;
    if (tensors_.has(l, Role::FfnNorm)) norm(OpKind::FfnNorm, l, Role::FfnNorm, kept_);
    if (h_.is_moe_layer(l)) {
      router(l);
      experts(l);
    }
    feed_forward(OpKind::SharedExpert, l, Role::SharedGate, Role::SharedUp, Role::SharedDown);
    feed_forward(OpKind::DenseFfn, l, Role::DenseGate, Role::DenseUp, Role::DenseDown);
  }

  void attention_part(int l) {
    const double q = width(h_.q_width(l)), rows = width(h_.q_rows(l));
    const double k = width(h_.k_width(l)), v = width(h_.v_width(l));
    const double out = width(h_.heads * h_.value_dim(l));
    const bool own = h_.owns_kv(l);
    Op& qkv = begin(OpKind::QkvProj, l);
    for (const Role role : {Role::AttnQ, Role::AttnK, Role::AttnV}) read(qkv, role, n_);
    const bool values = own && (h_.slides(l) || !h_.key_is_value);
    floats(qkv, n_ * (width(h_.hidden) + rows + (own ? k : 0) + (values ? v : 0)));

    const Bytes cell = kv_.k->bytes_for(k) + kv_.v->bytes_for(v);
    Op& rope = begin(OpKind::RopeKv, l);
    read(rope, Role::AttnQNorm, n_);
    read(rope, Role::AttnKNorm, n_);
    floats(rope, n_ * (2 * rows + (own ? k + v : 0)));
    if (own) rope.traffic.kv_written = cell * n_;
    if (h_.qk_norm != QkNorm::None) rope.flops += Flops(4 * n_ * (q + (own ? k : 0)));
    const std::int64_t rotated = h_.heads + (own ? h_.kv_heads_of(l) : 0);
    rope.flops += Flops(3 * n_ * width(rotated * rotated_dims(l)));

    if (kept_ == 0) return;
    score_cells(l, cell, q + out);

    Op& o = begin(OpKind::AttnOut, l);
    read(o, Role::AttnOut, kept_);
    floats(o, kept_ * (out + 2 * width(h_.hidden)));
    post_norm(o, Role::AttnPostNorm);
  }

  // Heads of another width rotate whole; layers that see more than a chunk do not.
  std::int64_t rotated_dims(int l) const {
    if (h_.chunked && !h_.slides(l)) return 0;
    return h_.slides(l) && h_.window_head_dim > 0 ? h_.window_head_dim : h_.rope_dims;
  }

  // Sequences have cells of their own; the last of their new positions look at them.
  VisibleCells seen_by_all(int l) const {
    VisibleCells sum;
    const bool last = l + 1 == h_.layers;
    const std::int64_t n = last ? (step_.output_rows + step_.sequences - 1) / step_.sequences
                                : step_.tokens_per_sequence;
    for (std::int64_t s = 0; s < step_.sequences; ++s) {
      const std::int64_t past =
          step_.pasts.empty() ? step_.past : step_.pasts[static_cast<std::size_t>(s)];
      const VisibleCells seen = visible_cells(h_, l, n, past + step_.tokens_per_sequence - n);
      sum.distinct += seen.distinct;
      sum.pairs += seen.pairs;
    }
    return sum;
  }

  void post_norm(Op& op, Role role) const {
    if (!tensors_.has(op.key.layer, role)) return;
    read(op, role, kept_);
    const double norms = 2 * kept_ * width(h_.hidden) * tensors_.count(op.key.layer, role);
    floats(op, norms);
    op.flops += Flops(2 * norms);
  }

  // Attention over the visible cells; row: floats of a position's queries and outputs.
  void score_cells(int l, Bytes cell, double row) {
    const VisibleCells seen = seen_by_all(l);
    const double pairs = static_cast<double>(seen.pairs);
    Op& attention = begin(OpKind::Attention, l);
    read(attention, Role::AttnSinks, kept_);
    floats(attention, kept_ * (row + (h_.attention_gate ? width(h_.q_width()) : 0)));
    attention.traffic.kv_read = cell * static_cast<double>(seen.distinct);
    attention.kv_scores = Elements(pairs * row);
    attention.flops += Flops(2 * pairs * row);
  }

  // Latent attention: one cached row of all heads, read once per op as key and value.
  void latent_attention_part(int l) {
    const double latent = width(h_.k_width()), absorbed = width(h_.q_width());
    const double attended = width(h_.heads * h_.head_dim_v);
    Op& qkv = begin(OpKind::QkvProj, l);
    for (const Role role :
         {Role::AttnQ, Role::AttnQA, Role::AttnQANorm, Role::AttnQB, Role::AttnKvA, Role::AttnKB}) {
      read(qkv, role, n_);
    }
    floats(qkv, n_ * (width(h_.hidden) + 4 * width(h_.q_rank) + 2 * width(h_.heads * h_.mla_key) +
                      latent + absorbed));
    qkv.flops += Flops(4 * n_ * width(h_.q_rank));

    const Bytes cell = kv_.k->bytes_for(latent);
    const double rotated = width(h_.heads * h_.rope_dims);
    Op& rope = begin(OpKind::RopeKv, l);
    read(rope, Role::AttnKvANorm, n_);
    floats(rope, n_ * (latent + 2 * rotated));
    rope.traffic.kv_written = cell * n_;
    rope.flops += Flops(n_ * (4 * width(h_.kv_rank) + 3 * (rotated + width(h_.rope_dims))));

    if (kept_ == 0) return;
    score_cells(l, cell, absorbed + attended);

    Op& o = begin(OpKind::AttnOut, l);
    for (const Role role : {Role::AttnVB, Role::AttnOut}) read(o, role, kept_);
    floats(o, kept_ * (attended + 2 * width(h_.out_width()) + 2 * width(h_.hidden)));
  }

  // The state, the tail of the convolution included, is read and written once per sequence and
  // step.
  void recurrent_part(int l) {
    const bool delta = h_.pattern.empty() && h_.mixers.empty();
    const double inner = width(h_.ssm_inner), conv = width(h_.conv_channels());
    double projected = 0;
    for (const Role role : {Role::SsmIn, Role::SsmGate, Role::SsmRates}) {
      projected += tensors_.rows(l, role);
    }
    Op& in = begin(OpKind::SsmIn, l);
    for (const Role role : {Role::SsmIn, Role::SsmGate, Role::SsmRates}) read(in, role, n_);
    floats(in, n_ * (width(h_.hidden) + projected));

    Op& op = begin(OpKind::Ssm, l);
    for (const Role role : {Role::SsmConv, Role::SsmDt, Role::SsmA, Role::SsmD, Role::SsmNorm}) {
      read_vectors(op, role);
    }
    op.traffic.state =
        Bytes(2 * kFloat * width(h_.layer_state_values()) * static_cast<double>(step_.sequences));
    floats(op, n_ * (projected + conv + inner));
    op.flops += Flops(n_ * (2 * width(h_.ssm_conv) * conv + 4 * inner +
                            (delta ? 7 : 5) * width(h_.ssm_inner * h_.ssm_state)));
    if (delta) op.flops += Flops(4 * n_ * 2 * width(h_.ssm_groups * h_.ssm_state));

    if (kept_ == 0) return;
    Op& out = begin(OpKind::SsmOut, l);
    read(out, Role::SsmOut, kept_);
    floats(out, kept_ * (inner + 2 * width(h_.hidden)));
  }

  void router(int l) {
    Op& op = begin(OpKind::Router, l);
    read(op, Role::Router, kept_);
    read(op, Role::RouterBias, kept_);
    floats(op, kept_ * width(h_.hidden + h_.experts));
  }

  void experts(int l) {
    Op& op = begin(OpKind::Experts, l);
    const double distinct = routing_.distinct_experts[static_cast<std::size_t>(l)];
    read(op, Role::LatentDown, kept_);
    for (const Role role : {Role::ExpertGate, Role::ExpertUp, Role::ExpertDown}) {
      read_experts(op, role, distinct);
    }
    read(op, Role::LatentUp, kept_);
    const double used = width(h_.experts_used);
    const double inner = tensors_.has(l, Role::ExpertGate) ? 3.0 : 2.0;
    const double seen = width(h_.expert_latent > 0 ? h_.expert_latent : h_.hidden);
    floats(op, kept_ * (width(h_.hidden) + used * (inner * width(h_.expert_ffn) + seen) +
                        2 * width(h_.hidden)));
    if (h_.expert_latent > 0) floats(op, kept_ * 2 * seen);
  }

  void feed_forward(OpKind kind, int l, Role gate, Role up, Role down) {
    if (!tensors_.has(l, up)) return;
    Op& op = begin(kind, l);
    for (const Role role : {gate, up, down}) read(op, role, kept_);
    if (kind == OpKind::SharedExpert) read(op, Role::SharedRouter, kept_);
    const double ffn = width(kind == OpKind::DenseFfn ? h_.dense_ffn(l) : h_.shared_ffn);
    const double inner = tensors_.rows(l, gate) + tensors_.rows(l, up) + ffn;
    floats(op, kept_ * (3 * width(h_.hidden) + inner));
    post_norm(op, Role::FfnPostNorm);
    if (tensors_.has(l, Role::LayerInput)) layer_input(op);
  }

  // A row of the layer's own embedding, gated by the hidden state, into it; then a factor.
  void layer_input(Op& op) const {
    read(op, Role::LayerInput, kept_);
    if (h_.layer_embedding == 0) return;
    floats(op, kept_ * (3 * width(h_.hidden) + 3 * width(h_.layer_embedding)));
    op.flops += Flops(4 * kept_ * width(h_.hidden));
  }

  void head() {
    norm(OpKind::OutputNorm, -1, Role::OutputNorm, rows_);
    Op& op = begin(OpKind::Head, -1);
    read(op, h_.tied_head ? Role::TokenEmbedding : Role::OutputHead, rows_);
    floats(op, rows_ * width(h_.hidden + h_.vocab));
  }

  const Hyper& h_;
  Tensors tensors_;
  KvConfig kv_;
  Step step_;
  const Routing& routing_;
  double n_, rows_;
  double kept_ = 0;  // positions that this layer goes on with once they are mixed
  std::vector<Op> ops_;
};

}  // namespace

double expected_distinct(double experts, double used, double tokens, double concentration) {
  if (!(experts > 0) || !(tokens > 0)) return 0;
  if (tokens <= 1 || used >= experts) return std::min(used, experts);
  if (!(concentration > 0)) return experts * (1 - std::pow(1 - used / experts, tokens));
  const double b = concentration * (1 - used / experts);
  const double unused = std::lgamma(b + tokens) + std::lgamma(concentration) - std::lgamma(b) -
                        std::lgamma(concentration + tokens);
  return std::clamp(experts * (1 - std::exp(unused)), used, experts);
}

Routing expected_routing(const ModelSpec& model, std::int64_t tokens, double concentration) {
  const Hyper& h = model.hyper;
  Routing routing;
  routing.distinct_experts.assign(static_cast<std::size_t>(h.layers), 0.0);
  const double distinct =
      expected_distinct(static_cast<double>(h.experts), static_cast<double>(h.experts_used),
                        static_cast<double>(std::max<std::int64_t>(1, tokens)), concentration);
  for (std::int64_t l = 0; l < h.layers; ++l) {
    if (h.is_moe_layer(l)) routing.distinct_experts[static_cast<std::size_t>(l)] = distinct;
  }
  return routing;
}

Routing expected_routing(const ModelSpec& model, const Step& step, double concentration) {
  Routing routing = expected_routing(model, step.tokens(), concentration);
  if (!model.hyper.is_moe_layer(model.hyper.layers - 1)) return routing;
  routing.distinct_experts.back() =
      step.output_rows == 0
          ? 0.0
          : expected_routing(model, step.output_rows, concentration).distinct_experts.back();
  return routing;
}

Routing recorded_routing(const ModelSpec& model, const Step& step, const ExpertShares& shares) {
  Routing routing = expected_routing(model, step);
  routing.recorded = true;
  const std::size_t layers = std::min(shares.layers.size(), routing.distinct_experts.size());
  for (std::size_t l = 0; l < layers; ++l) {
    if (shares.layers[l].empty() || !(routing.distinct_experts[l] > 0)) continue;
    const bool last = l + 1 == routing.distinct_experts.size();
    const double n = static_cast<double>(last ? step.output_rows : step.tokens());
    double distinct = 0;
    for (const double p : shares.layers[l]) distinct += 1 - std::pow(1 - std::min(p, 1.0), n);
    routing.distinct_experts[l] = distinct;
  }
  return routing;
}

VisibleCells visible_cells(const Hyper& hyper, std::int64_t layer, std::int64_t tokens,
                           std::int64_t past) {
  const std::int64_t end = past + tokens;
  if (!hyper.slides(layer)) {
    return {end, tokens * past + tokens * (tokens + 1) / 2};
  }
  const std::int64_t w = hyper.window;
  VisibleCells seen;
  if (hyper.chunked) {
    seen.distinct = end - past / w * w;
    // Pairs of the positions before n: whole chunks, then the begun one.
    const auto pairs = [w](std::int64_t n) {
      return n / w * (w * (w + 1) / 2) + (n % w) * (n % w + 1) / 2;
    };
    seen.pairs = pairs(end) - pairs(past);
    return seen;
  }
  seen.distinct = end - std::max<std::int64_t>(0, past + 1 - w);
  // Positions before the window is full see all that came before them.
  const std::int64_t growing = std::clamp<std::int64_t>(w - past, 0, tokens);
  seen.pairs = growing * past + growing * (growing + 1) / 2 + (tokens - growing) * w;
  return seen;
}

Plan plan_step(const ModelSpec& model, const KvConfig& kv, const Step& step,
               const Routing& routing) {
  BANDWALL_CHECK(kv.k != nullptr && kv.v != nullptr);
  BANDWALL_CHECK(step.sequences > 0 && step.tokens_per_sequence > 0 && step.past >= 0);
  BANDWALL_CHECK(step.pasts.empty() ||
                 step.pasts.size() == static_cast<std::size_t>(step.sequences));
  BANDWALL_CHECK(step.output_rows >= 0 && step.output_rows <= step.tokens());
  BANDWALL_CHECK(model.hyper.experts == 0 ||
                 routing.distinct_experts.size() == static_cast<std::size_t>(model.hyper.layers));
  Plan plan;
  plan.step = step;
  plan.ops = Builder(model, kv, step, routing).build();
  return plan;
}

std::vector<Step> prefill_steps(std::int64_t n_prompt, std::int64_t past, std::int64_t n_ubatch,
                                std::int64_t output_rows) {
  BANDWALL_CHECK(n_prompt >= 0 && past >= 0 && n_ubatch > 0 && output_rows >= 0);
  std::vector<Step> steps;
  for (std::int64_t done = 0; done < n_prompt; done += n_ubatch) {
    const std::int64_t n = std::min(n_ubatch, n_prompt - done);
    const std::int64_t first_output = n_prompt - output_rows;
    const std::int64_t rows = std::clamp<std::int64_t>(done + n - first_output, 0, n);
    steps.push_back({1, n, past + done, rows});
  }
  return steps;
}

Bytes Plan::weights() const { return traffic().weights; }

Bytes Plan::kv() const {
  const Traffic t = traffic();
  return t.kv_read + t.kv_written;
}

Traffic Plan::traffic() const {
  Traffic sum;
  for (const Op& op : ops) sum += op.traffic;
  return sum;
}

std::int64_t kv_cells(const Hyper& h, std::int64_t layer, std::int64_t context,
                      std::int64_t n_ubatch) {
  if (!h.owns_kv(layer)) return 0;
  if (!h.slides(layer)) return context;
  const std::int64_t kept = h.window < context ? std::min(context, h.window + n_ubatch) : context;
  return (kept + 255) / 256 * 256;
}

namespace {

Bytes cell_bytes(const Hyper& h, const KvConfig& kv, std::int64_t layer) {
  return kv.k->bytes_for(static_cast<double>(h.k_width(layer))) +
         kv.v->bytes_for(static_cast<double>(h.v_width(layer)));
}

}  // namespace

Bytes kv_bytes_per_position(const ModelSpec& model, const KvConfig& kv) {
  const Hyper& h = model.hyper;
  Bytes sum;
  for (std::int64_t l = 0; l < h.layers; ++l) {
    if (h.owns_kv(l)) sum += cell_bytes(h, kv, l);
  }
  return sum;
}

Bytes kv_cache_bytes(const ModelSpec& model, const KvConfig& kv, std::int64_t context,
                     std::int64_t n_ubatch) {
  const Hyper& h = model.hyper;
  Bytes sum;
  for (std::int64_t l = 0; l < h.layers; ++l) {
    sum += cell_bytes(h, kv, l) * static_cast<double>(kv_cells(h, l, context, n_ubatch));
  }
  return sum;
}

Ledger ledger_of(const Plan& plan) {
  Ledger ledger;
  for (const Op& op : plan.ops) {
    LedgerRow& row = ledger.rows[op.key];
    row.calls += 1;
    row.traffic += op.traffic;
    row.flops += op.flops;
  }
  ledger.steps = 1;
  ledger.tokens = plan.step.tokens();
  return ledger;
}

}  // namespace bandwall
