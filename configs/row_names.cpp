#include "configs/row_names.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cmath>

#include "configs/library.h"
#include "hwmodel/error.h"
#include "workload/mix.h"
#include "workload/name_patterns.h"

namespace bandwall {
namespace {

constexpr double kSameSize = 0.01;   // file headers and rounding of published sizes
constexpr double kMostScale = 0.25;  // further off, the quantization must be another one

std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return out;
}

bool any_matches(const std::vector<std::string>& patterns, const std::string& text) {
  return std::any_of(patterns.begin(), patterns.end(),
                     [&](const std::string& p) { return matches(p, text); });
}

std::vector<std::string> words_of(std::string_view text) {
  std::vector<std::string> words(1);
  for (const char c : lower(text)) {
    if (std::isalnum(static_cast<unsigned char>(c)) != 0) {
      words.back() += c;
    } else if (!words.back().empty()) {
      words.emplace_back();
    }
  }
  if (words.back().empty()) words.pop_back();
  return words;
}

bool known(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// A count of devices and what it counts: "2x GB10 (TP=2)", "2 x GB10", "2 GB10", "dual GB10" and
// "GB10 (x2)" are 2 and the rest; 1 where none is stated.
int take_count(std::string& device) {
  for (std::size_t at = device.find("\u00d7"); at != std::string::npos;
       at = device.find("\u00d7")) {
    device[at] = 'x';
    device.erase(at + 1, 1);
  }
  if (device.starts_with("dual ")) {
    device.erase(0, 5);
    return 2;
  }
  int n = 0;
  const char* const last = device.data() + device.size();
  const auto [end, code] = std::from_chars(device.data(), last, n);
  if (code == std::errc() && n >= 1 && n <= 64) {
    std::string_view rest(end, static_cast<std::size_t>(last - end));
    const auto skip = [&](char c) { return rest.starts_with(c) && (rest.remove_prefix(1), true); };
    bool apart = skip(' ');
    if (skip('x')) apart = true;
    while (skip(' ')) continue;
    if (!apart) return 1;
    device = std::string(rest);
    return n;
  }
  std::size_t at = device.rfind(" x");
  if (at == std::string::npos) at = device.rfind("(x");
  if (at == std::string::npos) return 1;
  const auto [behind, found] = std::from_chars(device.data() + at + 2, last, n);
  const bool ends = behind == last || (behind + 1 == last && *behind == ')');
  if (found != std::errc() || !ends || n < 1 || n > 64) return 1;
  device.erase(at);
  return n;
}

// The machine with the most words of its name among those of the text, all of them being there, be
// it in one ("RTX5090").
std::string machine_by_words(const std::string& device) {
  const std::vector<std::string> words = words_of(device);
  std::string best;
  std::size_t most = 0;
  for (const std::string& name : machine_names()) {
    const std::vector<std::string> own = words_of(name);
    std::string joined;
    for (const std::string& w : own) joined += w;
    const bool all =
        known(words, joined) ||
        std::all_of(own.begin(), own.end(), [&](const auto& w) { return known(words, w); });
    if (all && own.size() > most) {
      most = own.size();
      best = name;
    }
  }
  return best;
}

bool loads_machine(const std::string& name) {
  try {
    load_machine(name);
    return true;
  } catch (const Error&) {
    return false;
  }
}

void find_machine(const Measurement& m, const RowNames& names, RowMeaning& r) {
  std::string device = lower(m.device);
  if (known(machine_names(), device) || m.device.ends_with(".yaml")) {
    r.machine = m.device.ends_with(".yaml") ? m.device : device;
    return;
  }
  const int count = take_count(device);
  if (device.find(" + ") != std::string::npos) {
    r.problem = "devices of several kinds together: " + m.device;
    return;
  }
  const auto listed =
      std::find_if(names.machines.begin(), names.machines.end(),
                   [&](const DeviceName& d) { return any_matches(d.device, device); });
  const std::string single =
      listed != names.machines.end() ? listed->machine : machine_by_words(device);
  if (single.empty() || !known(machine_names(), single)) {
    r.problem = "no machine describes the device: " + m.device;
    return;
  }
  r.machine = count == 1 ? single : fmt::format("{}x{}", count, single);
  if (!loads_machine(r.machine)) r.problem = "no link joins several of the device: " + m.device;
}

// The number of "b7941" or "build 7941"; 0 where none is stated.
std::int64_t build_of(std::string_view engine) {
  bool named = false;
  for (const std::string& word : words_of(engine)) {
    const std::size_t begin = word[0] == 'b' ? 1 : 0;
    const bool may_be = begin == 1 || named;
    named = word == "build";
    if (!may_be || word.size() - begin < 3 || word.size() > 8) continue;
    std::int64_t n = 0;
    const auto [end, code] = std::from_chars(word.data() + begin, word.data() + word.size(), n);
    if (code == std::errc() && end == word.data() + word.size()) return n;
  }
  return 0;
}

// The words before the first with a digit or a bracket: the program without its version.
std::string program_of(const std::string& text) {
  std::string out;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find(' ', at), text.size());
    const std::string word = text.substr(at, end - at);
    if (word.find_first_of("0123456789([") != std::string::npos) break;
    out += (out.empty() ? "" : " ") + word;
    at = end + 1;
  }
  return out.empty() ? text : out;
}

void find_backend(const Measurement& m, const RowNames& names, RowMeaning& r) {
  const std::vector<std::string> shipped = backend_names();
  for (const std::string& own : {m.backend, m.engine}) {
    if (known(shipped, own) || own.ends_with(".yaml")) {
      r.backend = own;
      for (const BackendName& b : names.backends) {
        if (b.backend == own) r.n_ubatch = b.n_ubatch;
      }
      return;
    }
  }
  const std::string engine = lower(m.engine), stack = lower(m.backend);
  const std::int64_t build = build_of(m.engine);
  for (const BackendName& b : names.backends) {
    if (!any_matches(b.engine, engine)) continue;
    if (!b.stack.empty() && !any_matches(b.stack, stack)) continue;
    if (!b.backend.empty() && !known(shipped, b.backend)) continue;
    if (b.eager && *b.eager != m.marks.eager) continue;
    // A row without a build number is taken as of the newest family.
    if (build > 0 ? build < b.from_build || build > b.to_build : b.to_build < 1'000'000'000) {
      continue;
    }
    r.backend = b.backend;
    r.n_ubatch = b.n_ubatch;
    break;
  }
  if (r.backend.empty() || !known(shipped, r.backend)) {
    r.problem = fmt::format("no backend describes the engine: {} on {}", program_of(m.engine),
                            words_of(m.backend).empty() ? "unstated" : words_of(m.backend)[0]);
  }
}

const KvFormat* kv_named(const std::string& text, const RowNames& names) {
  if (text.empty()) return kv_format_from_name("f16");
  const std::string wanted = lower(text);
  if (const KvFormat* f = cache_layout_from_name(wanted)) return f;
  for (const KvName& k : names.kv) {
    if (any_matches(k.text, wanted)) return k.format;
  }
  return nullptr;
}

// Bytes of the tensors that scaling changes: experts, or the feed-forward part of dense blocks.
bool scales(const TensorSpec& t) {
  return t.role == Role::ExpertGate || t.role == Role::ExpertUp || t.role == Role::ExpertDown ||
         t.role == Role::DenseGate || t.role == Role::DenseUp || t.role == Role::DenseDown;
}

std::string scaled_to_file(ModelSpec& model, double file_bytes) {
  const double now = static_cast<double>(model.weight_bytes());
  if (std::fabs(file_bytes / now - 1) <= kSameSize) return "";
  double scaled = 0;
  for (const TensorSpec& t : model.tensors) {
    if (scales(t)) scaled += static_cast<double>(t.bytes);
  }
  const double factor = (scaled + file_bytes - now) / scaled;
  if (!(std::fabs(file_bytes / now - 1) <= kMostScale) || !(factor > 0.5 && factor < 2)) {
    return "contradiction: the file size does not belong to the quantization and the model";
  }
  for (TensorSpec& t : model.tensors) {
    if (scales(t)) t.bytes = std::llround(static_cast<double>(t.bytes) * factor);
  }
  model.bytes_note += "; feed-forward tensors scaled to the size of the file";
  return "";
}

// A published mix of exactly this size: files keep the label of what was not quantized ("F16").
void relabel(ModelMeaning& w, const ModelShape& shape, double file_bytes) {
  for (const PublishedMix& p : shape.published) {
    ModelSpec other = model_from_shape(shape, p.name);
    const double bytes = static_cast<double>(other.weight_bytes());
    if (std::fabs(file_bytes / bytes - 1) > kSameSize) continue;
    w.model = std::move(other);
    w.problem.clear();
    return;
  }
}

// "Q4_K_M (86 GB)", "IQ2_M - 2.7 bpw": the mix alone; sizes in the text are not read.
std::string without_remark(const std::string& quant) {
  const std::size_t remark = quant.ends_with(" bpw") ? quant.find(" - ") : quant.find(" (");
  return remark == std::string::npos || remark == 0 ? quant : quant.substr(0, remark);
}

// A mix of this name in any letter case: of the shape, or by rule.
std::string mix_of(const ModelShape& shape, const std::string& text) {
  for (const PublishedMix& p : shape.published) {
    if (lower(p.name) == lower(text)) return p.name;
  }
  const Mix* mix = find_mix(text);
  return mix == nullptr ? "" : std::string(mix->name);
}

bool of_checkpoint(std::string_view backend) {
  return !backend.starts_with("llama.cpp") && !backend.starts_with("ollama") &&
         !backend.starts_with("bandwall");
}

}  // namespace

RowMeaning meaning_of(const Measurement& m, const RowNames& names) {
  RowMeaning r;
  find_machine(m, names, r);
  if (!r.problem.empty()) return r;
  find_backend(m, names, r);
  if (!r.problem.empty()) return r;
  r.kv = {kv_named(m.type_k, names), kv_named(m.type_v, names)};
  if (r.kv.k == nullptr || r.kv.v == nullptr) {
    r.problem = "no KV format of this name: " + (r.kv.k == nullptr ? m.type_k : m.type_v);
  }
  return r;
}

ModelMeaning weights_of(const Measurement& m, const ModelShape& shape, std::string_view backend,
                        const RowNames& names) {
  ModelMeaning w;
  const std::string quant = m.quant.empty() ? shape.default_mix : m.quant;
  // Rules of llama.cpp's mixes say nothing about checkpoints, where BF16 leaves no vector in F32.
  std::string mix = of_checkpoint(backend) ? "" : mix_of(shape, without_remark(quant));
  for (const PublishedMix& p : shape.published) {
    if (lower(p.name) == lower(quant)) mix = p.name;
  }
  const QuantName* rule = nullptr;
  for (const QuantName& q : names.quants) {
    if (!mix.empty() || rule != nullptr) break;
    const bool here = (q.backend.empty() || any_matches(q.backend, std::string(backend))) &&
                      (q.model.empty() || any_matches(q.model, lower(m.model)));
    if (here && (any_matches(q.quant, lower(quant)) ||
                 any_matches(q.quant, lower(without_remark(quant))))) {
      rule = &q;
    }
  }
  if (mix.empty() && rule == nullptr) mix = mix_of(shape, without_remark(quant));
  if (rule != nullptr && !rule->unknown.empty()) {
    w.problem = rule->unknown;
    return w;
  }
  if (rule == nullptr && mix.empty()) {
    w.problem = "no formats known of the quantization: " + quant;
    return w;
  }
  try {
    if (rule != nullptr && rule->formats) {
      ModelShape own = shape;
      own.published.push_back(*rule->formats);
      own.published.back().name = quant;
      w.model = model_from_shape(own, quant);
    } else {
      w.model = model_from_shape(shape, rule != nullptr ? rule->mix : mix);
    }
  } catch (const Error& e) {
    w.problem = fmt::format("the quantization {} is not of this model", quant);
    return w;
  }
  if (!(m.file_gib > 0)) return w;
  w.problem = scaled_to_file(w.model, m.file_gib * kGiB);
  if (!w.problem.empty()) relabel(w, shape, m.file_gib * kGiB);
  return w;
}

}  // namespace bandwall
