#include "analysis/fit_remedies.h"

#include <algorithm>

#include <fmt/format.h>

#include "analysis/predict.h"
#include "hwmodel/error.h"
#include "workload/mix.h"

namespace bandwall {
namespace {

constexpr std::size_t kMostMixes = 3;
constexpr int kMostDevices = 64;

const MemoryPool* host_pool(const Machine& machine) {
  for (const MemoryPool& p : machine.pools) {
    if (p.name == "host") return &p;
  }
  return nullptr;
}

// Bytes that a decode step reads from host memory; the token table is one row.
double host_read(const ModelSpec& model, const Placement& p) {
  const Hyper& h = model.hyper;
  const double used =
      h.experts > 0 ? static_cast<double>(h.experts_used) / static_cast<double>(h.experts) : 0.0;
  return static_cast<double>(p.host_experts) * used +
         static_cast<double>(p.host_weights - p.host_experts);
}

class Search {
 public:
  Search(const Machine& machine, const Backend& backend, const ModelSpec& model,
         const ModelShape* shape, const FitOptions& o)
      : machine_(machine),
        backend_(backend),
        model_(model),
        shape_(shape),
        o_(o),
        now_(quick(machine, model, o)) {}

  std::vector<Remedy> run() {
    mixes();
    caches();
    context();
    smaller_batch();
    fewer_slots();
    if (!has_one_pool(machine_) && o_.engine.layout == CacheLayout::Slots) offload();
    for (const int times : {2, 4}) {
      if (more_machines(times)) break;
    }
    std::stable_sort(found_.begin(), found_.end(), [](const Remedy& a, const Remedy& b) {
      if (a.fit.verdict != b.fit.verdict) return a.fit.verdict < b.fit.verdict;
      return a.decode_ts.value_or(0) > b.decode_ts.value_or(0);
    });
    // Where something helps, what does not is left out.
    if (!found_.empty() && found_.front().fit.verdict != Verdict::DoesNotFit) {
      std::erase_if(found_, [](const Remedy& r) { return r.fit.verdict == Verdict::DoesNotFit; });
    }
    return std::move(found_);
  }

 private:
  static Placement placed(const Machine& m, const ModelSpec& model, const FitOptions& o) {
    return place(model, std::max(1, m.devices), o.offload, o.engine);
  }
  static FitReport quick(const Machine& m, const ModelSpec& model, const FitOptions& o) {
    return fit_quick(m, model, placed(m, model, o), o);
  }

  Verdict add(std::string what, std::string option, const Machine& machine, const ModelSpec& model,
              const FitOptions& o) {
    Remedy r{std::move(what), std::move(option), quick(machine, model, o), std::nullopt};
    const PoolReport& then = r.fit.pools[r.fit.tightest];
    if (then.headroom <= now_.pools[now_.tightest].headroom) return now_.verdict;  // no help
    r.decode_ts = decode_speed(machine, backend_, model, o, placed(machine, model, o));
    found_.push_back(std::move(r));
    return found_.back().fit.verdict;
  }

  // Every mix that is smaller than what there is, by rule or published; the largest come first.
  std::vector<ModelSpec> smaller_mixes() const {
    std::vector<ModelSpec> specs;
    const std::int64_t most = model_.weight_bytes();
    const auto keep = [&](ModelSpec spec) {
      if (spec.weight_bytes() < most) specs.push_back(std::move(spec));
    };
    for (const Mix& mix : all_mixes()) {
      ModelSpec spec = model_;
      const bool tuned = mix.name.starts_with("IQ");
      apply_mix(mix, tuned ? Importance::With : Importance::Without, spec.architecture, spec.hyper,
                spec.tensors);
      spec.quantization = std::string(mix.name);
      spec.file_bytes = 0;
      keep(std::move(spec));
    }
    if (shape_ != nullptr) {
      for (const PublishedMix& mix : shape_->published) keep(model_from_shape(*shape_, mix.name));
    }
    std::stable_sort(specs.begin(), specs.end(), [](const ModelSpec& a, const ModelSpec& b) {
      return a.weight_bytes() > b.weight_bytes();
    });
    return specs;
  }

  void mixes() {
    std::size_t fitting = 0;
    for (const ModelSpec& spec : smaller_mixes()) {
      if (quick(machine_, spec, o_).verdict != Verdict::Fits) continue;
      add("mix " + spec.quantization,
          shape_ != nullptr ? shape_->name + ":" + spec.quantization : spec.quantization, machine_,
          spec, o_);
      if (++fitting == kMostMixes) return;
    }
  }

  void caches() {
    if (!o_.flash_attention) return;  // quantized values need it
    for (const char* type : {"q8_0", "q4_0"}) {
      const KvFormat* format = kv_format_from_name(type);
      FitOptions o = o_;
      o.kv = {format, format};
      const bool smaller =
          format->bits_per_value() < std::min(o_.kv.k->bits_per_value(), o_.kv.v->bits_per_value());
      if (!smaller) continue;
      const std::string options = fmt::format("-ctk {0} -ctv {0}", type);
      if (add(fmt::format("K and V cache in {}", type), options, machine_, model_, o) ==
          Verdict::Fits) {
        return;
      }
    }
  }

  void context() {
    const FitReport whole = fit(machine_, model_, o_);
    if (!whole.max_context || *whole.max_context >= o_.context) return;
    FitOptions o = o_;
    o.context = *whole.max_context;
    add(fmt::format("a context of {}", o.context), fmt::format("-c {}", o.context), machine_,
        model_, o);
  }

  void smaller_batch() {
    constexpr std::int64_t kSmall = 128;
    if (o_.n_ubatch <= kSmall || o_.engine.layout == CacheLayout::Blocks) return;
    FitOptions o = o_;
    o.n_ubatch = kSmall;
    add("a micro-batch of 128 (slower prefill)", "-ub 128", machine_, model_, o);
  }

  void fewer_slots() {
    if (o_.slots <= 1) return;
    FitOptions o = o_;
    o.slots = 1;
    if (o.engine.shared_context) o.context = std::max<std::int64_t>(1, o.context / o_.slots);
    add(fmt::format("one slot of {} positions", o.context), fmt::format("-np 1 -c {}", o.context),
        machine_, model_, o);
  }

  // The smallest n of 1..most for which with(n) fits, by halving; nullopt: none does.
  template <class With>
  std::optional<std::int64_t> smallest(std::int64_t most, With with) const {
    const auto fits = [&](std::int64_t n) {
      return quick(machine_, model_, with(n)).verdict == Verdict::Fits;
    };
    if (most < 1 || !fits(most)) return std::nullopt;
    std::int64_t low = 1, high = most;
    while (low < high) {
      const std::int64_t middle = (low + high) / 2;
      if (fits(middle)) {
        high = middle;
      } else {
        low = middle + 1;
      }
    }
    return low;
  }

  void offload() {
    const std::int64_t layers = model_.hyper.layers;
    const auto experts_out = [&](std::int64_t n) {
      FitOptions o = o_;
      o.offload.cpu_expert_layers = n;
      return o;
    };
    const auto layers_out = [&](std::int64_t n) {
      FitOptions o = o_;
      o.offload.gpu_layers = layers + 1 - n;
      return o;
    };
    if (model_.hyper.experts > 0) {
      if (const auto n = smallest(layers, experts_out)) {
        add(fmt::format("experts of {} layers in host memory", *n), fmt::format("-ncmoe {}", *n),
            machine_, model_, experts_out(*n));
      }
    }
    if (const auto n = smallest(layers + 1, layers_out)) {
      add(fmt::format("{} layers in host memory", *n), fmt::format("-ngl {}", layers + 1 - *n),
          machine_, model_, layers_out(*n));
    }
  }

  bool more_machines(int times) {
    const std::optional<Machine> more = joined(machine_, times);
    if (!more) return true;
    FitOptions o = o_;
    o.offload.shares.clear();
    o.offload.gpu_layers.reset();
    o.offload.cpu_expert_layers = 0;
    return add(fmt::format("{} of this machine", times), "--machine " + more->name, *more, model_,
               o) == Verdict::Fits;
  }

  const Machine& machine_;
  const Backend& backend_;
  const ModelSpec& model_;
  const ModelShape* shape_;
  const FitOptions& o_;
  FitReport now_;
  std::vector<Remedy> found_;
};

}  // namespace

std::vector<Remedy> remedies(const Machine& machine, const Backend& backend, const ModelSpec& model,
                             const ModelShape* shape, const FitOptions& options) {
  return Search(machine, backend, model, shape, options).run();
}

std::optional<double> decode_speed(const Machine& machine, const Backend& backend,
                                   const ModelSpec& model, const FitOptions& options,
                                   const Placement& placement) {
  if (!(machine.pool().achievable.value > BytesPerSecond(0))) return std::nullopt;
  Scenario s;
  s.n_gen = 1;
  s.kv = options.kv;
  const bool serial = placement.split == Split::Layer && machine.devices > 1;
  std::optional<Machine> one;
  if (serial) {
    one = machine;
    one->devices = 1;
  }
  const double ts = predict_decode(serial ? *one : machine, backend, model, s).ts;
  const double outside = host_read(model, placement);
  if (!(outside > 0) || has_one_pool(machine)) return ts;
  const MemoryPool* host = host_pool(machine);
  if (host == nullptr || !(host->achievable.value > BytesPerSecond(0))) return std::nullopt;
  const double slower =
      outside / host->achievable.value.value() - outside / machine.pool().achievable.value.value();
  return 1 / (1 / ts + std::max(0.0, slower));
}

std::optional<Machine> joined(const Machine& machine, int times) {
  if (!machine.device_link || std::max(1, machine.devices) * times > kMostDevices) {
    return std::nullopt;
  }
  Machine more = machine;
  more.devices = std::max(1, machine.devices) * times;
  const std::size_t x = machine.name.find('x');
  const std::string prefix = fmt::format("{}x", machine.devices);
  const std::string single =
      machine.devices > 1 && x != std::string::npos && machine.name.starts_with(prefix)
          ? machine.name.substr(x + 1)
          : machine.name;
  more.name = fmt::format("{}x{}", more.devices, single);
  return more;
}

}  // namespace bandwall
