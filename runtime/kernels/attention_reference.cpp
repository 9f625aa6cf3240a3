// The slow truth of attention: scores, softmax and weighted sum in double precision, one query head
// at a time; and the merge of partial results, which all instruction sets share.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "hwmodel/error.h"
#include "runtime/kernels/detail.h"

namespace bandwall {
namespace {

constexpr double kMinusInfinity = -std::numeric_limits<double>::infinity();

// The vector of one cell, expanded.
std::vector<float> cell_values(const AttentionArgs& args, const KvFormat* type,
                               const std::byte* cells, std::int64_t stride, std::int64_t cell,
                               std::int64_t dim) {
  std::vector<float> row(static_cast<std::size_t>(dim));
  reference::expand_cells({type, cells + cell % args.ring * stride, stride, 1, 0, dim}, row.data(),
                          dim);
  return row;
}

// One query head over cells [begin, end): writes out (normalised unless partial) and {max, sum}.
void attend_one(const AttentionArgs& args, std::int64_t query, std::int64_t head,
                std::int64_t begin, std::int64_t end) {
  const float* q = args.q + query * args.q_stride + head * args.head_dim_k;
  float* out = args.out + query * args.out_stride + head * args.head_dim_v;
  std::vector<double> scores;
  double max = kMinusInfinity;
  for (std::int64_t cell = begin; cell < end; ++cell) {
    const auto key = cell_values(args, args.k_type, args.k, args.k_stride, cell, args.head_dim_k);
    double dot = 0.0;
    for (std::int64_t d = 0; d < args.head_dim_k; ++d) {
      dot += static_cast<double>(q[d]) * key[static_cast<std::size_t>(d)];
    }
    scores.push_back(dot * static_cast<double>(args.scale));
    max = std::max(max, scores.back());
  }
  const bool partial = args.part_end >= 0;
  const double part_max = max;
  if (!partial && args.sinks != nullptr) max = std::max<double>(max, args.sinks[head]);
  double sum = 0.0;
  for (double& s : scores) {
    s = s == kMinusInfinity ? 0.0 : std::exp(s - max);  // a score that is no number stays none
    sum += s;
  }
  if (partial) {
    float* state = args.partial + (query * args.group + head) * 2;
    state[0] = static_cast<float>(part_max);
    state[1] = static_cast<float>(sum);
  } else if (args.sinks != nullptr && max != kMinusInfinity) {
    sum += std::exp(args.sinks[head] - max);
  }
  const double factor = partial ? 1.0 : (sum > 0.0 ? 1.0 / sum : 0.0);
  std::vector<double> sums(static_cast<std::size_t>(args.head_dim_v), 0.0);
  for (std::int64_t cell = begin; cell < end; ++cell) {
    const auto value = cell_values(args, args.v_type, args.v, args.v_stride, cell, args.head_dim_v);
    for (std::size_t d = 0; d < sums.size(); ++d) {
      sums[d] += scores[static_cast<std::size_t>(cell - begin)] * value[d];
    }
  }
  for (std::size_t d = 0; d < sums.size(); ++d) out[d] = static_cast<float>(sums[d] * factor);
}

}  // namespace

namespace reference {

void attention(const AttentionArgs& args) {
  for (std::int64_t i = 0; i < args.n; ++i) {
    std::int64_t begin = args.first[i], end = args.last[i];
    if (args.part_end >= 0) {
      begin = std::max(begin, args.part_begin);
      end = std::min(end, args.part_end);
    }
    for (std::int64_t g = 0; g < args.group; ++g) attend_one(args, i, g, begin, end);
  }
}

}  // namespace reference

// In blocks of a fixed size, which compilers turn into vectors.
static void add_weighted(const float* __restrict from, float weight, std::int64_t n,
                         float* __restrict to) {
  constexpr std::int64_t kBlock = 16;
  std::int64_t d = 0;
  for (; d + kBlock <= n; d += kBlock) {
    for (std::int64_t i = 0; i < kBlock; ++i) to[d + i] += weight * from[d + i];
  }
  for (; d < n; ++d) to[d] += weight * from[d];
}

// The rows of outs[p] lie close together: row r of n * group at outs[p] + r * head_dim_v.
void merge_attention_parts(const float* const* outs, const float* const* partials, int parts,
                           std::int64_t n, std::int64_t group, std::int64_t head_dim_v,
                           const float* sinks, float* out, std::int64_t out_stride) {
  for (std::int64_t row = 0; row < n * group; ++row) {
    const std::int64_t query = row / group, head = row % group;
    double max = sinks != nullptr ? static_cast<double>(sinks[head]) : kMinusInfinity;
    for (int p = 0; p < parts; ++p) max = std::max<double>(max, partials[p][row * 2]);
    float* to = out + query * out_stride + head * head_dim_v;
    std::fill(to, to + head_dim_v, 0.0f);
    if (max == kMinusInfinity) {  // nothing is visible, or no score is a number: that must show
      for (int p = 0; p < parts; ++p) {
        if (std::isnan(partials[p][row * 2 + 1])) std::fill(to, to + head_dim_v, NAN);
      }
      continue;
    }
    double sum = sinks != nullptr ? std::exp(sinks[head] - max) : 0.0;
    for (int p = 0; p < parts; ++p) {
      sum += std::exp(partials[p][row * 2] - max) * partials[p][row * 2 + 1];
    }
    for (int p = 0; p < parts; ++p) {
      const auto weight = static_cast<float>(std::exp(partials[p][row * 2] - max) / sum);
      if (weight == 0.0f) continue;
      add_weighted(outs[p] + row * head_dim_v, weight, head_dim_v, to);
    }
  }
}

}  // namespace bandwall
