#if defined(__x86_64__)
#include "runtime/kernels/kv_cells_lanes.h"
#include "runtime/kernels/kv_pack_lanes.h"
#include "runtime/kernels/lanes_avx2.h"

namespace bandwall::avx2 {
namespace {

// Codes of a block become values by look-ups in two registers of 8 values.
struct CellLanes {
  using Vec = __m256;
  struct Table {
    __m256 low, high;
  };

  static Vec half(const CellByte* p) {
    std::uint16_t bits;
    __builtin_memcpy(&bits, p, 2);
    return _mm256_cvtph_ps(_mm_set1_epi16(static_cast<short>(bits)));
  }
  static Vec half_zero() { return _mm256_setzero_ps(); }
  static Table table(const float* values) {
    return {_mm256_loadu_ps(values), _mm256_loadu_ps(values + 8)};
  }
  static Table steps(float first) {
    const __m256 low = _mm256_setr_ps(0, 1, 2, 3, 4, 5, 6, 7);
    return {_mm256_add_ps(_mm256_set1_ps(first), low),
            _mm256_add_ps(_mm256_set1_ps(first + 8), low)};
  }
  static Table scaled(Table t, Vec d) {
    return {_mm256_mul_ps(d, t.low), _mm256_mul_ps(d, t.high)};
  }
  static Table plus(Table t, Vec m) { return {_mm256_add_ps(t.low, m), _mm256_add_ps(t.high, m)}; }

  static void bytes_32(const CellByte* in, Vec d, float* out) {
    for (int i = 0; i < 4; ++i) {
      const __m256i q = _mm256_cvtepi8_epi32(load_8(in + 8 * i));
      _mm256_storeu_ps(out + 8 * i, _mm256_mul_ps(d, _mm256_cvtepi32_ps(q)));
    }
  }
  static void nibbles_32(const CellByte* in, Table t, float* out) {
    for (int i = 0; i < 2; ++i) {
      const __m256i q = _mm256_cvtepu8_epi32(load_8(in + 8 * i));
      _mm256_storeu_ps(out + 8 * i, look_up(q, t));
      _mm256_storeu_ps(out + 16 + 8 * i, look_up(_mm256_srli_epi32(q, 4), t));
    }
  }
  static void pairs_32(const CellByte* in, Table t, float* out) {
    const __m256i shifts = _mm256_setr_epi32(0, 4, 8, 12, 16, 20, 24, 28);
    for (int i = 0; i < 4; ++i) {
      std::uint32_t codes;
      __builtin_memcpy(&codes, in + 4 * i, 4);
      const __m256i q = _mm256_srlv_epi32(_mm256_set1_epi32(static_cast<int>(codes)), shifts);
      _mm256_storeu_ps(out + 8 * i, look_up(q, t));
    }
  }
  static void triples_16(const CellByte* in, Table t, float* out) {
    const __m256i shifts = _mm256_setr_epi32(0, 3, 6, 9, 12, 15, 18, 21);
    for (int i = 0; i < 2; ++i) {
      const int codes = in[3 * i] | in[3 * i + 1] << 8 | in[3 * i + 2] << 16;
      const __m256i q = _mm256_srlv_epi32(_mm256_set1_epi32(codes), shifts);
      _mm256_storeu_ps(out + 8 * i, _mm256_permutevar8x32_ps(t.low, q));
    }
  }
  static void five_bits_32(const CellByte* fifth, const CellByte* in, Vec d, int base, Vec min,
                           float* out) {
    std::uint32_t bits;
    __builtin_memcpy(&bits, fifth, 4);
    const __m256i places = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    for (int i = 0; i < 4; ++i) {
      const __m256i codes = _mm256_cvtepu8_epi32(load_8(in + 8 * (i % 2)));
      const __m256i low =
          _mm256_and_si256(i < 2 ? codes : _mm256_srli_epi32(codes, 4), _mm256_set1_epi32(15));
      const __m256i bit = _mm256_and_si256(
          _mm256_srlv_epi32(_mm256_set1_epi32(static_cast<int>(bits >> (8 * i))), places),
          _mm256_set1_epi32(1));
      const __m256i q = _mm256_add_epi32(_mm256_or_si256(low, _mm256_slli_epi32(bit, 4)),
                                         _mm256_set1_epi32(base));
      _mm256_storeu_ps(out + 8 * i, _mm256_add_ps(_mm256_mul_ps(d, _mm256_cvtepi32_ps(q)), min));
    }
  }

  // Sums and differences of lanes 1, 2 and 4 apart: lane + partner or partner - lane.
  static Vec butterflies(Vec v) {
    Vec other = _mm256_permute_ps(v, 0xb1);
    v = _mm256_blend_ps(_mm256_add_ps(v, other), _mm256_sub_ps(other, v), 0xaa);
    other = _mm256_permute_ps(v, 0x4e);
    v = _mm256_blend_ps(_mm256_add_ps(v, other), _mm256_sub_ps(other, v), 0xcc);
    other = _mm256_permute2f128_ps(v, v, 0x01);
    return _mm256_blend_ps(_mm256_add_ps(v, other), _mm256_sub_ps(other, v), 0xf0);
  }

 private:
  static __m128i load_8(const CellByte* p) {
    return _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p));
  }
  static __m256 look_up(__m256i code, Table t) {
    return _mm256_blendv_ps(_mm256_permutevar8x32_ps(t.low, code),
                            _mm256_permutevar8x32_ps(t.high, code),
                            _mm256_castsi256_ps(_mm256_slli_epi32(code, 28)));
  }
};

}  // namespace

void pack_cell(const KvFormat& type, const float* x, std::int64_t dim, std::byte* cell) {
  pack_cell_lanes<Lanes>(type, x, dim, cell);
}
void expand_cells(const CellRun& run, float* rows, std::int64_t row_stride) {
  expand_cells_lanes<Lanes, CellLanes>(run, rows, row_stride);
}
void rotate(const KvRotation& rotation, float* x, std::int64_t n) {
  rotate_lanes<Lanes, CellLanes>(rotation, x, n);
}

}  // namespace bandwall::avx2
#endif  // x86-64
