#include "reports/validation_report.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cmath>
#include <map>
#include <nlohmann/json.hpp>

#include "reports/table.h"

namespace bandwall {
namespace {

using Json = nlohmann::ordered_json;

std::string signed_percent(double share) { return fmt::format("{:+.1f} %", 100 * share + 1e-9); }

std::string limit(double value) { return value > 0 ? percent(value) : ""; }

std::string baseline(double error) { return error > 0 ? percent(error) : ""; }

Table bars_table(const Validation& v) {
  Table t({{"class"},
           {"n", Align::Right},
           {"median", Align::Right},
           {"bar", Align::Right},
           {"p90", Align::Right},
           {"bar", Align::Right},
           {"worst", Align::Right},
           {"bar", Align::Right},
           {"inside band", Align::Right},
           {"naive", Align::Right},
           {"+ cache", Align::Right},
           {"constant", Align::Right},
           {"skill", Align::Right},
           {""}});
  const auto add = [&](const std::string& name, const ErrorSummary& s, const Bar& bar,
                       const std::string& verdict) {
    t.add({name, fmt::format("{}", s.n), s.n ? percent(s.median) : "", limit(bar.median),
           s.n ? percent(s.p90) : "", limit(bar.p90), s.n ? percent(s.worst) : "", limit(bar.worst),
           s.n ? percent(s.coverage) : "", baseline(s.naive), baseline(s.naive_kv),
           baseline(s.constant), s.n ? fmt::format("{:.2f}", s.skill) : "", verdict});
  };
  for (std::size_t i = 0; i < v.bars.size(); ++i) {
    const ErrorSummary& s = v.bars[i].errors;
    add(v.rules.bars[i].name, s, v.rules.bars[i],
        s.n == 0          ? "no rows"
        : v.bars[i].meets ? "holds"
                          : "MISSED");
  }
  t.rule();
  Bar none;
  const bool covered = v.judged.coverage >= v.rules.coverage_low - 1e-9 &&
                       v.judged.coverage <= v.rules.coverage_high + 1e-9;
  add("all but the failing classes", v.judged, none,
      v.judged.n == 0 ? "no rows"
      : covered       ? "band holds"
                      : "band MISSED");
  add("all rows", v.all, none, "");
  return t;
}

std::string failing_verdict(const Validation& v, std::size_t i) {
  const ClassSummary& c = v.failing[i];
  if (c.errors.n == 0) return "no rows";
  return c.meets ? "holds now: take it off the list" : "fails as listed";
}

Table failing_table(const Validation& v) {
  Table t({{"failing class"},
           {"n", Align::Right},
           {"median", Align::Right},
           {"p90", Align::Right},
           {"bias", Align::Right},
           {""},
           {"mechanism"}});
  for (std::size_t i = 0; i < v.failing.size(); ++i) {
    const ErrorSummary& s = v.failing[i].errors;
    if (s.n == 0) continue;
    t.add({v.rules.failing[i].name, fmt::format("{}", s.n), percent(s.median), percent(s.p90),
           signed_percent(s.bias), failing_verdict(v, i), v.rules.failing[i].because});
  }
  return t;
}

// Rows of the same machine, backend, model and regime.
using Group = std::array<std::string, 4>;
std::map<Group, std::vector<std::size_t>> groups_of(const Validation& v) {
  std::map<Group, std::vector<std::size_t>> groups;
  for (std::size_t i = 0; i < v.rows.size(); ++i) {
    const RowAttributes& a = v.rows[i].attributes;
    groups[{a.at("machine"), a.at("backend"), v.rows[i].model + " " + a.at("quant"),
            a.at("regime")}]
        .push_back(i);
  }
  return groups;
}

Table groups_table(const Validation& v) {
  Table t({{"machine"},
           {"backend"},
           {"model"},
           {"regime"},
           {"n", Align::Right},
           {"median", Align::Right},
           {"p90", Align::Right},
           {"bias", Align::Right},
           {"inside", Align::Right},
           {"naive", Align::Right},
           {"+ cache", Align::Right},
           {"constant", Align::Right},
           {"skill", Align::Right},
           {"worst row"}});
  for (const auto& [group, which] : groups_of(v)) {
    const ErrorSummary s = summarize(v.results, which);
    t.add({group[0], group[1], group[2], group[3], fmt::format("{}", s.n), percent(s.median),
           percent(s.p90), signed_percent(s.bias), percent(s.coverage), baseline(s.naive),
           baseline(s.naive_kv), baseline(s.constant), fmt::format("{:.2f}", s.skill),
           fmt::format("{}, {}", test_name(v.rows[s.worst_row].row),
                       signed_percent(v.results[s.worst_row].error))});
  }
  return t;
}

struct Reason {
  std::size_t rows = 0;
  std::string first;
};
std::map<std::string, Reason> reasons_of(const Validation& v, bool skipped) {
  std::map<std::string, Reason> reasons;
  for (const LeftRow& l : v.left) {
    if (l.skipped != skipped) continue;
    Reason& r = reasons[l.reason];
    if (r.rows++ == 0) r.first = fmt::format("{}:{}", l.file, l.line);
  }
  return reasons;
}

Table reasons_table(const Validation& v, bool skipped) {
  Table t({{"rows", Align::Right}, {"first"}, {"reason"}});
  for (const auto& [reason, r] : reasons_of(v, skipped)) {
    t.add({fmt::format("{}", r.rows), r.first, reason});
  }
  return t;
}

std::size_t left_count(const Validation& v, bool skipped) {
  std::size_t n = 0;
  for (const LeftRow& l : v.left) n += l.skipped == skipped ? 1 : 0;
  return n;
}

std::string summary(const Validation& v) {
  std::string text = fmt::format(
      "{} rows read of {}: {} predicted, {} without a prediction, {} lines skipped", v.read,
      v.files.size() == 1 ? v.files.front() : fmt::format("{} files", v.files.size()),
      v.rows.size(), left_count(v, false), left_count(v, true));
  if (v.others > 0) text += fmt::format(", {} of other machines or backends", v.others);
  return text;
}

constexpr const char* kReading =
    "Error: predicted / measured - 1. naive: peak bandwidth (prefill: peak 16-bit rate) over the "
    "weights a step reads; + cache: with the bytes of the KV cache; constant: 0.55 of the peak "
    "bandwidth over the active share of the file, for one stream. skill: 1 - median error / that "
    "of "
    "the better naive figure. inside band: the measured value lies between low and high. Backends "
    "were fitted on a part of these rows, which their files name: errors of models a backend never "
    "saw are what calibrate --fit-backend prints.";

template <class Show>
std::string report(const Validation& v, const std::string& mark, Show show) {
  std::string out = summary(v) + ".\n\n" + show(bars_table(v));
  if (v.judged.n < v.all.n) {
    out += "\n" + mark + "Classes known to fail\n\n" + show(failing_table(v));
  }
  out += "\n" + mark + "By machine, backend, model and regime\n\n" + show(groups_table(v));
  if (left_count(v, false) > 0) {
    out += "\n" + mark + "Rows without a prediction\n\n" + show(reasons_table(v, false));
  }
  if (left_count(v, true) > 0) {
    out += "\n" + mark + "Lines skipped\n\n" + show(reasons_table(v, true));
  }
  for (const std::string& n : v.notes) out += "\nnote: " + n + "\n";
  return out;
}

double rounded(double v, double unit) { return std::round(v / unit) * unit; }

Json number(double v) { return Json::parse(fmt::format("{:.4g}", v)); }

Json errors_json(const ErrorSummary& s) {
  return {{"n", s.n},
          {"median_error", rounded(s.median, 1e-4)},
          {"p90_error", rounded(s.p90, 1e-4)},
          {"worst_error", rounded(s.worst, 1e-4)},
          {"bias", rounded(s.bias, 1e-4)},
          {"inside_band", rounded(s.coverage, 1e-4)},
          {"naive_error", rounded(s.naive, 1e-4)},
          {"naive_kv_error", rounded(s.naive_kv, 1e-4)},
          {"constant_error", rounded(s.constant, 1e-4)},
          {"skill", rounded(s.skill, 1e-3)}};
}

std::string csv_text(std::string_view text) {
  return text.find_first_of(",\"\n\r") == std::string_view::npos ? std::string(text)
                                                                 : quoted(std::string(text));
}

}  // namespace

Json row_json(const Validation& v, std::size_t i) {
  const CheckedRow& c = v.rows[i];
  const RowResult& r = v.results[i];
  return {{"file", c.file},
          {"line", c.row.line},
          {"machine", c.attributes.at("machine")},
          {"backend", c.attributes.at("backend")},
          {"model", c.model},
          {"quant", c.row.quant},
          {"test", test_name(c.row)},
          {"regime", name(r.regime)},
          {"measured_tok_s", number(r.measured)},
          {"pred_ts", number(r.predicted)},
          {"pred_ts_low", number(r.low)},
          {"pred_ts_high", number(r.high)},
          {"error", rounded(r.error, 1e-4)},
          {"inside_band", r.inside},
          {"naive_tok_s", number(r.naive)},
          {"naive_kv_tok_s", number(r.naive_kv)},
          {"constant_tok_s", number(r.constant)},
          {"bound_by", name(r.bound)},
          {"basis", name(r.basis)},
          {"class", class_name(v, c.of)},
          {"source", c.row.source}};
}

Json left_json(const Validation& v) {
  Json left = Json::array();
  for (const LeftRow& l : v.left) {
    left.push_back(
        {{"file", l.file}, {"line", l.line}, {"skipped", l.skipped}, {"reason", l.reason}});
  }
  return left;
}

Json causes_json(const std::vector<GapCause>& causes) {
  Json all = Json::array();
  for (const GapCause& g : causes) {
    all.push_back({{"cause", g.cause}, {"arithmetic", g.arithmetic}});
  }
  return all;
}

std::string percent(double share) { return fmt::format("{:.1f} %", 100 * share); }

std::string class_name(const Validation& v, const RowClass& of) {
  if (of.failing >= 0) return v.rules.failing[static_cast<std::size_t>(of.failing)].name;
  return of.bar >= 0 ? v.rules.bars[static_cast<std::size_t>(of.bar)].name : "";
}

std::string validation_text(const Validation& v) {
  return report(v, "", [](const Table& t) { return t.text(); }) + "\n" + kReading + "\n";
}

std::string validation_markdown(const Validation& v) {
  return "# Predictions beside published measurements\n\n" + std::string(kReading) + "\n\n" +
         report(v, "## ", [](const Table& t) { return t.markdown(); });
}

std::string validation_json(const Validation& v) {
  Json bars = Json::array(), failing = Json::array(), rows = Json::array();
  for (std::size_t i = 0; i < v.bars.size(); ++i) {
    Json j = {{"class", v.rules.bars[i].name}, {"holds", v.bars[i].meets}};
    j.update(errors_json(v.bars[i].errors));
    bars.push_back(j);
  }
  for (std::size_t i = 0; i < v.failing.size(); ++i) {
    Json j = {{"class", v.rules.failing[i].name},
              {"mechanism", v.rules.failing[i].because},
              {"status", failing_verdict(v, i)}};
    j.update(errors_json(v.failing[i].errors));
    failing.push_back(j);
  }
  for (std::size_t i = 0; i < v.rows.size(); ++i) rows.push_back(row_json(v, i));
  const Json all = {{"files", v.files},
                    {"rows_read", v.read},
                    {"rows_predicted", v.rows.size()},
                    {"all", errors_json(v.all)},
                    {"without_failing_classes", errors_json(v.judged)},
                    {"bars", bars},
                    {"failing_classes", failing},
                    {"rows", rows},
                    {"left", left_json(v)},
                    {"notes", v.notes}};
  return all.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::string validation_csv(const Validation& v) {
  std::string out =
      "file,line,machine,backend,model,quant,test,regime,measured_tok_s,pred_ts,"
      "pred_ts_low,pred_ts_high,error,inside_band,naive_tok_s,naive_kv_tok_s,constant_tok_s,"
      "bound_by,basis,class\n";
  for (std::size_t i = 0; i < v.rows.size(); ++i) {
    const CheckedRow& c = v.rows[i];
    const RowResult& r = v.results[i];
    out += fmt::format("{},{},{},{},{},{},{},{},{:.4g},{:.4g},{:.4g},{:.4g},{:.4f},{},",
                       csv_text(c.file), c.row.line, c.attributes.at("machine"),
                       c.attributes.at("backend"), c.model, csv_text(c.row.quant), test_name(c.row),
                       name(r.regime), r.measured, r.predicted, r.low, r.high, r.error,
                       r.inside ? 1 : 0);
    out += fmt::format("{:.4g},{:.4g},{:.4g},{},{},{}\n", r.naive, r.naive_kv, r.constant,
                       name(r.bound), name(r.basis), csv_text(class_name(v, c.of)));
  }
  return out;
}

}  // namespace bandwall
