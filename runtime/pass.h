// What the ops of one micro-batch share: weights, kernels, threads, buffers, meter.
// Rows are activations of one position each. Buffers are as large as the longest micro-batch and
// are touched only as far as it reaches.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <memory>
#include <type_traits>
#include <vector>

#include "runtime/kernels/kernels.h"
#include "runtime/kv_cache.h"
#include "runtime/rope.h"
#include "runtime/state_cache.h"
#include "runtime/step_meter.h"
#include "runtime/thread_pool.h"
#include "runtime/weights.h"

namespace bandwall {

// Throws Error (Running) with the bytes asked for and those available.
[[noreturn]] void throw_no_buffer(double bytes);

// 64-byte aligned memory that is not cleared.
template <class T>
class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(std::int64_t count) { resize(count); }
  // Contents are lost; memory is kept when it is large enough.
  void resize(std::int64_t count) {
    if (data_ != nullptr && count <= count_) return;
    count_ = count;
    const auto bytes =
        (static_cast<std::size_t>(std::max<std::int64_t>(count, 1)) * sizeof(T) + 63) / 64 * 64;
    data_.reset(static_cast<T*>(std::aligned_alloc(64, bytes)));
    if (data_ == nullptr) throw_no_buffer(static_cast<double>(bytes));
  }
  T* get() const { return data_.get(); }

 private:
  struct Free {
    void operator()(T* p) const { std::free(p); }
  };
  std::unique_ptr<T, Free> data_;
  std::int64_t count_ = 0;
};

// Columns whose 8-bit forms belong together (ActivationRows in kernels.h).
inline constexpr std::int64_t kQuantBlock = 256;

// Activation rows and their 8-bit form.
struct Rows {
  std::int64_t cols = 0;
  Buffer<float> f32;
  Buffer<std::int8_t> q8;
  Buffer<float> scale;
  Buffer<std::int16_t> sums16;
  bool chunk_scales = false;                  // how quantize_piece does it
  Buffer<std::atomic<std::int32_t>> arrived;  // values of each block so far: quantize_piece

  void resize(std::int64_t rows, std::int64_t width);
  // Rows [from, from + n); with the 8-bit form only when it was made.
  ActivationRows view(std::int64_t from, std::int64_t n, bool quantized) const;
};

// Expert choice of one layer and micro-batch. Pairs (token, slot) are kept sorted by expert:
// pair p of expert e lies in [offset[e], offset[e + 1]).
struct Choice {
  std::vector<std::int32_t> ids;      // n x used, falling score
  std::vector<float> weights;         // n x used
  std::vector<std::int32_t> tokens;   // token of each pair
  std::vector<std::int32_t> pair_of;  // n x used -> pair
  std::vector<std::int32_t> offset;   // experts + 1
  std::vector<std::int32_t> active;   // experts with at least one pair
};

struct Scratch {
  Scratch(const Hyper& hyper, std::int64_t n_ubatch);
  static double size(const Hyper& hyper, std::int64_t n_ubatch);  // bytes, all touched

  Buffer<float> residual, product, angles, sliding_angles;
  Rows normed, attended, inner, shared_inner, expert_inner;
  Rows latent;  // what experts of a narrower space see, and then what they give
  Buffer<float> q_and_gate, gates;
  // Recurrent mixers: projected rows, rows of the convolution, rates by head and token, result.
  Buffer<float> projected, convolved, rates;
  Rows mixed;
  // Latent attention: the compressed query, every head's query and its part that is not rotated
  // (rows [position][head]), every head's value, and the rows of each head ([head][position]).
  Buffer<float> q_raw, queries;
  Rows compressed, unrotated, values;
  std::vector<std::int32_t> head_rows;
  Buffer<float> q, k, v, up, expert_up, expert_out, scores;
  Buffer<float> parts, part_states;
  std::vector<std::int64_t> sequences, positions;  // of each row
  std::vector<std::int64_t> first, last;           // cells that each row sees
  std::atomic<bool> suspect = false;               // something in this step was no finite number
  Choice choice;
};

struct Pass {
  const Hyper& hyper;
  const ModelWeights& weights;
  const KernelTable& kernels;
  ThreadPool& pool;
  WorkQueue& queue;
  KvCache& cache;
  StateCache& states;
  const Rope& rope;
  Scratch& scratch;
  StepMeter& meter;
  std::int64_t n = 0;             // rows: new positions of one sequence after the other
  std::int64_t per_sequence = 1;  // of them for each sequence, at positions that follow each other
};

// Fewer bytes than this are read in less time than it takes to share them.
inline constexpr std::int64_t kShareBytes = 64 << 10;

// Rows from `begin` of an item; item < 0: none.
struct Piece {
  std::int64_t item = -1, begin = 0;
};

template <class Work>
void do_piece(Work& work, std::int64_t item, std::int64_t begin, std::int64_t end, Piece next) {
  if constexpr (std::is_invocable_v<Work&, std::int64_t, std::int64_t, std::int64_t, Piece>)
    work(item, begin, end, next);
  else
    work(item, begin, end);
}

// [begin, end) of an item.
struct PieceRange {
  std::int64_t item = 0, begin = 0, end = 0;
};

// Divides [0, sizes[item]) of every item, in order, at multiples of `piece`. Shrinking: each piece
// is as large as its item allows, up to half of an even share of what is left, so that most memory
// is read in long runs and the threads still end together.
enum class PieceSizes { Even, Shrinking };
std::vector<PieceRange> divide(const std::vector<std::int64_t>& sizes, std::int64_t piece,
                               PieceSizes how, int threads);

// Calls work(item, begin, end) for pieces of [0, sizes[item]) of every item, pieces handed out
// first come first served; piece: length of the shortest. Ends when all are done. One thread gets
// whole items. Work may take a fourth argument: the Piece that the same thread will probably get
// next.
template <class Work>
void for_pieces(Pass& p, const std::vector<std::int64_t>& sizes, std::int64_t piece, Work&& work) {
  const auto items = static_cast<std::int64_t>(sizes.size());
  constexpr std::int64_t kFewRows = 8;  // of activations: the work lasts as long as reading weights
  const bool few = p.n <= kFewRows;
  std::vector<PieceRange> pieces;
  if (p.pool.size() > 1) {
    pieces = divide(sizes, piece, few ? PieceSizes::Shrinking : PieceSizes::Even, p.pool.size());
  }
  if (pieces.size() < 2) {
    for (std::int64_t i = 0; i < items; ++i) {
      do_piece(work, i, 0, sizes[static_cast<std::size_t>(i)], {i + 1 < items ? i + 1 : -1, 0});
    }
    return;
  }
  p.queue.reset(static_cast<std::int64_t>(pieces.size()), 1);
  const auto run = [&](int, int threads) {
    std::int64_t number = 0, end = 0;
    while (p.queue.take(number, end)) {
      const PieceRange& now = pieces[static_cast<std::size_t>(number)];
      // While this piece is worked on, every other thread takes one.
      const auto after = static_cast<std::size_t>(number + threads);
      const Piece next =
          after < pieces.size() ? Piece{pieces[after].item, pieces[after].begin} : Piece{};
      do_piece(work, now.item, now.begin, now.end, next);
    }
  };
  p.pool.share(few ? WorkSize::Short : WorkSize::Long, std::ref(run));
}

// The same for one range; small ranges stay on the calling thread, where they take less time than
// waking the others.
template <class Work>
void for_range(Pass& p, std::int64_t size, std::int64_t piece, Work&& work) {
  if (size <= piece || p.pool.size() == 1) {
    work(0, size);
    return;
  }
  for_pieces(p, {size}, piece, [&](std::int64_t, std::int64_t b, std::int64_t e) { work(b, e); });
}

// Rows of weights per piece of work, the shortest where pieces shrink: few activation rows stream
// (pieces by bytes), many multiply (large pieces, because activations are arranged once per piece).
// A multiple of 32.
std::int64_t piece_rows(const Pass& p, std::int64_t total_rows, std::int64_t row_bytes,
                        std::int64_t used);

// One product of weights and rows; y gets one row of outputs per used row of x.
struct Product {
  const Matrix* matrix = nullptr;
  std::int64_t expert = 0;
  ActivationRows x;
  const std::int32_t* x_rows = nullptr;
  std::int64_t used = 0;
  float* y = nullptr;
  std::int64_t stride = 0;
};

// Rows [begin, end) of the product, with bias. next: weights that are read afterwards, if known.
void multiply(const Pass& p, const Product& product, std::int64_t begin, std::int64_t end,
              const std::byte* next = nullptr);
void meter_product(Pass& p, const Product& product);

// Which 8-bit form of their rows of x some matrices want.
struct WantedForm {
  bool q8 = false, chunk_scales = false;
  WantedForm(bool quantized) : q8(quantized) {}  // NOLINT: groups, when nothing else is known
  WantedForm(bool quantized, bool chunks) : q8(quantized), chunk_scales(chunks) {}
  operator bool() const { return q8; }  // NOLINT
};
// The 8-bit form when any wants it, with chunk scales when all of those gain by them for n rows.
WantedForm any_wants_q8(const Pass& p, std::initializer_list<const Matrix*> matrices,
                        std::int64_t n);
inline WantedForm any_wants_q8(const Pass& p, std::initializer_list<const Matrix*> matrices) {
  return any_wants_q8(p, matrices, p.n);
}
// x = activation(x) y, or the activation of y alone where it needs no gate.
void activate(const Pass& p, float* x, const float* y, std::int64_t n);

void norm_rows(Pass& p, const float* x, std::int64_t n, const Vector& weight, WantedForm form,
               Rows& to);
// Values [begin, end) of the row are there. Whoever brings the last ones of a block quantizes it,
// so the result does not depend on how the row was divided.
void quantize_piece(const Pass& p, Rows& rows, std::int64_t row, std::int64_t begin,
                    std::int64_t end);

}  // namespace bandwall
