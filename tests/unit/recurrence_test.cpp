// Kernels of recurrent mixers: every usable table against the reference, the reference against the
// formulas by hand, and calls of one, several and all tokens bit for bit equal.
#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

#include "runtime/kernels/kernels.h"

namespace bandwall {
namespace {

using Floats = std::vector<float>;
constexpr float kGuard = 12345.0f;  // value behind the end that must survive

Floats random_values(std::int64_t n, unsigned seed, float low, float high) {
  std::mt19937 random(seed);
  std::uniform_real_distribution<float> uniform(low, high);
  Floats values(static_cast<std::size_t>(n));
  for (float& v : values) v = uniform(random);
  return values;
}

void expect_close(const Floats& a, const Floats& b, double limit, const std::string& what) {
  ASSERT_EQ(a.size(), b.size()) << what;
  double diff = 0, size = 1e-30;
  for (std::size_t i = 0; i < a.size(); ++i) {
    diff += std::pow(static_cast<double>(a[i]) - b[i], 2);
    size += std::pow(static_cast<double>(b[i]), 2);
  }
  EXPECT_LT(std::sqrt(diff / size), limit) << what;
}

// Inputs of one head with `tokens` tokens and a state that is not empty.
struct Head {
  Head(std::int64_t tokens, std::int64_t rows, std::int64_t dim)
      : n(tokens), state_rows(rows), width(dim), stride(2 * rows + dim + 3) {
    input = random_values(n * stride, 1, -1.0f, 1.0f);
    first = random_values(n, 2, 0.05f, 1.0f);
    decay = random_values(n, 3, 0.5f, 1.0f);
    state = random_values(rows * dim, 4, -1.0f, 1.0f);
    state.push_back(kGuard);
    y.assign(static_cast<std::size_t>(n * (dim + 1)), kGuard);
  }
  ScanArgs scan(std::int64_t from, std::int64_t count) {
    ScanArgs a;
    a.n = count;
    a.state_size = state_rows;
    a.dim = width;
    a.state = state.data();
    a.x = input.data() + from * stride;
    a.b = a.x + width;
    a.c = a.b + state_rows;
    a.stride = stride;
    a.step = first.data() + from;
    a.decay = decay.data() + from;
    a.skip = 0.7f;
    a.y = y.data() + from * (width + 1);
    a.y_stride = width + 1;
    return a;
  }
  DeltaArgs delta(std::int64_t from, std::int64_t count) {
    DeltaArgs a;
    a.n = count;
    a.key_dim = state_rows;
    a.value_dim = width;
    a.state = state.data();
    a.v = input.data() + from * stride;
    a.q = a.v + width;
    a.k = a.q + state_rows;
    a.stride = stride;
    a.beta = first.data() + from;
    a.decay = decay.data() + from;
    a.y = y.data() + from * (width + 1);
    a.y_stride = width + 1;
    return a;
  }
  void normalise() {  // keys of unit length, without which the delta rule diverges
    for (std::int64_t t = 0; t < n; ++t) {
      for (std::int64_t i = 0; i < 2; ++i) {
        float* v = input.data() + t * stride + width + i * state_rows;
        reference_kernels().l2_norm(v, 1e-6f, 1.0f, state_rows, v);
      }
    }
  }
  std::int64_t n, state_rows, width, stride;
  Floats input, first, decay, state, y;
};

struct Shape {
  std::int64_t rows, dim;
};
// Whole blocks of vectors, single vectors and tails of every instruction set.
constexpr Shape kShapes[] = {{128, 64}, {128, 128}, {8, 16}, {5, 7}, {3, 1}, {16, 83}};

TEST(Recurrence, ScanFollowsTheFormula) {
  // h = decay h + b (step x), y = h c + skip x, with one row and one column.
  Head head(2, 1, 1);
  head.input = {2.0f, 3.0f, 5.0f, 0, 0, 0, -1.0f, 0.5f, 4.0f, 0, 0, 0};  // x, b, c
  head.first = {0.1f, 0.2f};
  head.decay = {0.5f, 0.25f};
  head.state = {10.0f, kGuard};
  for (const KernelTable* table : usable_kernels()) {
    Head h = head;
    table->ssm_scan(h.scan(0, 2));
    const double h1 = 0.5 * 10 + 3 * 0.1 * 2, h2 = 0.25 * h1 + 0.5 * 0.2 * -1;
    EXPECT_NEAR(h.y[0], h1 * 5 + 0.7 * 2, 1e-5) << table->isa;
    EXPECT_NEAR(h.y[2], h2 * 4 - 0.7, 1e-5) << table->isa;
    EXPECT_NEAR(h.state[0], h2, 1e-6) << table->isa;
  }
}

TEST(Recurrence, DeltaRuleReplacesWhatAKeyHolds) {
  // Full strength and no decay: after the step the state gives the new value for that key, and for
  // a key at a right angle what it gave before.
  for (const KernelTable* table : usable_kernels()) {
    Head h(1, 2, 1);
    h.input = {7.0f, 0.6f, 0.8f, 0.6f, 0.8f, 0, 0, 0};  // v, q = k
    h.first = {1.0f};
    h.decay = {1.0f};
    h.state = {3.0f, -2.0f, kGuard};
    table->delta_rule(h.delta(0, 1));
    EXPECT_NEAR(h.y[0], 7.0, 1e-5) << table->isa;
    EXPECT_NEAR(0.8 * h.state[0] - 0.6 * h.state[1], 0.8 * 3 + 0.6 * 2, 1e-5) << table->isa;
  }
}

TEST(Recurrence, EveryTableMatchesTheReference) {
  for (const Shape& shape : kShapes) {
    Head scan(19, shape.rows, shape.dim);
    Head delta = scan;
    delta.normalise();
    Head scan_truth = scan, delta_truth = delta;
    reference_kernels().ssm_scan(scan_truth.scan(0, scan.n));
    reference_kernels().delta_rule(delta_truth.delta(0, delta.n));
    for (const KernelTable* table : usable_kernels()) {
      const std::string what = std::string(table->isa) + " " + std::to_string(shape.rows) + " x " +
                               std::to_string(shape.dim);
      Head s = scan, d = delta;
      table->ssm_scan(s.scan(0, s.n));
      expect_close(s.y, scan_truth.y, 1e-6, "scan " + what);
      expect_close(s.state, scan_truth.state, 1e-6, "scan state " + what);
      table->delta_rule(d.delta(0, d.n));
      expect_close(d.y, delta_truth.y, 1e-6, "delta " + what);
      expect_close(d.state, delta_truth.state, 1e-6, "delta state " + what);
      for (std::int64_t t = 0; t < s.n; ++t) {
        const auto behind = static_cast<std::size_t>(t * (shape.dim + 1) + shape.dim);
        EXPECT_EQ(s.y[behind], kGuard) << what;
        EXPECT_EQ(d.y[behind], kGuard) << what;
      }
      EXPECT_EQ(s.state.back(), kGuard) << what;
      EXPECT_EQ(d.state.back(), kGuard) << what;
    }
  }
}

TEST(Recurrence, PiecesOfTokensGiveTheSameBits) {
  for (const KernelTable* table : usable_kernels()) {
    for (const Shape& shape : kShapes) {
      Head scan(23, shape.rows, shape.dim);
      Head delta = scan;
      delta.normalise();
      Head scan_whole = scan, delta_whole = delta;
      table->ssm_scan(scan_whole.scan(0, 23));
      table->delta_rule(delta_whole.delta(0, 23));
      for (const std::int64_t piece : {1, 7}) {
        Head s = scan, d = delta;
        for (std::int64_t at = 0; at < 23; at += piece) {
          table->ssm_scan(s.scan(at, std::min(piece, 23 - at)));
          table->delta_rule(d.delta(at, std::min(piece, 23 - at)));
        }
        EXPECT_EQ(s.y, scan_whole.y) << table->isa;
        EXPECT_EQ(s.state, scan_whole.state) << table->isa;
        EXPECT_EQ(d.y, delta_whole.y) << table->isa;
        EXPECT_EQ(d.state, delta_whole.state) << table->isa;
      }
    }
  }
}

struct Channels {
  explicit Channels(std::int64_t taps) : count(taps) {
    x = random_values(kTokens * kStride, 5, -2.0f, 2.0f);
    tail = random_values((count - 1) * kChannels, 6, -2.0f, 2.0f);
    weights = random_values(count * kChannels, 7, -1.0f, 1.0f);
    bias = random_values(kChannels, 8, -1.0f, 1.0f);
    y.assign(static_cast<std::size_t>(kTokens * kChannels), kGuard);
  }
  ConvArgs args(std::int64_t from, std::int64_t n, std::int64_t begin, std::int64_t end) {
    ConvArgs a;
    a.n = n;
    a.count = count;
    a.channels = kChannels;
    a.begin = begin;
    a.end = end;
    a.x = x.data() + from * kStride;
    a.x_stride = kStride;
    a.tail = tail.data();
    a.taps = weights.data();
    a.bias = bias.data();
    a.y = y.data() + from * kChannels;
    return a;
  }
  static constexpr std::int64_t kTokens = 11, kChannels = 37, kStride = 40;
  std::int64_t count;
  Floats x, tail, weights, bias, y;
};

TEST(Recurrence, ConvolutionMatchesTheReferenceInPiecesOfTokensAndChannels) {
  for (const std::int64_t taps : {2, 4, 7}) {
    Channels truth(taps);
    reference_kernels().conv_silu(truth.args(0, Channels::kTokens, 0, Channels::kChannels));
    for (const KernelTable* table : usable_kernels()) {
      Channels whole(taps);
      table->conv_silu(whole.args(0, Channels::kTokens, 0, Channels::kChannels));
      expect_close(whole.y, truth.y, 1e-6, std::string(table->isa));
      EXPECT_EQ(whole.tail, truth.tail) << table->isa;  // inputs, moved and not computed
      for (const std::int64_t piece : {1, 2, 4}) {
        Channels parts(taps);
        for (std::int64_t at = 0; at < Channels::kTokens; at += piece) {
          const std::int64_t n = std::min(piece, Channels::kTokens - at);
          table->conv_silu(parts.args(at, n, 0, 16));
          table->conv_silu(parts.args(at, n, 16, Channels::kChannels));
        }
        EXPECT_EQ(parts.y, whole.y) << table->isa << " " << piece;
        EXPECT_EQ(parts.tail, whole.tail) << table->isa << " " << piece;
      }
    }
  }
}

TEST(Recurrence, ConvolutionSeesTheOldestTapFirst) {
  for (const KernelTable* table : usable_kernels()) {
    float tail[] = {1.0f, 2.0f}, x[] = {4.0f}, y[] = {0.0f};
    const float taps[] = {100.0f, 10.0f, 1.0f};
    ConvArgs a;
    a.n = a.channels = a.end = a.x_stride = 1;
    a.count = 3;
    a.x = x;
    a.tail = tail;
    a.taps = taps;
    a.y = y;
    table->conv_silu(a);
    EXPECT_FLOAT_EQ(y[0], 124.0f) << table->isa;  // silu is the identity that far out
    EXPECT_EQ(tail[0], 2.0f) << table->isa;
    EXPECT_EQ(tail[1], 4.0f) << table->isa;
  }
}

TEST(Recurrence, ElementwiseKernelsMatchTheReference) {
  for (const std::int64_t n : {1, 3, 16, 31, 64, 100, 4099}) {
    const Floats a = random_values(n, 9, -4.0f, 4.0f), b = random_values(n, 10, -4.0f, 4.0f);
    for (const KernelTable* table : usable_kernels()) {
      const std::string what = std::string(table->isa) + " " + std::to_string(n);
      Floats y(static_cast<std::size_t>(n) + 1, kGuard), truth = y;
      table->relu_squared(a.data(), n, y.data());
      reference_kernels().relu_squared(a.data(), n, truth.data());
      EXPECT_EQ(y, truth) << what;
      table->sigmoid_mul(a.data(), b.data(), n, y.data());
      reference_kernels().sigmoid_mul(a.data(), b.data(), n, truth.data());
      EXPECT_EQ(y.back(), kGuard) << what;
      expect_close(y, truth, 1e-6, what);
      table->l2_norm(a.data(), 1e-6f, 0.25f, n, y.data());
      reference_kernels().l2_norm(a.data(), 1e-6f, 0.25f, n, truth.data());
      EXPECT_EQ(y.back(), kGuard) << what;
      expect_close(y, truth, 1e-6, what);
    }
  }
}

TEST(Recurrence, LengthsBelowEpsilonAreNotRaisedToOne) {
  for (const KernelTable* table : usable_kernels()) {
    const float x[] = {3e-3f, 4e-3f}, zero[] = {0.0f, 0.0f};
    float y[2];
    table->l2_norm(x, 0.5f, 1.0f, 2, y);
    EXPECT_FLOAT_EQ(y[0], 6e-3f) << table->isa;
    table->l2_norm(zero, 1e-6f, 1.0f, 2, y);
    EXPECT_EQ(y[0], 0.0f) << table->isa;
  }
}

}  // namespace
}  // namespace bandwall
