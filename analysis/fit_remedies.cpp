#include "analysis/fit_remedies.h"

#include <algorithm>

#include <fmt/format.h>

#include "analysis/offload_speed.h"
#include "analysis/pricing.h"
#include "hwmodel/error.h"
#include "workload/mix.h"

namespace bandwall {
namespace {

constexpr std::size_t kMostMixes = 3;
constexpr int kMostDevices = 64;

class Search {
 public:
  Search(const Machine& machine, const Backend& backend, const ModelSpec& model,
         const ModelShape* shape, const FitOptions& o, const FitReport& now)
      : machine_(machine), backend_(backend), model_(model), shape_(shape), o_(o), now_(now) {}

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
  static FitReport quick(const Machine& m, const ModelSpec& model, const FitOptions& o) {
    return fit_quick(m, model, placed(m, model, o), o);
  }

  Verdict add(std::string what, std::string option, const Machine& machine, const ModelSpec& model,
              const FitOptions& o) {
    const Placement where = placed(machine, model, o);
    Remedy r{std::move(what), std::move(option), fit_quick(machine, model, where, o), std::nullopt};
    const PoolReport& then = r.fit.pools[r.fit.tightest];
    if (then.headroom <= now_.pools[now_.tightest].headroom) return now_.verdict;  // no help
    if (r.fit.verdict != Verdict::DoesNotFit) {
      r.decode_ts = decode_speed(machine, backend_, model, o, where, decode_step(model, o.kv));
    }
    found_.push_back(std::move(r));
    return found_.back().fit.verdict;
  }

  // A rule or a published list of formats, and how many bits its matrices have at least.
  struct Candidate {
    const Mix* rule = nullptr;
    const PublishedMix* published = nullptr;
    double bits = 0;
  };

  std::vector<Candidate> candidates() const {
    std::vector<Candidate> all;
    for (const Mix& mix : all_mixes())
      all.push_back({&mix, nullptr, info(mix.base).bits_per_value()});
    if (shape_ != nullptr) {
      for (const PublishedMix& mix : shape_->published) {
        all.push_back({nullptr, &mix, info(mix.experts).bits_per_value()});
      }
    }
    std::stable_sort(all.begin(), all.end(),
                     [](const Candidate& x, const Candidate& y) { return x.bits > y.bits; });
    return all;
  }

  void quantize(ModelSpec& spec, const Candidate& c) const {
    if (shape_ != nullptr && model_.hyper.mtp_layers > 0) {  // whose blocks have lost their roles
      spec = model_from_shape(*shape_, c.published != nullptr ? c.published->name : c.rule->name);
      return;
    }
    if (c.published != nullptr) {
      apply_published(*c.published, spec.tensors);
    } else {
      const bool tuned = c.rule->name.starts_with("IQ");
      apply_mix(*c.rule, tuned ? Importance::With : Importance::Without, spec.architecture,
                spec.hyper, spec.tensors);
    }
    spec.quantization = std::string(c.published != nullptr ? c.published->name : c.rule->name);
    spec.file_bytes = 0;
  }

  // The largest mixes that fit, from many bits to few; what cannot fit by its bits alone is passed
  // over (a tenth below them: some rules take a part of the matrices lower).
  void mixes() {
    struct Fitting {
      std::int64_t bytes;
      Candidate candidate;
    };
    std::vector<Fitting> fitting;
    const std::int64_t now = model_.weight_bytes();
    const double values = 0.9 / 8 * static_cast<double>(model_.parameters());
    double bits = 0;
    ModelSpec spec = model_;
    for (const Candidate& c : candidates()) {
      if (fitting.size() >= kMostMixes && c.bits < bits) break;
      bits = c.bits;
      if (values * c.bits > now_.usable.value()) continue;
      quantize(spec, c);
      const std::int64_t size = spec.weight_bytes();
      if (size >= now || quick(machine_, spec, o_).verdict != Verdict::Fits) continue;
      fitting.push_back({size, c});
    }
    std::stable_sort(fitting.begin(), fitting.end(),
                     [](const Fitting& x, const Fitting& y) { return x.bytes > y.bytes; });
    if (fitting.size() > kMostMixes) fitting.resize(kMostMixes);
    for (const Fitting& f : fitting) {
      quantize(spec, f.candidate);
      add("mix " + spec.quantization,
          shape_ != nullptr ? shape_->name + ":" + spec.quantization : spec.quantization, machine_,
          spec, o_);
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
    if (!now_.max_context || *now_.max_context >= o_.context) return;
    FitOptions o = o_;
    o.context = *now_.max_context;
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

  // The smallest n of 1..most for which with(n) fits the devices, by halving; nullopt: none does.
  // Host memory fills meanwhile: whether that fits is for the caller to see.
  template <class With>
  std::optional<std::int64_t> smallest(std::int64_t most, With with) const {
    const auto fits = [&](std::int64_t n) {
      const FitReport r = quick(machine_, model_, with(n));
      return std::all_of(r.pools.begin(), r.pools.end(), [](const PoolReport& p) {
        return p.verdict == Verdict::Fits || p.name == "host";
      });
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
  const FitReport& now_;
  std::vector<Remedy> found_;
};

}  // namespace

std::vector<Remedy> remedies(const Machine& machine, const Backend& backend, const ModelSpec& model,
                             const ModelShape* shape, const FitOptions& options,
                             const FitReport& now) {
  return Search(machine, backend, model, shape, options, now).run();
}

DecodeStep decode_step(const ModelSpec& model, const KvConfig& kv) {
  DecodeStep s{{}, expected_routing(model, 1)};
  s.plan = plan_step(model, kv, Step{}, s.routing);
  return s;
}

std::optional<double> decode_speed(const Machine& machine, const Backend& backend,
                                   const ModelSpec& model, const FitOptions& options,
                                   const Placement& placement, const DecodeStep& step) {
  if (!(machine.pool().achievable.value > BytesPerSecond(0))) return std::nullopt;
  std::optional<Machine> one;
  if (placement.split == Split::Layer && machine.devices > 1) {
    one = machine;
    one->devices = 1;
  }
  const Machine& works = one ? *one : machine;
  const FittedBackend fitted(backend, works);
  const PricingContext context =
      pricing_context(works, *fitted, model, options.kv, step.plan, step.routing, 0);
  const bool all_on_device = placement.host_weights == 0;
  // A CPU's own backend (its figures hold for so many threads) is the host.
  if (all_on_device || (has_one_pool(machine) && backend.threads > 0)) {
    return 1 / step_time(context, step.plan).value();
  }
  const HostSide host{host_pool(machine), machine.link("pcie")};
  if (host.pool == nullptr || !(host.pool->achievable.value > BytesPerSecond(0))) {
    return std::nullopt;
  }
  return 1 / offloaded_step(context, step.plan, placement, host).value();
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
