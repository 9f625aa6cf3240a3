#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <fstream>
#include <optional>

#include "configs/embedded.h"
#include "configs/measurements.h"
#include "hwmodel/error.h"
#include "hwmodel/suggest.h"

namespace bandwall {
namespace {

constexpr std::size_t kMostBytes = 64'000'000;
constexpr std::string_view kFolder = "measurements/", kEnding = ".csv";

enum Column {
  Device,
  Engine,
  BackendText,
  Model,
  FileGib,
  Quant,
  Phase,
  Tokens,
  Depth,
  Batch,
  Ubatch,
  KvType,
  FlashAttn,
  TokS,
  SourceText,
  kColumns
};
constexpr std::array<std::string_view, kColumns> kNames = {
    "device", "engine", "backend", "model",   "model_file_gib", "quant", "phase", "n_tokens",
    "depth",  "batch",  "ubatch",  "kv_type", "flash_attn",     "tok_s", "source"};
constexpr Column kNeeded[] = {Device, Engine, Model, Phase, TokS};

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kBlank = " \t\r";
  const std::size_t first = text.find_first_not_of(kBlank);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlank) - first + 1);
}

std::string shown(std::string_view text) {
  std::string out;
  for (const char c : text.substr(0, 40)) {
    out += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? '?' : c;
  }
  return "\"" + out + (text.size() > 40 ? "..." : "") + "\"";
}

// The fields of one line; nullopt when a quote stays open or text follows a closed one.
std::optional<std::vector<std::string>> fields_of(std::string_view line) {
  std::vector<std::string> fields;
  std::size_t at = 0;
  while (true) {
    std::string field;
    const std::size_t first = line.find_first_not_of(" \t", at);
    if (first != std::string_view::npos && line[first] == '"') {
      at = first + 1;
      while (true) {
        const std::size_t quote = line.find('"', at);
        if (quote == std::string_view::npos) return std::nullopt;
        field += line.substr(at, quote - at);
        at = quote + 1;
        if (at >= line.size() || line[at] != '"') break;
        field += '"';
        ++at;
      }
      const std::size_t comma = std::min(line.find(',', at), line.size());
      if (!trimmed(line.substr(at, comma - at)).empty()) return std::nullopt;
      at = comma;
    } else {
      const std::size_t comma = std::min(line.find(',', at), line.size());
      field = trimmed(line.substr(at, comma - at));
      at = comma;
    }
    fields.push_back(std::move(field));
    if (at >= line.size()) return fields;
    ++at;
  }
}

// Where each column of ours stands in the heading; -1: absent.
struct Heading {
  std::array<int, kColumns> place;
  std::size_t fields = 0;
};

Heading heading_of(const std::vector<std::string>& titles, const std::string& file_name, int line,
                   std::vector<std::string>& notes) {
  Heading h;
  h.place.fill(-1);
  h.fields = titles.size();
  std::vector<Diagnostic> problems;
  const std::string where = fmt::format("{}:{}", file_name, line);
  for (std::size_t i = 0; i < titles.size(); ++i) {
    const auto known = std::find(kNames.begin(), kNames.end(), titles[i]);
    if (known == kNames.end()) {
      const std::string near =
          suggest(titles[i], std::vector<std::string>(kNames.begin(), kNames.end()));
      notes.push_back(fmt::format("{}: column {} is not known{} and was not read", where,
                                  shown(titles[i]),
                                  near.empty() ? "" : " (did you mean " + near + "?)"));
      continue;
    }
    int& place = h.place[static_cast<std::size_t>(known - kNames.begin())];
    if (place >= 0) problems.push_back({where, fmt::format("column {} stands twice", *known)});
    place = static_cast<int>(i);
  }
  for (const Column c : kNeeded) {
    if (h.place[c] < 0) {
      problems.push_back(
          {where, fmt::format("column {} is missing; the first line names the columns: {}",
                              kNames[c], fmt::join(kNames, ","))});
    }
  }
  if (!problems.empty()) throw_problems(std::move(problems));
  return h;
}

// One row; the first thing wrong with it is kept.
class Row {
 public:
  Row(const Heading& heading, const std::vector<std::string>& fields)
      : heading_(heading), fields_(fields) {}

  std::string_view cell(Column c) const {
    const int place = heading_.place[c];
    return place < 0 ? std::string_view() : fields_[static_cast<std::size_t>(place)];
  }
  std::string text(Column c) {
    const std::string_view found = cell(c);
    check_stated(c, found);
    return std::string(found);
  }
  std::optional<std::int64_t> count(Column c, std::int64_t low) {
    constexpr std::int64_t kMost = 1'000'000'000;
    const std::string_view found = cell(c);
    if (found.empty()) return std::nullopt;
    std::int64_t n = 0;
    const auto [end, status] = std::from_chars(found.data(), found.data() + found.size(), n);
    if (status == std::errc() && end == found.data() + found.size() && n >= low && n <= kMost) {
      return n;
    }
    wrong(fmt::format("{}: {} is no whole number from {} to {}", kNames[c], shown(found), low,
                      kMost));
    return std::nullopt;
  }
  std::optional<double> above_zero(Column c, double most) {
    const std::string_view found = cell(c);
    check_stated(c, found);
    if (found.empty()) return std::nullopt;
    double v = 0;
    const auto [end, status] = std::from_chars(found.data(), found.data() + found.size(), v);
    if (status == std::errc() && end == found.data() + found.size() && v > 0 && v <= most) return v;
    wrong(fmt::format("{}: {} is no number above 0 and up to {:g}", kNames[c], shown(found), most));
    return std::nullopt;
  }
  void wrong(std::string reason) {
    if (reason_.empty()) reason_ = std::move(reason);
  }
  const std::string& reason() const { return reason_; }

 private:
  void check_stated(Column c, std::string_view found) {
    const bool needed = std::find(std::begin(kNeeded), std::end(kNeeded), c) != std::end(kNeeded);
    if (found.empty() && needed) wrong(fmt::format("{}: not stated", kNames[c]));
  }
  const Heading& heading_;
  const std::vector<std::string>& fields_;
  std::string reason_;
};

void read_formats(Row& row, Measurement& m) {
  const std::string kv = row.text(KvType);
  const std::size_t slash = kv.find('/');
  m.type_k = trimmed(std::string_view(kv).substr(0, slash));
  m.type_v =
      slash == std::string::npos ? m.type_k : trimmed(std::string_view(kv).substr(slash + 1));
  if (m.type_k.empty() != m.type_v.empty() || m.type_v.find('/') != std::string::npos) {
    row.wrong(fmt::format("kv_type: {} is neither one format nor two with a slash", shown(kv)));
  }
  const std::string_view fa = row.cell(FlashAttn);
  if (fa == "1" || fa == "true" || fa == "on") m.flash_attention = true;
  if (fa == "0" || fa == "false" || fa == "off") m.flash_attention = false;
  if (!fa.empty() && !m.flash_attention) {
    row.wrong(fmt::format("flash_attn: {} is neither 0 nor 1", shown(fa)));
  }
}

Measurement measurement_of(Row& row) {
  Measurement m;
  m.device = row.text(Device);
  m.engine = row.text(Engine);
  m.backend = row.text(BackendText);
  m.model = row.text(Model);
  m.quant = row.text(Quant);
  m.file_gib = row.above_zero(FileGib, 1e6).value_or(0);
  const std::string phase = row.text(Phase);
  if (phase != "pp" && phase != "tg" && !phase.empty()) {
    row.wrong(fmt::format("phase: {} is neither pp nor tg", shown(phase)));
  }
  m.phase = phase == "pp" ? MeasuredPhase::Prefill : MeasuredPhase::Decode;
  m.n_tokens = row.count(Tokens, 1);
  m.depth = row.count(Depth, 0);
  m.batch = row.count(Batch, 1).value_or(1);
  m.ubatch = row.count(Ubatch, 1);
  read_formats(row, m);
  m.tok_s = row.above_zero(TokS, 1e9).value_or(0);
  m.source = row.text(SourceText);
  m.marks = engine_marks(m.engine);
  return m;
}

// What no measurement can be, whatever the device.
void check_consistent(Row& row, const Measurement& m) {
  if (m.batch > 1'000'000) row.wrong("batch: more than a million sequences at once");
  if (m.phase == MeasuredPhase::Prefill && m.marks.off_by_one) {
    row.wrong("contradiction: a prompt has no N-1 intervals, yet the engine says so");
  }
  if (m.marks.off_by_one && m.n_tokens && *m.n_tokens < 2) {
    row.wrong("contradiction: one token has no interval, yet the engine counts N-1 of them");
  }
  // Whoever measures one stream cannot see tokens faster than a clock ticks once a microsecond.
  if (m.phase == MeasuredPhase::Decode && m.batch == 1 && m.tok_s > 1e6) {
    row.wrong(fmt::format("contradiction: {:g} tok/s of one sequence", m.tok_s));
  }
}

std::string csv_field(std::string_view text) {
  if (text.find_first_of(",\"") == std::string_view::npos && trimmed(text) == text) {
    return std::string(text);
  }
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"') out += '"';
    out += c;
  }
  return out + "\"";
}

template <class T>
std::string number_or_blank(const std::optional<T>& v) {
  return v ? fmt::format("{}", *v) : "";
}

}  // namespace

MeasurementFile parse_measurements(std::string_view text, std::string file_name) {
  MeasurementFile file;
  if (text.size() > kMostBytes) {
    throw Error::input(file_name, "is larger than 64 MB; split it by device or engine");
  }
  if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);
  std::optional<Heading> heading;
  int line = 0;
  while (!text.empty()) {
    ++line;
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view one = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (trimmed(one).empty()) continue;
    const auto fields = fields_of(trimmed(one));
    if (!heading) {
      if (!fields) {
        throw Error::input(fmt::format("{}:{}", file_name, line),
                           "is no heading: a quote stays open");
      }
      heading = heading_of(*fields, file_name, line, file.notes);
      continue;
    }
    if (!fields) {
      file.skipped.push_back({line, "a quote stays open, or text follows a closed one"});
      continue;
    }
    if (fields->size() != heading->fields) {
      file.skipped.push_back(
          {line, fmt::format("{} fields, the heading has {}", fields->size(), heading->fields)});
      continue;
    }
    Row row(*heading, *fields);
    Measurement m = measurement_of(row);
    m.line = line;
    check_consistent(row, m);
    if (row.reason().empty()) {
      file.rows.push_back(std::move(m));
    } else {
      file.skipped.push_back({line, row.reason()});
    }
  }
  if (!heading) {
    throw Error::input(file_name, fmt::format("is empty; the first line names the columns: {}",
                                              fmt::join(kNames, ",")));
  }
  file.name = std::move(file_name);
  return file;
}

const std::vector<ConfigText>& shipped_measurements() {
  static const std::vector<ConfigText> texts = [] {
    std::vector<ConfigText> found;
    for (const EmbeddedFile& file : embedded_files()) {
      if (file.name.starts_with(kFolder)) {
        found.push_back({file.name.substr(kFolder.size()), file.bytes});
      }
    }
    std::sort(found.begin(), found.end(),
              [](const ConfigText& a, const ConfigText& b) { return a.file_name < b.file_name; });
    return found;
  }();
  return texts;
}

std::vector<std::string> measurement_names() {
  std::vector<std::string> names;
  for (const ConfigText& t : shipped_measurements()) {
    names.emplace_back(t.file_name.substr(0, t.file_name.size() - kEnding.size()));
  }
  return names;
}

MeasurementFile load_measurements(std::string_view name_or_path) {
  for (const ConfigText& t : shipped_measurements()) {
    if (t.file_name.substr(0, t.file_name.size() - kEnding.size()) == name_or_path) {
      return parse_measurements(t.text, std::string(t.file_name));
    }
  }
  const std::string path(name_or_path);
  if (!path.ends_with(kEnding) && path.find('/') == std::string::npos) {
    const std::string near = suggest(path, measurement_names());
    throw Error::input(shown(path),
                       fmt::format("no measurements of this name{}; known: {}; a file of your own "
                                   "ends in .csv",
                                   near.empty() ? "" : "; did you mean " + near + "?",
                                   fmt::join(measurement_names(), ", ")));
  }
  std::ifstream in(path, std::ios::binary);
  std::string text;
  std::vector<char> part(1 << 20);
  while (in.read(part.data(), static_cast<std::streamsize>(part.size())) || in.gcount() > 0) {
    text.append(part.data(), static_cast<std::size_t>(in.gcount()));
    if (text.size() > kMostBytes) break;  // refused by its size when parsed
  }
  if (!in.eof() && text.size() <= kMostBytes) {
    throw Error::input(path, "cannot be read; check the path and its permissions");
  }
  return parse_measurements(text, path);
}

std::string write_measurements(const std::vector<Measurement>& rows) {
  std::string out = fmt::format("{}\n", fmt::join(kNames, ","));
  for (const Measurement& m : rows) {
    const std::string kv = m.type_k == m.type_v ? m.type_k : m.type_k + "/" + m.type_v;
    const std::string fa = m.flash_attention ? (*m.flash_attention ? "1" : "0") : "";
    const std::string cells[kColumns] = {csv_field(m.device),
                                         csv_field(m.engine),
                                         csv_field(m.backend),
                                         csv_field(m.model),
                                         m.file_gib > 0 ? fmt::format("{}", m.file_gib) : "",
                                         csv_field(m.quant),
                                         std::string(name(m.phase)),
                                         number_or_blank(m.n_tokens),
                                         number_or_blank(m.depth),
                                         fmt::format("{}", m.batch),
                                         number_or_blank(m.ubatch),
                                         csv_field(kv),
                                         fa,
                                         fmt::format("{}", m.tok_s),
                                         csv_field(m.source)};
    out += fmt::format("{}\n", fmt::join(cells, ","));
  }
  return out;
}

}  // namespace bandwall
