#include "analysis/fit.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "hwmodel/error.h"

namespace bandwall {
namespace {

constexpr std::int64_t kCellStep = 256;
constexpr std::int64_t kMostContext = 1'000'000'000'000;  // far beyond any; keeps products exact
// Share of the usable memory within which nobody should promise either way: the estimate itself is
// good to about 1 %, and driver versions alone move the visible memory of one machine by 1.6 %.
constexpr double kCloseMargin = 0.025;

double round256(double positions) {
  return std::ceil(positions / static_cast<double>(kCellStep)) * static_cast<double>(kCellStep);
}

bool is_discrete(const Machine& machine) {
  return machine.pool().name == "vram" || machine.pools.size() > 1;
}

double devices(const Machine& machine) { return std::max(1, machine.devices); }

struct Report {
  FitReport r;
  void line(std::string what, double bytes, std::string how) {
    const Bytes whole(std::ceil(bytes));  // whole bytes, so that the sums are exact
    if (!(whole > Bytes(0))) return;
    r.needed += whole;
    r.lines.push_back({std::move(what), whole, std::move(how)});
  }
};

void weight_lines(const Machine& machine, const ModelSpec& model, Report& report) {
  std::int64_t table = 0;
  bool has_head = false;
  for (const TensorSpec& t : model.tensors) {
    if (t.role == Role::TokenEmbedding) table += t.bytes;
    if (t.role == Role::OutputHead) has_head = true;
  }
  const std::int64_t all = model.weight_bytes();
  if (!is_discrete(machine)) {
    report.line("weights", static_cast<double>(all),
                fmt::format("{} tensors, each once in the unified pool", model.tensors.size()));
    return;
  }
  report.line("weights", static_cast<double>(all - table),
              fmt::format("{} B of all tensors - {} B token table, which stays in host memory", all,
                          table));
  if (!has_head) {
    report.line("tied output head", static_cast<double>(table),
                "the token table again: the head on the device has its own copy");
  }
}

double full_cells(const FitOptions& o) { return round256(static_cast<double>(o.context)); }

double window_cells(const Hyper& h, const FitOptions& o) {
  return round256(std::min(static_cast<double>(o.context),
                           static_cast<double>(h.window) + static_cast<double>(o.n_ubatch)));
}

void kv_lines(const ModelSpec& model, const FitOptions& o, Report& report) {
  const Hyper& h = model.hyper;
  std::int64_t full = 0, windowed = 0;
  for (std::int64_t l = 0; l < h.layers; ++l) {
    if (h.attends(l)) ++(h.slides(l) ? windowed : full);
  }
  const double cell = o.kv.k->bytes_for(static_cast<double>(h.k_width())).value() +
                      o.kv.v->bytes_for(static_cast<double>(h.v_width())).value();
  const double sequences = static_cast<double>(o.sequences);
  const auto how = [&](std::int64_t layers, double cells, const char* rule) {
    return fmt::format(
        "{} layers x {:.0f} cells ({}) x {} sequence(s) x {} B per cell: {} K values "
        "of {} + {}",
        layers, cells, rule, o.sequences, cell, h.k_width(), o.kv.k->name,
        h.kv_rank > 0 ? std::string("no V (latent attention: K holds it too)")
                      : fmt::format("{} V values of {}", h.v_width(), o.kv.v->name));
  };
  report.line("KV cache", static_cast<double>(full) * full_cells(o) * sequences * cell,
              how(full, full_cells(o), "context rounded up to 256"));
  report.line("KV cache of window layers",
              static_cast<double>(windowed) * window_cells(h, o) * sequences * cell,
              how(windowed, window_cells(h, o), "min(context, window + ubatch) rounded up to 256"));
}

// Recurrent layers keep the tail of the convolution and the state, float32, per sequence.
void recurrent_line(const ModelSpec& model, const FitOptions& o, Report& report) {
  const std::int64_t values = model.hyper.state_values();
  report.line(
      "recurrent state", 4.0 * static_cast<double>(values) * static_cast<double>(o.sequences),
      fmt::format("4 x {} values (convolution tail and state of all layers) x {} sequence(s)",
                  values, o.sequences));
}

double ffn_width(const Hyper& h) {
  return static_cast<double>(std::max(h.ffn, h.experts_used * h.expert_ffn));
}

void buffer_lines(const Machine& machine, const ModelSpec& model, const FitOptions& o,
                  Report& report) {
  const Hyper& h = model.hyper;
  const double ub = static_cast<double>(std::min(o.n_ubatch, o.context));
  const double cells = full_cells(o) * static_cast<double>(o.sequences);
  const double vocab = static_cast<double>(h.vocab), hidden = static_cast<double>(h.hidden);
  const double head = 4 * ub * (vocab + hidden);
  const double mask = 6 * ub * cells + 8 * ub * ffn_width(h);
  const double count = devices(machine);
  const std::string each = machine.devices > 1 ? fmt::format(" on each of {} devices", count) : "";
  report.line(
      "compute buffer", count * std::max(head, mask),
      head >= mask
          ? fmt::format("4 x {} x ({} + {}){}: logits and hidden of a ubatch", ub, h.vocab,
                        h.hidden, each)
          : fmt::format("6 x {} x {:.0f} + 8 x {} x {}{}: masks and feed-forward of a ubatch", ub,
                        cells, ub, ffn_width(h), each));
  if (o.runtime_bytes) {
    report.line("runtime context", count * o.runtime_bytes->value(),
                "as the backend states: kernels, streams, libraries" + each);
  }
  if (is_discrete(machine)) return;  // the two below lie in host memory there
  report.line("host buffer", 4 * ub * (cells + 2 * hidden),
              fmt::format("4 x {} x ({:.0f} + 2 x {}): positions, masks, two hidden rows", ub,
                          cells, h.hidden));
  report.line("output buffer", 4 * vocab * static_cast<double>(o.sequences),
              fmt::format("4 x {} x {} sequence(s): logits", h.vocab, o.sequences));
}

Verdict judge(const Machine& machine, Bytes needed, Bytes usable) {
  const Bytes margin = usable * kCloseMargin;
  const Bytes visible = machine.pool().visible.value * devices(machine);
  if (needed + margin <= usable) return Verdict::Fits;
  if (needed <= std::max(visible, usable + margin)) return Verdict::TooClose;
  return Verdict::DoesNotFit;
}

FitReport report_without_search(const Machine& machine, const ModelSpec& model,
                                const FitOptions& o) {
  Report report;
  weight_lines(machine, model, report);
  kv_lines(model, o, report);
  recurrent_line(model, o, report);
  buffer_lines(machine, model, o, report);
  FitReport& r = report.r;
  r.usable = Bytes(std::floor(machine.pool().usable().value() * devices(machine)));
  r.headroom = r.usable - r.needed;
  r.verdict = judge(machine, r.needed, r.usable);
  return r;
}

void check_options(const Machine& machine, const FitOptions& o) {
  BANDWALL_CHECK(!machine.pools.empty());
  BANDWALL_CHECK(o.kv.k != nullptr && o.kv.v != nullptr);
  const auto check = [](const char* field, std::int64_t value, std::int64_t most) {
    if (value >= 1 && value <= most) return;
    throw Error::input(field,
                       fmt::format("{} is outside 1..{}; give a number inside it", value, most));
  };
  check("context", o.context, kMostContext);
  check("n_ubatch", o.n_ubatch, 1'000'000);
  check("sequences", o.sequences, 1'000'000);
}

// Largest multiple of 256 that still "fits": the need grows with the context, so halving works.
std::optional<std::int64_t> largest_context(const Machine& machine, const ModelSpec& model,
                                            FitOptions o) {
  const std::int64_t trained = model.hyper.context_train;
  const std::int64_t limit = (trained > 0 ? trained : std::int64_t{1} << 30) / kCellStep;
  std::int64_t low = 0, high = std::max<std::int64_t>(1, limit);  // in steps of 256
  const auto fits = [&](std::int64_t steps) {
    o.context = steps * kCellStep;
    return report_without_search(machine, model, o).verdict == Verdict::Fits;
  };
  while (low < high) {
    const std::int64_t middle = low + (high - low + 1) / 2;
    if (fits(middle)) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  if (low == 0) return std::nullopt;
  return low * kCellStep;
}

void add_notes(const Machine& machine, const ModelSpec& model, const FitOptions& o, FitReport& r) {
  if (!model.bytes_note.empty()) r.notes.push_back(model.bytes_note);
  const std::int64_t trained = model.hyper.context_train;
  if (trained > 0 && o.context > trained) {
    r.notes.push_back(fmt::format("context {} is beyond the {} positions the model was trained for",
                                  o.context, trained));
  }
  if (r.max_context && trained > 0 && *r.max_context + kCellStep > trained) {
    r.notes.push_back(
        fmt::format("max_context is the model's training context ({}), not memory", trained));
  }
  if (!o.runtime_bytes) {
    r.notes.push_back(
        "not counted: the runtime's own context and kernels (unknown here, often "
        "hundreds of MiB) and a server's prompt cache (up to 8192 MiB by default)");
  }
  if (is_discrete(machine)) {
    r.notes.push_back("host memory is needed besides: the token table, host and output buffers");
  }
  if (machine.devices > 1) {
    r.notes.push_back(fmt::format("weights and cache are taken as split evenly over {} devices",
                                  machine.devices));
  }
  if (r.verdict == Verdict::TooClose) {
    r.notes.push_back(
        fmt::format("too close to call: needed is within {:.1f} % of usable, or between usable "
                    "({}) and visible "
                    "({})",
                    100 * kCloseMargin, gb_and_gib(r.usable),
                    gb_and_gib(machine.pool().visible.value * devices(machine))));
  }
}

}  // namespace

std::string_view name(Verdict verdict) {
  switch (verdict) {
    case Verdict::Fits:
      return "fits";
    case Verdict::TooClose:
      return "too_close";
    case Verdict::DoesNotFit:
      return "does_not_fit";
  }
  return "?";
}

FitReport fit(const Machine& machine, const ModelSpec& model, const FitOptions& options) {
  check_options(machine, options);
  FitReport r = report_without_search(machine, model, options);
  r.max_context = largest_context(machine, model, options);
  add_notes(machine, model, options, r);
  return r;
}

}  // namespace bandwall
