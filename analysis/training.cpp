#include "analysis/training.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "hwmodel/error.h"

namespace bandwall {
namespace {

constexpr double kNf4Bits = 4.0 + 8.0 / 64 + 32.0 / (64 * 256);
// bitsandbytes keeps one byte per state and a float32 scale per 256 of them.
constexpr double kState8bit = 1.0 + 4.0 / 256;

bool in_block(const TensorSpec& t) {
  return t.layer >= 0 && t.role != Role::Other && t.role != Role::RopeFactors && !t.is_bias;
}

// A matrix that a linear layer multiplies by; routers and convolutions are left alone.
bool is_linear(const TensorSpec& t) {
  if (!in_block(t) || t.n_dims < 2) return false;
  return t.role != Role::Router && t.role != Role::SharedRouter && t.role != Role::SsmConv;
}

struct Part {
  std::string what;
  double bytes = 0;
  std::string how;
};

// Bytes per token of batch x sequence that one layer keeps, by part.
class LayerActivations {
 public:
  LayerActivations(const ModelSpec& model, const TrainOptions& o) : h_(model.hyper), o_(o) {}

  double attention(std::int64_t layer) const {
    const double hidden = static_cast<double>(h_.hidden);
    if (h_.recurs(layer)) {  // input, projections, convolved channels, gated output
      return 2 * (hidden + 2 * static_cast<double>(h_.conv_channels()) +
                  2 * static_cast<double>(h_.ssm_inner));
    }
    if (!h_.attends(layer)) return 0;
    double kept = hidden;  // input of the projections
    if (h_.kv_rank > 0) {
      kept += static_cast<double>(h_.q_rank + h_.kv_rank + h_.rope_dims);
      kept += static_cast<double>(
          h_.heads * (h_.mla_key + h_.rope_dims + h_.mla_key + h_.rope_dims + 2 * h_.mla_value));
      return 2 * kept;
    }
    // Q, K, V, and what enters the output projection.
    const std::int64_t own = h_.owns_kv(layer) ? h_.k_width(layer) + h_.v_width(layer) : 0;
    kept += static_cast<double>(h_.q_rows(layer) + own + h_.heads * h_.value_dim(layer));
    return 2 * kept;
  }

  // Softmax results, 2 B each: heads x keys that a query sees. Selective recomputation (as flash
  // attention) keeps one float32 per head instead.
  double scores(std::int64_t layer) const {
    if (!h_.attends(layer)) return 0;
    const double heads = static_cast<double>(h_.heads);
    if (o_.recompute != Recompute::None) return 4 * heads;
    const double keys =
        static_cast<double>(h_.slides(layer) ? std::min(h_.window, o_.sequence) : o_.sequence);
    return 2 * heads * keys;
  }

  double feed_forward(std::int64_t layer) const {
    const double hidden = static_cast<double>(h_.hidden);
    // Gate, up and their product; without a gate up and what follows.
    const double kept = h_.activation == Activation::ReluSquared ? 2 : 3;
    double values = 0;
    if (h_.is_dense_layer(layer))
      values += hidden + kept * static_cast<double>(h_.dense_ffn(layer));
    if (h_.is_moe_layer(layer)) {
      const double used = static_cast<double>(h_.experts_used);
      const double width = static_cast<double>(h_.expert_latent > 0 ? h_.expert_latent : h_.hidden);
      values += hidden;  // before it is routed
      values += used * (2 * width + kept * static_cast<double>(h_.expert_ffn));
      values += kept * static_cast<double>(h_.shared_ffn);
      values += 2 * static_cast<double>(h_.experts);  // router scores in float32
    }
    return 2 * values;
  }

  // Blocks of hybrids by letters hold one mixer and one norm.
  double norms() const { return 2 * static_cast<double>(h_.hidden) * (h_.pattern.empty() ? 2 : 1); }

  double all(std::int64_t layer) const {
    return attention(layer) + scores(layer) + feed_forward(layer) + norms();
  }

 private:
  const Hyper& h_;
  const TrainOptions& o_;
};

double tokens(const TrainOptions& o) {
  return static_cast<double>(o.sequence) * static_cast<double>(o.batch);
}

std::vector<Part> activation_parts(const ModelSpec& model, const TrainOptions& o) {
  const Hyper& h = model.hyper;
  const LayerActivations layer(model, o);
  double attention = 0, scores = 0, forward = 0, norms = 0, widest = 0;
  for (std::int64_t l = 0; l < h.layers; ++l) {
    attention += layer.attention(l);
    scores += layer.scores(l);
    forward += layer.feed_forward(l);
    norms += layer.norms();
    widest = std::max(widest, layer.all(l));
  }
  const double n = tokens(o);
  const double hidden = static_cast<double>(h.hidden), vocab = static_cast<double>(h.vocab);
  const std::string by = fmt::format("{} x {} tokens", o.batch, o.sequence);
  std::vector<Part> parts;
  if (o.recompute == Recompute::Full) {
    parts.push_back({"inputs of layers", n * 2 * hidden * static_cast<double>(h.layers),
                     fmt::format("{} x {} layers x {} x 2 B; the rest is computed again", by,
                                 h.layers, h.hidden)});
    parts.push_back({"one layer's activations", n * widest,
                     fmt::format("{} x {:.0f} B of the widest layer", by, widest)});
  } else {
    parts.push_back({"activations of attention", n * attention,
                     fmt::format("{} x {:.0f} B over all layers: inputs, q, k, v, heads' output",
                                 by, attention)});
    parts.push_back({"attention scores", n * scores,
                     o.recompute == Recompute::None
                         ? fmt::format("{} x {:.0f} B: heads x keys x 2 B per layer", by, scores)
                         : fmt::format("{} x {:.0f} B: computed again, one float32 per head kept",
                                       by, scores)});
    parts.push_back(
        {"activations of feed-forward", n * forward,
         fmt::format("{} x {:.0f} B over all layers: inputs, gate, up and product", by, forward)});
    parts.push_back({"inputs of norms", n * norms, fmt::format("{} x {:.0f} B", by, norms)});
  }
  parts.push_back(
      {"logits", n * (4 * hidden + 4 * vocab),
       fmt::format("{} x ({} x 4 B of the last norm and head + {} x 4 B)", by, h.hidden, h.vocab)});
  return parts;
}

double state_bytes(Optimizer optimizer) {
  switch (optimizer) {
    case Optimizer::Adamw:
      return 8;
    case Optimizer::Adamw8bit:
      return 2 * kState8bit;
    case Optimizer::Sgd:
      return 0;
  }
  return 0;
}

std::string state_how(Optimizer optimizer) {
  switch (optimizer) {
    case Optimizer::Adamw:
      return "two float32 moments";
    case Optimizer::Adamw8bit:
      return "two moments of a byte, a float32 scale per 256";
    case Optimizer::Sgd:
      return "none without momentum";
  }
  return "";
}

struct Builder {
  TrainReport r;
  void line(std::string what, double bytes, std::string how) {
    const Bytes whole(std::ceil(bytes));
    if (!(whole > Bytes(0))) return;
    r.needed += whole;
    r.lines.push_back({std::move(what), whole, std::move(how)});
  }
};

void base_lines(const ModelSpec& model, const TrainOptions& o, Builder& b) {
  std::int64_t linear = 0, rest = 0;
  for (const TensorSpec& t : model.tensors) {
    if (t.role == Role::Other) continue;
    (is_linear(t) ? linear : rest) += t.values();
  }
  if (o.mode != TrainMode::Qlora) {
    b.line("weights", 2.0 * static_cast<double>(linear + rest),
           fmt::format("{} parameters x 2 B (bf16)", linear + rest));
    return;
  }
  b.line("quantized weights", static_cast<double>(linear) * kNf4Bits / 8,
         fmt::format("{} values of matrices in the blocks x {:.3f} bits (NF4, scales quantized)",
                     linear, kNf4Bits));
  b.line("other weights", 2.0 * static_cast<double>(rest),
         fmt::format("{} values of tables, norms and routers x 2 B (bf16)", rest));
  std::int64_t largest = 0;
  for (const TensorSpec& t : model.tensors) {
    if (is_linear(t)) largest = std::max(largest, t.dims[0] * t.dims[1]);
  }
  b.line("dequantized matrix", 2.0 * static_cast<double>(largest),
         fmt::format("the largest matrix in bf16 while it is used, {} values", largest));
}

void trained_lines(const TrainOptions& o, Builder& b) {
  const double n = static_cast<double>(b.r.trained);
  if (o.mode != TrainMode::Full) {
    b.line("adapters", 2 * n,
           fmt::format("{} values x 2 B: {} x (in + out) of every matrix", b.r.trained, o.rank));
  }
  b.line("gradients", 2 * n, fmt::format("{} x 2 B (bf16)", b.r.trained));
  b.line("master weights", 4 * n, fmt::format("{} x 4 B (float32)", b.r.trained));
  b.line("optimizer state", state_bytes(o.optimizer) * n,
         fmt::format("{} x {:.3f} B: {}", b.r.trained, state_bytes(o.optimizer),
                     state_how(o.optimizer)));
}

void check(const TrainOptions& o) {
  const auto range = [](const char* what, std::int64_t n, std::int64_t most) {
    if (n < 1 || n > most) {
      throw Error::input(what, fmt::format("{} is outside 1..{}", n, most));
    }
  };
  range("sequence", o.sequence, std::int64_t{1} << 30);
  range("batch", o.batch, 1 << 20);
  range("rank", o.rank, 1 << 16);
}

Verdict judge(Bytes needed, Bytes usable, const MemoryPool& pool) {
  PoolReport p;
  p.visible = pool.visible.value;
  p.reserve = pool.reserve.value;
  p.usable = usable;
  p.needed = needed;
  FitReport f;
  f.pools.push_back(p);
  judge_pools(f);
  return f.verdict;
}

TrainReport report_of(const Machine& machine, const ModelSpec& model, const TrainOptions& o) {
  Builder b;
  const std::int64_t parameters = model.parameters();
  b.r.trained = o.mode == TrainMode::Full ? parameters : adapter_values(model, o.rank);
  b.r.frozen = o.mode == TrainMode::Full ? 0 : parameters;
  base_lines(model, o, b);
  trained_lines(o, b);
  for (const Part& p : activation_parts(model, o)) b.line(p.what, p.bytes, p.how);
  if (o.mode != TrainMode::Full) {
    std::int64_t inner = 0;  // outputs of the first halves of the adapters
    const std::int64_t used = std::max<std::int64_t>(model.hyper.experts_used, 1);
    for (const TensorSpec& t : model.tensors) {
      if (is_linear(t)) inner += t.dims[2] > 1 ? used : 1;
    }
    b.line("activations of adapters", tokens(o) * 2 * static_cast<double>(inner * o.rank),
           fmt::format("{} x {} tokens x {} matrices met x {} x 2 B", o.batch, o.sequence, inner,
                       o.rank));
  }
  if (o.runtime_bytes)
    b.line("runtime context", o.runtime_bytes->value(), "CUDA context and runtime");
  // Every device holds a copy of all: more of them raise the batch, not the room.
  b.r.usable = Bytes(std::floor(machine.pool().usable().value()));
  b.r.headroom = b.r.usable - b.r.needed;
  b.r.verdict = judge(b.r.needed, b.r.usable, machine.pool());
  return b.r;
}

std::optional<std::int64_t> longest(const Machine& machine, const ModelSpec& model,
                                    TrainOptions o) {
  const auto fits = [&](std::int64_t blocks) {
    o.sequence = blocks * 256;
    return report_of(machine, model, o).verdict == Verdict::Fits;
  };
  if (!fits(1)) return std::nullopt;
  std::int64_t low = 1, high = std::max<std::int64_t>(model.hyper.context_train / 256, 1);
  if (fits(high)) return high * 256;
  while (high - low > 1) {
    const std::int64_t middle = low + (high - low) / 2;
    (fits(middle) ? low : high) = middle;
  }
  return low * 256;
}

template <class E, std::size_t N>
std::optional<E> from_name(std::string_view wanted, const E (&all)[N]) {
  for (const E e : all) {
    if (name(e) == wanted) return e;
  }
  return std::nullopt;
}

}  // namespace

std::string_view name(TrainMode mode) {
  switch (mode) {
    case TrainMode::Full:
      return "full";
    case TrainMode::Lora:
      return "lora";
    case TrainMode::Qlora:
      return "qlora";
  }
  return "";
}

std::string_view name(Optimizer optimizer) {
  switch (optimizer) {
    case Optimizer::Adamw:
      return "adamw";
    case Optimizer::Adamw8bit:
      return "adamw8bit";
    case Optimizer::Sgd:
      return "sgd";
  }
  return "";
}

std::string_view name(Recompute recompute) {
  switch (recompute) {
    case Recompute::None:
      return "none";
    case Recompute::Selective:
      return "selective";
    case Recompute::Full:
      return "full";
  }
  return "";
}

std::optional<TrainMode> train_mode_from_name(std::string_view wanted) {
  constexpr TrainMode all[] = {TrainMode::Full, TrainMode::Lora, TrainMode::Qlora};
  return from_name(wanted, all);
}

std::optional<Optimizer> optimizer_from_name(std::string_view wanted) {
  constexpr Optimizer all[] = {Optimizer::Adamw, Optimizer::Adamw8bit, Optimizer::Sgd};
  return from_name(wanted, all);
}

std::optional<Recompute> recompute_from_name(std::string_view wanted) {
  constexpr Recompute all[] = {Recompute::None, Recompute::Selective, Recompute::Full};
  return from_name(wanted, all);
}

std::int64_t adapter_values(const ModelSpec& model, std::int64_t rank) {
  std::int64_t values = 0;
  for (const TensorSpec& t : model.tensors) {
    if (is_linear(t)) values += rank * (t.dims[0] + t.dims[1]) * t.dims[2] * t.dims[3];
  }
  return values;
}

Bytes activation_bytes(const ModelSpec& model, const TrainOptions& o) {
  double bytes = 0;
  for (const Part& p : activation_parts(model, o)) bytes += p.bytes;
  return Bytes(bytes);
}

TrainReport fit_training(const Machine& machine, const ModelSpec& model, const TrainOptions& o) {
  check(o);
  TrainReport r = report_of(machine, model, o);
  r.max_sequence = longest(machine, model, o);
  if (o.mode == TrainMode::Full) {
    r.notes.push_back(
        fmt::format("float32 gradients, as some programs add them up in, take {} more",
                    gb_and_gib(bytes(2 * r.trained))));
  }
  if (o.mode != TrainMode::Full && model.hyper.experts > 0) {
    r.notes.push_back("adapters on every expert; on attention alone they are a small part of it");
  }
  bool recurrent = false;
  for (std::int64_t l = 0; l < model.hyper.layers; ++l) recurrent |= model.hyper.recurs(l);
  if (recurrent) {
    r.notes.push_back("recurrent layers are counted by their projections; chunked scans keep more");
  }
  if (machine.devices > 1) {
    r.notes.push_back("every device holds all of it; sharding is not counted");
  }
  return r;
}

}  // namespace bandwall
