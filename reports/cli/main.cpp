#include <cstdio>

int main() {
  std::puts("bandwall");
  return 0;
}
