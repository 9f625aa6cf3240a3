#include "reports/cli/refused_memory.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <new>

namespace {

std::atomic<std::size_t> refused = 0;

}  // namespace

void* operator new(std::size_t size) {
  if (void* memory = std::malloc(std::max<std::size_t>(size, 1))) return memory;
  refused = size;
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

namespace bandwall {

std::size_t refused_bytes() { return refused; }

}  // namespace bandwall
