#include "workload/measurement.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

namespace bandwall {
namespace {

std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return out;
}

}  // namespace

std::string_view name(MeasuredPhase phase) { return phase == MeasuredPhase::Prefill ? "pp" : "tg"; }

EngineMarks engine_marks(std::string_view engine) {
  const std::string text = lower(engine);
  const auto has = [&](std::string_view word) { return text.find(word) != std::string::npos; };
  EngineMarks m;
  m.aggregate = has("aggregate");
  m.speculative = has("speculative") || has("mtp") || has("eagle");
  m.eager = has("eager");
  m.end_to_end = has("end-to-end");
  m.staggered = has("benchy");
  m.off_by_one = has("n-1 interval");
  return m;
}

std::string test_name(const Measurement& m) {
  std::string text(name(m.phase));
  if (m.n_tokens) text += fmt::format("{}", *m.n_tokens);
  if (m.depth.value_or(0) > 0) text += fmt::format(" @ d{}", *m.depth);
  if (m.batch > 1) text += fmt::format(" x{}", m.batch);
  return text;
}

}  // namespace bandwall
