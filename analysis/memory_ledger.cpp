#include "analysis/memory_ledger.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "hwmodel/error.h"
#include "workload/engine_memory.h"

namespace bandwall {
namespace {

double rounded(double n, double step) { return std::ceil(n / step) * step; }

double real(std::int64_t n) { return static_cast<double>(n); }

// Width of the feed-forward rows of a micro-batch: of the dense layers, else of one expert, which
// is what logged buffers of expert models show.
double ffn_width(const Hyper& h) { return real(h.ffn > 0 ? h.ffn : h.expert_ffn); }

const KvFormat& f16() {
  static const KvFormat* const format = kv_format_from_name("f16");
  return *format;
}

class Writer {
 public:
  Writer(const ModelSpec& model, const Placement& p, const FitOptions& o, bool explain)
      : model_(model),
        h_(model.hyper),
        p_(p),
        o_(o),
        rules_(o.engine),
        explain_(explain),
        cells_(cache_cells(model.hyper, o)),
        ub_(real(std::min(o.n_ubatch, o.context))),
        slots_(real(o.slots)) {}

  MemoryLedger run() {
    count_layers();
    for (int d = 0; d < p_.devices; ++d) device(d);
    host();
    return std::move(ledger_);
  }

 private:
  struct Layers {
    std::int64_t full = 0, window = 0, recurrent = 0;
    bool output = false;
    bool any() const { return full + window + recurrent > 0 || output; }
  };

  template <class How>
  void line(MemoryGroup group, int where, const char* what, double bytes, How how) {
    const Bytes whole(std::ceil(bytes));  // whole bytes, so that sums are exact
    if (!(whole > Bytes(0))) return;
    ledger_.lines.push_back({group, where, what, whole, explain_ ? how() : std::string()});
  }

  // Which layers' caches lie where; in splits other than by layer every device has a part of all.
  void count_layers() {
    on_.assign(static_cast<std::size_t>(p_.devices) + 1, {});
    for (std::int64_t l = 0; l <= h_.layers; ++l) {
      const int where = p_.layer_where[static_cast<std::size_t>(l)];
      const int last = where != kHost && p_.split != Split::Layer ? p_.devices - 1 : where;
      for (int d = where; d <= last; ++d) {
        Layers& on = at(d);
        if (l == h_.layers) {
          on.output = true;
        } else if (h_.recurs(l)) {
          ++on.recurrent;
        } else if (h_.owns_kv(l)) {
          ++(h_.slides(l) ? on.window : on.full);
        }
      }
    }
  }
  Layers& at(int where) { return on_[static_cast<std::size_t>(where + 1)]; }

  // Share of heads that a device keeps: whole heads where they can be divided, else all.
  double head_share(int d, std::int64_t heads) const {
    if (d == kHost || p_.split != Split::Tensor) return 1;
    const double part = p_.shares[static_cast<std::size_t>(d)] * real(heads);
    return h_.kv_rank > 0 ? 1 : std::min(1.0, std::max(1.0, std::ceil(part)) / real(heads));
  }

  void device(int d) {
    const Layers& on = at(d);
    const auto n = static_cast<std::size_t>(d);
    line(MemoryGroup::Weights, d, "weights", real(p_.weights[n]), [&] {
      return fmt::format(
          "{} of {} tensors{}", p_.tensors[n], model_.tensors.size(),
          p_.split == Split::Layer ? std::string() : fmt::format(", {} split", name(p_.split)));
    });
    line(MemoryGroup::Weights, d, "padding of tensors", real(p_.padding[n]), [&] {
      return fmt::format("quantized rows to multiples of {}, tensors to {} B",
                         rules_.row_step.value, rules_.tensor_step.value);
    });
    if (p_.head_copy > 0 && p_.output() == d) {
      line(MemoryGroup::Weights, d, "tied output head", real(p_.head_copy), [] {
        return std::string("the token table again: the head on the device has its own copy");
      });
    }
    cache(d);
    kept_free(d);
    if (d == 0) {
      draft();
      line(MemoryGroup::Projector, d, "multimodal projector", o_.projector.value(),
           [] { return std::string("as given; its working memory is not counted"); });
    }
    if (on.any() || p_.weights[n] > 0) compute(d);
    runtime(d);
  }

  void host() {
    line(MemoryGroup::Weights, kHost, "token table", real(p_.table),
         [] { return std::string("rows are looked up in host memory"); });
    line(MemoryGroup::Weights, kHost, "weights in host memory", real(p_.host_weights), [&] {
      return fmt::format("{} B of experts, {} B of other tensors", p_.host_experts,
                         p_.host_weights - p_.host_experts);
    });
    cache(kHost);
    if (rules_.layout == CacheLayout::Slots) host_buffers();
    line(MemoryGroup::Cache, kHost, "prompt cache", o_.prompt_cache.value(),
         [] { return std::string("prompts that a server keeps, at most (--cache-ram)"); });
  }

  void cache(int d) {
    const Layers& on = at(d);
    kv_line(d, "KV cache", on.full, full_layer(), cells_.full, full_rule(), o_.kv);
    line(MemoryGroup::Kv, d, "keys of the indexer",
         2 * real(on.full * h_.index_width) * cells_.full * cells_.streams, [&] {
           return fmt::format("2 B x {} layers x {:.0f} cells x {:.0f} stream(s) x {} values",
                              on.full, cells_.full, cells_.streams, h_.index_width);
         });
    const KvConfig window = o_.f16_window ? KvConfig{&f16(), &f16()} : o_.kv;
    kv_line(d, "KV cache of window layers", on.window, layer_that(true), cells_.window,
            window_rule(), window);
    const bool guesses = o_.draft_max > 0 && !o_.draft && h_.mtp_layers > 0;
    if (guesses && on.output) {
      kv_line(d, "KV cache of MTP layers", h_.mtp_layers, full_layer(), cells_.full, full_rule(),
              o_.kv);
    }
    state_line(d, on.recurrent);
  }

  const char* full_rule() const {
    return rules_.layout == CacheLayout::Blocks  ? "context in whole blocks"
           : rules_.layout == CacheLayout::Exact ? "context"
           : cells_.streams > 1                  ? "context / slots rounded up to 256"
                                                 : "context rounded up to 256";
  }
  const char* window_rule() const {
    if (o_.swa_full) return "as full layers";
    return o_.unified && o_.slots > 1 ? "min(context, window x slots + ubatch) rounded up to 256"
                                      : "min(context, window + ubatch) rounded up to 256";
  }

  // A layer of the kind, for its widths.
  std::int64_t layer_that(bool slides) const {
    for (std::int64_t l = 0; l < h_.layers; ++l) {
      if (h_.attends(l) && h_.slides(l) == slides) return l;
    }
    return 0;
  }
  std::int64_t full_layer() const { return layer_that(false); }

  void kv_line(int d, const char* what, std::int64_t layers, std::int64_t layer, double cells,
               const char* rule, const KvConfig& kv) {
    const bool whole = o_.whole_latent && h_.kv_rank > 0;
    const double share = whole ? 1 : head_share(d, h_.kv_heads_of(layer));
    const double k = whole ? real(h_.heads * h_.mla_key) : real(h_.k_width(layer)) * share;
    const double v = whole ? real(h_.heads * h_.mla_value) : real(h_.v_width(layer)) * share;
    const double cell = kv.k->bytes_for(k).value() + kv.v->bytes_for(v).value();
    const double bytes = real(layers) * cells * cells_.streams * cell;
    line(MemoryGroup::Kv, d, what, bytes, [&] {
      return fmt::format(
          "{} layers x {:.0f} cells ({}) x {:.0f} stream(s) x {} B per cell: {:.0f} K values of {} "
          "+ {}",
          layers, cells, rule, cells_.streams, cell, k, kv.k->name,
          v == 0 ? std::string("no V (latent attention: K holds it too)")
                 : fmt::format("{:.0f} V values of {}", v, kv.v->name));
    });
  }

  // Where the cache gets only a share of what is free, the rest stays free.
  void kept_free(int d) {
    const double share = rules_.free_share.value;
    if (!(share > 0)) return;
    const double kv = ledger_.of(MemoryGroup::Kv, d).value();
    line(MemoryGroup::Cache, d, "left free beside the cache", kv / share - kv, [&] {
      return fmt::format("the cache gets {} of what is free: {:.0f} B x (1 / {} - 1)", share, kv,
                         share);
    });
  }

  void state_line(int d, std::int64_t layers) {
    const double share = head_share(d, std::max<std::int64_t>(1, h_.ssm_heads));
    const double rows = slots_ * real(1 + o_.draft_max);
    const bool exact = rules_.layout == CacheLayout::Exact;
    const double tail =
        real(h_.conv_tail_values()) + rules_.state_extra_columns.value * real(h_.conv_channels());
    const double values =
        exact ? real(padded_state_values(h_)) : tail + real(h_.ssm_state * h_.ssm_inner);
    line(MemoryGroup::State, d, "recurrent state",
         rules_.state_value_bytes.value * values * share * real(layers) * rows, [&] {
           return fmt::format(
               "{} layers x {:.0f} values x {} B x {} slot(s) x (1 + {} guessed): convolution tail "
               "and state",
               layers, values * share, rules_.state_value_bytes.value, o_.slots, o_.draft_max);
         });
  }

  void draft() {
    if (!o_.draft) return;
    FitOptions o = o_;
    o.draft = nullptr;
    o.draft_max = 0;
    o.offload = {};
    o.projector = o.prompt_cache = Bytes(0);
    o.runtime_bytes.reset();
    o.kv = {&f16(), &f16()};
    const Placement p = place(*o_.draft, 1, {}, rules_);
    for (MemoryLine& l : memory_ledger(*o_.draft, p, o, explain_).lines) {
      l.group = MemoryGroup::Draft;
      l.what = "draft model: " + l.what;
      ledger_.lines.push_back(std::move(l));
    }
  }

  double mask_cells() const {
    bool slides = false;
    for (std::int64_t l = 0; l < h_.layers && !slides; ++l) slides = h_.attends(l) && h_.slides(l);
    return cells_.full + (slides ? cells_.window : 0.0);
  }

  void compute(int d) {
    switch (rules_.layout) {
      case CacheLayout::Slots:
        return slots_compute(d);
      case CacheLayout::Blocks:
        return blocks_compute(d);
      case CacheLayout::Exact:
        break;
    }
    const double rows = std::max(ub_, slots_);
    line(MemoryGroup::Compute, d, "compute buffer",
         scratch_bytes(h_, static_cast<std::int64_t>(rows)), [&] {
           return fmt::format("activation rows of {:.0f} positions, each buffer once", rows);
         });
    line(MemoryGroup::Output, d, "output buffer", 4 * real(h_.vocab) * slots_,
         [&] { return fmt::format("4 x {} x {}: logits", h_.vocab, o_.slots); });
  }

  void slots_compute(int d) {
    const double share = p_.split == Split::Tensor ? p_.shares[static_cast<std::size_t>(d)] : 1;
    const double vocab = at(d).output ? real(h_.vocab) * share : 0.0;
    const double n = mask_cells(), hidden = real(h_.hidden);
    const double head = 4 * ub_ * (vocab + rules_.hidden_copies.value * hidden);
    const double heads = real(h_.heads), q = real(h_.q_width());
    const double body = o_.flash_attention ? rules_.mask_bytes.value * ub_ * n +
                                                 rules_.ffn_bytes.value * ub_ * ffn_width(h_)
                                           : 4 * ub_ * (n * (heads + 1) + 2 * q + 2 * hidden);
    line(MemoryGroup::Compute, d, "compute buffer", std::max(head, body), [&] {
      if (head >= body) {
        return fmt::format("4 x {} x ({:.0f} + {} x {}): logits and hidden of a micro-batch", ub_,
                           vocab, rules_.hidden_copies.value, h_.hidden);
      }
      if (o_.flash_attention) {
        return fmt::format("{} x {} x {:.0f} + {} x {} x {:.0f}: masks and feed-forward rows",
                           rules_.mask_bytes.value, ub_, n, rules_.ffn_bytes.value, ub_,
                           ffn_width(h_));
      }
      return fmt::format(
          "4 x {} x ({:.0f} x ({:.0f} + 1) + 2 x {:.0f} + 2 x {}): scores of all heads without "
          "flash attention, mask, queries, hidden",
          ub_, n, heads, q, h_.hidden);
    });
    if (d == std::max(0, p_.output())) {
      line(MemoryGroup::Compute, d, "experts copied for prefill", real(p_.staged), [] {
        return std::string(
            "experts of one block that lies in host memory: batches of 32 tokens or more are "
            "computed on the device");
      });
    }
  }

  void blocks_compute(int d) {
    const double share = p_.split == Split::Tensor ? p_.shares[static_cast<std::size_t>(d)] : 1;
    const double width = rules_.ffn_copies.value * ffn_rows() * share +
                         rules_.row_copies.value * real(h_.hidden) +
                         real(h_.q_width() + h_.k_width() + h_.v_width()) * share;
    const double rows = rules_.batch_rows.value, sequences = rules_.batch_sequences.value;
    const double logits = rules_.logit_bytes.value * sequences * real(h_.vocab) * share;
    line(MemoryGroup::Compute, d, "activations", 2 * rows * width + logits, [&] {
      return fmt::format(
          "2 B x {:.0f} rows x ({} x {:.0f} + {} x {} + q, k and v) + {} B x {:.0f} rows of logits",
          rows, rules_.ffn_copies.value, ffn_rows(), rules_.row_copies.value, h_.hidden,
          rules_.logit_bytes.value, sequences);
    });
  }
  double ffn_rows() const {
    return real(std::max(h_.ffn, h_.experts_used * h_.expert_ffn + h_.shared_ffn));
  }

  void runtime(int d) {
    const bool own = rules_.runtime_bytes.value > Bytes(0);
    if (!own && !o_.runtime_bytes) return;
    line(MemoryGroup::Runtime, d, "runtime context",
         own ? rules_.runtime_bytes.value.value() : o_.runtime_bytes->value(), [&] {
           return std::string(own ? "as the engine's rules state"
                                  : "as the backend states: kernels, streams, libraries");
         });
    const Layers& on = at(d);
    if (rules_.layout != CacheLayout::Slots || !o_.flash_attention || ub_ < 3) return;
    const std::int64_t layer = layer_that(on.full == 0);
    const double share = head_share(d, h_.kv_heads_of(layer));
    const double widest = on.full > 0 ? cells_.full : on.window > 0 ? cells_.window : 0;
    const double values = (o_.kv.k->quantized ? real(h_.k_width(layer)) : 0) +
                          (o_.kv.v->quantized ? real(h_.v_width(layer)) : 0);
    line(
        MemoryGroup::Runtime, d, "expanded cache", 2 * widest * cells_.streams * values * share,
        [&] {
          return fmt::format(
              "2 B x {:.0f} cells x {:.0f} values: quantized K and V of one layer as f16, for 3 or "
              "more query tokens",
              widest * cells_.streams, values * share);
        });
  }

  void host_buffers() {
    const double hidden = real(h_.hidden), n = mask_cells();
    const double mask = rules_.host_mask_bytes.value, copies = rules_.host_hidden_copies.value;
    line(MemoryGroup::Compute, kHost, "host buffer", ub_ * (mask * n + 4 * copies * hidden), [&] {
      return fmt::format("{} x ({} x {:.0f} + 4 x {} x {}): masks and hidden rows", ub_, mask, n,
                         copies, h_.hidden);
    });
    line(MemoryGroup::Output, kHost, "output buffer", 4 * real(h_.vocab) * slots_,
         [&] { return fmt::format("4 x {} x {} slot(s): logits", h_.vocab, o_.slots); });
  }

  const ModelSpec& model_;
  const Hyper& h_;
  const Placement& p_;
  const FitOptions& o_;
  const EngineRules& rules_;
  bool explain_;
  CacheCells cells_;
  double ub_, slots_;
  std::vector<Layers> on_;  // [0]: host memory
  MemoryLedger ledger_;
};

}  // namespace

std::string_view name(MemoryGroup group) {
  constexpr std::string_view kNames[] = {"weights", "kv",        "state",   "compute", "output",
                                         "draft",   "projector", "runtime", "cache"};
  return kNames[static_cast<std::size_t>(group)];
}

CacheCells cache_cells(const Hyper& h, const FitOptions& o) {
  const double step = o.engine.cell_step.value, slots = real(o.slots);
  CacheCells cells;
  if (o.engine.layout == CacheLayout::Slots) {
    const double all = rounded(real(o.context), step);
    const bool split = !o.unified && o.slots > 1;
    cells.streams = split ? slots : 1;
    cells.full = split ? std::max(step, rounded(std::floor(all / slots), step)) : all;
    const double kept =
        real(h.window) * (o.unified ? slots : 1) + real(std::min(o.n_ubatch, o.context));
    cells.window = o.swa_full ? cells.full : rounded(std::min(cells.full, kept), step);
    return cells;
  }
  cells.streams = slots;
  cells.full = rounded(real(o.context), step);
  if (o.engine.layout == CacheLayout::Exact) {
    for (std::int64_t l = 0; l < h.layers; ++l) {
      if (!h.attends(l) || !h.slides(l)) continue;
      cells.window = real(kv_cells(h, l, o.context, std::min(o.n_ubatch, o.context)));
      break;
    }
    return cells;
  }
  const double batch = std::min(o.engine.batch_rows.value, real(o.context));
  cells.window =
      o.swa_full ? cells.full : rounded(std::min(real(o.context), real(h.window) + batch), step);
  return cells;
}

Bytes MemoryLedger::on(int where) const {
  Bytes sum;
  for (const MemoryLine& l : lines) sum += l.where == where ? l.bytes : Bytes(0);
  return sum;
}

Bytes MemoryLedger::of(MemoryGroup group) const {
  Bytes sum;
  for (const MemoryLine& l : lines) sum += l.group == group ? l.bytes : Bytes(0);
  return sum;
}

Bytes MemoryLedger::of(MemoryGroup group, int where) const {
  Bytes sum;
  for (const MemoryLine& l : lines) {
    sum += l.group == group && l.where == where ? l.bytes : Bytes(0);
  }
  return sum;
}

MemoryLedger memory_ledger(const ModelSpec& model, const Placement& placement,
                           const FitOptions& options, bool explain) {
  return Writer(model, placement, options, explain).run();
}

LoadPeak load_peak(const ModelSpec& model, const Placement& p, const FitOptions& o, bool one_pool) {
  LoadPeak peak;
  const double file = real(std::max(model.file_bytes, model.weight_bytes()));
  const double in_host = real(p.host_weights + p.table);
  // With one pool the first machine's device copies lie beside the file's pages.
  const double copies = o.engine.page_cache_weights ? 0.0 : real(p.head_copy + p.weights[0]);
  const double on_device = one_pool ? copies : 0.0;
  peak.mapped = Bytes(on_device + file);
  peak.how_mapped = fmt::format("{:.0f} B of weights on the device + {:.0f} B of the file's pages",
                                on_device, file);
  if (o.engine.page_cache_weights) {
    peak.direct = peak.mapped;
    peak.how_direct = "weights are used in the mapped file";
    return peak;
  }
  peak.direct = Bytes(on_device + in_host + real(p.largest_tensor));
  peak.how_direct = fmt::format(
      "{:.0f} B on the device + {:.0f} B in host memory + {} B, the largest tensor on its way",
      on_device, in_host, p.largest_tensor);
  return peak;
}

void check_fit_options(const FitOptions& o) {
  constexpr std::int64_t kMostContext = 1'000'000'000'000;  // far beyond any; products stay exact
  BANDWALL_CHECK(o.kv.k != nullptr && o.kv.v != nullptr);
  const auto check = [](const char* field, std::int64_t value, std::int64_t least,
                        std::int64_t most) {
    if (value >= least && value <= most) return;
    throw Error::input(
        field, fmt::format("{} is outside {}..{}; give a number inside it", value, least, most));
  };
  check("context", o.context, 1, kMostContext);
  check("n_ubatch", o.n_ubatch, 1, 1'000'000);
  check("slots", o.slots, 1, 65'536);
  check("draft_max", o.draft_max, 0, 1024);
  if (o.offload.gpu_layers) check("gpu_layers", *o.offload.gpu_layers, 0, 1'000'000);
  check("cpu_expert_layers", o.offload.cpu_expert_layers, 0, 1'000'000);
  if (!o.flash_attention && o.kv.v->quantized) {
    throw Error::input("--cache-type-v",
                       fmt::format("{} needs flash attention: without it V lies transposed, one "
                                   "value at a time; take -fa on, or f16 values",
                                   o.kv.v->name));
  }
  if (o.engine.layout != CacheLayout::Slots && !o.offload.nothing_on_host()) {
    throw Error::input("--engine", fmt::format("{} does not offload layers or experts as llama.cpp "
                                               "does; leave out -ngl, -ncmoe and -ot",
                                               o.engine.name));
  }
}

}  // namespace bandwall
