// The timing lines that llama.cpp's programs log, and what the lines around them say.
#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "reports/import_results.h"

namespace bandwall {
namespace {

// The value after `mark` on a line, an equals sign between them left out; empty: not there.
std::string_view value_after(std::string_view line, std::string_view mark) {
  const std::size_t at = line.find(mark);
  if (at == std::string_view::npos) return {};
  std::string_view rest = trimmed(line.substr(at + mark.size()));
  if (rest.starts_with('=')) rest = trimmed(rest.substr(1));
  return rest;
}

std::optional<std::int64_t> count_after(std::string_view line, std::string_view mark) {
  const std::string_view v = value_after(line, mark);
  return count_in(v.substr(0, v.find_first_of(" ,|")), 0);
}

bool has(std::string_view line, std::string_view words) {
  return line.find(words) != std::string_view::npos;
}

struct Timing {
  double ms = 0;
  std::int64_t tokens = 0;
  bool intervals = true;  // llama-server's clock of N tokens runs over N - 1 intervals
};

// "= 252.79 ms / 512 tokens (...)", also "/ 127 runs".
std::optional<Timing> timing_of(std::string_view line, std::string_view what) {
  std::string_view rest = value_after(line, what);
  const std::size_t unit = rest.find(" ms /");
  if (unit == std::string_view::npos) return std::nullopt;
  const auto ms = number_in(trimmed(rest.substr(0, unit)), 0, 1e12);
  rest = trimmed(rest.substr(unit + 5));
  const std::size_t space = std::min(rest.find(' '), rest.size());
  const auto tokens = count_in(rest.substr(0, space), 0);
  const std::string_view word = trimmed(rest.substr(space));
  if (!ms || !tokens || (!word.starts_with("tokens") && !word.starts_with("runs"))) {
    return std::nullopt;
  }
  return Timing{*ms, *tokens, word.starts_with("tokens")};
}

// What the lines before the timings say of model and settings.
void read_facts(std::string_view line, Measurement& facts, std::string& build) {
  if (has(line, ".gguf") && facts.model.empty()) {
    const std::size_t end = line.find(".gguf") + 5;
    const std::size_t begin = line.find_last_of(" '\"=", end - 1);
    const FileLabel label =
        label_of_file(line.substr(begin == std::string_view::npos ? 0 : begin + 1,
                                  end - (begin == std::string_view::npos ? 0 : begin + 1)));
    facts.model = label.model;
    facts.quant = label.quant;
  }
  if (const auto v = value_after(line, "file type"); !v.empty() && facts.quant.empty()) {
    facts.quant = std::string(v.substr(0, 40));
  }
  if (const auto v = value_after(line, "file size"); !v.empty()) facts.file_gib = gib_of(v);
  if (const auto n = count_after(line, "n_ubatch"); n && *n > 0) facts.ubatch = n;
  if (const auto v = value_after(line, "flash_attn"); !v.empty()) {
    if (v == "1" || v == "enabled" || v == "true") facts.flash_attention = true;
    if (v == "0" || v == "disabled" || v == "false") facts.flash_attention = false;
  }
  // What "auto" came to, on a line of its own.
  if (const auto v = value_after(line, "Flash Attention"); !v.empty()) {
    if (v.ends_with("enabled")) facts.flash_attention = true;
    if (v.ends_with("disabled")) facts.flash_attention = false;
  }
  for (const std::string_view mark : {"build: ", " build "}) {
    const auto n = build.empty() && has(line, " (") ? count_after(line, mark) : std::nullopt;
    if (n && *n > 0) build = fmt::format(" b{}", *n);
  }
  const auto kv = [&](std::string_view mark, std::string& type) {
    const std::size_t at = line.find(mark);
    if (at == std::string_view::npos) return;
    const std::string_view rest = line.substr(at + mark.size());
    if (rest.find(')') < 12) type = std::string(rest.substr(0, rest.find(')')));
  };
  kv("K (", facts.type_k);
  kv("V (", facts.type_v);
}

// One request of a server, or one run of another program.
struct Request {
  std::vector<Measurement> rows;
  std::int64_t prompt = 0, generated = 0;
  int line = 0;
  bool shared = false, drafts = false;
};

class LogReader {
 public:
  explicit LogReader(Imported& into) : into_(into) { facts_.source = into.file.name; }

  void take(std::string_view line) {
    ++line_;
    read_facts(line, facts_, build_);
    const auto task = count_after(line, "| task ");
    if (task && has(line, "print_timing")) timed_ = task;  // older builds: for the lines below too
    if (task && has(line, "processing task")) begin(*task);
    if (has(line, "draft acceptance")) request().drafts = true;
    if (has(line, "eval time")) take_timing(line);
    if (task && has(line, "stop processing")) end(*task, line);
  }
  bool finish() {
    for (auto& [task, one] : requests_) add(one, std::nullopt);
    add(lone_, std::nullopt);
    if (corrected_) {
      into_.file.notes.push_back(
          "llama-server divides N tokens by the time of N - 1: its decode rates are put right");
    }
    return known_;
  }

 private:
  Request& request() {
    const auto found = timed_ ? requests_.find(*timed_) : requests_.end();
    return found == requests_.end() ? lone_ : found->second;
  }

  // Requests that overlap share the machine: what each of them took is no speed of one stream.
  void begin(std::int64_t task) {
    if (const auto one = requests_.find(alone_); one != requests_.end()) one->second.shared = true;
    const bool shared = !requests_.empty();
    Request& now = requests_[task];
    now.shared = shared;
    alone_ = shared ? -1 : task;
  }

  void take_timing(std::string_view line) {
    const bool of_prompt = has(line, "prompt eval time");
    const auto timing = timing_of(line, of_prompt ? "prompt eval time" : "eval time");
    if (!timing) {
      into_.file.skipped.push_back({line_, "no timing: wanted \"= MS ms / N tokens\""});
      return;
    }
    known_ = true;
    Request& one = request();
    one.line = line_;
    (of_prompt ? one.prompt : one.generated) = timing->tokens;
    const double speed = static_cast<double>(timing->tokens) * 1000 / timing->ms;
    if (timing->tokens < 1 || !(speed <= 1e9)) {
      into_.file.skipped.push_back({line_, "no token was timed"});
      return;
    }
    Measurement m = facts_;
    m.line = line_;
    m.phase = of_prompt ? MeasuredPhase::Prefill : MeasuredPhase::Decode;
    m.n_tokens = timing->tokens;
    m.depth = of_prompt ? 0 : one.prompt;
    m.tok_s = speed;
    const bool intervals = !of_prompt && timing->intervals;
    corrected_ = corrected_ || intervals;
    m.engine = fmt::format("llama.cpp{} (log{})", build_, intervals ? ", N-1 intervals" : "");
    if (m.type_k.empty() != m.type_v.empty()) m.type_k = m.type_v = "";
    one.rows.push_back(std::move(m));
    if (&one == &lone_) add(lone_, std::nullopt);
  }

  void end(std::int64_t task, std::string_view line) {
    const auto found = requests_.find(task);
    if (found == requests_.end()) return;
    const bool whole = !has(line, "truncated = 1");  // else old tokens were dropped on the way
    auto in_cache = count_after(line, "n_tokens");
    if (!in_cache) in_cache = count_after(line, "n_past");
    add(found->second, whole ? in_cache : std::nullopt);
    requests_.erase(found);
    timed_.reset();
  }

  // In the cache at the end are the prompt and all generated tokens but the last. What the server
  // did not evaluate of them was there before.
  void add(Request& one, std::optional<std::int64_t> in_cache) {
    if (one.shared && !one.rows.empty()) {
      into_.file.skipped.push_back(
          {one.line, "other requests ran at the same time: no speed of one stream"});
      one.rows.clear();
    }
    const std::int64_t generated = std::max<std::int64_t>(0, one.generated - 1);
    const std::int64_t reused =
        std::max<std::int64_t>(0, in_cache.value_or(0) - one.prompt - generated);
    for (Measurement& m : one.rows) {
      *m.depth += reused;
      if (one.drafts) m.engine += " speculative";
      m.marks = engine_marks(m.engine);
      into_.file.rows.push_back(std::move(m));
    }
    one.rows.clear();
  }

  Imported& into_;
  Measurement facts_;
  std::string build_;
  int line_ = 0;
  bool known_ = false, corrected_ = false;
  std::map<std::int64_t, Request> requests_;  // that run, by task
  std::int64_t alone_ = -1;                   // the only one that runs unshared
  std::optional<std::int64_t> timed_;
  Request lone_;  // of programs without tasks
};

}  // namespace

bool import_timing_log(std::string_view text, Imported& into) {
  LogReader reader(into);
  while (!text.empty()) reader.take(next_line(text));
  const bool known = reader.finish();
  if (known) into.kind = "llama.cpp log";
  return known;
}

}  // namespace bandwall
