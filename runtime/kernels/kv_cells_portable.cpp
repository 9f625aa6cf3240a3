#include "runtime/kernels/kv_cells_lanes.h"
#include "runtime/kernels/kv_pack_lanes.h"
#include "runtime/kernels/lanes_portable.h"

namespace bandwall::portable {
namespace {

struct CellLanes {
  static Lanes::Vec butterflies(Lanes::Vec v) {
    v = Lanes::Vec{v[0] + v[1], v[0] - v[1], v[2] + v[3], v[2] - v[3]};
    return Lanes::Vec{v[0] + v[2], v[1] + v[3], v[0] - v[2], v[1] - v[3]};
  }
};

}  // namespace

void pack_cell(const KvFormat& type, const float* x, std::int64_t dim, std::byte* cell) {
  pack_cell_lanes<Lanes>(type, x, dim, cell);
}
void expand_cells(const CellRun& run, float* rows, std::int64_t row_stride) {
  reference::expand_cells(run, rows, row_stride);
}
void rotate(const KvRotation& rotation, float* x, std::int64_t n) {
  rotate_lanes<Lanes, CellLanes>(rotation, x, n);
}

}  // namespace bandwall::portable
