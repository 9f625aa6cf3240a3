#include "workload/model_spec.h"

#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <unordered_map>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "hwmodel/error.h"
#include "hwmodel/suggest.h"
#include "workload/architectures.h"

namespace bandwall {
namespace {

struct Found {
  const GgufTensor* tensor;
  const GgufFile* file;
  bool used = false;
};
using Tensors = std::unordered_map<std::string_view, Found>;

// "blk.12.attn_q.weight" -> 12; -1 when the tensor belongs to no block.
int block_of(std::string_view tensor_name) {
  if (!tensor_name.starts_with("blk.")) return -1;
  int block = 0;
  std::size_t i = 4;
  for (; i < tensor_name.size() && tensor_name[i] >= '0' && tensor_name[i] <= '9'; ++i) {
    if (block > 1'000'000) return -1;
    block = block * 10 + (tensor_name[i] - '0');
  }
  return i > 4 && i < tensor_name.size() && tensor_name[i] == '.' ? block : -1;
}

std::string dims_text(const std::int64_t* dims, int n_dims) {
  return fmt::format("[{}]", fmt::join(dims, dims + n_dims, ", "));
}

std::string missing_parts(const GgufFile& file, std::int64_t count) {
  const auto split = parse_split_name(file.file_name);
  if (!split) return fmt::format("give all {} parts", count);
  std::vector<std::string> names;
  for (int i = 1; i <= count && names.size() < 8; ++i) {
    if (i != split->number) names.push_back(split_file_name(split->prefix, i, split->count));
  }
  return fmt::format("its other parts are missing: {}", fmt::join(names, ", "));
}

std::optional<std::int64_t> split_value(const GgufFile& file, std::string_view key) {
  const GgufValue* value = file.find(key);
  return value == nullptr ? std::nullopt : value->as_int();
}

// Parts must say that they are part i of n and together hold the tensors they promise.
void check_split(std::span<const GgufFile> files, std::vector<Diagnostic>& problems) {
  const auto parts = static_cast<std::int64_t>(files.size());
  std::int64_t total = 0;
  for (std::int64_t i = 0; i < parts; ++i) {
    const GgufFile& file = files[static_cast<std::size_t>(i)];
    total += static_cast<std::int64_t>(file.tensors.size());
    const std::int64_t count = split_value(file, "split.count").value_or(1);
    if (count != parts && parts == 1) {
      problems.push_back(
          {file.file_name, fmt::format("key split.count: this is one of {} parts; {}", count,
                                       missing_parts(file, count))});
      return;
    }
    if (count != parts) {
      problems.push_back(
          {file.file_name,
           fmt::format("key split.count: {} parts expected, {} were given", count, parts)});
    }
    if (const auto no = split_value(file, "split.no"); parts > 1 && no.value_or(-1) != i) {
      problems.push_back(
          {file.file_name,
           fmt::format("key split.no: {} found, {} expected; the file has the name of "
                       "another part",
                       no ? fmt::to_string(*no) : "nothing", i)});
    }
  }
  for (const GgufFile& file : files) {
    const auto promised = split_value(file, "split.tensors.count");
    if (parts > 1 && promised && *promised != total) {
      problems.push_back(
          {file.file_name,
           fmt::format("key split.tensors.count: {} tensors promised, the {} parts hold "
                       "{}; a part is from another model",
                       *promised, parts, total)});
    }
  }
}

Tensors index_tensors(std::span<const GgufFile> files, std::vector<Diagnostic>& problems) {
  Tensors tensors;
  for (const GgufFile& file : files) {
    for (const GgufTensor& t : file.tensors) {
      const auto [it, fresh] = tensors.emplace(t.name, Found{&t, &file});
      if (!fresh) {
        problems.push_back({file.file_name, fmt::format("tensor {}: also in {}", printable(t.name),
                                                        it->second.file->file_name)});
      }
    }
  }
  return tensors;
}

const Architecture& architecture_of(const GgufFile& file) {
  const GgufValue* value = file.find("general.architecture");
  const auto text = value == nullptr ? std::nullopt : value->as_string();
  if (!text) {
    throw Error::input(file.file_name,
                       "key general.architecture: missing or no string; this file "
                       "holds no model");
  }
  const Architecture* found = find_architecture(*text);
  if (found != nullptr) return *found;
  std::vector<std::string> known = known_architectures();
  for (std::string& counted : counted_architectures()) known.push_back(std::move(counted));
  const std::string near = suggest(*text, known);
  throw Error::input(
      file.file_name,
      fmt::format("key general.architecture: '{}' is not supported{}; supported are {}",
                  printable(*text), near.empty() ? "" : fmt::format(" (did you mean {}?)", near),
                  fmt::join(known, ", ")));
}

// A token without a row, or a row without a token, could not be read or printed.
void check_vocabulary(const GgufFile& file, std::int64_t rows, std::vector<Diagnostic>& problems) {
  const GgufValue* tokens = file.find("tokenizer.ggml.tokens");
  if (tokens == nullptr || tokens->type() != GgufType::Array) return;
  if (tokens->size() != static_cast<std::uint64_t>(rows)) {
    problems.push_back(
        {file.file_name, fmt::format("tensor token_embd.weight: {} rows for the {} tokens of key "
                                     "tokenizer.ggml.tokens; convert the model again",
                                     rows, tokens->size())});
  }
}

// Vectors are used as float32 in place.
bool must_be_f32(const TensorSpec& t) {
  switch (t.role) {
    case Role::SsmConv:
    case Role::SsmA:
    case Role::SsmD:
    case Role::SsmNorm:
      return true;
    default:
      return t.n_dims == 1 || t.is_bias;
  }
}

void match(const ExpectedTensor& expected, Tensors& tensors, const std::string& where,
           const std::set<std::string>& replaced, std::vector<Diagnostic>& problems) {
  const TensorSpec& want = expected.spec;
  const auto it = tensors.find(want.name);
  if (it == tensors.end()) {
    if (expected.required && !replaced.contains(want.name)) {
      problems.push_back({where, fmt::format("tensor {}: missing; expected {}", want.name,
                                             dims_text(want.dims, want.n_dims))});
    }
    return;
  }
  it->second.used = true;
  const GgufTensor& have = *it->second.tensor;
  const std::string& file = it->second.file->file_name;
  if (!std::equal(want.dims, want.dims + 4, have.dims)) {
    problems.push_back(
        {file, fmt::format("tensor {}: shape {} where the metadata asks for {}", want.name,
                           dims_text(have.dims, have.n_dims), dims_text(want.dims, want.n_dims))});
  }
  if (must_be_f32(want) && have.format != Format::F32) {
    problems.push_back({file, fmt::format("tensor {}: stored as {}, must be F32; convert the model "
                                          "again",
                                          want.name, name(have.format))});
  }
}

// Tensors that change what a block computes: running without them would give wrong tokens.
const char* why_refused(std::string_view tensor_name) {
  const std::string_view part = tensor_name.substr(tensor_name.find('.', 4) + 1);
  if (part == "ffn_gate_up_exps.weight") {
    return "gate and up experts fused in one tensor are not supported, ffn_gate_exps.weight and "
           "ffn_up_exps.weight are needed; convert the model without fusing";
  }
  if (part == "attn_kv_b.weight") {
    return "keys and values of latent attention in one tensor are not supported; convert the model "
           "again with a current converter, which makes attn_k_b and attn_v_b";
  }
  if (part == "attn_qkv.weight") {
    return "fused q, k and v are not supported, attn_q.weight, attn_k.weight and attn_v.weight are "
           "needed; convert the model without fusing";
  }
  for (const std::string_view old : {"ffn_gate.", "ffn_up.", "ffn_down."}) {
    if (part.starts_with(old) && part.size() > old.size() && part[old.size()] >= '0' &&
        part[old.size()] <= '9') {
      return "one tensor per expert is an outdated layout; convert the model again";
    }
  }
  static constexpr std::array<std::string_view, 11> kGraph = {
      "attn_q_norm.weight",         "attn_k_norm.weight",    "attn_sinks.weight",
      "post_attention_norm.weight", "post_ffw_norm.weight",  "ffn_gate_shexp.weight",
      "ffn_up_shexp.weight",        "ffn_down_shexp.weight", "ffn_gate_inp_shexp.weight",
      "attn_gate.weight",           "ffn_norm.weight"};
  if (part.ends_with(".bias") || std::find(kGraph.begin(), kGraph.end(), part) != kGraph.end()) {
    return "not part of this architecture's computation; leaving it out would give wrong results";
  }
  return nullptr;
}

void check_extras(const Hyper& h, const Tensors& tensors, std::vector<Diagnostic>& problems) {
  for (const auto& [name, found] : tensors) {
    const int block = block_of(name);
    if (found.used || block < 0 || block >= h.layers) continue;
    // Some files hold the joint matrix beside its two parts.
    if (name.ends_with("attn_kv_b.weight") &&
        tensors.contains(fmt::format("blk.{}.attn_k_b.weight", block))) {
      continue;
    }
    if (const char* why = why_refused(name)) {
      problems.push_back(
          {found.file->file_name, fmt::format("tensor {}: {}", printable(name), why)});
    }
  }
}

// Names that a fused or outdated tensor stands for, so that they are not reported missing as well.
std::set<std::string> replaced_names(const Tensors& tensors) {
  std::set<std::string> names;
  for (const auto& [tensor_name, found] : tensors) {
    const int block = block_of(tensor_name);
    if (block < 0) continue;
    const std::string prefix = fmt::format("blk.{}.", block);
    const std::string_view part =
        tensor_name.substr(prefix.size() > tensor_name.size() ? tensor_name.size() : prefix.size());
    if (part == "ffn_gate_up_exps.weight") {
      names.insert({prefix + "ffn_gate_exps.weight", prefix + "ffn_up_exps.weight"});
    } else if (part == "attn_qkv.weight") {
      names.insert({prefix + "attn_q.weight", prefix + "attn_k.weight", prefix + "attn_v.weight"});
    } else if (part == "attn_kv_b.weight") {
      names.insert({prefix + "attn_k_b.weight", prefix + "attn_v_b.weight"});
    } else if (part == "ffn_gate.0.weight") {
      names.insert({prefix + "ffn_gate_exps.weight", prefix + "ffn_up_exps.weight",
                    prefix + "ffn_down_exps.weight"});
    }
  }
  return names;
}

// general.file_type of llama.cpp files (enum llama_ftype in include/llama.h).
const std::map<std::int64_t, std::string_view>& file_types() {
  static const std::map<std::int64_t, std::string_view> names = {
      {0, "F32"},      {1, "F16"},      {2, "Q4_0"},       {3, "Q4_1"},    {7, "Q8_0"},
      {8, "Q5_0"},     {9, "Q5_1"},     {10, "Q2_K"},      {11, "Q3_K_S"}, {12, "Q3_K_M"},
      {13, "Q3_K_L"},  {14, "Q4_K_S"},  {15, "Q4_K_M"},    {16, "Q5_K_S"}, {17, "Q5_K_M"},
      {18, "Q6_K"},    {19, "IQ2_XXS"}, {20, "IQ2_XS"},    {21, "Q2_K_S"}, {22, "IQ3_XS"},
      {23, "IQ3_XXS"}, {24, "IQ1_S"},   {25, "IQ4_NL"},    {26, "IQ3_S"},  {27, "IQ3_M"},
      {28, "IQ2_S"},   {29, "IQ2_M"},   {30, "IQ4_XS"},    {31, "IQ1_M"},  {32, "BF16"},
      {36, "TQ1_0"},   {37, "TQ2_0"},   {38, "MXFP4_MOE"}, {39, "NVFP4"}};
  return names;
}

std::string_view file_type_name(std::int64_t type) {
  const auto it = file_types().find(type);
  return it == file_types().end() ? std::string_view{} : it->second;
}

std::string quantization_of(const GgufFile& file, const std::vector<TensorSpec>& tensors) {
  if (const GgufValue* value = file.find("general.file_type")) {
    if (const auto type = value->as_int(); type && !file_type_name(*type).empty()) {
      return std::string(file_type_name(*type));
    }
  }
  std::map<Format, std::int64_t> bytes;
  for (const TensorSpec& t : tensors) bytes[t.format] += t.bytes;
  const auto most = std::max_element(bytes.begin(), bytes.end(),
                                     [](auto& a, auto& b) { return a.second < b.second; });
  return most == bytes.end() ? std::string() : std::string(name(most->first));
}

TensorSpec spec_of(const GgufTensor& t) {
  TensorSpec spec;
  spec.name = std::string(t.name);
  spec.layer = block_of(t.name);
  spec.format = t.format;
  spec.n_dims = t.n_dims;
  std::copy(t.dims, t.dims + 4, spec.dims);
  spec.bytes = t.bytes;
  return spec;
}

std::string model_name(const GgufFile& file) {
  if (const GgufValue* value = file.find("general.name")) {
    if (const auto text = value->as_string(); text && !text->empty()) return printable(*text);
  }
  const std::size_t slash = file.file_name.find_last_of('/');
  return slash == std::string::npos ? file.file_name : file.file_name.substr(slash + 1);
}

}  // namespace

ModelSpec model_from_gguf(std::span<const GgufFile> files) {
  BANDWALL_CHECK(!files.empty());
  const GgufFile& first = files.front();
  std::vector<Diagnostic> problems;
  check_split(files, problems);
  if (!problems.empty()) throw_problems(std::move(problems));
  const Architecture& architecture = architecture_of(first);

  Tensors tensors = index_tensors(files, problems);
  ModelSpec model;
  Hyper& h = model.hyper = read_hyper(architecture, first, problems);
  h.tied_head = !tensors.contains("output.weight");
  if (architecture.qk_norms == Need::Optional && !tensors.contains("blk.0.attn_q_norm.weight")) {
    h.qk_norm = QkNorm::None;
  }
  if (h.window_head_dim > 0 && h.window_period > 0) {  // layers without values use their keys
    const std::int64_t full = h.window_period - 1;
    h.key_is_value = tensors.contains(fmt::format("blk.{}.attn_k.weight", full)) &&
                     !tensors.contains(fmt::format("blk.{}.attn_v.weight", full));
  }
  const auto embedding = tensors.find("token_embd.weight");
  if (embedding == tensors.end()) {
    problems.push_back({first.file_name,
                        "tensor token_embd.weight: missing; this file holds no "
                        "complete model"});
  } else {
    h.vocab = embedding->second.tensor->dims[1];
    check_vocabulary(first, h.vocab, problems);
  }
  if (problems.empty()) check_hyper(architecture, h, first.file_name, problems);
  if (!problems.empty()) throw_problems(std::move(problems));

  std::unordered_map<std::string, TensorSpec> wanted;
  const std::set<std::string> replaced = replaced_names(tensors);
  for (const ExpectedTensor& expected : expected_tensors(architecture, h)) {
    match(expected, tensors, first.file_name, replaced, problems);
    wanted.emplace(expected.spec.name, expected.spec);
  }
  check_extras(h, tensors, problems);
  if (!problems.empty()) throw_problems(std::move(problems));

  for (const GgufFile& file : files) {
    model.file_bytes += file.file_bytes;
    for (const GgufTensor& t : file.tensors) {
      TensorSpec spec = spec_of(t);
      if (const auto it = wanted.find(spec.name); it != wanted.end()) {
        spec.role = it->second.role;
        spec.is_bias = it->second.is_bias;
      }
      model.tensors.push_back(std::move(spec));
    }
  }
  model.name = model_name(first);
  model.architecture = std::string(architecture.name);
  model.quantization = quantization_of(first, model.tensors);
  model.bytes_note = "read from the file";
  return model;
}

std::optional<std::int64_t> file_type_number(std::string_view mix) {
  for (const auto& [number, known] : file_types()) {
    if (known == mix) return number;
  }
  return std::nullopt;
}

std::int64_t Hyper::state_values() const {
  std::int64_t recurrent = 0;
  for (std::int64_t l = 0; l < layers; ++l) recurrent += recurs(l) ? 1 : 0;
  return recurrent * layer_state_values();
}

std::int64_t ModelSpec::parameters() const {
  std::int64_t sum = 0;
  for (const TensorSpec& t : tensors) sum += t.role == Role::Other ? 0 : t.values();
  return sum;
}

std::int64_t ModelSpec::weight_bytes() const {
  std::int64_t sum = 0;
  for (const TensorSpec& t : tensors) sum += t.bytes;
  return sum;
}

const TensorSpec* ModelSpec::find(std::string_view tensor_name) const {
  for (const TensorSpec& t : tensors) {
    if (t.name == tensor_name) return &t;
  }
  return nullptr;
}

}  // namespace bandwall
