#include "runtime/calibrate_fit.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "runtime/least_squares.h"

namespace bandwall {
namespace {

constexpr OpKind kSmall[] = {OpKind::Embedding, OpKind::AttnNorm, OpKind::RopeKv,
                             OpKind::FfnNorm,   OpKind::Router,   OpKind::OutputNorm};
constexpr OpKind kDense[] = {OpKind::QkvProj, OpKind::AttnOut, OpKind::SharedExpert, OpKind::Head};

Source measured(std::string note) { return {Source::Kind::Measured, std::move(note)}; }

double fixed(const Backend& b, OpKind kind) {
  const auto it = b.op_seconds.find(std::string(name(kind)));
  return it == b.op_seconds.end() ? 0 : it->second.value.value();
}

// Seconds of elementwise work on so many bytes.
double elementwise(const Backend& b, OpKind kind, double bytes) {
  const auto it = b.activation_stream.find(std::string(name(kind)));
  return it == b.activation_stream.end() ? 0 : bytes / it->second.value.value();
}

const OpSample* find(const StepSample& step, OpKind kind) {
  const auto it = step.find(kind);
  return it == step.end() ? nullptr : &it->second;
}

double activations(const OpSample& s) { return s.row.traffic.activations.value(); }
double weights(const OpSample& s) { return s.row.traffic.weights.value(); }

// Median over the steps of what `of` says about an op.
template <class Of>
Series over(const std::vector<StepSample>& steps, OpKind kind, Of of) {
  Series s;
  for (const StepSample& step : steps) {
    if (const OpSample* op = find(step, kind)) s.add(of(*op));
  }
  return s;
}

double stream_of(const Backend& b, const std::string& key) {
  const auto it = b.stream.find(key);
  return it == b.stream.end() ? 0 : it->second.value.value();
}

// Seconds of an op's weights at the bandwidth beside the sample.
double streamed(const OpSample& s, double rate, double far) {
  return rate > 0 ? weights(s) / (rate * s.read / far) : 0;
}

// Share of plain reading that an op's stream of weights reaches.
Series stream_shares(const FormatSamples& f, OpKind kind, const Backend& b) {
  return over(f.decode, kind, [&](const OpSample& s) {
    const double t = s.seconds() - fixed(b, kind) - elementwise(b, kind, activations(s));
    return weights(s) / std::max(t, 0.2 * s.seconds()) / s.read;
  });
}

void fit_streams(const FormatSamples& f, const std::string& key, double far, Backend& b) {
  // Kinds count alike, whatever their size: a model has some of each.
  double slowness = 0, kinds = 0, spread = 0;
  for (const OpKind kind : kDense) {
    const Series shares = stream_shares(f, kind, b);
    if (shares.empty()) continue;
    slowness += 1 / shares.median();
    spread = std::max(spread, shares.spread());
    ++kinds;
  }
  if (kinds > 0) {
    b.stream[key] = {BytesPerSecond(far * kinds / slowness),
                     measured(fmt::format("engine, dense ops of one token beside plain reading, "
                                          "medians, largest spread {:.1f} %",
                                          100 * spread))};
  }
  for (const OpKind kind : {OpKind::Experts, OpKind::DenseFfn}) {
    const Series shares = stream_shares(f, kind, b);
    if (shares.empty()) continue;
    b.stream[fmt::format("{}.{}", key, name(kind))] = {
        BytesPerSecond(far * shares.median()),
        measured(
            fmt::format("engine, {} of one token beside plain reading, median, spread {:.1f} %",
                        name(kind), 100 * shares.spread()))};
  }
}

// Seconds that n rows take beyond what one row takes; elementwise work is priced apart.
double more_than_one_row(const OpSample& s, OpKind kind, double rate, double far,
                         const Backend& b) {
  return s.seconds() - fixed(b, kind) - streamed(s, rate, far) -
         elementwise(b, kind, activations(s));
}

// The rows after the first cannot take less than this share of the op: below it lies noise.
constexpr double kLeastShare = 0.02;

GemmRate with_points(std::vector<GemmPoint> points) {
  std::sort(points.begin(), points.end(),
            [](const GemmPoint& x, const GemmPoint& y) { return x.rows < y.rows; });
  GemmRate g;
  for (const GemmPoint& p : points) {
    if (!(p.rows > 1.05) || (!g.points.empty() && p.rows < g.points.back().rows * 1.1)) continue;
    g.points.push_back(p);
    g.rate = p.rate;
  }
  return g;
}

void fit_products(const FormatSamples& f, const std::string& key, double far, Backend& b) {
  const double rate = stream_of(b, key), expert_rate = stream_of(b, key + ".experts");
  std::vector<GemmPoint> dense, experts;
  for (const auto& [tokens, steps] : f.prompts) {
    const double n = static_cast<double>(tokens);
    const Series qkv = over(steps, OpKind::QkvProj, [&](const OpSample& s) {
      const double more = more_than_one_row(s, OpKind::QkvProj, rate, far, b);
      return s.row.flops.value() * (n - 1) / n / std::max(more, kLeastShare * s.seconds());
    });
    if (!qkv.empty()) dense.push_back({n, FlopsPerSecond(qkv.median())});
    Series rows;
    const Series expert = over(steps, OpKind::Experts, [&](const OpSample& s) {
      const double r = n * static_cast<double>(f.experts_used) / std::max(1.0, s.distinct);
      rows.add(r);
      const double more = more_than_one_row(s, OpKind::Experts, expert_rate, far, b);
      return s.row.flops.value() * (r - 1) / r / std::max(more, kLeastShare * s.seconds());
    });
    if (!expert.empty()) experts.push_back({rows.median(), FlopsPerSecond(expert.median())});
  }
  const Source source = measured("engine, prompts of several lengths, the first row apart");
  const GemmRate of_dense = with_points(dense), of_experts = with_points(experts);
  if (!of_dense.points.empty()) b.gemm[key] = {of_dense, source};
  if (!of_experts.points.empty()) b.gemm[key + ".experts"] = {of_experts, source};
}

// Bytes of activations per second of a kind, from long prompts, the rest taken off.
void fit_elementwise(const FormatSamples& f, OpKind kind, const std::string& key, double far,
                     Backend& b) {
  constexpr std::int64_t kLong = 32;
  const auto gemm = b.gemm.find(key);
  if (gemm == b.gemm.end()) return;
  Series rates;
  for (const auto& [tokens, steps] : f.prompts) {
    if (tokens < kLong) continue;
    const double n = static_cast<double>(tokens);
    for (const StepSample& step : steps) {
      const OpSample* s = find(step, kind);
      if (s == nullptr) continue;
      const double products = s->row.flops.value() * (n - 1) / n / gemm->second.value.at(n).value();
      const double left =
          s->seconds() - fixed(b, kind) - streamed(*s, stream_of(b, key), far) - products;
      rates.add(activations(*s) / std::max(left, kLeastShare * s->seconds()));
    }
  }
  if (rates.empty()) return;
  b.activation_stream[std::string(name(kind))] = {
      BytesPerSecond(rates.median()),
      measured(fmt::format("engine, long prompts, products taken off, spread {:.0f} %",
                           100 * rates.spread()))};
}

// Rate of elementwise work of an op without products, between a token and long prompts.
Series small_rates(const std::vector<FormatSamples>& all, OpKind kind) {
  constexpr std::int64_t kLong = 32;
  Series rates;
  for (const FormatSamples& f : all) {
    const double one = over(f.decode, kind, [](const OpSample& s) { return s.seconds(); }).median();
    const double have = over(f.decode, kind, activations).median();
    for (const auto& [tokens, steps] : f.prompts) {
      if (tokens < kLong) continue;
      for (const StepSample& step : steps) {
        const OpSample* s = find(step, kind);
        if (s == nullptr || !(s->seconds() > one) || !(activations(*s) > have)) continue;
        rates.add((activations(*s) - have) / (s->seconds() - one));
      }
    }
  }
  return rates;
}

void fit_long_attention(const std::vector<FormatSamples>& all, Backend& b) {
  constexpr std::int64_t kBlocks = 32;  // from here on the engine works on blocks of positions
  std::vector<const OpSample*> rows;
  for (const FormatSamples& f : all) {
    for (const auto& [tokens, steps] : f.prompts) {
      if (tokens < kBlocks) continue;
      for (const StepSample& step : steps) {
        if (const OpSample* s = find(step, OpKind::Attention)) rows.push_back(s);
      }
    }
  }
  Terms terms;
  std::vector<double> times;
  for (const OpSample* s : rows) {
    terms.push_back({activations(*s), s->row.flops.value()});
    times.push_back(s->seconds());
  }
  Fit fit = fit_non_negative(terms, times, 2);
  if (fit.figures[1].value <= 0) {  // prompts of one length: all of the time is that of scores
    for (std::vector<double>& row : terms) row[0] = 0;
    fit = fit_non_negative(terms, times, 2);
  }
  const std::string note =
      fmt::format("engine, prompts, both rates fitted together, error {:.0f} %", 100 * fit.error);
  if (fit.figures[0].value > 0) {
    b.activation_stream["attention"] = {BytesPerSecond(1 / fit.figures[0].value), measured(note)};
  }
  if (fit.figures[1].value > 0) {
    b.attention_rate = {FlopsPerSecond(1 / fit.figures[1].value), measured(note)};
  }
}

}  // namespace

void fit_small_ops(const std::vector<FormatSamples>& all, double far, Backend& b) {
  const double vectors = stream_of(b, "F32");
  for (const OpKind kind : kSmall) {
    const std::string key(name(kind));
    const Series rates = small_rates(all, kind);
    if (!rates.empty()) {
      b.activation_stream[key] = {BytesPerSecond(rates.median()),
                                  measured(fmt::format("engine, prompts against one token, spread "
                                                       "{:.0f} %",
                                                       100 * rates.spread()))};
    }
    Series costs;
    for (const FormatSamples& f : all) {
      for (const StepSample& step : f.decode) {
        const OpSample* s = find(step, kind);
        if (s == nullptr) continue;
        costs.add(std::max(0.0, s->seconds() - streamed(*s, vectors, far) -
                                    elementwise(b, kind, activations(*s))));
      }
    }
    if (costs.empty()) continue;
    b.op_seconds[key] = {Seconds(costs.median()),
                         measured(fmt::format("engine, one token, cold caches, spread {:.0f} %",
                                              100 * costs.spread()))};
  }
  fit_long_attention(all, b);
}

void fit_format(const FormatSamples& samples, Format format, double far, Backend& b) {
  const std::string key(name(format));
  fit_streams(samples, key, far, b);
  fit_products(samples, key, far, b);
  for (const OpKind kind : {OpKind::DenseFfn, OpKind::AttnOut}) {
    fit_elementwise(samples, kind, key, far, b);
  }
  // The same functions work on the inner rows of experts.
  const auto inner = b.activation_stream.find("dense_ffn");
  if (inner == b.activation_stream.end()) return;
  for (const char* other : {"experts", "shared_expert"}) {
    b.activation_stream[other] = {inner->second.value, {Source::Kind::Derived, "as dense_ffn"}};
  }
}

void fit_attention(const std::vector<AttentionSample>& samples, const std::string& kv_format,
                   double far, Backend& b, std::vector<std::string>& remarks) {
  const bool first = b.kv_stream.empty();
  const double known = first ? 0 : fixed(b, OpKind::Attention);
  const auto solve = [&](double bytes_per_second) {
    Terms terms;
    std::vector<double> times;
    for (const AttentionSample& s : samples) {
      double t = s.seconds - known - elementwise(b, OpKind::Attention, s.activations);
      const double bytes = s.bytes * far / s.read;
      if (bytes_per_second > 0) t -= bytes / bytes_per_second;
      terms.push_back({first ? 1.0 : 0.0, bytes_per_second > 0 ? 0.0 : bytes, s.elements});
      times.push_back(std::max(t, 0.1 * s.seconds));
    }
    return fit_non_negative(terms, times, 3);
  };
  Fit fit = solve(0);
  double rate = fit.figures[1].value > 0 ? 1 / fit.figures[1].value : 0;
  std::string how = "fitted";
  if (!fit.figures[1].identified) {
    remarks.push_back(
        fmt::format("KV {}: the byte rate is not identified (interval {:.3g} to {:.3g} s/GB, |r| "
                    "{:.2f}); plain "
                    "reading taken",
                    kv_format, fit.figures[1].low * 1e9, fit.figures[1].high * 1e9,
                    fit.figures[1].correlation));
    rate = far;
    how = "plain reading";
    fit = solve(rate);
  }
  const std::string note =
      fmt::format("engine, depths and head shapes, {}, error {:.0f} %", how, 100 * fit.error);
  b.kv_stream[kv_format] = {BytesPerSecond(rate), measured(note)};
  if (fit.figures[2].value > 0) {
    b.kv_scores[kv_format] = {ElementsPerSecond(1 / fit.figures[2].value), measured(note)};
    if (!fit.figures[2].identified) {
      remarks.push_back(fmt::format("KV {}: the score rate is not identified", kv_format));
    }
  }
  if (first) b.op_seconds["attention"] = {Seconds(fit.figures[0].value), measured(note)};
}

}  // namespace bandwall
