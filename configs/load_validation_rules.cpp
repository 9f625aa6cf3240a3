#include <algorithm>

#include "configs/embedded.h"
#include "configs/load.h"
#include "configs/validation_rules.h"
#include "hwmodel/error.h"

namespace bandwall {
namespace {

RowFilter read_filter(Reader& r) {
  RowFilter filter;
  Reader where = r.child("where");
  for (const std::string& key : where.keys()) {
    check_key(where, key, key, row_attribute_names());
    filter.where.emplace_back(key, where.texts(key));
    if (filter.where.back().second.empty()) where.problem(key, "names no pattern");
  }
  if (filter.where.empty()) r.problem("where", "names no attribute; it would hold for every row");
  return filter;
}

Bar read_bar(Reader& r) {
  Bar bar;
  bar.name = r.text("name");
  bar.where = read_filter(r);
  bar.median = r.optional_number("median", 0, 10).value_or(0);
  bar.p90 = r.optional_number("p90", 0, 10).value_or(0);
  bar.worst = r.optional_number("worst", 0, 10).value_or(0);
  if (bar.median == 0 && bar.p90 == 0 && bar.worst == 0) {
    r.problem("median", "missing; a bar limits the median, the p90 or the worst error");
  }
  return bar;
}

ValidationRules read_rules(Reader& root) {
  ValidationRules rules;
  if (root.integer("schema", 0, 1000) != 1) root.problem("schema", "is not 1");
  Reader coverage = root.child("coverage");
  rules.coverage_low = coverage.number("low", 0, 1);
  rules.coverage_high = coverage.number("high", 0, 1);
  for (Reader& r : root.children("bars")) rules.bars.push_back(read_bar(r));
  for (Reader& r : root.children("failing")) {
    FailingClass f;
    f.name = r.text("name");
    f.where = read_filter(r);
    f.bar = r.optional_text("bar").value_or("");
    f.because = r.text("because");
    const auto of = [&](const Bar& bar) { return bar.name == f.bar; };
    if (!f.bar.empty() && std::none_of(rules.bars.begin(), rules.bars.end(), of)) {
      r.problem("bar", "\"" + f.bar + "\" is no bar of this file");
    }
    rules.failing.push_back(std::move(f));
  }
  return rules;
}

}  // namespace

ValidationRules parse_validation_rules(std::string_view text, std::string file_name) {
  Document document = Document::parse(text, std::move(file_name));
  Reader root = document.root();
  ValidationRules rules = read_rules(root);
  document.finish();
  return rules;
}

const ValidationRules& validation_rules() {
  static const ValidationRules rules =
      parse_validation_rules(embedded_file("validation/classes.yaml").bytes, "classes.yaml");
  return rules;
}

}  // namespace bandwall
