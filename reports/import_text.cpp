// CSV and markdown of llama-bench.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>

#include "hwmodel/error.h"
#include "reports/import_results.h"

namespace bandwall {
namespace {

std::vector<std::string> csv_fields(std::string_view line) {
  std::vector<std::string> fields(1);
  bool quoted = false;
  for (std::size_t i = 0; i < line.size(); ++i) {
    if (quoted && line[i] == '"' && i + 1 < line.size() && line[i + 1] == '"') {
      fields.back() += line[++i];
    } else if (line[i] == '"') {
      quoted = !quoted;
    } else if (line[i] == ',' && !quoted) {
      fields.emplace_back();
    } else {
      fields.back() += line[i];
    }
  }
  return fields;
}

std::vector<std::string> cells_of(std::string_view line) {
  std::vector<std::string> cells;
  line = trimmed(line);
  if (!line.starts_with('|')) return cells;
  line.remove_prefix(1);
  while (!line.empty()) {
    const std::size_t bar = std::min(line.find('|'), line.size());
    cells.emplace_back(trimmed(line.substr(0, bar)));
    line.remove_prefix(std::min(bar + 1, line.size()));
  }
  return cells;
}

// "pp512 @ d4096", "tg128 x8 @ d4096": what the test column of a table says.
std::string read_test(std::string_view text, Measurement& m) {
  if (text.find('+') != std::string_view::npos) {
    return fmt::format("{}: prompt and generation in one time; run them apart", text);
  }
  if (!text.starts_with("pp") && !text.starts_with("tg")) {
    return fmt::format("{}: neither pp nor tg", text.substr(0, 40));
  }
  m.phase = text.starts_with("pp") ? MeasuredPhase::Prefill : MeasuredPhase::Decode;
  const auto after = [&](std::string_view mark) -> std::optional<std::int64_t> {
    const std::size_t at = text.find(mark);
    if (at == std::string_view::npos) return std::nullopt;
    std::string_view rest = text.substr(at + mark.size());
    return count_in(rest.substr(0, rest.find(' ')), 0);
  };
  m.n_tokens = count_in(text.substr(2, text.find(' ') - 2), 1);
  m.depth = text.find("@ d") == std::string_view::npos ? 0 : after("@ d");
  m.batch = text.find(" x") == std::string_view::npos ? 1 : after(" x").value_or(0);
  return m.n_tokens && m.depth && m.batch > 0 ? "" : fmt::format("{}: no test", text.substr(0, 40));
}

std::string table_row(const std::map<std::string, std::string>& cell, Measurement& m) {
  const auto get = [&](const char* key) {
    const auto found = cell.find(key);
    return found == cell.end() ? std::string() : found->second;
  };
  m.model = get("model");
  m.quant = quant_of_type(m.model);
  m.file_gib = gib_of(get("size"));
  m.backend = get("backend");
  m.ubatch = count_in(get("n_ubatch"), 1);
  m.type_k = get("type_k");
  m.type_v = get("type_v");
  if (m.type_k.empty() != m.type_v.empty()) {
    // The table leaves out what is at its default.
    (m.type_k.empty() ? m.type_k : m.type_v) = "f16";
  }
  const std::string fa = get("fa");
  if (fa == "1" || fa == "0") m.flash_attention = fa == "1";
  const std::string speed = get("t/s");
  const auto ts = number_in(speed.substr(0, speed.find(' ')), 0, 1e9);
  if (!ts || !(*ts > 0)) return "t/s: no number above 0";
  m.tok_s = *ts;
  return read_test(get("test"), m);
}

}  // namespace

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kBlank = " \t\r";
  const std::size_t first = text.find_first_not_of(kBlank);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlank) - first + 1);
}

std::string_view next_line(std::string_view& text) {
  const std::size_t end = std::min(text.find('\n'), text.size());
  const std::string_view line = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  return line;
}

double gib_of(std::string_view text) {
  const std::size_t space = text.find(' ');
  if (space == std::string_view::npos) return 0;
  const double v = number_in(text.substr(0, space), 0, 1e9).value_or(0);
  if (text.substr(space + 1).starts_with("GiB")) return v;
  return text.substr(space + 1).starts_with("MiB") ? v / 1024 : 0;
}

std::optional<double> number_in(std::string_view text, double low, double high) {
  double v = 0;
  const auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), v);
  if (status != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return std::isfinite(v) && v >= low && v <= high ? std::optional(v) : std::nullopt;
}

std::optional<std::int64_t> count_in(std::string_view text, std::int64_t low) {
  std::int64_t n = 0;
  const auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), n);
  if (status != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return n >= low && n <= 1'000'000'000 ? std::optional(n) : std::nullopt;
}

std::string quant_of_type(std::string_view model_type) {
  // "qwen3moe 30B.A3B Q4_K - Medium": all after the size, which ends in B or M.
  std::size_t at = 0;
  while (at < model_type.size()) {
    const std::size_t end = std::min(model_type.find(' ', at), model_type.size());
    const std::string_view word = model_type.substr(at, end - at);
    const bool size = word.size() > 1 && (word.back() == 'B' || word.back() == 'M') &&
                      (word[0] == '?' || (word[0] >= '0' && word[0] <= '9'));
    at = std::min(end + 1, model_type.size());
    if (!size) continue;
    std::string_view rest = trimmed(model_type.substr(at));
    for (const std::string_view extra : {" MoE", "all "}) {
      if (rest.ends_with(extra)) rest.remove_suffix(extra.size());
      if (rest.starts_with(extra)) rest.remove_prefix(extra.size());
    }
    return std::string(rest.substr(0, 40));
  }
  return "";
}

FileLabel label_of_file(std::string_view path) {
  const std::size_t slash = path.find_last_of("/\\");
  std::string_view file = slash == std::string_view::npos ? path : path.substr(slash + 1);
  if (file.ends_with(".gguf")) file.remove_suffix(5);
  if (const std::size_t part = file.find("-of-"); part != std::string_view::npos && part > 6) {
    file = file.substr(0, part - 6);  // "-00001-of-00003"
  }
  FileLabel label{std::string(file.substr(0, 200)), ""};
  const std::size_t dash = file.find_last_of("-.:");
  if (dash == std::string_view::npos) return label;
  std::string_view tail = file.substr(dash + 1);
  std::size_t begin = dash;
  if (begin >= 3 && file.substr(begin - 3, 3) == "-UD") {
    begin -= 3;
    tail = file.substr(begin + 1);
  }
  const bool quant = tail.starts_with("UD-") || tail.starts_with("Q") || tail.starts_with("IQ") ||
                     tail.starts_with("q") || tail.starts_with("MXFP4") || tail == "BF16" ||
                     tail == "F16" || tail == "F32" || tail == "bf16" || tail == "f16" ||
                     tail.starts_with("mxfp4") || tail.starts_with("TQ");
  const bool digit = tail.find_first_of("0123456789") != std::string_view::npos;
  if (quant && digit) {
    label.quant = std::string(tail);
    label.model = std::string(file.substr(0, begin));
  }
  return label;
}

bool import_llama_csv(std::string_view text, Imported& into) {
  const std::vector<std::string> heading = csv_fields(trimmed(next_line(text)));
  if (std::find(heading.begin(), heading.end(), "avg_ts") == heading.end()) return false;
  int line = 1;
  into.kind = "llama-bench CSV";
  while (!text.empty()) {
    ++line;
    const std::string_view one = trimmed(next_line(text));
    if (one.empty()) continue;
    const std::vector<std::string> fields = csv_fields(one);
    if (fields.size() != heading.size()) {
      into.file.skipped.push_back(
          {line, fmt::format("{} fields, the heading has {}", fields.size(), heading.size())});
      continue;
    }
    nlohmann::json j = nlohmann::json::object();
    for (std::size_t i = 0; i < fields.size(); ++i) {
      const auto v = number_in(fields[i], -1e300, 1e300);
      if (v) {
        j[heading[i]] = *v;
      } else {
        j[heading[i]] = fields[i];
      }
    }
    Imported one_row;
    if (import_json(j.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace),
                    into.file.name, one_row)) {
      for (Measurement& m : one_row.file.rows) m.line = line;
      for (SkippedRow& s : one_row.file.skipped) s.line = line;
    }
    std::move(one_row.file.rows.begin(), one_row.file.rows.end(),
              std::back_inserter(into.file.rows));
    std::move(one_row.file.skipped.begin(), one_row.file.skipped.end(),
              std::back_inserter(into.file.skipped));
  }
  return true;
}

bool import_markdown(std::string_view text, Imported& into) {
  std::vector<std::string> heading;
  std::string_view rest = text;
  std::string build;
  // The build stands below the table.
  if (const std::size_t at = text.rfind("build: "); at != std::string_view::npos) {
    std::string_view line = text.substr(at);
    line = next_line(line);
    const std::size_t open = line.find('('), close = line.find(')');
    if (open != std::string_view::npos && close != std::string_view::npos && close > open) {
      const auto n = count_in(line.substr(open + 1, close - open - 1), 1);
      if (n) build = fmt::format(" b{}", *n);
    }
  }
  int line = 0;
  while (!rest.empty()) {
    ++line;
    const std::vector<std::string> cells = cells_of(next_line(rest));
    if (cells.empty()) continue;
    const auto has = [&](const char* title) {
      return std::find(cells.begin(), cells.end(), title) != cells.end();
    };
    if (has("test") && has("t/s")) {
      heading = cells;
      into.kind = "llama-bench table";
      continue;
    }
    if (heading.empty() || cells[0].find("--") != std::string::npos) continue;
    Measurement m;
    m.line = line;
    m.source = into.file.name;
    std::map<std::string, std::string> cell;
    for (std::size_t i = 0; i < heading.size() && i < cells.size(); ++i)
      cell[heading[i]] = cells[i];
    const std::string wrong =
        cells.size() < heading.size() ? "fewer cells than the heading" : table_row(cell, m);
    m.engine = "llama.cpp" + build + " (llama-bench)";
    m.marks = engine_marks(m.engine);
    if (wrong.empty()) {
      into.file.rows.push_back(std::move(m));
    } else {
      into.file.skipped.push_back({line, wrong});
    }
  }
  return !heading.empty();
}

Imported import_results(std::string_view text, const std::string& file_name) {
  Imported into;
  into.file.name = file_name;
  if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);
  if (import_json(text, file_name, into) || import_llama_csv(text, into)) return into;
  std::string_view first = text;
  const std::string_view heading = next_line(first);
  if (heading.find("tok_s") != std::string_view::npos) {
    return {"measured rows", parse_measurements(text, file_name)};
  }
  if (import_markdown(text, into) || import_timing_log(text, into)) return into;
  throw Error::input(
      file_name,
      "is none of: llama-bench (json, jsonl, csv, md), a log of llama-server or llama-cli with "
      "\"eval time\" lines, vllm bench serve --save-result JSON, bandwall run, bench or probe -o "
      "json, "
      "CSV of measured rows; give one of these");
}

}  // namespace bandwall
