// Attention of one KV head and its four query heads of 128 values.
//   attend/ISA/TYPE/SIZE         one query position, K and V from SIZE
//   attend_many/ISA/TYPE/N       N positions over the last 2048 cells
#include "bench/bench.h"

namespace bandwall::bench {
namespace {

constexpr std::int64_t kHead = 128, kGroup = 4, kCells = 2048;

struct Head {
  std::vector<float> q, out;
  std::vector<std::int64_t> first, last;
  AttentionArgs args;

  Head(std::string_view type, std::int64_t n, std::int64_t cells) {
    const KvFormat& format = *kv_format_from_name(type);
    const auto values = static_cast<std::size_t>(n * kGroup * kHead);
    q.assign(values, 0.01f);
    out.resize(values);
    first.assign(static_cast<std::size_t>(n), 0);
    for (std::int64_t i = 0; i < n; ++i) last.push_back(cells - n + 1 + i);
    args.k_type = args.v_type = &format;
    args.k_stride = args.v_stride = cell_bytes(type);
    args.head_dim_k = args.head_dim_v = kHead;
    args.group = kGroup;
    args.n = n;
    args.q = q.data();
    args.q_stride = args.out_stride = kGroup * kHead;
    args.first = first.data();
    args.last = last.data();
    args.scale = 0.088f;
    args.out = out.data();
  }

  static std::int64_t cell_bytes(std::string_view type) {
    const KvFormat& f = *kv_format_from_name(type);
    return kHead / f.values_per_block * f.bytes_per_block;
  }
};

void run(benchmark::State& state, const KernelTable& table, Head& head, std::int64_t cells,
         std::int64_t region) {
  const std::byte* data = input();
  const std::int64_t half = cells * head.args.k_stride;
  Walk walk(region, 2 * half);
  for (auto _ : state) {
    head.args.k = data + walk.next();
    head.args.v = head.args.k + half;
    table.attention(head.args);
    benchmark::ClobberMemory();
  }
}

void attend(benchmark::State& state, const KernelTable* table, std::string_view type,
            const Size& size) {
  const std::int64_t bytes = std::min(size.bytes, Walk::kLongest);
  const std::int64_t cells = bytes / (2 * Head::cell_bytes(type));
  Head head(type, 1, cells);
  run(state, *table, head, cells, size.bytes);
  report_bytes(state, static_cast<double>(2 * cells * head.args.k_stride), size.name);
}

void attend_many(benchmark::State& state, const KernelTable* table, std::string_view type,
                 std::int64_t n) {
  Head head(type, n, kCells);
  run(state, *table, head, kCells, 2 * kCells * head.args.k_stride);
  double pairs = 0;
  for (const std::int64_t last : head.last) pairs += static_cast<double>(last);
  report_operations(state, 4.0 * kGroup * kHead * pairs, "float", *table);
}

const int registered = [] {
  for (const KernelTable* table : tables()) {
    for (const char* type : {"f16", "f32"}) {
      const std::string tail = "/" + std::string(table->isa) + "/" + type + "/";
      for (const Size& size : sizes()) {
        benchmark::RegisterBenchmark(("attend" + tail + size.name).c_str(), attend, table, type,
                                     size);
      }
      for (const std::int64_t n : {16, 512}) {
        benchmark::RegisterBenchmark(("attend_many" + tail + std::to_string(n)).c_str(),
                                     attend_many, table, type, n);
      }
    }
  }
  return 0;
}();

}  // namespace
}  // namespace bandwall::bench
