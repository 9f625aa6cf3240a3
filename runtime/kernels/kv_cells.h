// Cells of the KV cache: packing vectors into them, expanding them, and the rotation in front.
//   pack_cell(type, key, 128, cell);   expand_cells(type, cell, stride, 1, 0, 128, rows, 128);
// Inside runtime/kernels every table has its own; here are the reference and what all share.
// A cell holds one vector of one head in whole blocks. A vector with a NaN or an infinity (or whose
// scale is beyond FP16) gives a block with a NaN or an infinity in it: damage is never hidden.
#pragma once

#include <cstddef>
#include <cstdint>

#include "workload/format.h"

namespace bandwall {

// A codebook of Lloyd and Max: centroids of the coordinates of random unit vectors times the root
// of their size, for blocks of this size, in rising order; 8 (they repeat) or 16.
struct KvCodebook {
  float values[16];
  float boundaries[15];  // halfway between neighbours
  int count;
};
const KvCodebook& kv_codebook(const KvFormat& type);  // with index_bits 3 or 4

// The nonlinear 4-bit codebook of iq4_nl, and halfway between neighbours.
const KvCodebook& iq4_codebook();

// Signs of the rotation in front of a codebook; sign i belongs to dimension i of a block.
const float* kv_signs();  // 256 of +1 and -1

// Scale of a codebook block: norm / sqrt(size) of the vector, corrected so that the expanded vector
// has the vector's norm. sum_x2: of the vector; sum_c2: of its chosen centroids.
float codebook_scale(double sum_x2, double sum_c2);

}  // namespace bandwall
