#include "workload/hf_model.h"

#include <algorithm>
#include <map>
#include <set>
#include <unordered_map>

#include <fmt/format.h>

#include "hwmodel/error.h"
#include "workload/hf_config.h"
#include "workload/hf_names.h"
#include "workload/hf_quant.h"
#include "workload/mix.h"

namespace bandwall {
namespace {

using Json = nlohmann::json;

std::vector<TensorSpec> tensors_of(const HfConfig& c, bool optional_too) {
  std::vector<TensorSpec> tensors;
  for (ExpectedTensor& t : expected_tensors(*c.architecture, c.hyper)) {
    const bool bias = c.attention_bias && t.spec.is_bias;
    if (!t.required && t.spec.values() == 0) continue;
    if (t.required || bias || (optional_too && t.spec.role != Role::RopeFactors)) {
      tensors.push_back(std::move(t.spec));
    }
  }
  for (ExpectedTensor& t : mtp_tensors(*c.architecture, c.hyper)) {
    if (!t.required && !(c.attention_bias && t.spec.is_bias)) continue;
    tensors.push_back(std::move(t.spec));
  }
  return tensors;
}

// Every tensor has values, and sums of bytes below stay far from the end of int64.
void require_possible(const std::vector<TensorSpec>& tensors, const std::string& file) {
  constexpr double kMost = 1e16;
  double values = 0;
  for (const TensorSpec& t : tensors) {
    values += static_cast<double>(t.values());
    if (t.values() > 0) continue;
    throw Error::input(file,
                       fmt::format("gives {} no values ({} x {} x {}); a width or rank is 0 or "
                                   "missing",
                                   t.name, t.dims[0], t.dims[1], t.dims[2]));
  }
  if (values <= kMost) return;
  throw Error::input(file, fmt::format("its numbers give {:.3g} parameters, more than {:.0e}; a "
                                       "width, a count of layers or of experts is wrong",
                                       values, kMost));
}

// part / all of total, rounded down; the product has no room in 64 bits.
std::int64_t proportion(std::int64_t total, std::int64_t part, std::int64_t all) {
  __extension__ using Wide = __int128;
  return static_cast<std::int64_t>(static_cast<Wide>(total) * part / all);
}

// Hands the bytes of a module to its tensors, in proportion to their values.
void share(const HfModule& m, Format format, std::int64_t total, std::vector<TensorSpec>& tensors) {
  std::int64_t all = 0, seen = 0, given = 0;
  for (const std::size_t i : m.tensors) all += tensors[i].values();
  for (const std::size_t i : m.tensors) {
    seen += tensors[i].values();
    const std::int64_t until = proportion(total, seen, all);
    tensors[i].bytes += until - given;
    tensors[i].format = format;
    given = until;
  }
}

// Formats of what is not quantized.
Format kept_format(const HfConfig& c, const TensorSpec& t) {
  return t.role == Role::RouterBias || t.name.ends_with("exp_probs_b.bias") ? c.row->router_bias
                                                                            : c.dtype;
}

// Bytes by the rules of the quantization config; returns those of single values, not counted.
std::int64_t apply_rules(const HfConfig& c, const HfQuant& q, std::vector<TensorSpec>& tensors) {
  std::int64_t single = 0;
  const std::set<std::int64_t> named = q.experts();
  for (const HfModule& m : hf_modules(c.row->names, c.hyper, tensors)) {
    Format format = kept_format(c, tensors[m.tensors.front()]);
    const std::int64_t plain = row_bytes(format, m.cols) * m.rows;
    std::int64_t total = 0;
    const auto add = [&](const std::string& module, std::int64_t copies) {
      const auto scheme = m.linear ? q.scheme_of(hf_spellings(module), m.head) : std::nullopt;
      total += copies * (scheme ? scheme_bytes(*scheme, m.rows, m.cols) : plain);
      if (!scheme) return;
      format = scheme->format;
      single += copies * scheme->single_values;
    };
    std::int64_t alike = m.copies;
    const std::size_t number = m.name.find("experts.#.");
    for (const std::int64_t e : named) {
      if (number == std::string::npos || e >= m.copies) break;
      std::string name = m.name;
      add(name.replace(number + 8, 1, std::to_string(e)), 1);
      --alike;
    }
    if (alike > 0) add(m.name, alike);
    share(m, format, total, tensors);
  }
  return 4 * single;
}

struct Stored {
  std::int64_t bytes = 0, values = 0;  // values of weights, unpacked
  std::int64_t weight_bytes = 0;
  std::string dtype;  // of the weights
  bool block_scales = false, packed_blocks = false, unknown_packing = false;
};

Format format_of(const Stored& s) {
  if (s.dtype == "F32") return Format::F32;
  if (s.dtype == "F16") return Format::F16;
  if (s.dtype == "F8_E4M3" || s.dtype == "F8_E5M2") {
    return s.block_scales ? Format::FP8_BLOCK128 : Format::F8_E4M3;
  }
  if (s.dtype == "U8" || s.dtype == "F4") return s.packed_blocks ? Format::MXFP4 : Format::NVFP4_ST;
  if (s.dtype == "I32" || s.dtype == "U32") return Format::INT4;
  if (s.dtype == "I8") return Format::I8;
  return s.dtype == "F64" ? Format::F64 : Format::BF16;
}

bool is_weight(std::string_view parameter) {
  return parameter.empty() || parameter == "weight" || parameter == "bias" ||
         parameter == "qweight" || parameter == "weight_packed" || parameter == "blocks";
}

TensorSpec other_tensor(const StoredTensor& t) {
  TensorSpec spec;
  spec.name = t.name;
  spec.bytes = t.bytes;
  spec.n_dims = std::clamp<int>(static_cast<int>(t.dims.size()), 1, 4);
  int d = 0;
  for (auto it = t.dims.rbegin(); it != t.dims.rend(); ++it) {
    spec.dims[std::min(d, 3)] *= *it;
    ++d;
  }
  Stored s;
  s.dtype = t.dtype;
  spec.format = format_of(s);
  return spec;
}

class HeaderReader {
 public:
  HeaderReader(const HfConfig& c, const HfFiles& files) : c_(c), files_(files) {}

  std::vector<TensorSpec> read() {
    std::vector<TensorSpec> tensors = tensors_of(c_, true);
    require_possible(tensors, files_.config_name);
    const std::vector<HfModule> modules = hf_modules(c_.row->names, c_.hyper, tensors);
    for (std::size_t i = 0; i < modules.size(); ++i) index_.emplace(modules[i].name, i);
    stored_.resize(modules.size());
    for (const SafetensorsHeader& shard : files_.shards) {
      for (const StoredTensor& t : shard.tensors) take(shard, t, modules);
    }
    std::vector<TensorSpec> kept;
    for (std::size_t i = 0; i < modules.size(); ++i) settle(modules[i], stored_[i], tensors);
    if (!problems_.empty()) throw_problems(std::move(problems_));
    for (TensorSpec& t : tensors) {
      if (t.bytes > 0) kept.push_back(std::move(t));
    }
    for (TensorSpec& t : others_) kept.push_back(std::move(t));
    return kept;
  }

 private:
  std::vector<std::size_t> modules_of(const std::string& name) const {
    if (const auto it = index_.find(name); it != index_.end()) return {it->second};
    std::vector<std::size_t> found;
    for (const std::string& other : hf_other_names(name)) {
      if (const auto it = index_.find(other); it != index_.end()) found.push_back(it->second);
    }
    return found;
  }

  void take(const SafetensorsHeader& shard, const StoredTensor& t,
            const std::vector<HfModule>& modules) {
    const auto [it, fresh] = seen_.emplace(t.name, &shard);
    if (!fresh) {
      problems_.push_back({shard.file_name, fmt::format("tensor {}: also in {}", printable(t.name),
                                                        it->second->file_name)});
      return;
    }
    const HfParameter p = hf_parameter(t.name);
    const std::vector<std::size_t> found = modules_of(p.module);
    if (found.empty()) {
      if (t.bytes > 0) others_.push_back(other_tensor(t));
      return;
    }
    std::int64_t all = 0, given = 0, seen = 0;
    for (const std::size_t i : found) all += modules[i].values();
    for (const std::size_t i : found) {
      seen += modules[i].values();
      const std::int64_t until = proportion(t.bytes, seen, all);
      add(stored_[i], t, p.parameter, until - given,
          proportion(t.values(), modules[i].values(), all));
      given = until;
    }
  }

  static void add(Stored& s, const StoredTensor& t, const std::string& parameter,
                  std::int64_t bytes, std::int64_t values) {
    s.bytes += bytes;
    if (parameter == "weight_scale_inv") s.block_scales = true;
    if (parameter == "blocks") s.packed_blocks = true;
    if (!is_weight(parameter)) return;
    s.values += t.dtype == "U8" ? 2 * values : values;
    if (t.dtype == "I32" || t.dtype == "U32") s.unknown_packing = true;
    if (bytes < s.weight_bytes) return;
    s.weight_bytes = bytes;
    s.dtype = t.dtype;
  }

  void settle(const HfModule& m, const Stored& s, std::vector<TensorSpec>& tensors) {
    if (s.weight_bytes == 0) {
      if (is_required(tensors[m.tensors.front()])) {
        problems_.push_back(
            {files_.config_name, fmt::format("tensor {}: not in the headers of the {} safetensors "
                                             "files; the folder is incomplete or of another model",
                                             m.name, files_.shards.size())});
      }
      return;
    }
    if (!s.unknown_packing && s.values != m.values()) {
      problems_.push_back(
          {files_.config_name,
           fmt::format("tensor {}: the config gives it {} values ({} x {}{}), the "
                       "headers hold {}; the files are of another model",
                       m.name, m.values(), m.rows, m.cols,
                       m.copies > 1 ? fmt::format(" x {}", m.copies) : "", s.values)});
    }
    share(m, format_of(s), s.bytes, tensors);
  }

  // Blocks of multi-token prediction are published or not; the others must be there.
  bool is_required(const TensorSpec& t) {
    if (required_.empty()) {
      for (const ExpectedTensor& e : expected_tensors(*c_.architecture, c_.hyper)) {
        if (e.required) required_.insert(e.spec.name);
      }
    }
    return required_.contains(t.name);
  }

  const HfConfig& c_;
  const HfFiles& files_;
  std::unordered_map<std::string, std::size_t> index_;
  std::unordered_map<std::string, const SafetensorsHeader*> seen_;
  std::vector<Stored> stored_;
  std::vector<TensorSpec> others_;
  std::set<std::string> required_;
  std::vector<Diagnostic> problems_;
};

// What a quantization config leaves open, so that its sizes are the least: NVIDIA's NVFP4 of
// MiniMax-M2.5 excludes attention and stores it in float32, 5.5 GB more; that of Nemotron-3-Super
// excludes nothing and stores a sixth of its bytes in FP8 and a sixth in bfloat16, 11 GB more.
std::string not_said(const HfConfig& c, const HfQuant& q) {
  const bool all = q.ignored.empty() && !q.groups.empty() && q.groups.front().all;
  return fmt::format(
      "; files may be larger, their headers would say: {}",
      all ? "the config excludes no module, so every linear one is taken as quantized"
          : fmt::format("the config does not state the format of what it excludes, taken as {}",
                        name(c.dtype)));
}

std::string dominant_format(const std::vector<TensorSpec>& tensors) {
  std::map<Format, std::int64_t> bytes;
  for (const TensorSpec& t : tensors) bytes[t.format] += t.bytes;
  const auto most = std::max_element(bytes.begin(), bytes.end(),
                                     [](auto& a, auto& b) { return a.second < b.second; });
  return std::string(name(most->first));
}

}  // namespace

ModelSpec model_from_hf(const HfFiles& files) {
  const Json config = parse_json(files.config, files.config_name);
  const HfConfig c = read_hf_config(config, files.config_name);
  std::vector<Diagnostic> problems;
  Json modelopt;
  if (!files.modelopt.empty()) modelopt = parse_json(files.modelopt, files.modelopt_name);
  ModelSpec model;
  model.name = files.name;
  model.architecture = std::string(c.architecture->name);
  model.hyper = c.hyper;
  if (!files.shards.empty()) {
    model.tensors = HeaderReader(c, files).read();
    model.quantization = dominant_format(model.tensors);
    for (const SafetensorsHeader& s : files.shards) model.file_bytes += s.file_bytes;
    model.bytes_note =
        fmt::format("read from the headers of {} safetensors files", files.shards.size());
  } else {
    const HfQuant q = read_hf_quant(config, files.modelopt.empty() ? nullptr : &modelopt,
                                    files.config_name, problems);
    if (!problems.empty()) throw_problems(std::move(problems));
    model.tensors = tensors_of(c, false);
    require_possible(model.tensors, files.config_name);
    const std::int64_t single = apply_rules(c, q, model.tensors);
    model.quantization = q.method.empty() ? std::string(name(c.dtype)) : q.method;
    model.bytes_note =
        q.method.empty()
            ? fmt::format("computed: every tensor in {}", name(c.dtype))
            : fmt::format("computed by the rules of its quantization config ({})", q.method);
    if (!q.method.empty()) model.bytes_note += not_said(c, q);
    if (single > 0) model.bytes_note += fmt::format("; {} B of tensor scales not counted", single);
    if (c.other_parts) {
      model.bytes_note +=
          "; parts for images or sound not counted: their bytes are in the headers "
          "of the safetensors files";
    }
  }
  for (TensorSpec& t : model.tensors) {
    if (t.layer >= c.hyper.layers) t.role = Role::Other;
  }
  return model;
}

SafetensorsIndex parse_safetensors_index(std::string_view text, const std::string& file_name) {
  const Json json = parse_json(text, file_name);
  const auto map = json.find("weight_map");
  if (map == json.end() || !map->is_object() || map->empty()) {
    throw Error::input(file_name, "weight_map: missing or empty; it names the file of each tensor");
  }
  SafetensorsIndex index;
  std::map<std::string, std::size_t> places;
  for (const auto& [tensor, file] : map->items()) {
    if (!file.is_string()) {
      throw Error::input(
          file_name, fmt::format("weight_map.{}: must be the name of a file", printable(tensor)));
    }
    const std::string shard = file.get<std::string>();
    if (shard.empty() || shard.find('/') != std::string::npos || shard == "..") {
      throw Error::input(file_name, fmt::format("weight_map.{}: '{}' is no name of a file in this "
                                                "folder",
                                                printable(tensor), printable(shard)));
    }
    places.emplace(shard, 0);
    index.tensors.emplace_back(tensor, 0);
  }
  for (auto& [shard, place] : places) {
    place = index.shards.size();
    index.shards.push_back(shard);
  }
  for (auto& [tensor, place] : index.tensors) {
    place = places.at(map->at(tensor).get<std::string>());
  }
  return index;
}

}  // namespace bandwall
