#include "runtime/bad_numbers.h"

#include <cmath>
#include <cstring>

#include <fmt/format.h>

#include "hwmodel/error.h"

namespace bandwall {
namespace {

struct Rows2d {
  const float* at;
  std::int64_t rows, width;
};

std::optional<std::string> first_bad(const Pass& p, const Rows2d& r, std::int64_t first_row) {
  for (std::int64_t i = 0; i < r.rows; ++i) {
    const float* row = r.at + i * r.width;
    if (all_finite(row, r.width)) continue;
    std::int64_t c = 0;
    while (std::isfinite(row[c])) ++c;
    const auto at = static_cast<std::size_t>(first_row + i);
    return fmt::format("{} at value {} of position {}", row[c], c, p.scratch.positions[at]);
  }
  return std::nullopt;
}

// The op that reads tensors of a role; none: an op of the layer that this table does not know.
std::optional<OpKind> op_reading(Role role) {
  switch (role) {
    case Role::TokenEmbedding:
      return OpKind::Embedding;
    case Role::OutputNorm:
      return OpKind::OutputNorm;
    case Role::OutputHead:
      return OpKind::Head;
    case Role::AttnNorm:
      return OpKind::AttnNorm;
    case Role::AttnQ:
    case Role::AttnK:
    case Role::AttnV:
    case Role::AttnQA:
    case Role::AttnQANorm:
    case Role::AttnQB:
    case Role::AttnKvA:
    case Role::AttnKB:
      return OpKind::QkvProj;
    case Role::AttnQNorm:
    case Role::AttnKNorm:
    case Role::AttnKvANorm:
    case Role::RopeFactors:
      return OpKind::RopeKv;
    case Role::AttnSinks:
    case Role::Indexer:
      return OpKind::Attention;
    case Role::AttnVB:
    case Role::AttnOut:
      return OpKind::AttnOut;
    case Role::SsmIn:
    case Role::SsmGate:
    case Role::SsmRates:
      return OpKind::SsmIn;
    case Role::SsmConv:
    case Role::SsmDt:
    case Role::SsmA:
    case Role::SsmD:
    case Role::SsmNorm:
      return OpKind::Ssm;
    case Role::SsmOut:
      return OpKind::SsmOut;
    case Role::AttnPostNorm:
      return OpKind::AttnOut;
    case Role::FfnPostNorm:
      return OpKind::DenseFfn;
    case Role::FfnNorm:
      return OpKind::FfnNorm;
    case Role::Router:
    case Role::RouterBias:
      return OpKind::Router;
    case Role::ExpertGate:
    case Role::ExpertUp:
    case Role::ExpertDown:
    case Role::LatentDown:
    case Role::LatentUp:
      return OpKind::Experts;
    case Role::DenseGate:
    case Role::DenseUp:
    case Role::DenseDown:
      return OpKind::DenseFfn;
    case Role::SharedRouter:
    case Role::SharedGate:
    case Role::SharedUp:
    case Role::SharedDown:
      return OpKind::SharedExpert;
    case Role::Other:
      return std::nullopt;
  }
  return std::nullopt;
}

std::string op_name(OpKind kind, std::int64_t layer) {
  return layer < 0 ? fmt::format("op {}", name(kind))
                   : fmt::format("layer {}, op {}", layer, name(kind));
}

std::string place(const TensorSpec& t, std::int64_t row, std::int64_t col, float value) {
  std::string at = fmt::format("{}", col);
  if (t.n_dims > 1) at += fmt::format(", {}", row % t.dims[1]);
  if (t.n_dims > 2) at += fmt::format(", {}", row / t.dims[1]);
  return fmt::format("tensor {} holds {} at [{}]", t.name, value, at);
}

// The first value of a row that is not finite.
std::optional<std::string> bad_in_row(const LoadedModel& model, const TensorSpec& t,
                                      std::int64_t row, std::vector<float>& values) {
  values.resize(static_cast<std::size_t>(t.dims[0]));
  dequantize(t.format, model.data(t) + row * row_bytes(t.format, t.dims[0]), t.dims[0],
             values.data());
  if (all_finite(values.data(), t.dims[0])) return std::nullopt;
  std::int64_t c = 0;
  while (std::isfinite(values[static_cast<std::size_t>(c)])) ++c;
  return place(t, row, c, values[static_cast<std::size_t>(c)]);
}

std::optional<std::string> bad_in_tensor(const LoadedModel& model, const TensorSpec& t) {
  std::vector<float> values;
  for (std::int64_t row = 0; row < t.values() / t.dims[0]; ++row) {
    if (const auto found = bad_in_row(model, t, row, values)) return found;
  }
  return std::nullopt;
}

// Factors of NVFP4 files lie beside their matrix.
bool is_factor(const TensorSpec& t) { return t.name.ends_with(".scale") && has_kernels(t.format); }

std::optional<std::string> bad_weight(const LoadedModel& model, OpKind kind, std::int64_t layer,
                                      std::span<const std::int32_t> tokens) {
  const ModelSpec& spec = model.spec();
  for (const TensorSpec& t : spec.tensors) {
    if (t.layer != layer && t.role != Role::RopeFactors) continue;
    const bool factor = t.role == Role::Other && is_factor(t);
    if (t.role == Role::Other && !factor) continue;
    const bool tied = kind == OpKind::Head && spec.hyper.tied_head;
    const auto op = tied && t.role == Role::TokenEmbedding ? OpKind::Head : op_reading(t.role);
    if (!factor && op && *op != kind) continue;
    if (kind == OpKind::Embedding && t.role == Role::TokenEmbedding) {
      std::vector<float> values;
      for (const std::int32_t token : tokens) {
        if (const auto found = bad_in_row(model, t, token, values)) return found;
      }
    } else if (const auto found = bad_in_tensor(model, t)) {
      return found;
    }
  }
  return std::nullopt;
}

}  // namespace

bool all_finite(const float* x, std::int64_t n) {
  // NaN and infinity have an exponent of ones: adding one to it carries into the sign bit. Four
  // sums, because each waits for its last addition.
  constexpr std::uint32_t kNoSign = 0x7fffffff, kOne = 0x00800000;
  using Words = std::uint32_t __attribute__((vector_size(16)));
  constexpr std::int64_t kLanes = 4, kSums = 4;
  Words seen[kSums] = {};
  std::int64_t i = 0;
  for (; i + kSums * kLanes <= n; i += kSums * kLanes) {
#pragma GCC unroll 4
    for (std::int64_t j = 0; j < kSums; ++j) {
      Words bits;
      std::memcpy(&bits, x + i + j * kLanes, sizeof bits);
      seen[j] |= (bits & kNoSign) + kOne;
    }
  }
  const Words all = seen[0] | seen[1] | seen[2] | seen[3];
  std::uint32_t any = all[0] | all[1] | all[2] | all[3];
  for (; i < n; ++i) {
    std::uint32_t bits;
    std::memcpy(&bits, x + i, sizeof bits);
    any |= (bits & kNoSign) + kOne;
  }
  return (any & ~kNoSign) == 0;
}

void watch(Pass& p, const float* x, std::int64_t n) {
  if (!all_finite(x, n)) p.scratch.suspect.store(true, std::memory_order_relaxed);
}

void check_vectors(const LoadedModel& model) {
  for (const TensorSpec& t : model.spec().tensors) {
    const bool vector = (t.n_dims == 1 || t.is_bias) && t.role != Role::Other;
    if (t.layer >= model.spec().hyper.layers || t.format != Format::F32) continue;
    if (!vector && !is_factor(t)) continue;
    const auto found = bad_in_tensor(model, t);
    if (!found) continue;
    const auto op = op_reading(t.role);
    throw Error::running(model.spec().name,
                         fmt::format("{}{}; the file is damaged: fetch or convert it again",
                                     op ? op_name(*op, t.layer) + ": " : "", *found));
  }
}

bool layer_is_finite(Pass& p) {
  constexpr std::int64_t kRows = 16;
  const std::int64_t width = p.hyper.hidden;
  for_range(p, p.n, kRows, [&](std::int64_t begin, std::int64_t end) {
    watch(p, p.scratch.residual.get() + begin * width, (end - begin) * width);
  });
  return !p.scratch.suspect.load(std::memory_order_relaxed);
}

std::optional<std::string> bad_output(const Pass& p, OpKind kind, std::int64_t rows,
                                      const float* logits) {
  const Hyper& h = p.hyper;
  const Scratch& s = p.scratch;
  const auto check = [&](const float* at, std::int64_t width) {
    return first_bad(p, {at, p.n, width}, 0);
  };
  switch (kind) {
    case OpKind::AttnNorm:
    case OpKind::FfnNorm:
      return check(s.normed.f32.get(), h.hidden);
    case OpKind::OutputNorm:
      return first_bad(p, {s.normed.f32.get(), rows, h.hidden}, p.n - rows);
    case OpKind::QkvProj:
    case OpKind::RopeKv:
      for (const auto& [at, width] :
           {std::pair{s.q.get(), h.q_width()}, std::pair{s.k.get(), h.k_width()},
            std::pair{s.v.get(), h.v_width()}}) {
        if (const auto found = check(at, width)) return found;
      }
      return std::nullopt;
    case OpKind::Attention:
      return check(s.attended.f32.get(), h.heads * h.head_dim_v);
    case OpKind::SsmIn:
      return check(s.projected.get(),
                   h.conv_channels() + h.ssm_inner + (h.pattern.empty() ? 2 : 1) * h.ssm_heads);
    case OpKind::Ssm:
      return check(s.mixed.f32.get(), h.ssm_inner);
    case OpKind::Router:
      if (s.suspect.load()) return "a score or its bias is not finite";
      return std::nullopt;
    case OpKind::Head:
      return first_bad(p, {logits, rows, h.vocab}, p.n - rows);
    default:
      break;
  }
  return check(s.residual.get(), h.hidden);
}

void throw_bad_numbers(const LoadedModel& model, OpKind kind, std::int64_t layer,
                       std::span<const std::int32_t> tokens, const std::string& what) {
  const auto weight = bad_weight(model, kind, layer, tokens);
  throw Error::running(
      model.spec().name,
      fmt::format("{}: {}; {}", op_name(kind, layer), what,
                  weight ? *weight + "; the file is damaged: fetch or convert it again"
                         : "its weights are finite, so what is computed left the range of its "
                           "format; try -ctk f32 -ctv f32, or a file of another quantization"));
}

}  // namespace bandwall
