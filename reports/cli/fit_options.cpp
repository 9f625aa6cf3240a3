#include "reports/cli/fit_options.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <filesystem>

#include "configs/engines.h"
#include "hwmodel/error.h"
#include "hwmodel/suggest.h"
#include "runtime/host.h"
#include "reports/cli/fit_train.h"

namespace bandwall {
namespace {

constexpr std::int64_t kMostContext = 1'000'000'000'000;  // as check_fit_options

const KvFormat* cache_layout(const std::string& option, const std::string& text) {
  if (const KvFormat* format = cache_layout_from_name(text)) return format;
  std::vector<std::string> names;
  for (const KvFormat& f : all_kv_formats()) names.emplace_back(f.name);
  for (const KvFormat& f : foreign_kv_formats()) names.emplace_back(f.name);
  const std::string near = suggest(text, names);
  throw Error::input(option, fmt::format("unknown KV cache format '{}'{}; known: {}", text,
                                         near.empty() ? "" : "; did you mean " + near + "?",
                                         fmt::join(names, ", ")));
}

std::vector<double> shares(const Arguments& a) {
  std::vector<double> values;
  if (!a.has("tensor-split")) return values;
  for (const std::string& part : a.list("tensor-split")) {
    double v = 0;
    const auto [end, code] = std::from_chars(part.data(), part.data() + part.size(), v);
    if (part.empty() || code != std::errc() || end != part.data() + part.size() ||
        !std::isfinite(v) || v < 0) {
      throw Error::input("--tensor-split",
                         fmt::format("'{}' is no share; numbers such as 3,1 are wanted", part));
    }
    values.push_back(v);
  }
  return values;
}

Offload offload(const Arguments& a) {
  Offload o;
  if (a.has("n-gpu-layers") && a.text("n-gpu-layers") != "all" &&
      a.text("n-gpu-layers") != "auto" && a.text("n-gpu-layers") != "-1") {
    o.gpu_layers = a.integer("n-gpu-layers", 0, 1'000'000);
  }
  o.cpu_expert_layers = a.has("n-cpu-moe") ? a.integer("n-cpu-moe", 0, 1'000'000) : 0;
  if (a.on("cpu-moe")) o.cpu_expert_layers = 1'000'000;
  if (a.has("override-tensor")) {
    for (const std::string& part : a.list("override-tensor")) {
      o.overrides.push_back(parse_override(part));
    }
  }
  o.shares = shares(a);
  const std::string split = a.choice("split", {"layer", "tensor", "row", "expert"});
  o.split = split == "layer" ? Split::Layer : split == "expert" ? Split::Expert : Split::Tensor;
  return o;
}

Bytes projector_bytes(const std::string& text) {
  std::error_code error;
  const auto size = std::filesystem::file_size(text, error);
  if (!error) return bytes(static_cast<std::int64_t>(size));
  const bool number = !text.empty() && (std::isdigit(static_cast<unsigned char>(text[0])) != 0);
  if (!number) {
    throw Error::input("--mmproj", fmt::format("'{}' is no file that can be read, and no size such "
                                               "as 1.2GB",
                                               text));
  }
  return parse_bytes_option("--mmproj", text);
}

void set_memory(MemoryPool& pool, Bytes usable, const std::string& note) {
  const Source source{Source::Kind::Assumed, note};
  pool.installed = pool.visible = {usable, source};
  pool.reserve = {Bytes(0), source};
}

// This host as it is now; an uncalibrated one has no bandwidths, so no speeds.
Target this_host(const Arguments& a) {
  const HostInfo host = host_info();
  if (!host.memory_total || !host.memory_available) {
    throw Error::input("this", "the memory of this host cannot be read; give --budget SIZE");
  }
  Target target;
  const std::string path = a.optional_text("profile").value_or(default_profile_path());
  if (a.has("profile") || (!path.empty() && std::filesystem::exists(path))) {
    target = choose_target("this", a.optional_text("backend"), a.optional_text("profile"));
  } else {
    target.machine.name = "this";
    target.machine.title = host.cpu;
    target.machine.pools.push_back({});
    target.machine.pools[0].name = "memory";
    target.backend = load_backend(a.optional_text("backend").value_or("bandwall-cpu"));
  }
  MemoryPool& pool = target.machine.pools[0];
  const Source measured{Source::Kind::Measured, "/proc/meminfo and the limits of control groups"};
  pool.installed = pool.visible = {*host.memory_total, measured};
  pool.reserve = {std::max(Bytes(0), *host.memory_total - *host.memory_available), measured};
  return target;
}

}  // namespace

Bytes parse_bytes_option(const std::string& option, const std::string& text) {
  try {
    const auto value = parse_quantity<Bytes>(text);
    if (value > Bytes(0) && value < Bytes(1e18)) return Bytes(std::floor(value.value()));
  } catch (const Error&) {
  }
  throw Error::input(option,
                     fmt::format("'{}' is no size above zero with a unit; write 110GiB (2^30 "
                                 "bytes), 118GB (1e9 bytes), 4096MiB",
                                 text));
}

int exit_code(Verdict verdict) {
  switch (verdict) {
    case Verdict::Fits:
      return kExitDone;
    case Verdict::TooClose:
      return kExitTooClose;
    case Verdict::DoesNotFit:
      return kExitDoesNotFit;
  }
  return kExitFailed;
}

TensorOverride parse_override(const std::string& text) {
  const std::size_t at = text.rfind('=');
  const std::string where = at == std::string::npos ? "" : text.substr(at + 1);
  TensorOverride o;
  o.pattern = text.substr(0, at);
  if (at != std::string::npos && !o.pattern.empty()) {
    if (where == "CPU" || where == "cpu") return o;
    const std::size_t digits = where.find_first_of("0123456789");
    int device = 0;
    if (digits != std::string::npos) {
      const auto [end, code] =
          std::from_chars(where.data() + digits, where.data() + where.size(), device);
      if (code == std::errc() && end == where.data() + where.size()) {
        o.where = device;
        return o;
      }
    }
  }
  throw Error::input("--override-tensor",
                     fmt::format("'{}' is not PATTERN=CPU or PATTERN=CUDA0", text));
}

std::vector<std::string> idle_options(const Arguments& a, const ModelSpec& model,
                                      const FitOptions& o, int devices) {
  const Hyper& h = model.hyper;
  bool slides = false, recurs = false;
  for (std::int64_t l = 0; l < h.layers; ++l) {
    slides = slides || h.slides(l);
    recurs = recurs || h.recurs(l);
  }
  const bool blocks = o.engine.layout == CacheLayout::Blocks;
  struct Idle {
    const char* option;
    bool idle;
    const char* why;
  };
  const Idle rows[] = {
      {"split", devices < 2, "there is one device"},
      {"n-cpu-moe", h.experts == 0, "the model has no experts"},
      {"cpu-moe", h.experts == 0, "the model has no experts"},
      {"mla-off", h.kv_rank == 0, "the model has no latent attention"},
      {"swa-full", !slides, "no layer has a window"},
      {"swa-f16", !slides, "no layer has a window"},
      {"kv-unified", o.slots == 1 || o.engine.layout != CacheLayout::Slots,
       "it is for several slots (-np) of llama.cpp"},
      {"draft-max", !o.draft && h.mtp_layers == 0 && !recurs,
       "nothing guesses ahead here (--draft) and no layer keeps a state"},
      {"ubatch-size", blocks, "the engine has a batch size of its own"},
      {"flash-attn", blocks, "the engine always has it"},
  };
  std::vector<std::string> notes;
  for (const Idle& row : rows) {
    if (!row.idle || !a.has(row.option)) continue;
    notes.push_back(fmt::format("--{} changes nothing: {}", row.option, row.why));
  }
  return notes;
}

std::vector<Target> fit_targets(const Arguments& a, const std::vector<std::string>& names) {
  const bool here = std::find(names.begin(), names.end(), "this") != names.end();
  if (a.has("profile") && !here) {
    throw Error::input("--profile", "is a calibration of this host; add --machine this");
  }
  std::vector<Target> targets;
  for (const std::string& name : names) {
    targets.push_back(name == "this" ? this_host(a)
                                     : choose_target(name, a.optional_text("backend"),
                                                     a.optional_text("profile")));
    Machine& m = targets.back().machine;
    if (a.has("budget")) {
      set_memory(m.pools[0], parse_bytes_option("--budget", a.text("budget")), "--budget");
    }
    if (a.has("host-memory")) {
      const Bytes size = parse_bytes_option("--host-memory", a.text("host-memory"));
      if (has_one_pool(m)) {
        throw Error::input("--host-memory", fmt::format("{} has one pool for host and device; "
                                                        "--budget sets it",
                                                        m.name));
      }
      if (host_pool(m) == nullptr) {
        m.pools.push_back({});
        m.pools.back().name = "host";
      }
      set_memory(m.pools.back(), size, "--host-memory");  // its bandwidths stay
    }
  }
  if (targets.empty()) throw Error::input("--machine", "is empty; give a name");
  return targets;
}

FitOptions fit_options(const Arguments& a, const Target& target) {
  FitOptions o;
  o.context = a.integer("ctx-size", 1, kMostContext);
  o.kv = {cache_layout("--cache-type-k", a.text("cache-type-k")),
          cache_layout("--cache-type-v", a.text("cache-type-v"))};
  o.n_ubatch = a.integer("ubatch-size", 1, 1'000'000);
  o.slots = a.integer("parallel", 1, 1 << 16);
  o.unified = a.on("kv-unified");
  o.swa_full = a.on("swa-full");
  o.f16_window = a.on("swa-f16");
  o.whole_latent = a.on("mla-off");
  o.flash_attention = a.choice("flash-attn", {"on", "off", "auto"}) != "off";
  o.draft_max = a.has("draft-max") ? a.integer("draft-max", 0, 1024) : a.has("draft") ? 16 : 0;
  if (a.has("draft")) {
    o.draft = std::make_shared<const ModelSpec>(choose_model(a.text("draft")).spec);
  }
  if (a.has("cache-ram")) {
    o.prompt_cache = Bytes(static_cast<double>(a.integer("cache-ram", 0, 1 << 24)) * kMiB);
  }
  if (a.has("mmproj")) o.projector = projector_bytes(a.text("mmproj"));
  o.engine = load_engine(a.text("engine"));
  if (a.has("gpu-memory-utilization")) {
    if (!(o.engine.memory_share.value > 0)) {
      throw Error::input("--gpu-memory-utilization", "is vLLM's; add --engine vllm");
    }
    o.engine.memory_share.value = a.number("gpu-memory-utilization", 0.01, 1);
  }
  if (a.has("free-gpu-memory-fraction")) {
    if (!(o.engine.free_share.value > 0)) {
      throw Error::input("--free-gpu-memory-fraction",
                         "is TensorRT-LLM's; add --engine tensorrt-llm");
    }
    o.engine.free_share.value = a.number("free-gpu-memory-fraction", 0.01, 1);
  }
  if (target.backend.context_bytes) o.runtime_bytes = target.backend.context_bytes->value;
  o.offload = offload(a);
  // Programs with cache blocks divide matrices unless told otherwise.
  if (o.engine.layout == CacheLayout::Blocks && !a.has("split")) o.offload.split = Split::Tensor;
  check_fit_options(o);
  return o;
}

std::vector<OptionSpec> fit_option_table() {
  std::vector<OptionSpec> table = {
      option_model(),
      option_mix(),
      {"machine,M", "NAME,..", "gb10",
       "shipped machines, YAML files, 'this' (memory as it is now), or several: 2xgb10"},
      {"backend", "NAME", "", "software stack; the machine's usual one when not given"},
      {"engine", "NAME", "llama.cpp",
       "memory rules: llama.cpp, llama.cpp-2025, vllm, tensorrt-llm, "
       "bandwall, or a YAML file"},
      {"all", "", "", "rank every shipped model and mix on the machines"},
      {"print", "", "", "llama.cpp's --fit-print columns: device, model, context, compute in MiB"},
      option_context("4096"),
      option_kv_k(),
      option_kv_v(),
      option_ubatch(),
      {"parallel,np", "N", "1", "slots; with llama.cpp they share the context"},
      {"kv-unified,kvu", "", "", "slots share one stream of cells"},
      {"flash-attn,fa", "on|off", "on", "flash attention"},
      {"swa-full", "", "", "window layers keep the whole context"},
      {"swa-f16", "", "", "window layers keep f16 whatever -ctk and -ctv say"},
      {"mla-off", "", "", "latent attention keeps keys and values of all heads (older files)"},
      {"n-gpu-layers,ngl", "N", "", "layers on devices, of blocks + output (all when not given)"},
      {"n-cpu-moe,ncmoe", "N", "", "experts of the first N layers in host memory"},
      {"cpu-moe,cmoe", "", "", "all experts in host memory"},
      {"override-tensor,ot", "REGEX=CPU", "", "tensors by name into host memory or onto CUDA1"},
      {"tensor-split,ts", "3,1", "", "shares of the devices"},
      {"split,sm", "layer|tensor|expert", "layer", "how a model is divided over devices"},
      {"draft,md", "MODEL", "", "a second model that guesses ahead"},
      {"draft-max", "N", "", "tokens guessed ahead, at most: snapshots of recurrent state"},
      {"mmproj", "FILE|SIZE", "", "multimodal projector: its file or its size"},
      {"cache-ram", "MIB", "", "a server's prompt cache (llama-server: 8192); none when not given"},
      {"budget", "SIZE", "", "memory of each device instead of the machine's: 110GiB"},
      {"host-memory", "SIZE", "", "host memory beside cards: 64GiB"},
      {"gpu-memory-utilization", "X", "", "share that vLLM takes (0.9)"},
      {"free-gpu-memory-fraction", "X", "", "share of free memory for TensorRT-LLM's cache (0.9)"},
      option_profile(),
      option_output("text", "text, md, json, csv"),
      {"batch-size,b", "N", "2048", "logical batch; only the micro-batch (-ub) takes memory"},
  };
  for (const OptionSpec& o : fit_train_options()) table.push_back(o);
  return table;
}

}  // namespace bandwall
