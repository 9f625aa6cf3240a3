#include "workload/hf_quant.h"

#include <algorithm>
#include <cctype>

#include <fmt/format.h>

#include "workload/gguf.h"

namespace bandwall {
namespace {

using Json = nlohmann::json;

constexpr std::int64_t kFloat = 4, kHalf = 2, kWord = 4;

std::int64_t divided(std::int64_t n, std::int64_t by) { return (n + by - 1) / by; }

Scheme fp8_tensor(std::int64_t single_values) {
  return {.format = Format::F8_E4M3, .single_values = single_values};
}
Scheme fp8_rows(std::int64_t scale_bytes) {
  return {.format = Format::F8_E4M3, .scale_rows = 1, .scale_bytes = scale_bytes};
}
Scheme fp8_block(std::int64_t rows, std::int64_t cols) {
  return {.format = Format::FP8_BLOCK128,
          .scale_rows = rows,
          .scale_cols = cols,
          .scale_bytes = kFloat};
}
Scheme nvfp4(std::int64_t single_values) {
  return {.format = Format::NVFP4_ST,
          .scale_rows = 1,
          .scale_cols = 16,
          .scale_bytes = 1,
          .single_values = single_values};
}
Scheme mxfp4() {
  return {.format = Format::MXFP4, .scale_rows = 1, .scale_cols = 32, .scale_bytes = 1};
}
Scheme packed(std::int64_t bits, std::int64_t group, bool zeros) {
  return {.format = Format::INT4,
          .scale_rows = 1,
          .scale_cols = group,
          .scale_bytes = kHalf,
          .bits = bits,
          .zeros = zeros};
}

std::string lower(std::string text) {
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

class Keys : public JsonKeys {
 public:
  using JsonKeys::JsonKeys;

  std::int64_t integer(const char* key, std::int64_t absent, std::int64_t low, std::int64_t high) {
    const Json* j = find(key);
    if (j == nullptr) return absent;
    return bounded(*j, key, absent, low, high);
  }
  // A pair such as weight_block_size [128, 128].
  std::optional<std::pair<std::int64_t, std::int64_t>> pair(const char* key) {
    const Json* j = find(key);
    if (j == nullptr) return std::nullopt;
    if (!j->is_array() || j->size() != 2) {
      problem(key, "must be two whole numbers");
      return std::nullopt;
    }
    return std::pair{bounded((*j)[0], key, 128, 1, 1 << 16),
                     bounded((*j)[1], key, 128, 1, 1 << 16)};
  }
  void names(const char* key, NameSet& set) {
    const Json* j = find(key);
    if (j == nullptr) return;
    if (!j->is_array()) return problem(key, "must be a list of names");
    for (const Json& item : *j) {
      if (!item.is_string()) return problem(key, "must be a list of names");
      set.add(item.get_ref<const std::string&>(), file_);
    }
  }
  Keys child(const Json& json, std::string_view key) const {
    return {json, fmt::format("{}{}.", path_, printable(key)), file_, problems_};
  }

 private:
  std::int64_t bounded(const Json& j, const char* key, std::int64_t absent, std::int64_t low,
                       std::int64_t high) {
    const bool whole =
        j.is_number_integer() && (!j.is_number_unsigned() || j.get<std::uint64_t>() <= INT64_MAX);
    const std::int64_t n = whole ? j.get<std::int64_t>() : low - 1;
    if (n >= low && n <= high) return n;
    problem(key, fmt::format("must be a whole number from {} to {}", low, high));
    return absent;
  }
};

constexpr std::int64_t kMaxGroup = 1 << 20;

// Names of ModelOpt (quant_algo).
std::optional<Scheme> scheme_of_algorithm(const std::string& algorithm, std::int64_t group) {
  const std::string a = lower(algorithm);
  if (a == "fp8") return fp8_tensor(2);
  if (a == "fp8_per_channel_per_token") return fp8_rows(kFloat);
  if (a == "fp8_pb_wo" || a == "fp8_pb_real" || a == "fp8_2d_blockwise_weight_only") {
    return fp8_block(128, 128);
  }
  if (a == "nvfp4" || a == "nvfp4_awq" || a == "w4a8_nvfp4_fp8") return nvfp4(2);
  if (a == "w4a16_nvfp4") return nvfp4(1);
  if (a == "mxfp4" || a == "w4a8_mxfp4_fp8") return mxfp4();
  if (a == "int4_awq" || a == "w4a16_awq" || a == "w4a8_awq" || a == "w4a16") {
    return packed(4, group > 0 ? group : 128, false);
  }
  return std::nullopt;
}
constexpr std::string_view kAlgorithms =
    "FP8, FP8_PER_CHANNEL_PER_TOKEN, FP8_PB_WO, NVFP4, W4A16_NVFP4, MXFP4, W4A16_AWQ, "
    "MIXED_PRECISION";

void read_modelopt(Keys& keys, HfQuant& q) {
  const std::string algorithm = keys.text("quant_algo");
  const std::int64_t group = keys.integer("group_size", 0, 1, kMaxGroup);
  keys.names("exclude_modules", q.ignored);
  keys.names("ignore", q.ignored);
  q.method = algorithm;
  if (lower(algorithm) == "mixed_precision") {
    const Json* layers = keys.find("quantized_layers");
    if (layers == nullptr || !layers->is_object() || layers->empty()) {
      return keys.problem("quantized_layers",
                          "missing; MIXED_PRECISION says the format of each "
                          "module there");
    }
    for (const auto& [name, entry] : layers->items()) {
      Keys layer = keys.child(entry, "quantized_layers." + name);
      const std::string own = layer.text("quant_algo");
      const auto scheme = scheme_of_algorithm(own, layer.integer("group_size", 0, 1, kMaxGroup));
      if (!scheme) {
        return layer.problem("quant_algo",
                             fmt::format("'{}' is none of {}", printable(own), kAlgorithms));
      }
      const auto same = [&](const HfQuant::Group& g) {
        return g.scheme.format == scheme->format && g.scheme.scale_cols == scheme->scale_cols;
      };
      auto it = std::find_if(q.groups.begin(), q.groups.end(), same);
      if (it == q.groups.end()) it = q.groups.insert(it, {*scheme, {}, false});
      it->targets.add(name, "quantized_layers");
    }
    return;
  }
  const auto scheme = scheme_of_algorithm(algorithm, group);
  if (!scheme) {
    return keys.problem("quant_algo",
                        fmt::format("'{}' is none of {}", printable(algorithm), kAlgorithms));
  }
  q.groups.push_back({*scheme, {}, true});
}

// The weights entry of a group of compressed-tensors.
std::optional<Scheme> scheme_of_weights(Keys& weights, bool static_input,
                                        const std::string& format) {
  const std::int64_t bits = weights.integer("num_bits", 0, 1, 64);
  const std::string type = lower(weights.text("type"));
  const std::string strategy = lower(weights.text("strategy"));
  const std::int64_t group = weights.integer("group_size", 0, -1, kMaxGroup);
  if (type == "float" && bits == 8) {
    if (const auto block = weights.pair("block_structure")) {
      return fp8_block(block->first, block->second);
    }
    if (strategy == "channel") return fp8_rows(kHalf);
    return fp8_tensor(static_input ? 2 : 1);
  }
  if (type == "float" && bits == 4) {
    return group == 32 || format.starts_with("mxfp4") ? mxfp4() : nvfp4(static_input ? 2 : 1);
  }
  if (type == "int" && bits == 8 && !format.starts_with("pack")) {
    return Scheme{.format = Format::I8, .scale_rows = 1, .scale_bytes = kHalf};
  }
  if (type == "int" && (bits == 4 || bits == 8)) {
    Scheme s = packed(bits, group > 0 ? group : 0, !weights.flag("symmetric", true));
    s.shape_bytes = 16;
    return s;
  }
  weights.problem("num_bits", fmt::format("{} bits of type '{}' are not known; float 4 and 8, int "
                                          "4 and 8 are",
                                          bits, printable(type)));
  return std::nullopt;
}

void read_compressed(Keys& keys, HfQuant& q) {
  keys.names("ignore", q.ignored);
  const std::string format = lower(keys.text("format"));
  const Json* groups = keys.find("config_groups");
  if (groups == nullptr || !groups->is_object() || groups->empty()) {
    return keys.problem("config_groups", "missing; it says how modules are stored");
  }
  for (const auto& [key, entry] : groups->items()) {
    if (!entry.is_object() || !entry.contains("weights") || !entry["weights"].is_object()) {
      keys.problem("config_groups." + key, "has no weights");
      continue;
    }
    Keys group = keys.child(entry, "config_groups." + key);
    Keys weights = group.child(entry["weights"], "weights");
    const Json* input = group.find("input_activations");
    const bool static_input = input != nullptr && input->is_object() &&
                              !input->value("dynamic", Json(true)).is_null() &&
                              input->value("dynamic", Json(true)) == Json(false);
    const std::string own = lower(group.text("format"));
    const auto scheme = scheme_of_weights(weights, static_input, own.empty() ? format : own);
    if (!scheme) continue;
    HfQuant::Group made{*scheme, {}, false};
    const Json* targets = group.find("targets");
    made.all = targets == nullptr ||
               (targets->is_array() &&
                std::find(targets->begin(), targets->end(), "Linear") != targets->end());
    if (!made.all) group.names("targets", made.targets);
    q.groups.push_back(std::move(made));
    if (!q.method.empty()) q.method += " + ";
    q.method += scheme->format == Format::INT4 ? fmt::format("INT{}", scheme->bits)
                                               : std::string(name(scheme->format));
  }
}

void read_integers(Keys& keys, const std::string& method, HfQuant& q) {
  const std::int64_t bits =
      keys.find("bits") != nullptr ? keys.integer("bits", 4, 2, 8) : keys.integer("w_bit", 4, 2, 8);
  const char* group_key = keys.find("group_size") != nullptr ? "group_size" : "q_group_size";
  const std::int64_t group = keys.integer(group_key, 128, -1, kMaxGroup);
  Scheme s = packed(bits, group > 0 ? group : 0, true);
  s.packs_rows = method == "awq";
  s.group_index = method == "gptq";
  keys.names("modules_to_not_convert", q.ignored);
  q.method = fmt::format("{} INT{}", method == "awq" ? "AWQ" : "GPTQ", bits);
  q.groups.push_back({s, {}, true});
}

void read_entry(Keys& keys, HfQuant& q) {
  const std::string method = lower(keys.text("quant_method"));
  if (method == "modelopt" || method.starts_with("modelopt_") ||
      (method.empty() && keys.find("quant_algo") != nullptr)) {
    return read_modelopt(keys, q);
  }
  if (method == "compressed-tensors") return read_compressed(keys, q);
  if (method == "awq" || method == "gptq") return read_integers(keys, method, q);
  keys.names("modules_to_not_convert", q.ignored);
  keys.names("ignored_layers", q.ignored);
  if (method == "fp8" || method == "fbgemm_fp8") {
    const auto block = keys.pair("weight_block_size");
    const bool moving = lower(keys.text("activation_scheme")) == "dynamic";
    q.method = block ? fmt::format("FP8 {}x{}", block->first, block->second) : "FP8";
    q.groups.push_back({block                    ? fp8_block(block->first, block->second)
                        : method == "fbgemm_fp8" ? fp8_rows(kFloat)
                                                 : fp8_tensor(moving ? 1 : 2),
                        {},
                        true});
    return;
  }
  if (method == "mxfp4") {
    q.method = "MXFP4";
    q.groups.push_back({mxfp4(), {}, true});
    return;
  }
  keys.problem("quant_method",
               fmt::format("'{}' is none of fp8, fbgemm_fp8, mxfp4, modelopt, compressed-tensors, "
                           "awq, gptq; give the folder with its safetensors files, whose headers "
                           "say the bytes",
                           printable(method)));
}

}  // namespace

std::int64_t scheme_bytes(const Scheme& s, std::int64_t rows, std::int64_t cols) {
  const std::int64_t across = s.scale_cols > 0 ? divided(cols, s.scale_cols) : 1;
  const std::int64_t down = s.scale_rows > 0 ? divided(rows, s.scale_rows) : 0;
  std::int64_t bytes = s.scale_bytes * across * down + s.shape_bytes;
  if (s.bits > 0) {
    const std::int64_t along = s.packs_rows ? rows : cols, other = s.packs_rows ? cols : rows;
    bytes += divided(along * s.bits, 32) * kWord * other;
    if (s.zeros) bytes += divided(rows * s.bits, 32) * kWord * across;
    if (s.group_index) bytes += kWord * cols;
    return bytes;
  }
  switch (s.format) {
    case Format::NVFP4_ST:
    case Format::MXFP4:
      return bytes + rows * divided(cols, 2);
    case Format::F8_E4M3:
    case Format::FP8_BLOCK128:
    case Format::I8:
      return bytes + rows * cols;
    default:
      return bytes + row_bytes(s.format, cols) * rows;
  }
}

std::optional<Scheme> HfQuant::scheme_of(const std::vector<std::string>& spellings,
                                         bool head) const {
  const auto in = [&](const NameSet& set) {
    return std::any_of(spellings.begin(), spellings.end(),
                       [&](const std::string& s) { return set.holds(s); });
  };
  if (groups.empty()) return std::nullopt;
  if (!ignored.empty() && in(ignored)) return std::nullopt;
  for (const Group& g : groups) {
    if (g.all ? !head : in(g.targets)) return g.scheme;
  }
  return std::nullopt;
}

std::set<std::int64_t> HfQuant::experts() const {
  std::set<std::int64_t> all = ignored.experts();
  for (const Group& g : groups) all.insert(g.targets.experts().begin(), g.targets.experts().end());
  return all;
}

HfQuant read_hf_quant(const Json& config, const Json* modelopt, const std::string& file,
                      std::vector<Diagnostic>& problems) {
  HfQuant q;
  const Json* own = nullptr;
  const auto look = [&](const Json& in) {
    for (const char* key : {"quantization_config", "compression_config"}) {
      const auto it = in.find(key);
      if (own != nullptr || it == in.end() || it->is_null()) continue;
      own = &*it;
      if (own->is_object()) continue;
      problems.push_back({file, fmt::format("{}: must be an object", key)});
      own = nullptr;
    }
  };
  look(config);
  if (const auto text = config.find("text_config"); text != config.end() && text->is_object()) {
    look(*text);
  }
  if (own != nullptr) {
    Keys keys(*own, "quantization_config.", file, problems);
    read_entry(keys, q);
  }
  if (modelopt == nullptr) return q;
  const auto nested = modelopt->find("quantization");
  const Json& inner = nested != modelopt->end() && nested->is_object() ? *nested : *modelopt;
  const std::string second = "hf_quant_config.json";
  Keys keys(inner, "", second, problems);
  const std::string algorithm = keys.text("quant_algo");
  if (algorithm.empty()) return q;
  if (own != nullptr && own->contains("quant_algo") && own->at("quant_algo").is_string() &&
      lower(own->at("quant_algo").get<std::string>()) != lower(algorithm)) {
    keys.problem("quant_algo",
                 fmt::format("'{}' contradicts '{}' of config.json", printable(algorithm),
                             printable(own->at("quant_algo").get<std::string>())));
  }
  HfQuant from_second;
  read_modelopt(keys, from_second);
  return from_second;
}

}  // namespace bandwall
