#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "configs/library.h"
#include "configs/load.h"
#include "hwmodel/error.h"

namespace bandwall {
namespace {

constexpr ClaimKind kKinds[] = {ClaimKind::Memory,  ClaimKind::Fit,  ClaimKind::Decode,
                                ClaimKind::Prefill, ClaimKind::Roof, ClaimKind::Load,
                                ClaimKind::Power,   ClaimKind::Cost, ClaimKind::Limit};

ClaimKind read_kind(Reader& r) {
  const std::string text = r.text("kind");
  std::vector<std::string> names;
  for (const ClaimKind k : kKinds) {
    if (name(k) == text) return k;
    names.emplace_back(name(k));
  }
  if (!text.empty()) check_key(r, "kind", text, names);
  return ClaimKind::Memory;
}

// "24 tok/s" with one of the given units; both parts are kept.
void read_counted(Reader& r, Claim& c, const std::vector<std::string>& units) {
  const std::string text = r.text("value");
  if (text.empty()) return;
  double value = 0;
  const auto [stop, status] = std::from_chars(text.data(), text.data() + text.size(), value);
  const std::size_t used = static_cast<std::size_t>(stop - text.data());
  const std::string unit = used < text.size() && text[used] == ' ' ? text.substr(used + 1) : "";
  if (status != std::errc() || !std::isfinite(value) || value <= 0 || value > 1e15 ||
      std::find(units.begin(), units.end(), unit) == units.end()) {
    r.problem("value", fmt::format("\"{}\" is no number above 0 with the unit {}", text,
                                   fmt::join(units, " or ")));
    return;
  }
  c.value = value;
  c.unit = unit;
  const std::size_t point = text.find('.');
  const std::size_t decimals = point < used ? used - point - 1 : 0;
  c.half_digit = 0.5 * std::pow(10.0, -static_cast<double>(decimals));
}

template <class Q>
void read_quantity(Reader& r, Claim& c) {
  c.value = r.quantity<Q>("value").value();
  const std::string text = r.text("value");
  const std::size_t space = text.find(' ');
  c.unit = space == std::string::npos ? "" : text.substr(space + 1);
}

const std::vector<std::string> kLimits = {"capacity",
                                          "visible",
                                          "bandwidth",
                                          "read_bandwidth",
                                          "shared_per_block",
                                          "shared_per_sm",
                                          "sm_count",
                                          "fp4",
                                          "fp8",
                                          "bf16",
                                          "fp16",
                                          "tf32",
                                          "fp32"};

void read_limit(Reader& r, Claim& c) {
  c.what = r.text("what");
  if (!c.what.empty()) check_key(r, "what", c.what, kLimits);
  if (c.what == "sm_count") return read_counted(r, c, {"SMs"});
  if (c.what.find("bandwidth") != std::string::npos) return read_quantity<BytesPerSecond>(r, c);
  const bool rate = c.what.starts_with("fp") || c.what == "bf16" || c.what == "tf32";
  return rate ? read_quantity<FlopsPerSecond>(r, c) : read_quantity<Bytes>(r, c);
}

void read_value(Reader& r, Claim& c) {
  switch (c.kind) {
    case ClaimKind::Memory:
      c.what = r.text("what");
      if (!c.what.empty()) check_key(r, "what", c.what, {"weights", "kv", "total"});
      return read_quantity<Bytes>(r, c);
    case ClaimKind::Fit: {
      const std::string text = r.text("value");
      if (!text.empty()) check_key(r, "value", text, {"fits", "does not fit"});
      c.value = text == "fits" ? 1 : 0;
      return;
    }
    case ClaimKind::Decode:
    case ClaimKind::Prefill:
      return read_counted(r, c, {"tok/s"});
    case ClaimKind::Roof:
      c.read_bytes = r.quantity<Bytes>("read_per_token").value();
      return read_counted(r, c, {"tok/s"});
    case ClaimKind::Load:
      return read_counted(r, c, {"s"});
    case ClaimKind::Power:
      c.against = r.optional_text("against").value_or("");
      return read_counted(r, c, {c.against.empty() ? "W" : "x"});
    case ClaimKind::Cost:
      return read_counted(r, c, {"USD"});
    case ClaimKind::Limit:
      return read_limit(r, c);
  }
}

// A name that must lead to something; the message of the failed look-up becomes the problem.
template <class Load>
void check_name(Reader& r, std::string_view key, const std::string& text, Load load) {
  if (text.empty()) return;
  try {
    load(text);
  } catch (const Error& e) {
    r.problem(key, e.diagnostics().front().where + ": " + e.diagnostics().front().message);
  }
}

const KvFormat* read_kv(Reader& r, std::string_view key) {
  const auto text = r.optional_text(key);
  if (!text) return nullptr;
  const KvFormat* f = kv_format_from_name(*text);
  if (f != nullptr) return f;
  std::vector<std::string> names;
  for (const KvFormat& known : all_kv_formats()) names.emplace_back(known.name);
  check_key(r, key, *text, names);
  return nullptr;
}

void read_model(Reader& r, Claim& c) {
  c.model = r.optional_text("model").value_or("");
  c.mix = r.optional_text("mix").value_or("");
  c.active_values = r.optional_number("active_values", 1, 1e15).value_or(0);
  if (const auto format = r.optional_text("format")) {
    c.format = format_from_name(*format);
    std::vector<std::string> names;
    for (const FormatInfo& f : all_formats()) names.emplace_back(f.name);
    if (!c.format) check_key(r, "format", *format, names);
  }
  if (!c.model.empty() && c.active_values > 0) r.problem("active_values", "a model is named too");
  if (c.active_values > 0 && !c.format) r.problem("format", "missing; active_values have one");
  if (c.model.empty() && !c.mix.empty()) r.problem("mix", "of no model");
  check_name(r, "model", c.model, [](const std::string& n) { load_model_shape(n); });
  if (c.model.empty() || c.mix.empty()) return;
  check_name(r, "mix", c.mix, [&](const std::string& mix) {
    const auto names = model_names();
    if (std::find(names.begin(), names.end(), c.model) == names.end()) return;
    model_from_shape(load_model_shape(c.model), mix);
  });
}

Claim read_claim(Reader& r) {
  Claim c;
  c.statement = r.text("statement");
  c.source = r.text("source");
  c.kind = read_kind(r);
  c.machine = r.optional_text("machine").value_or("");
  c.backend = r.optional_text("backend").value_or("");
  read_model(r, c);
  read_value(r, c);
  c.context = r.optional_integer("context", 0, 1'000'000'000).value_or(0);
  c.prompt = r.optional_integer("prompt", 1, 1'000'000'000).value_or(512);
  c.batch = r.optional_integer("batch", 1, 1'000'000).value_or(1);
  c.n_ubatch = r.optional_integer("n_ubatch", 1, 1'000'000).value_or(512);
  c.type_k = read_kv(r, "type_k");
  c.type_v = read_kv(r, "type_v");
  c.tolerance = r.optional_number("tolerance", 0, 10).value_or(0);
  c.comment = r.optional_text("comment").value_or("");
  check_name(r, "machine", c.machine, [](const std::string& n) { load_machine(n); });
  check_name(r, "against", c.against, [](const std::string& n) { load_machine(n); });
  check_name(r, "backend", c.backend, [](const std::string& n) { load_backend(n); });
  const bool of_model = c.kind == ClaimKind::Memory || c.kind == ClaimKind::Fit ||
                        c.kind == ClaimKind::Load || c.kind == ClaimKind::Decode ||
                        c.kind == ClaimKind::Prefill;
  const bool by_values = c.kind == ClaimKind::Decode || c.kind == ClaimKind::Prefill;
  if (of_model && c.model.empty() && !(by_values && c.active_values > 0)) {
    r.problem("model",
              by_values ? "missing; name one or give active_values and format" : "missing");
  }
  if (c.machine.empty() && c.kind != ClaimKind::Memory) r.problem("machine", "missing");
  if ((c.kind == ClaimKind::Fit || c.what == "kv" || c.what == "total") && c.context < 1) {
    r.problem("context", "missing; the cache grows with it");
  }
  if (c.what == "total" && c.machine.empty()) r.problem("machine", "missing");
  return c;
}

}  // namespace

ClaimFile read_claims(Reader& r) {
  ClaimFile file;
  file.title = r.text("title");
  for (Reader& claim : r.children("claims")) file.claims.push_back(read_claim(claim));
  for (Reader& left : r.children("not_checked")) {
    file.not_checked.push_back({left.text("statement"), left.text("because")});
  }
  if (file.claims.empty()) r.problem("claims", "at least one claim is wanted");
  return file;
}

}  // namespace bandwall
