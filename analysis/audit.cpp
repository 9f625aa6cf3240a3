#include "analysis/audit.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "analysis/audit_speed.h"
#include "analysis/fit.h"
#include "hwmodel/compute_capability.h"
#include "hwmodel/error.h"

namespace bandwall {
namespace {

bool near(double a, double b, double tolerance) {
  return b > 0 && std::fabs(a / b - 1) <= tolerance;
}

std::string percent_off(double claimed, double computed) {
  return fmt::format("claim / computed = {:.3f}, {:+.1f} %", claimed / computed,
                     100 * (claimed / computed - 1));
}

double tolerance(const Claim& c, double usual) { return c.tolerance > 0 ? c.tolerance : usual; }

// GB written for GiB or the other way round; empty when neither reading helps.
std::string unit_slip(const Claim& c, double computed) {
  const double binary = c.unit == "GiB" || c.unit == "GB"   ? kGiB / kGiga
                        : c.unit == "MiB" || c.unit == "MB" ? kMiB / kMega
                                                            : 0;
  if (binary == 0) return "";
  const bool decimal = c.unit == "GB" || c.unit == "MB";
  const double other = decimal ? c.value * binary : c.value / binary;
  if (!near(other, computed, kLabelTolerance)) return "";
  const char prefix = c.unit[0];
  return fmt::format("read as {}{} it is {}, which agrees: decimal and binary units are mixed up",
                     prefix, decimal ? "iB" : "B", gb_and_gib(Bytes(other)));
}

std::string other_size(const Claim& c, const AuditInputs& in) {
  if (const std::string slip = unit_slip(c, static_cast<double>(in.model->weight_bytes()));
      !slip.empty()) {
    return slip;
  }
  std::string found;
  double best = kLabelTolerance;
  for (const ModelSpec& m : in.others) {
    const double bytes = static_cast<double>(m.weight_bytes());
    const double off = std::fabs(c.value / bytes - 1);
    if (off > best) continue;
    best = off;
    found = fmt::format("that is the size in {}: {}", m.quantization, gb_and_gib(Bytes(bytes)));
  }
  const double parameters = static_cast<double>(in.model->parameters());
  if (near(c.value / kGiga, parameters / kGiga, kLabelTolerance)) {
    found += fmt::format(
        "{}the number is the parameter count, {:.1f} billion, of which each takes "
        "{:.3f} B here",
        found.empty() ? "" : "; ", parameters / kGiga,
        static_cast<double>(in.model->weight_bytes()) / parameters);
  }
  return found;
}

FitReport claimed_fit(const Claim& c, const AuditInputs& in) {
  FitOptions options;
  options.context = c.context;
  options.kv = claimed_kv(c);
  options.n_ubatch = c.n_ubatch;
  if (in.backend && in.backend->context_bytes) {
    options.runtime_bytes = in.backend->context_bytes->value;
  }
  return fit(*in.machine, *in.model, options);
}

Judgement memory(const Claim& c, const AuditInputs& in) {
  Judgement j;
  const KvConfig kv = claimed_kv(c);
  double computed = 0;
  if (c.what == "weights") {
    computed = static_cast<double>(in.model->weight_bytes());
    j.arithmetic.push_back(fmt::format("{:.3f} billion parameters x {:.3f} bits on average = {} B",
                                       static_cast<double>(in.model->parameters()) / kGiga,
                                       8 * computed / static_cast<double>(in.model->parameters()),
                                       in.model->weight_bytes()));
  } else if (c.what == "kv") {
    const std::int64_t cells = (c.context + 255) / 256 * 256;
    computed = kv_cache_bytes(*in.model, kv, cells, c.n_ubatch).value();
    j.arithmetic.push_back(fmt::format("{} cells x {:.0f} B per position (K {}, V {}) = {}", cells,
                                       kv_bytes_per_position(*in.model, kv).value(), kv.k->name,
                                       kv.v->name, gb_and_gib(Bytes(computed))));
  } else {
    const FitReport report = claimed_fit(c, in);
    computed = report.needed.value();
    for (const MemoryLine& line : report.lines) {
      j.arithmetic.push_back(fmt::format("{}: {}", line.what, gb_and_gib(line.bytes)));
    }
  }
  j.computed = gb_and_gib(Bytes(computed));
  j.arithmetic.push_back(percent_off(c.value, computed));
  if (near(c.value, computed, tolerance(c, kBytesTolerance))) return j;
  const std::string label = c.what == "weights" ? other_size(c, in) : unit_slip(c, computed);
  if (!label.empty()) {
    j.verdict = ClaimVerdict::Mislabelled;
    j.arithmetic.push_back(label);
    return j;
  }
  const double least = static_cast<double>(in.model->weight_bytes());
  j.verdict =
      c.what == "total" && c.value < least ? ClaimVerdict::Impossible : ClaimVerdict::Implausible;
  return j;
}

Judgement fits(const Claim& c, const AuditInputs& in) {
  const FitReport report = claimed_fit(c, in);
  Judgement j;
  j.computed = name(report.verdict);
  const Deciding d = deciding(report);
  j.arithmetic.push_back(fmt::format("{} needed at {} positions, {} usable: {} {}",
                                     gb_and_gib(d.needed), c.context, gb_and_gib(d.usable),
                                     d.headroom < Bytes(0) ? "short by" : "to spare",
                                     gb_and_gib(Bytes(std::fabs(d.headroom.value())))));
  if (report.verdict == Verdict::TooClose) {
    j.arithmetic.push_back("too close to call: either claim can come true");
  } else if (report.verdict == Verdict::Fits && c.value == 0) {
    j.verdict = ClaimVerdict::Implausible;
  } else if (report.verdict == Verdict::DoesNotFit && c.value != 0) {
    j.verdict = ClaimVerdict::Impossible;
  }
  return j;
}

Judgement load(const Claim& c, const AuditInputs& in) {
  const Link* disk = in.machine->link("nvme");
  if (disk == nullptr) {
    throw Error::input(in.machine->name, "describes no link nvme, so load times cannot be judged");
  }
  Judgement j;
  const double bytes = static_cast<double>(in.model->weight_bytes());
  const double light = bytes / disk->bandwidth.value.value();
  j.computed = fmt::format("{:.0f} s", light);
  j.arithmetic.push_back(fmt::format("{} / {} of the disk = {:.0f} s at least",
                                     gb_and_gib(Bytes(bytes)), human(disk->bandwidth.value),
                                     light));
  j.arithmetic.push_back(fmt::format("{:.0f} s are {}, {:.1f} times slower than the disk", c.value,
                                     human(BytesPerSecond(bytes / c.value)), c.value / light));
  const double fault = c.value * 4096 / bytes;
  if (c.value < light * (1 - kBytesTolerance)) j.verdict = ClaimVerdict::Impossible;
  if (c.value > light * (1 + tolerance(c, kLoadFactor - 1))) {
    j.verdict = ClaimVerdict::Implausible;
    j.arithmetic.push_back(fmt::format(
        "as a time it may well have been measured, but it is no limit of the disk: one 4 KiB page "
        "every {:.1f} us is what page faults of a mapped file take",
        fault * 1e6));
  }
  return j;
}

double watts(const Machine& m) {
  if (!m.power) throw Error::input(m.name, "states no power, so the claim cannot be judged");
  return m.power->value.value();
}

Judgement power(const Claim& c, const AuditInputs& in) {
  Judgement j;
  const double own = watts(*in.machine);
  if (in.against == nullptr) {
    j.computed = fmt::format("{:.0f} W", own);
    j.arithmetic.push_back(
        fmt::format("{}: {:.0f} W ({})", in.machine->name, own, in.machine->power->source.note));
    j.arithmetic.push_back(percent_off(c.value, own));
    if (c.value > own * (1 + tolerance(c, kPowerTolerance))) j.verdict = ClaimVerdict::Implausible;
    return j;
  }
  const double ratio = own / watts(*in.against);
  const double factor = 1 + tolerance(c, kPowerRatioFactor - 1);
  j.computed = fmt::format("{:.2f} x", ratio);
  j.arithmetic.push_back(fmt::format("{:.0f} W of {} / {:.0f} W of {} = {:.2f}, 1 to {:.1f}", own,
                                     in.machine->name, watts(*in.against), in.against->name, ratio,
                                     1 / ratio));
  if (c.value > ratio * factor || c.value < ratio / factor) j.verdict = ClaimVerdict::Implausible;
  return j;
}

Judgement cost(const Claim& c, const AuditInputs& in) {
  if (!in.machine->price_usd) {
    throw Error::input(in.machine->name, "states no price, so the claim cannot be judged");
  }
  const double price = in.machine->price_usd->value;
  Judgement j;
  j.computed = fmt::format("{:.0f} USD", price);
  j.arithmetic.push_back(
      fmt::format("list price {:.0f} USD ({})", price, in.machine->price_usd->source.note));
  j.arithmetic.push_back(percent_off(c.value, price));
  if (!near(c.value, price, tolerance(c, kCostTolerance))) j.verdict = ClaimVerdict::Implausible;
  return j;
}

struct Figure {
  std::string what;
  double value = 0;
};

// Every figure of the machine that a limit may be about.
std::vector<Figure> figures(const Machine& m) {
  std::vector<Figure> all = {{"capacity", m.pool().installed.value.value()},
                             {"visible", m.pool().visible.value.value()},
                             {"bandwidth", m.pool().peak.value.value()},
                             {"read_bandwidth", m.pool().achievable.value.value()}};
  for (const ComputeRate& r : m.compute) all.push_back({r.numeric, r.peak.value.value()});
  if (m.kernel_limits) {
    all.push_back({"shared_per_block", m.kernel_limits->shared_per_block.value.value()});
    all.push_back({"shared_per_sm", m.kernel_limits->shared_per_sm.value.value()});
    all.push_back({"sm_count", m.kernel_limits->sm_count.value});
  }
  return all;
}

std::string shown(const std::string& what, double value) {
  if (what == "sm_count") return fmt::format("{:.0f} SMs", value);
  if (what.find("bandwidth") != std::string::npos) return human(BytesPerSecond(value));
  if (what.starts_with("shared")) return fmt::format("{:.0f} B ({:.0f} KiB)", value, value / kKiB);
  if (what == "capacity" || what == "visible") return gb_and_gib(Bytes(value));
  return human(FlopsPerSecond(value));
}

std::string other_limit(const Claim& c, const AuditInputs& in, const std::vector<Figure>& all,
                        double computed) {
  if (const std::string slip = unit_slip(c, computed); !slip.empty()) return slip;
  for (const Figure& f : all) {
    if (f.what != c.what && near(c.value, f.value, kLabelTolerance / 4)) {
      return fmt::format("that is {} of {}: {}", f.what, in.machine->name, shown(f.what, f.value));
    }
  }
  if (c.what.starts_with("shared")) {
    for (const char* of : {"a block", "an SM"}) {
      std::string owners;
      for (const ComputeCapability& cc : compute_capabilities()) {
        const std::int64_t bytes =
            of == std::string_view("a block") ? cc.shared_per_block : cc.shared_per_sm;
        if (c.value == static_cast<double>(bytes))
          owners += (owners.empty() ? "" : ", ") + std::string(cc.name);
      }
      if (!owners.empty()) {
        return fmt::format("that is what {} of compute capability {} has", of, owners);
      }
    }
  }
  const bool rate = c.what.starts_with("fp") || c.what == "bf16" || c.what == "tf32";
  if (rate && c.value > 1.8 * computed && c.value < 2.5 * computed) {
    return fmt::format("half of it, {}, is near the dense rate: the figure counts sparse products",
                       human(FlopsPerSecond(c.value / 2)));
  }
  return "";
}

Judgement limit(const Claim& c, const AuditInputs& in) {
  const std::vector<Figure> all = figures(*in.machine);
  const auto own =
      std::find_if(all.begin(), all.end(), [&](const Figure& f) { return f.what == c.what; });
  if (own == all.end()) {
    throw Error::input(in.machine->name, "states no " + c.what + ", so the claim cannot be judged");
  }
  Judgement j;
  j.computed = shown(c.what, own->value);
  j.arithmetic.push_back(fmt::format("{} of {}: {}", c.what, in.machine->name, j.computed));
  j.arithmetic.push_back(percent_off(c.value, own->value));
  // Shared memory is a matter of single bytes.
  const double usual = c.what.starts_with("shared") ? 1e-9 : kBytesTolerance;
  if (near(c.value, own->value, tolerance(c, usual))) return j;
  const std::string label = other_limit(c, in, all, own->value);
  j.verdict = !label.empty() ? ClaimVerdict::Mislabelled
              : c.what == "read_bandwidth" && c.value > in.machine->pool().peak.value.value()
                  ? ClaimVerdict::Impossible
                  : ClaimVerdict::Implausible;
  if (!label.empty()) j.arithmetic.push_back(label);
  return j;
}

}  // namespace

std::string_view name(ClaimVerdict verdict) {
  switch (verdict) {
    case ClaimVerdict::Consistent:
      return "consistent";
    case ClaimVerdict::Implausible:
      return "implausible";
    case ClaimVerdict::Mislabelled:
      return "mislabelled";
    case ClaimVerdict::Impossible:
      return "impossible";
  }
  return "";
}

Judgement audit(const Claim& c, const AuditInputs& in) {
  BANDWALL_CHECK(c.kind == ClaimKind::Memory || in.machine != nullptr);
  const bool of_model =
      c.kind == ClaimKind::Memory || c.kind == ClaimKind::Fit || c.kind == ClaimKind::Load;
  BANDWALL_CHECK(!of_model || in.model != nullptr);
  switch (c.kind) {
    case ClaimKind::Memory:
      return memory(c, in);
    case ClaimKind::Fit:
      return fits(c, in);
    case ClaimKind::Decode:
      return audit_decode(c, in);
    case ClaimKind::Prefill:
      return audit_prefill(c, in);
    case ClaimKind::Roof:
      return audit_roof(c, in);
    case ClaimKind::Load:
      return load(c, in);
    case ClaimKind::Power:
      return power(c, in);
    case ClaimKind::Cost:
      return cost(c, in);
    case ClaimKind::Limit:
      return limit(c, in);
  }
  return {};
}

}  // namespace bandwall
