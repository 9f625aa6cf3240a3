#include "runtime/sampler.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include <fmt/format.h>

#include "hwmodel/error.h"

namespace bandwall {
namespace {

using Candidates = std::vector<std::pair<float, std::int32_t>>;

// e^x for x <= 0 from additions and products only, so that every machine draws the same token
// (library versions of exp differ in the last bit). x = k ln 2 + r; Taylor series of r, |r| <=
// 0.35.
double exponential(double x) {
  constexpr double kLn2High = 6.93147180369123816490e-01, kLn2Low = 1.90821492927058770002e-10;
  if (!(x > -700.0)) return 0.0;
  const double k = std::floor(x * 1.44269504088896338700 + 0.5);
  const double r = (x - k * kLn2High) - k * kLn2Low;
  double term = 1.0, sum = 1.0;
  for (int n = 1; n <= 14; ++n) {
    term = term * r / n;
    sum += term;
  }
  return std::ldexp(sum, static_cast<int>(k));
}

// Blackman & Vigna, xoshiro256** 1.0 and splitmix64 (public domain, prng.di.unimi.it).
std::uint64_t splitmix64(std::uint64_t& x) {
  std::uint64_t z = (x += 0x9E3779B97F4A7C15ull);
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
  return z ^ (z >> 31);
}

std::uint64_t rotated(std::uint64_t x, int by) { return (x << by) | (x >> (64 - by)); }

std::uint64_t next_number(std::uint64_t (&s)[4]) {
  const std::uint64_t result = rotated(s[1] * 5, 7) * 9, t = s[1] << 17;
  s[2] ^= s[0];
  s[3] ^= s[1];
  s[1] ^= s[2];
  s[0] ^= s[3];
  s[2] ^= t;
  s[3] = rotated(s[3], 45);
  return result;
}

// Highest logit first, lowest id first among equals: a total order, so it is the same anywhere.
bool before(const std::pair<float, std::int32_t>& a, const std::pair<float, std::int32_t>& b) {
  return a.first > b.first || (a.first == b.first && a.second < b.second);
}

void keep_top_k(Candidates& c, std::size_t k) {
  if (k >= c.size()) return;
  std::nth_element(c.begin(), c.begin() + static_cast<std::ptrdiff_t>(k), c.end(), before);
  c.resize(k);
}

// Smallest set of the most probable tokens whose probabilities add up to p; at least one.
void keep_top_p(Candidates& c, double p) {
  double total = 0.0, sum = 0.0;
  for (const auto& [logit, id] : c) total += exponential(double{logit} - double{c[0].first});
  for (std::size_t i = 0; i < c.size(); ++i) {
    sum += exponential(double{c[i].first} - double{c[0].first});
    if (sum >= p * total) {
      c.resize(i + 1);
      return;
    }
  }
}

void keep_min_p(Candidates& c, double p) {
  const double most = c[0].first;
  std::erase_if(c, [&](const auto& x) { return exponential(double{x.first} - most) < p; });
}

[[noreturn]] void bad_option(const char* name, double value, const char* range) {
  throw Error::input(name, fmt::format("{} is out of range; give {}", value, range));
}

}  // namespace

Sampler::Sampler(const SamplerOptions& options) : options_(options) {
  const SamplerOptions& o = options;
  if (!std::isfinite(o.temperature)) {
    bad_option("temperature", o.temperature,
               "a number (0 or less: always the most probable token)");
  }
  if (!(o.top_p >= 0.0f)) bad_option("top_p", o.top_p, "a number from 0 to 1 (1: off)");
  if (!(o.min_p <= 1.0f)) bad_option("min_p", o.min_p, "a number from 0 (off) to 1");
  std::uint64_t seed = o.seed;
  for (std::uint64_t& word : state_) word = splitmix64(seed);
}

std::int32_t Sampler::sample(std::span<const float> logits) {
  const std::int32_t best = argmax(logits);
  if (options_.temperature <= 0.0f) return best;
  const float most = logits[static_cast<std::size_t>(best)];
  if (std::isinf(most)) {
    throw Error::running("sampler", fmt::format("the largest logit, of token {}, is {}: no "
                                                "probabilities follow; the model file may be "
                                                "damaged",
                                                best, most));
  }
  candidates_.clear();
  for (std::size_t i = 0; i < logits.size(); ++i) {
    candidates_.emplace_back(logits[i], static_cast<std::int32_t>(i));
  }
  if (options_.top_k > 0) keep_top_k(candidates_, static_cast<std::size_t>(options_.top_k));
  std::sort(candidates_.begin(), candidates_.end(), before);
  if (options_.top_p < 1.0f) keep_top_p(candidates_, options_.top_p);
  if (options_.min_p > 0.0f) keep_min_p(candidates_, options_.min_p);

  const double scale = 1.0 / double{options_.temperature};
  const auto weight = [&](const auto& c) {
    return exponential((double{c.first} - double{most}) * scale);
  };
  double total = 0.0;
  for (const auto& c : candidates_) total += weight(c);
  // 53 bits make a number in [0, 1).
  const double draw = static_cast<double>(next_number(state_) >> 11) * 0x1.0p-53 * total;
  double sum = 0.0;
  for (const auto& c : candidates_) {
    sum += weight(c);
    if (draw < sum) return c.second;
  }
  return best;  // rounding left draw at the very end
}

std::int32_t argmax(std::span<const float> logits) {
  BANDWALL_CHECK(!logits.empty());
  std::size_t best = 0;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    if (std::isnan(logits[i])) {
      throw Error::running("sampler",
                           fmt::format("the logit of token {} is NaN, so no token can be "
                                       "chosen; the model file may be damaged",
                                       i));
    }
    if (logits[i] > logits[best]) best = i;
  }
  return static_cast<std::int32_t>(best);
}

std::uint64_t logits_hash(std::span<const float> logits) {
  std::uint64_t hash = 14695981039346656037ull;
  for (const float logit : logits) {
    std::uint32_t bits;
    std::memcpy(&bits, &logit, sizeof bits);
    for (int shift = 0; shift < 32; shift += 8) {
      hash = (hash ^ ((bits >> shift) & 0xFFu)) * 1099511628211ull;
    }
  }
  return hash;
}

}  // namespace bandwall
