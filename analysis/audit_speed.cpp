#include "analysis/audit_speed.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "analysis/predict.h"
#include "hwmodel/error.h"

namespace bandwall {
namespace {

constexpr double kRounding = 1 + 1e-9;
constexpr double kSlowestShare = 0.7;  // of the expected speed: slower is no match of a label

Scenario scenario(const Claim& c, bool prefill) {
  Scenario s;
  s.depth = c.context;
  s.batch = prefill ? 1 : c.batch;
  s.n_ubatch = c.n_ubatch;
  s.kv = claimed_kv(c);
  (prefill ? s.n_prompt : s.n_gen) = prefill ? c.prompt : 1;
  return s;
}

Throughput throughput(const Claim& c, const AuditInputs& in, const ModelSpec& model, bool prefill) {
  const Scenario s = scenario(c, prefill);
  // A claim is about text, whose tokens choose their experts nearly independently, not about the
  // random tokens of a benchmark that the backend's skew is of.
  Backend backend = *in.backend;
  backend.routing_concentration.reset();
  return prefill ? predict_prefill(*in.machine, backend, model, s)
                 : predict_decode(*in.machine, backend, model, s);
}

double bits(Format f) { return info(f).bits_per_value(); }

// Another format of the same model that comes nearest to the claimed speed and can reach it.
std::string other_format(const Claim& c, const AuditInputs& in, bool prefill) {
  std::string found;
  double best = kSlowestShare;
  for (const ModelSpec& m : in.others) {
    const Throughput t = throughput(c, in, m, prefill);
    const double share = std::min(c.value, t.ts) / std::max(c.value, t.ts);
    if (c.value > t.ts_high || share <= best) continue;  // of equals the first
    best = share;
    found = fmt::format("in {} the model would reach it: {:.1f} tok/s expected, {:.1f} to {:.1f}",
                        m.quantization, t.ts, t.ts_low, t.ts_high);
  }
  return found;
}

// Models of which only the values read per token are known: the light alone decides.
Judgement by_values(const Claim& c, const AuditInputs& in) {
  Judgement j;
  const double peak = in.machine->pool().peak.value.value();
  const double achievable = in.machine->pool().achievable.value.value();
  const double bytes = c.active_values * bits(*c.format) / 8;
  const double light = peak / bytes * static_cast<double>(c.batch);
  j.computed = fmt::format("at most {:.1f} tok/s", light);
  j.arithmetic.push_back(fmt::format("{:.2f} billion values x {} bits = {} per token",
                                     c.active_values / kGiga, bits(*c.format),
                                     gb_and_gib(Bytes(bytes))));
  j.arithmetic.push_back(fmt::format("light: {} / {} = {:.1f} tok/s; the claim reads {}",
                                     human(BytesPerSecond(peak)), gb_and_gib(Bytes(bytes)), light,
                                     human(BytesPerSecond(c.value * bytes))));
  if (c.value <= light * achievable / peak) return j;
  j.verdict = ClaimVerdict::Implausible;
  j.arithmetic.push_back(fmt::format("a plain read kernel reaches {}, {:.1f} tok/s",
                                     human(BytesPerSecond(achievable)), light * achievable / peak));
  if (c.value <= light * kRounding) return j;
  j.verdict = ClaimVerdict::Impossible;
  for (const Format f : {Format::F16, Format::F8_E4M3, Format::Q8_0, Format::NVFP4_ST}) {
    const double most = achievable / (c.active_values * bits(f) / 8);
    if (bits(f) >= bits(*c.format) || c.value > most || c.value < kSlowestShare * most) continue;
    j.verdict = ClaimVerdict::Mislabelled;
    j.arithmetic.push_back(
        fmt::format("no {} can do that; weights in {} ({} bits) would reach {:.1f} tok/s at a "
                    "plain read's rate",
                    name(*c.format), name(f), bits(f), most));
    break;
  }
  return j;
}

Judgement prefill_by_values(const Claim& c, const AuditInputs& in) {
  Judgement j;
  double best = 0;
  std::string numeric;
  for (const ComputeRate& r : in.machine->compute) {
    if (r.peak.value.value() <= best) continue;
    best = r.peak.value.value();
    numeric = r.numeric;
  }
  if (best == 0) throw Error::input(in.machine->name, "states no rates of compute");
  const double light = best / (2 * c.active_values);
  j.computed = fmt::format("at most {:.0f} tok/s", light);
  j.arithmetic.push_back(fmt::format(
      "2 x {:.2f} billion values x {:.0f} tok/s = {}; the highest dense rate of {} is "
      "{} ({}), {:.0f} tok/s",
      c.active_values / kGiga, c.value, human(FlopsPerSecond(2 * c.active_values * c.value)),
      in.machine->name, human(FlopsPerSecond(best)), numeric, light));
  if (c.value > light * kRounding) j.verdict = ClaimVerdict::Impossible;
  return j;
}

Judgement judge_speed(const Claim& c, const AuditInputs& in, bool prefill) {
  BANDWALL_CHECK(in.model != nullptr && in.backend != nullptr);
  const Throughput t = throughput(c, in, *in.model, prefill);
  Judgement j;
  j.computed = fmt::format("{:.1f} tok/s ({:.1f} to {:.1f})", t.ts, t.ts_low, t.ts_high);
  const BytesPerSecond peak = in.machine->pool().peak.value;
  if (!prefill) {
    j.arithmetic.push_back(fmt::format("a step reads {} of weights and {} of cache",
                                       gb_and_gib(t.bytes_weights), gb_and_gib(t.bytes_kv)));
  } else {
    j.arithmetic.push_back(
        fmt::format("{} tokens in micro-batches of {}: each reads the weights it meets, {} in all",
                    c.prompt, c.n_ubatch, gb_and_gib(t.bytes_weights)));
    j.arithmetic.push_back(
        fmt::format("the claim means {} of memory traffic",
                    human(BytesPerSecond((t.bytes_weights + t.bytes_kv).value() * c.value /
                                         static_cast<double>(c.prompt)))));
  }
  j.arithmetic.push_back(
      fmt::format("light ({} and peak compute): {:.1f} tok/s; the claim is {:.0f} "
                  "% of it",
                  human(peak), t.ts_speed_of_light, 100 * c.value / t.ts_speed_of_light));
  j.arithmetic.push_back(
      fmt::format("{} ({}) is expected to reach {:.1f} tok/s, {:.1f} to {:.1f}; "
                  "bound by {}",
                  in.backend->title, name(t.basis), t.ts, t.ts_low, t.ts_high, name(t.bound)));
  // A figure stands for all that round to it.
  const double least = c.value - c.half_digit, most = c.value + c.half_digit;
  const double slack = 1 + c.tolerance;
  const bool above_light = least > t.ts_speed_of_light * kRounding;
  if (most >= t.ts_low / slack && least <= t.ts_high * slack && !above_light) return j;
  j.verdict = above_light ? ClaimVerdict::Impossible : ClaimVerdict::Implausible;
  if (c.value > t.ts_high) {
    const std::string label = prefill ? "" : other_format(c, in, prefill);
    if (!label.empty()) {
      j.verdict = ClaimVerdict::Mislabelled;
      j.arithmetic.push_back(label);
    }
  } else {
    j.arithmetic.push_back(
        fmt::format("{:.0f} % of the lower end: slower than this software is known "
                    "to be, which a measurement may well show",
                    100 * c.value / t.ts_low));
  }
  return j;
}

}  // namespace

KvConfig claimed_kv(const Claim& c) {
  const KvFormat* f16 = kv_format_from_name("f16");
  return {c.type_k ? c.type_k : f16, c.type_v ? c.type_v : f16};
}

Judgement audit_decode(const Claim& c, const AuditInputs& in) {
  return in.model == nullptr ? by_values(c, in) : judge_speed(c, in, false);
}

Judgement audit_prefill(const Claim& c, const AuditInputs& in) {
  return in.model == nullptr ? prefill_by_values(c, in) : judge_speed(c, in, true);
}

Judgement audit_roof(const Claim& c, const AuditInputs& in) {
  Judgement j;
  const double peak = in.machine->pool().peak.value.value();
  const double light = peak / c.read_bytes;
  j.computed = fmt::format("{:.1f} tok/s", light);
  j.arithmetic.push_back(fmt::format("{} / {} per token = {:.1f} tok/s",
                                     human(BytesPerSecond(peak)), gb_and_gib(Bytes(c.read_bytes)),
                                     light));
  const double allowed = c.tolerance > 0 ? c.tolerance : kBytesTolerance;
  if (std::fabs(c.value / light - 1) <= allowed) return j;
  const double mixed = light * kGiB / kGiga;
  if (std::fabs(c.value / mixed - 1) <= allowed) {
    j.verdict = ClaimVerdict::Mislabelled;
    j.arithmetic.push_back(fmt::format(
        "GiB read as GB give {:.1f} tok/s, near the claim: decimal and binary units are mixed up",
        mixed));
    return j;
  }
  j.verdict = c.value > light ? ClaimVerdict::Impossible : ClaimVerdict::Implausible;
  return j;
}

}  // namespace bandwall
