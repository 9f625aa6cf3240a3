#include <algorithm>
#include <cctype>

#include "configs/embedded.h"
#include "configs/load.h"
#include "configs/row_names.h"
#include "hwmodel/error.h"

namespace bandwall {
namespace {

std::vector<std::string> patterns(Reader& r, std::string_view key) {
  std::vector<std::string> all = r.texts(key);
  for (std::string& p : all) {
    std::transform(p.begin(), p.end(), p.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  }
  return all;
}

std::vector<std::string> needed_patterns(Reader& r, std::string_view key) {
  std::vector<std::string> all = patterns(r, key);
  if (all.empty()) r.problem(key, "missing; at least one pattern is wanted");
  return all;
}

Format read_format(Reader& r, std::string_view key) {
  const std::string text = r.text(key);
  if (const auto format = format_from_name(text)) return *format;
  std::vector<std::string> known;
  for (const FormatInfo& f : all_formats()) known.emplace_back(f.name);
  if (!text.empty()) check_key(r, key, text, known);
  return Format::F32;
}

QuantName read_quant(Reader& r) {
  QuantName q;
  q.quant = needed_patterns(r, "quant");
  q.backend = patterns(r, "backend");
  q.model = patterns(r, "model");
  q.mix = r.optional_text("mix").value_or("");
  q.unknown = r.optional_text("unknown").value_or("");
  if (!q.mix.empty() || !q.unknown.empty()) return q;
  PublishedMix formats;
  formats.attention = read_format(r, "attention");
  formats.tables = read_format(r, "tables");
  formats.experts = read_format(r, "experts");
  formats.rest = read_format(r, "rest");
  q.formats = formats;
  return q;
}

RowNames read_row_names(Reader& root) {
  RowNames names;
  if (root.integer("schema", 0, 1000) != 1) root.problem("schema", "is not 1");
  for (Reader& r : root.children("machines")) {
    names.machines.push_back(
        {needed_patterns(r, "device"), r.optional_text("machine").value_or("")});
  }
  for (Reader& r : root.children("backends")) {
    BackendName b;
    b.engine = needed_patterns(r, "engine");
    b.stack = patterns(r, "stack");
    b.from_build = r.optional_integer("from_build", 0, 999'999'999).value_or(b.from_build);
    b.to_build = r.optional_integer("to_build", 0, 999'999'999).value_or(b.to_build);
    for (const std::string& key : r.keys()) {
      if (key == "eager") b.eager = r.flag("eager", false);
    }
    b.backend = r.optional_text("backend").value_or("");
    b.n_ubatch = r.optional_integer("n_ubatch", 1, 1'000'000).value_or(b.n_ubatch);
    names.backends.push_back(std::move(b));
  }
  for (Reader& r : root.children("kv")) {
    const std::string format = r.text("format");
    names.kv.push_back({needed_patterns(r, "text"), cache_layout_from_name(format)});
    if (names.kv.back().format == nullptr) r.problem("format", format + " is no KV format");
  }
  for (Reader& r : root.children("quants")) names.quants.push_back(read_quant(r));
  return names;
}

}  // namespace

RowNames parse_row_names(std::string_view text, std::string file_name) {
  Document document = Document::parse(text, std::move(file_name));
  Reader root = document.root();
  RowNames names = read_row_names(root);
  document.finish();
  return names;
}

const RowNames& row_names() {
  static const RowNames names =
      parse_row_names(embedded_file("validation/names.yaml").bytes, "names.yaml");
  return names;
}

}  // namespace bandwall
