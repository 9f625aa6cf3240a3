#include <algorithm>
#include <vector>

#include "hwmodel/error.h"
#include "runtime/kernels/detail.h"

namespace bandwall::reference {

void matmul(const MatmulArgs& a) {
  const std::int64_t cols = a.cols;
  std::vector<float> row(static_cast<std::size_t>(cols));
  for (std::int64_t r = a.row_begin; r < a.row_end; ++r) {
    dequantize(a.format, a.w + r * a.row_bytes, cols, row.data());
    for (std::int64_t i = 0; i < a.n_used; ++i) {
      const float* x = a.x.f32 + (a.x_rows == nullptr ? i : a.x_rows[i]) * cols;
      double sum = 0.0;
      for (std::int64_t k = 0; k < cols; ++k) sum += static_cast<double>(row[k]) * x[k];
      a.y[i * a.y_stride + r] = static_cast<float>(sum);
    }
  }
}

void quantize_rows(const float* x, std::int64_t n, std::int64_t cols, std::int8_t* q8,
                   float* scale, std::int16_t* sums16) {
  portable::quantize_rows(x, n, cols, q8, scale, sums16);
}

}  // namespace bandwall::reference
