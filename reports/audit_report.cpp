#include "reports/audit_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "configs/library.h"
#include "hwmodel/error.h"
#include "reports/table.h"

namespace bandwall {
namespace {

using Json = nlohmann::ordered_json;

// The same shape in the formats that labels are mixed up with: published ones and the usual mixes.
std::vector<ModelSpec> other_formats(const ModelShape& shape, const std::string& own) {
  std::vector<std::string> names;
  for (const PublishedMix& m : shape.published) names.push_back(m.name);
  for (const char* usual : {"BF16", "Q8_0", "Q4_K_M", "Q3_K_M", "MXFP4_MOE"}) {
    if (std::find(names.begin(), names.end(), usual) == names.end()) names.emplace_back(usual);
  }
  std::vector<ModelSpec> models;
  for (const std::string& name : names) {
    if (name == own) continue;
    try {
      models.push_back(model_from_shape(shape, name));
    } catch (const Error&) {
      continue;  // a mix that this shape cannot have is no wrong label either
    }
  }
  return models;
}

Judgement judged(const Claim& c) {
  AuditInputs in;
  Machine machine, against;
  Backend backend;
  ModelSpec model;
  if (!c.machine.empty()) {
    machine = load_machine(c.machine);
    in.machine = &machine;
    const std::string name = c.backend.empty() ? machine.default_backend : c.backend;
    if (!name.empty()) {
      backend = backend_for(load_backend(name), machine);
      in.backend = &backend;
    }
  }
  if (!c.against.empty()) {
    against = load_machine(c.against);
    in.against = &against;
  }
  if (!c.model.empty()) {
    const ModelShape shape = load_model_shape(c.model);
    const std::string mix = c.mix.empty() ? shape.default_mix : c.mix;
    model = model_from_shape(shape, mix);
    in.model = &model;
    in.others = other_formats(shape, mix);
    const bool speed = c.kind == ClaimKind::Decode || c.kind == ClaimKind::Prefill;
    if (speed && in.backend == nullptr) {
      throw Error::input(c.machine, "has no usual backend; name one in the claim");
    }
  }
  return audit(c, in);
}

std::string claimed(const Claim& c) {
  if (c.kind == ClaimKind::Fit) return c.value != 0 ? "fits" : "does not fit";
  double value = c.value;
  const bool bytes = c.kind == ClaimKind::Memory || c.what == "capacity" || c.what == "visible" ||
                     c.what.starts_with("shared");
  if (bytes) return to_text(Bytes(value));
  if (c.kind == ClaimKind::Limit && c.what.find("bandwidth") != std::string::npos) {
    return human(BytesPerSecond(value));
  }
  if (c.kind == ClaimKind::Limit && c.what != "sm_count") return human(FlopsPerSecond(value));
  return fmt::format("{:g} {}", value, c.unit);
}

std::string about(const Claim& c) {
  std::string text = std::string(name(c.kind));
  if (!c.what.empty()) text += " (" + c.what + ")";
  if (!c.model.empty()) text += ", " + c.model + (c.mix.empty() ? "" : ":" + c.mix);
  if (!c.machine.empty()) text += ", " + c.machine;
  return text;
}

std::array<int, 4> counts(const AuditReport& r) {
  std::array<int, 4> n = {};
  for (const Judgement& j : r.judgements) ++n[static_cast<std::size_t>(j.verdict)];
  return n;
}

std::string summary(const AuditReport& r) {
  const auto n = counts(r);
  return fmt::format("{} claims: {} consistent, {} implausible, {} mislabelled, {} impossible",
                     r.judgements.size(), n[0], n[1], n[2], n[3]);
}

Table table_of(const AuditReport& r) {
  Table table(
      {{"#", Align::Right}, {"claim"}, {"claimed", Align::Right}, {"computed"}, {"verdict"}});
  for (std::size_t i = 0; i < r.judgements.size(); ++i) {
    table.add({fmt::format("{}", i + 1), r.file.claims[i].statement, claimed(r.file.claims[i]),
               r.judgements[i].computed, std::string(name(r.judgements[i].verdict))});
  }
  return table;
}

}  // namespace

AuditReport audit_file(ClaimFile file) {
  AuditReport report{std::move(file), {}};
  for (std::size_t i = 0; i < report.file.claims.size(); ++i) {
    try {
      report.judgements.push_back(judged(report.file.claims[i]));
    } catch (const Error& e) {
      throw Error::input(fmt::format("claim {}", i + 1), e.what());
    }
  }
  return report;
}

bool all_consistent(const AuditReport& report) {
  return std::all_of(report.judgements.begin(), report.judgements.end(),
                     [](const Judgement& j) { return j.verdict == ClaimVerdict::Consistent; });
}

std::string audit_text(const AuditReport& r) {
  std::string out = r.file.title + "\n\n" + table_of(r).text() + "\n" + summary(r) + "\n";
  for (std::size_t i = 0; i < r.judgements.size(); ++i) {
    const Claim& c = r.file.claims[i];
    const Judgement& j = r.judgements[i];
    out += fmt::format("\n{}. {}: {}\n   {}; {}\n", i + 1, name(j.verdict), c.statement, about(c),
                       c.source);
    for (const std::string& step : j.arithmetic) out += "   - " + step + "\n";
    if (!c.comment.empty()) out += "   note: " + c.comment + "\n";
  }
  if (!r.file.not_checked.empty()) out += "\nnot checked:\n";
  for (const NotChecked& n : r.file.not_checked) {
    out += "- " + n.statement + ": " + n.because + "\n";
  }
  return out;
}

std::string audit_markdown(const AuditReport& r) {
  std::string out = "# " + r.file.title + "\n\n" + summary(r) + ".\n\n" + table_of(r).markdown();
  out += "\n## Arithmetic\n";
  for (std::size_t i = 0; i < r.judgements.size(); ++i) {
    const Claim& c = r.file.claims[i];
    const Judgement& j = r.judgements[i];
    out += fmt::format("\n**{}. {}** ({}): {}.\n\n", i + 1, c.statement, c.source, name(j.verdict));
    out += "- " + about(c) + "\n";
    for (const std::string& step : j.arithmetic) out += "- " + step + "\n";
    if (!c.comment.empty()) out += "- note: " + c.comment + "\n";
  }
  if (!r.file.not_checked.empty()) out += "\n## Not checked\n\n";
  for (const NotChecked& n : r.file.not_checked) {
    out += "- \"" + n.statement + "\": " + n.because + "\n";
  }
  return out;
}

std::string audit_json(const AuditReport& r) {
  Json claims = Json::array();
  for (std::size_t i = 0; i < r.judgements.size(); ++i) {
    const Claim& c = r.file.claims[i];
    const Judgement& j = r.judgements[i];
    claims.push_back({{"statement", c.statement},
                      {"source", c.source},
                      {"kind", name(c.kind)},
                      {"about", about(c)},
                      {"claimed", claimed(c)},
                      {"computed", j.computed},
                      {"verdict", name(j.verdict)},
                      {"arithmetic", j.arithmetic},
                      {"comment", c.comment}});
  }
  Json left = Json::array();
  for (const NotChecked& n : r.file.not_checked) {
    left.push_back({{"statement", n.statement}, {"because", n.because}});
  }
  const auto n = counts(r);
  const Json all = {{"title", r.file.title}, {"consistent", n[0]}, {"implausible", n[1]},
                    {"mislabelled", n[2]},   {"impossible", n[3]}, {"claims", claims},
                    {"not_checked", left}};
  return all.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace bandwall
