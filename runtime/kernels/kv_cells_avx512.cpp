#if defined(__x86_64__)
#include "runtime/kernels/kv_cells_lanes.h"
#include "runtime/kernels/kv_pack_lanes.h"
#include "runtime/kernels/lanes_avx512.h"

namespace bandwall::avx512 {
namespace {

// Codes of a block become values by a look-up in a register of 16 values.
struct CellLanes {
  using Vec = __m512;
  using Table = __m512;

  static Vec half(const CellByte* p) {
    std::uint16_t bits;
    __builtin_memcpy(&bits, p, 2);
    return _mm512_cvtph_ps(_mm256_set1_epi16(static_cast<short>(bits)));
  }
  static Vec half_zero() { return _mm512_setzero_ps(); }
  static Table table(const float* values) { return _mm512_loadu_ps(values); }
  static Table steps(float first) {
    return _mm512_add_ps(_mm512_set1_ps(first),
                         _mm512_setr_ps(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15));
  }
  static Table scaled(Table t, Vec d) { return _mm512_mul_ps(d, t); }
  static Table plus(Table t, Vec m) { return _mm512_add_ps(t, m); }

  static void bytes_32(const CellByte* in, Vec d, float* out) {
    for (int i = 0; i < 2; ++i) {
      const __m512i q = _mm512_cvtepi8_epi32(load_16(in + 16 * i));
      _mm512_storeu_ps(out + 16 * i, _mm512_mul_ps(d, _mm512_cvtepi32_ps(q)));
    }
  }
  // Low nibbles of 16 bytes, then high ones. The look-up ignores the bits above.
  static void nibbles_32(const CellByte* in, Table t, float* out) {
    const __m512i q = _mm512_cvtepu8_epi32(load_16(in));
    _mm512_storeu_ps(out, _mm512_permutexvar_ps(q, t));
    _mm512_storeu_ps(out + 16, _mm512_permutexvar_ps(_mm512_srli_epi32(q, 4), t));
  }
  // Both nibbles of each byte.
  static void pairs_32(const CellByte* in, Table t, float* out) {
    const __m512i shifts =
        _mm512_setr_epi32(0, 4, 8, 12, 16, 20, 24, 28, 0, 4, 8, 12, 16, 20, 24, 28);
    for (int i = 0; i < 2; ++i) {
      std::uint32_t a, b;
      __builtin_memcpy(&a, in + 8 * i, 4);
      __builtin_memcpy(&b, in + 8 * i + 4, 4);
      const __m512i q = _mm512_mask_set1_epi32(_mm512_set1_epi32(static_cast<int>(a)), 0xff00,
                                               static_cast<int>(b));
      _mm512_storeu_ps(out + 16 * i, _mm512_permutexvar_ps(_mm512_srlv_epi32(q, shifts), t));
    }
  }
  // Sixteen codes of 3 bits in 6 bytes; the look-up takes 4 bits, so the table repeats after 8.
  static void triples_16(const CellByte* in, Table t, float* out) {
    std::uint32_t low;
    std::uint16_t high;
    __builtin_memcpy(&low, in, 4);
    __builtin_memcpy(&high, in + 4, 2);
    const auto codes = static_cast<long long>(low | static_cast<std::uint64_t>(high) << 32);
    const __m128i places =
        _mm_setr_epi8(0, 3, 6, 9, 12, 15, 18, 21, 24, 27, 30, 33, 36, 39, 42, 45);
    const __m128i bytes = _mm_multishift_epi64_epi8(places, _mm_set1_epi64x(codes));
    _mm512_storeu_ps(out, _mm512_permutexvar_ps(_mm512_cvtepu8_epi32(bytes), t));
  }
  static void five_bits_32(const CellByte* fifth, const CellByte* in, Vec d, int base, Vec min,
                           float* out) {
    std::uint32_t bits;
    __builtin_memcpy(&bits, fifth, 4);
    const __m512i codes = _mm512_cvtepu8_epi32(load_16(in));
    for (int i = 0; i < 2; ++i) {
      const __m512i low = _mm512_and_si512(_mm512_srli_epi32(codes, static_cast<unsigned>(4 * i)),
                                           _mm512_set1_epi32(15));
      const auto set = static_cast<__mmask16>(bits >> (16 * i));
      const __m512i q = _mm512_add_epi32(_mm512_mask_or_epi32(low, set, low, _mm512_set1_epi32(16)),
                                         _mm512_set1_epi32(base));
      _mm512_storeu_ps(out + 16 * i, _mm512_add_ps(_mm512_mul_ps(d, _mm512_cvtepi32_ps(q)), min));
    }
  }

  // Sums and differences of lanes 1, 2, 4 and 8 apart: lane + partner or partner - lane.
  static Vec butterflies(Vec v) {
    v = _mm512_mask_sub_ps(_mm512_add_ps(v, _mm512_permute_ps(v, 0xb1)), 0xaaaa,
                           _mm512_permute_ps(v, 0xb1), v);
    v = _mm512_mask_sub_ps(_mm512_add_ps(v, _mm512_permute_ps(v, 0x4e)), 0xcccc,
                           _mm512_permute_ps(v, 0x4e), v);
    v = _mm512_mask_sub_ps(_mm512_add_ps(v, _mm512_shuffle_f32x4(v, v, 0xb1)), 0xf0f0,
                           _mm512_shuffle_f32x4(v, v, 0xb1), v);
    return _mm512_mask_sub_ps(_mm512_add_ps(v, _mm512_shuffle_f32x4(v, v, 0x4e)), 0xff00,
                              _mm512_shuffle_f32x4(v, v, 0x4e), v);
  }

 private:
  static __m128i load_16(const CellByte* p) {
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
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

}  // namespace bandwall::avx512
#endif  // x86-64
