#include "reports/comparison_report.h"

#include <fmt/format.h>

#include <cmath>

#include "reports/table.h"
#include "reports/validation_report.h"

namespace bandwall {
namespace {

using Json = nlohmann::ordered_json;

Table rows_table(const Validation& v) {
  Table t({{"model"},
           {"test"},
           {"measured", Align::Right},
           {"predicted", Align::Right},
           {"low", Align::Right},
           {"high", Align::Right},
           {"error", Align::Right},
           {"bound by"},
           {"likely cause"}});
  for (std::size_t i = 0; i < v.rows.size(); ++i) {
    const CheckedRow& c = v.rows[i];
    const RowResult& r = v.results[i];
    t.add({c.model, test_name(c.row), fmt::format("{:.2f}", r.measured),
           fmt::format("{:.2f}", r.predicted), fmt::format("{:.2f}", r.low),
           fmt::format("{:.2f}", r.high), fmt::format("{:+.1f} %", 100 * r.error),
           std::string(name(r.bound)),
           v.causes[i].empty() ? "inside the band" : v.causes[i].front().cause});
  }
  return t;
}

std::string reasons(const Validation& v) {
  std::string out;
  for (std::size_t i = 0; i < v.rows.size(); ++i) {
    if (v.causes[i].empty()) continue;
    out += fmt::format("\n{} {}, {:+.1f} %:\n", v.rows[i].model, test_name(v.rows[i].row),
                       100 * v.results[i].error);
    for (const GapCause& c : v.causes[i]) out += fmt::format("- {}: {}\n", c.cause, c.arithmetic);
  }
  return out.empty() ? out
                     : "\nLikely causes, each with the figure that would explain the gap\n" + out;
}

std::string left(const Validation& v) {
  std::string out;
  for (const LeftRow& l : v.left) {
    out += fmt::format("\nnote: {}:{}: {}: {}", l.file, l.line,
                       l.skipped ? "skipped" : "no prediction", l.reason);
  }
  for (const std::string& n : v.notes) out += "\nnote: " + n;
  return out.empty() ? out : out + "\n";
}

std::string summary(const Validation& v) {
  return fmt::format("{} rows: median error {}, worst {}, {} inside their band\n", v.rows.size(),
                     percent(v.all.median), percent(v.all.worst), percent(v.all.coverage));
}

}  // namespace

std::string comparison_text(const Validation& v, const std::string& title) {
  return title + "\n\n" + rows_table(v).text() + "\n" + summary(v) + reasons(v) + left(v);
}

std::string comparison_markdown(const Validation& v, const std::string& title) {
  return "# " + title + "\n\n" + rows_table(v).markdown() + "\n" + summary(v) + reasons(v) +
         left(v);
}

std::string comparison_json(const Validation& v, const std::string& title) {
  Json rows = Json::array();
  for (std::size_t i = 0; i < v.rows.size(); ++i) {
    rows.push_back(row_json(v, i));
    rows.back()["causes"] = causes_json(v.causes[i]);
    rows.back()["notes"] = v.results[i].notes;
  }
  const Json all = {{"title", title},
                    {"rows", rows},
                    {"median_error", std::round(v.all.median * 1e4) / 1e4},
                    {"worst_error", std::round(v.all.worst * 1e4) / 1e4},
                    {"left", left_json(v)},
                    {"notes", v.notes}};
  return all.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace bandwall
