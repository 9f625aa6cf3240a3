// Arguments of the kernels of recurrent mixers: causal convolution, Mamba-2 scan, gated delta rule.
// All work token by token, so that a row of results does not depend on how many tokens a call has,
// and on one head or a range of channels, so that threads share them out.
#pragma once

#include <cstdint>

namespace bandwall {

// y[t][c] = silu(bias[c] + sum over j of taps[j][c] * x[t - (count - 1) + j][c]), c in [begin,
// end); rows before the first are in `tail`, which afterwards holds the last count - 1 rows.
struct ConvArgs {
  std::int64_t n = 0, count = 0, channels = 0;
  std::int64_t begin = 0, end = 0;
  const float* x = nullptr;  // n rows, x_stride floats apart
  std::int64_t x_stride = 0;
  float* tail = nullptr;        // count - 1 rows of `channels`, oldest first
  const float* taps = nullptr;  // count rows of `channels`, oldest first
  const float* bias = nullptr;  // nullptr: none
  float* y = nullptr;           // n rows, `channels` apart
};

// Mamba-2 (Dao and Gu 2024, arXiv 2405.21060), one head:
//   h = decay[t] h + b[t] (step[t] x[t])^T;   y[t] = h^T c[t] + skip x[t]
struct ScanArgs {
  std::int64_t n = 0, state_size = 0, dim = 0;
  float* state = nullptr;  // state_size rows of dim
  const float *x = nullptr, *b = nullptr, *c = nullptr;
  std::int64_t stride = 0;  // floats from one token to the next, of x, b and c
  const float *step = nullptr, *decay = nullptr;
  float skip = 0.0f;
  float* y = nullptr;
  std::int64_t y_stride = 0;
};

// Gated delta rule (Yang et al. 2024, arXiv 2412.06464), one value head:
//   S = decay[t] S;   S = S + k[t] (beta[t] (v[t] - S^T k[t]))^T;   y[t] = S^T q[t]
struct DeltaArgs {
  std::int64_t n = 0, key_dim = 0, value_dim = 0;
  float* state = nullptr;  // key_dim rows of value_dim
  const float *q = nullptr, *k = nullptr, *v = nullptr;
  std::int64_t stride = 0;  // floats from one token to the next, of q, k and v
  const float *beta = nullptr, *decay = nullptr;
  float* y = nullptr;
  std::int64_t y_stride = 0;
};

}  // namespace bandwall
