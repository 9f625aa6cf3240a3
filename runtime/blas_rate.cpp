// OpenBLAS, a yardstick of calibrate alone, is loaded when it is asked for: the pooled form of it
// starts threads and takes a buffer for each while it is loaded, and where those cannot be had it
// ends the process or keeps it from ending. Nothing else of the program shall depend on that.
#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <vector>

#include <cblas.h>
#include <dlfcn.h>

#include "runtime/host.h"
#include "runtime/probes.h"

namespace bandwall {
namespace {

using Product = decltype(&cblas_sgemm);

Product load_product() {
  // Its buffers: without them it would try for ever.
  constexpr double kLeastBytes = 1e9;
  const std::optional<Bytes> available = host_info().memory_available;
  if (available && available->value() < kLeastBytes) return nullptr;
  setenv("OPENBLAS_NUM_THREADS", "1", 1);
  for (const char* name : {"libopenblas.so.0", "libopenblas.so"}) {
    if (void* library = dlopen(name, RTLD_NOW | RTLD_LOCAL)) {
      return reinterpret_cast<Product>(dlsym(library, "cblas_sgemm"));
    }
  }
  return nullptr;
}

}  // namespace

double blas_rate(std::int64_t n) {
  static const Product product = load_product();
  if (product == nullptr) return 0;
  const auto size = static_cast<std::size_t>(n * n);
  const std::vector<float> a(size, 0.5f), b(size, 0.25f);
  std::vector<float> c(size);
  const int side = static_cast<int>(n);
  const auto begin = std::chrono::steady_clock::now();
  product(CblasRowMajor, CblasNoTrans, CblasNoTrans, side, side, side, 1.0f, a.data(), side,
          b.data(), side, 0.0f, c.data(), side);
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
  const double cubed = static_cast<double>(n) * static_cast<double>(n) * static_cast<double>(n);
  return 2 * cubed / std::max(1e-9, seconds.count());
}

}  // namespace bandwall
