#include "reports/probe_stats.h"

#include <algorithm>
#include <cmath>

namespace bandwall {
namespace {

double tokens_in_chunk(const TokenStream& s) {
  const auto chunks = static_cast<double>(s.arrivals.size());
  return chunks > 1 ? static_cast<double>(generated_tokens(s) - 1) / (chunks - 1) : 1;
}

double prefill_rate(const ProbeRound& round) {
  double tokens = 0, sent = INFINITY, last = 0;
  for (const ProbeAnswer& a : round.answers) {
    if (a.stream.arrivals.empty()) return 0;
    tokens += static_cast<double>(a.stream.prompt_tokens.value_or(0) -
                                  a.stream.cached_tokens.value_or(0));
    sent = std::min(sent, a.sent.value());
    last = std::max(last, a.stream.arrivals.front().value());
  }
  return last > sent ? tokens / (last - sent) : 0;
}

// Rate from the last first token to the first last token; `together` says whether there is such a
// time with at least two chunks of every stream.
double decode_rate(const ProbeRound& round, bool& together) {
  double from = 0, to = INFINITY, first = INFINITY, last = 0;
  for (const ProbeAnswer& a : round.answers) {
    if (a.stream.arrivals.size() < 2) return 0;
    from = std::max(from, a.stream.arrivals.front().value());
    first = std::min(first, a.stream.arrivals.front().value());
    to = std::min(to, a.stream.arrivals.back().value());
    last = std::max(last, a.stream.arrivals.back().value());
  }
  double shared = 0, all = 0;
  bool each = true;
  for (const ProbeAnswer& a : round.answers) {
    const auto chunks =
        std::count_if(a.stream.arrivals.begin(), a.stream.arrivals.end(),
                      [&](Seconds t) { return t.value() > from && t.value() <= to; });
    each = each && (chunks >= 2 || round.answers.size() == 1);
    shared += static_cast<double>(chunks) * tokens_in_chunk(a.stream);
    all += static_cast<double>(generated_tokens(a.stream) - 1);
  }
  if (each && to > from) return shared / (to - from);
  together = together && round.answers.size() == 1;
  return last > first ? all / (last - first) : 0;
}

void pool(const ProbeAnswer& a, ProbeMeasures& m) {
  const std::vector<Seconds>& t = a.stream.arrivals;
  if (t.empty()) return;
  m.ttft.push_back((t.front() - a.sent).value());
  for (std::size_t i = 1; i < t.size(); ++i) m.itl.push_back((t[i] - t[i - 1]).value());
  const std::int64_t n = generated_tokens(a.stream);
  if (n > 1 && t.size() > 1) {
    m.tpot.push_back((t.back() - t.front()).value() / static_cast<double>(n - 1));
  }
  m.counted_prompts = m.counted_prompts && a.stream.prompt_tokens.has_value();
  m.counted_tokens = m.counted_tokens && a.stream.completion_tokens.has_value();
  m.knows_cached = m.knows_cached && a.stream.cached_tokens.has_value();
}

}  // namespace

std::int64_t generated_tokens(const TokenStream& stream) {
  const auto chunks = static_cast<std::int64_t>(stream.arrivals.size());
  return std::max<std::int64_t>(1, stream.completion_tokens.value_or(chunks));
}

ProbeMeasures measures(const std::vector<ProbeRound>& rounds) {
  ProbeMeasures m;
  std::vector<double> prompts, cached, generated, per_chunk;
  for (const ProbeRound& round : rounds) {
    for (const ProbeAnswer& a : round.answers) {
      pool(a, m);
      prompts.push_back(static_cast<double>(a.stream.prompt_tokens.value_or(0)));
      cached.push_back(static_cast<double>(a.stream.cached_tokens.value_or(0)));
      generated.push_back(static_cast<double>(generated_tokens(a.stream)));
      per_chunk.push_back(tokens_in_chunk(a.stream));
      if (round.answers.size() > 1) continue;
      if (a.stream.server_prefill_ts) m.server_prefill_ts.push_back(*a.stream.server_prefill_ts);
      if (a.stream.server_decode_ts) m.server_decode_ts.push_back(*a.stream.server_decode_ts);
    }
    if (const double r = prefill_rate(round); r > 0) m.prefill_ts.push_back(r);
    if (const double r = decode_rate(round, m.together); r > 0) m.decode_ts.push_back(r);
  }
  m.prompt_tokens = median(prompts);
  m.cached_tokens = median(cached);
  m.generated = median(generated);
  m.tokens_per_chunk = median(per_chunk);
  return m;
}

}  // namespace bandwall
