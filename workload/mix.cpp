#include "workload/mix.h"

#include <algorithm>
#include <cctype>
#include <unordered_map>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "hwmodel/error.h"
#include "hwmodel/suggest.h"
#include "workload/architectures.h"
#include "workload/name_patterns.h"

namespace bandwall {
namespace {

using enum Format;

bool same_letters(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](unsigned char x, unsigned char y) {
    return std::tolower(x) == std::tolower(y);
  });
}

bool is_expert(Role role) {
  return role == Role::ExpertGate || role == Role::ExpertUp || role == Role::ExpertDown;
}
bool is_dense_ffn(Role role) {
  return role == Role::DenseGate || role == Role::DenseUp || role == Role::DenseDown;
}
bool is_down(Role role) {
  return role == Role::ExpertDown || role == Role::DenseDown || role == Role::SharedDown;
}
bool is_gate_or_up(Role role) {
  return role == Role::ExpertGate || role == Role::ExpertUp || role == Role::DenseGate ||
         role == Role::DenseUp || role == Role::SharedGate || role == Role::SharedUp;
}

// Values, also those projected together with queries and keys.
bool is_value(const TensorSpec& t) {
  return !t.is_bias && (t.role == Role::AttnV || t.name.ends_with("attn_qkv.weight"));
}

// Vectors, norms, biases, routers and convolutions keep full precision.
bool is_quantized_matrix(const TensorSpec& t) {
  return t.n_dims >= 2 && t.name.ends_with("weight") && t.role != Role::Router &&
         t.name.find("_norm.weight") == std::string::npos && t.role != Role::SsmConv &&
         t.name.find("per_layer_model_proj") == std::string::npos;
}

// What no mix quantizes is F32; a projection so large stays in the format it was published in.
Format kept(const Mix& mix, const TensorSpec& t) {
  if (t.name.find("per_layer_model_proj") == std::string::npos) return F32;
  return info(mix.base).quantized ? BF16 : mix.base;
}

// Every third layer, and the first and last eighth.
bool more_bits(std::int64_t i, std::int64_t n) {
  return i < n / 8 || i >= 7 * n / 8 || (i - n / 8) % 3 == 2;
}

// The format for rows that are no multiple of the block.
Format fitting(Format format, std::int64_t row) {
  if (row % info(format).values_per_block == 0) return format;
  Format next = F16;
  switch (format) {
    case IQ1_S:
    case IQ1_M:
    case IQ2_XXS:
    case IQ2_XS:
    case IQ2_S:
    case IQ3_XXS:
    case IQ3_S:
    case IQ4_XS:
      next = IQ4_NL;
      break;
    case Q2_K:
    case Q3_K:
    case TQ1_0:
    case TQ2_0:
      next = Q4_0;
      break;
    case Q4_K:
      next = Q5_0;
      break;
    case Q5_K:
      next = Q5_1;
      break;
    case Q6_K:
      next = Q8_0;
      break;
    case NVFP4_ST:
      next = BF16;
      break;
    default:
      break;
  }
  return row % info(next).values_per_block == 0 ? next : F16;
}

class MixRules {
 public:
  MixRules(const Mix& mix, Importance importance, std::string_view architecture, const Hyper& h,
           const std::vector<TensorSpec>& tensors)
      : mix_(mix), matrix_(importance == Importance::With), h_(h) {
    const bool counted =
        (h.pattern.empty() && h.mixers.empty()) || h.attends(0);  // of block 0, by its metadata
    gqa_ = counted && h.kv_heads_of(0) > 0 ? h.heads / h.kv_heads_of(0) : 0;
    llama_70b_ = architecture == "llama" && h.layers == 80 && h.heads != h.kv_heads;
    values_ = std::count_if(tensors.begin(), tensors.end(), is_value);
  }

  // Tensors must come in file order: attn_v is counted.
  Format choose(const TensorSpec& t) {
    const bool table = t.role == Role::TokenEmbedding || t.role == Role::LayerEmbedding;
    if (t.role == Role::OutputHead || (table && h_.tied_head)) {
      return output(t);
    }
    if (is({"MXFP4_MOE"})) return t.dims[2] > 1 ? MXFP4 : Q8_0;
    if (table) return embedding();
    if (low_bits()) return low(t);
    if (is_value(t)) return value();
    if (t.role == Role::AttnK || t.role == Role::AttnQ) return key_or_query(t.role);
    if (is_down(t.role)) return down(t.layer);
    if (t.role == Role::AttnOut) return attention_output();
    if (is_gate_or_up(t.role) && is({"IQ3_XS"}) && t.layer >= h_.layers / 8 &&
        t.layer < 7 * h_.layers / 8) {
      return IQ3_XXS;
    }
    return mix_.base;
  }

 private:
  bool is(std::initializer_list<std::string_view> names) const {
    return std::find(names.begin(), names.end(), mix_.name) != names.end();
  }
  bool low_bits() const { return is({"IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ2_M"}); }

  Format output(const TensorSpec& t) const {
    if (!info(mix_.base).quantized) return mix_.base;
    if (is({"MXFP4_MOE"}) || t.dims[0] % info(mix_.base).values_per_block != 0) return Q8_0;
    if (low_bits() || is({"IQ3_XXS"})) return Q5_K;
    return mix_.base == Q8_0 ? Q8_0 : Q6_K;
  }

  Format embedding() const {
    if (is({"IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS"})) return Q2_K;
    if (is({"IQ2_S", "IQ2_M", "IQ3_XXS"})) return IQ3_S;
    if (is({"TQ1_0", "TQ2_0"})) return Q4_K;
    return mix_.base;
  }

  Format low(const TensorSpec& t) const {
    const Format lifted = is({"IQ2_S", "IQ2_M"}) ? IQ3_S : Q2_K;
    if (is_value(t)) return gqa_ >= 4 || h_.experts >= 4 ? Q4_K : lifted;
    if (t.role == Role::AttnK && h_.experts == 8) return Q4_K;
    if (is_down(t.role)) return t.layer < h_.layers / 8 ? lifted : mix_.base;
    if (t.role == Role::AttnOut) {
      if (h_.experts == 8) return Q5_K;
      if (is({"IQ1_S", "IQ1_M"})) return IQ2_XXS;
      if (is({"IQ2_S", "IQ2_M"})) return IQ3_S;
    }
    return mix_.base;
  }

  Format value() {
    const std::int64_t i = value_index_++;
    Format f = mix_.base;
    if (is({"Q2_K"}))
      f = gqa_ >= 4 ? Q4_K : Q3_K;
    else if (is({"Q2_K_S", "IQ3_XS", "IQ3_S"}) && gqa_ >= 4)
      f = Q4_K;
    else if (is({"IQ3_XXS"}))
      f = gqa_ >= 4 ? Q4_K : matrix_ ? IQ3_XXS : IQ3_S;
    else if (is({"IQ3_M"}))
      f = Q4_K;
    else if (is({"Q3_K_M"}))
      f = i < 2 ? Q5_K : Q4_K;
    else if (is({"Q3_K_L"}))
      f = Q5_K;
    else if (is({"IQ4_NL", "IQ4_XS"}) && gqa_ >= 4)
      f = Q5_K;
    else if (is({"Q4_K_M", "Q5_K_M"}) && more_bits(i, values_))
      f = Q6_K;
    else if (is({"Q4_K_S"}) && i < 4)
      f = Q5_K;
    if (llama_70b_ && (f == Q3_K || f == Q4_K)) f = Q5_K;
    return eight_experts() ? Q8_0 : f;
  }

  Format key_or_query(Role role) const {
    if (role == Role::AttnK && eight_experts()) return Q8_0;
    if (is({"IQ3_XS"})) return IQ3_XXS;
    return is({"IQ3_XXS"}) ? IQ2_S : mix_.base;
  }

  Format down(std::int64_t i) const {
    const std::int64_t n = h_.layers + h_.mtp_layers;
    const bool first = i < n / 8;
    if (is({"Q2_K"})) return Q3_K;
    if (is({"Q2_K_S"}) && first) return Q4_K;
    if (is({"IQ3_XXS"}) && !matrix_) return first ? Q4_K : Q3_K;
    if (is({"Q3_K_M"})) return i < n / 16 ? Q5_K : Q4_K;
    if (is({"IQ3_M"}) && (first || (h_.experts == 8 && more_bits(i, n)))) return Q4_K;
    if (is({"Q3_K_L"})) return Q5_K;
    if (is({"Q4_K_M", "Q5_K_M"}) && more_bits(i, n)) return Q6_K;
    if (is({"IQ4_NL", "IQ4_XS"}) && first && !matrix_) return Q5_K;
    if (is({"Q4_K_S"}) && first) return Q5_K;
    if (is({"Q4_0"}) && first && matrix_) return Q4_1;
    if (is({"Q5_0"}) && first && matrix_) return Q5_1;
    return mix_.base;
  }

  Format attention_output() const {
    if (h_.experts == 8) {
      return is({"Q2_K", "IQ3_XS", "IQ3_XXS", "Q3_K_S", "Q3_K_M", "IQ4_NL", "Q4_K_S", "Q4_K_M",
                 "IQ3_S", "IQ3_M", "IQ4_XS"})
                 ? Q5_K
                 : mix_.base;
    }
    if (is({"Q2_K"})) return Q3_K;
    if (is({"IQ3_XXS"})) return IQ3_S;
    if (is({"Q3_K_M", "IQ3_M"})) return Q4_K;
    return is({"Q3_K_L"}) ? Q5_K : mix_.base;
  }

  bool eight_experts() const { return h_.experts == 8; }

  const Mix& mix_;
  bool matrix_;
  const Hyper& h_;
  std::int64_t gqa_ = 0, values_ = 0, value_index_ = 0;
  bool llama_70b_ = false;
};

void set_format(TensorSpec& t, Format format) {
  t.format = format;
  t.bytes = tensor_bytes(format, t);
}

// Integer shares of `total` in proportion to values; the sum is exactly `total`.
void share(std::int64_t total, const std::vector<TensorSpec*>& tensors) {
  std::int64_t all = 0;
  for (const TensorSpec* t : tensors) all += t->values();
  __extension__ using Wide = __int128;
  std::int64_t seen = 0, given = 0;
  for (TensorSpec* t : tensors) {
    seen += t->values();
    const auto until = static_cast<std::int64_t>(static_cast<Wide>(total) * seen / all);
    t->bytes = until - given;
    given = until;
  }
}

const PublishedMix* find_published(const std::vector<PublishedMix>& mixes, std::string_view name) {
  for (const PublishedMix& p : mixes) {
    if (same_letters(p.name, name)) return &p;
  }
  return nullptr;
}

// Checkpoints of other engines as their tools make them where a shape lists none of its own: every
// matrix but tables and routers. Publishers often leave out more.
const std::vector<PublishedMix>& checkpoints() {
  const auto of = [](const char* name, Format format) {
    PublishedMix mix{
        .name = name, .attention = format, .tables = BF16, .experts = format, .rest = BF16};
    mix.note = "every matrix but tables and routers; publishers often leave out more";
    return mix;
  };
  static const std::vector<PublishedMix> all = {of("NVFP4", NVFP4_ST), of("FP8", F8_E4M3),
                                                of("INT4", INT4)};
  return all;
}

Importance importance_of(const Mix& mix) {
  return mix.name.starts_with("IQ") ? Importance::With : Importance::Without;
}

enum class Known { Rules, RulesAndCheckpoints };

[[noreturn]] void unknown_mix(const ModelShape& shape, std::string_view mix, Known known) {
  std::vector<std::string> names = known_mixes();
  std::vector<std::string> own;
  for (const PublishedMix& p : shape.published) own.push_back(p.name);
  for (const PublishedMix& p : checkpoints()) {
    const bool listed = find_published(shape.published, p.name) != nullptr;
    if (known == Known::RulesAndCheckpoints && !listed) names.push_back(p.name);
  }
  std::vector<std::string> all = own;
  all.insert(all.end(), names.begin(), names.end());
  const std::string near = suggest(mix, all);
  const bool tuned = mix.size() > 3 && same_letters(mix.substr(0, 3), "UD-");
  throw Error::input(
      shape.name,
      fmt::format("unknown quantization '{}'{}{}; known are {}{}{}", printable(mix),
                  near.empty() ? "" : fmt::format(" (did you mean {}?)", near),
                  tuned ? ": UD mixes are tuned tensor by tensor by their publisher, no rule gives "
                          "their bytes, and no published size of this one is known"
                        : "",
                  fmt::join(own, ", "), own.empty() ? "" : ", ", fmt::join(names, ", ")));
}

const Architecture& architecture_of(const ModelShape& shape) {
  const Architecture* a = find_architecture(shape.architecture);
  if (a != nullptr) return *a;
  std::vector<std::string> known;
  for (const Architecture& row : all_architectures()) known.emplace_back(row.name);
  throw Error::input(shape.name,
                     fmt::format("unknown architecture '{}'; known are {}",
                                 printable(shape.architecture), fmt::join(known, ", ")));
}

}  // namespace

const std::vector<Mix>& all_mixes() {
  static const std::vector<Mix> table = {
      {"F32", F32},         {"F16", F16},         {"BF16", BF16},       {"Q8_0", Q8_0},
      {"Q6_K", Q6_K},       {"Q5_K_M", Q5_K},     {"Q5_K_S", Q5_K},     {"Q5_1", Q5_1},
      {"Q5_0", Q5_0},       {"Q4_K_M", Q4_K},     {"Q4_K_S", Q4_K},     {"Q4_1", Q4_1},
      {"Q4_0", Q4_0},       {"MXFP4_MOE", MXFP4}, {"IQ4_NL", IQ4_NL},   {"IQ4_XS", IQ4_XS},
      {"Q3_K_L", Q3_K},     {"Q3_K_M", Q3_K},     {"Q3_K_S", Q3_K},     {"IQ3_M", IQ3_S},
      {"IQ3_S", IQ3_S},     {"IQ3_XS", IQ3_S},    {"IQ3_XXS", IQ3_XXS}, {"Q2_K", Q2_K},
      {"Q2_K_S", Q2_K},     {"IQ2_M", IQ2_S},     {"IQ2_S", IQ2_XS},    {"IQ2_XS", IQ2_XS},
      {"IQ2_XXS", IQ2_XXS}, {"IQ1_M", IQ1_M},     {"IQ1_S", IQ1_S},     {"TQ2_0", TQ2_0},
      {"TQ1_0", TQ1_0},
  };
  return table;
}

const Mix* find_mix(std::string_view name) {
  for (const Mix& mix : all_mixes()) {
    if (same_letters(mix.name, name)) return &mix;
  }
  return nullptr;
}

std::vector<std::string> known_mixes() {
  std::vector<std::string> names;
  for (const Mix& mix : all_mixes()) names.emplace_back(mix.name);
  return names;
}

std::int64_t tensor_bytes(Format format, const TensorSpec& t) {
  if (format == FP8_BLOCK128) {
    const std::int64_t blocks = ((t.dims[0] + 127) / 128) * ((t.dims[1] + 127) / 128);
    return t.values() + 4 * blocks * t.dims[2] * t.dims[3];
  }
  return row_bytes(format, t.dims[0]) * t.dims[1] * t.dims[2] * t.dims[3];
}

void apply_mix(const Mix& mix, Importance importance, std::string_view architecture,
               const Hyper& hyper, std::vector<TensorSpec>& tensors) {
  MixRules rules(mix, importance, architecture, hyper, tensors);
  for (TensorSpec& t : tensors) {
    if (!is_quantized_matrix(t)) {
      set_format(t, kept(mix, t));
    } else if (!info(mix.base).quantized) {
      set_format(t, mix.base);
    } else {
      set_format(t, fitting(rules.choose(t), t.dims[0]));
    }
  }
}

void apply_published(const PublishedMix& mix, std::vector<TensorSpec>& tensors) {
  const bool dense = std::none_of(tensors.begin(), tensors.end(),
                                  [](const TensorSpec& t) { return is_expert(t.role); });
  std::vector<TensorSpec*> experts;
  std::int64_t others = 0;
  for (TensorSpec& t : tensors) {
    Format format = mix.rest;
    const bool matrix = is_quantized_matrix(t);
    const bool expert = matrix && (is_expert(t.role) || (dense && is_dense_ffn(t.role)));
    if (expert) {
      format = mix.experts;
      experts.push_back(&t);
    } else if (t.role == Role::TokenEmbedding || t.role == Role::OutputHead ||
               t.role == Role::LayerEmbedding) {
      format = mix.tables;
    } else if (matrix) {
      format = mix.attention;
    }
    for (const PublishedMix::Override& o : mix.overrides) {
      if (!matches(o.tensors, t.name)) continue;
      format = o.format;
      break;
    }
    // FP8 blocks may be cut at the edges of a matrix; the others need whole blocks.
    set_format(t, format == FP8_BLOCK128 ? format : fitting(format, t.dims[0]));
    if (!expert) others += t.bytes;
  }
  if (mix.file_bytes == 0) return;
  if (others >= mix.file_bytes || experts.empty()) {
    throw Error::input(
        mix.name, fmt::format("the published size {} B leaves nothing for the experts: the other "
                              "tensors take {} B; check the formats given for them",
                              mix.file_bytes, others));
  }
  share(mix.file_bytes - others, experts);
}

ModelSpec remix(const ModelSpec& model, std::string_view mix_name) {
  const Mix* mix = find_mix(mix_name);
  ModelShape shape;
  shape.name = model.name;
  shape.architecture = model.architecture;
  if (mix == nullptr) unknown_mix(shape, mix_name, Known::Rules);
  const Architecture& a = architecture_of(shape);
  std::unordered_map<std::string, Role> roles;
  for (const ExpectedTensor& t : expected_tensors(a, model.hyper)) {
    roles.emplace(t.spec.name, t.spec.role);
  }
  for (const ExpectedTensor& t : mtp_tensors(a, model.hyper)) {
    roles.emplace(t.spec.name, t.spec.role);
  }
  ModelSpec made = model;
  made.tensors.clear();
  for (const TensorSpec& t : model.tensors) {
    const auto role = roles.find(t.name);
    if (role == roles.end()) continue;
    made.tensors.push_back(t);
    made.tensors.back().role = role->second;
  }
  apply_mix(*mix, importance_of(*mix), model.architecture, model.hyper, made.tensors);
  for (TensorSpec& t : made.tensors) {
    if (t.layer >= model.hyper.layers) t.role = Role::Other;
  }
  made.quantization = std::string(mix->name);
  made.file_bytes = 0;
  made.bytes_note = "computed by llama.cpp's mix rules for the shape of this model";
  return made;
}

bool has_mix(const ModelShape& shape, std::string_view name) {
  return find_published(shape.published, name) != nullptr || find_mix(name) != nullptr ||
         find_published(checkpoints(), name) != nullptr;
}

ModelSpec model_from_shape(const ModelShape& shape, std::string_view mix_name) {
  if (mix_name.empty()) mix_name = shape.default_mix;
  const Architecture& a = architecture_of(shape);
  const PublishedMix* published = find_published(shape.published, mix_name);
  const Mix* mix = published == nullptr ? find_mix(mix_name) : nullptr;
  if (published == nullptr && mix == nullptr) {
    published = find_published(checkpoints(), mix_name);
  }
  if (published == nullptr && mix == nullptr) {
    unknown_mix(shape, mix_name, Known::RulesAndCheckpoints);
  }

  ModelSpec model;
  Hyper& h = model.hyper = shape.hyper;
  set_facts(a, h);
  std::vector<Diagnostic> problems;
  check_hyper(a, h, shape.name, problems);
  if (!problems.empty()) throw Error(Error::Kind::Input, std::move(problems));

  for (ExpectedTensor& t : expected_tensors(a, h)) {
    if (t.required) model.tensors.push_back(std::move(t.spec));
  }
  for (ExpectedTensor& t : mtp_tensors(a, h)) {
    if (t.required) model.tensors.push_back(std::move(t.spec));
  }
  if (published != nullptr) {
    apply_published(*published, model.tensors);
  } else {
    apply_mix(*mix, importance_of(*mix), shape.architecture, h, model.tensors);
  }
  for (TensorSpec& t : model.tensors) {
    if (t.layer >= h.layers) t.role = Role::Other;
  }
  model.quantization = published != nullptr ? published->name : std::string(mix->name);
  model.name = shape.name + ":" + model.quantization;
  model.architecture = shape.architecture;
  model.bytes_note = published == nullptr ? "computed by llama.cpp's mix rules"
                     : published->file_bytes > 0
                         ? "published size; experts hold what the rest leaves"
                         : "computed from the checkpoint's formats";
  if (published != nullptr && !published->note.empty()) {
    model.bytes_note += " (" + published->note + ")";
  }
  if (published != nullptr && !published->alias_warning.empty()) {
    model.bytes_note += "; " + published->alias_warning;
  }
  return model;
}

}  // namespace bandwall
