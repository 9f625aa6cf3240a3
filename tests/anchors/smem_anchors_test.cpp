// Shared memory and occupancy of kernels that others reported or that public headers give, against
// our formulas: every row of the data files, byte for byte.
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "analysis/attention_tile.h"
#include "analysis/gemm_tile.h"
#include "analysis/tiles.h"
#include "hwmodel/error.h"

namespace bandwall {
namespace {

using Row = std::vector<std::string>;

// Lines of comma-separated fields without the comments and the header.
std::vector<Row> rows_of(const std::string& file) {
  std::ifstream in(std::string(BANDWALL_SOURCE_DIR) + "/tests/anchors/data/" + file);
  std::vector<Row> rows;
  std::string line;
  bool header = true;
  while (std::getline(in, line)) {
    if (line.empty() || line[0] == '#') continue;
    if (header) {
      header = false;
      continue;
    }
    Row row;
    std::istringstream fields(line);
    for (std::string f; std::getline(fields, f, ',');) row.push_back(f);
    if (line.back() == ',') row.emplace_back();
    rows.push_back(row);
  }
  return rows;
}

std::vector<std::int64_t> numbers(std::string text) {
  for (char& c : text) c = c == 'x' || c == ':' ? ' ' : c;
  std::istringstream in(text);
  std::vector<std::int64_t> values;
  for (std::int64_t v = 0; in >> v;) values.push_back(v);
  return values;
}

std::string joined(const Row& row) {
  std::string all;
  for (const std::string& f : row) all += (all.empty() ? "" : ",") + f;
  return all;
}

GemmTile gemm_tile(const std::string& tile, const std::string& a, const std::string& b,
                   const std::string& c, const std::string& d, const std::string& stages) {
  GemmTile t;
  const std::vector<std::int64_t> edges = numbers(tile);
  t.m = edges.at(0), t.n = edges.at(1), t.k = edges.at(2);
  t.a = find_tile_format(a), t.b = find_tile_format(b);
  t.c = find_tile_format(c), t.d = find_tile_format(d);
  if (stages != "auto") t.stages = std::stoi(stages);
  return t;
}

TEST(SmemAnchor, CutlassStorageToTheByte) {
  const std::vector<Row> rows = rows_of("cutlass_storage.csv");
  EXPECT_GT(rows.size(), 180u);
  for (const Row& r : rows) {
    ASSERT_EQ(r.size(), 12u) << joined(r);
    GemmTile t = gemm_tile(r[5], r[1], r[2], r[3], r[4], r[6]);
    t.grouped = r[7] == "1";
    if (r[8] == "cooperative") t.schedule = Schedule::Cooperative;
    if (r[8] == "pingpong") t.schedule = Schedule::Pingpong;
    const GemmStyle style = *gemm_style_from_name(r[0]);
    const TileKernel k = gemm_kernel(t, style, style == GemmStyle::Sm120 ? 101376 : 232448);
    EXPECT_EQ(k.refused, "") << joined(r);
    EXPECT_EQ(k.stages, std::stoi(r[9])) << joined(r);
    EXPECT_EQ(k.shared_bytes, std::stoll(r[11])) << joined(r);
    EXPECT_EQ(k.threads, std::stoll(r[10])) << joined(r);
    std::int64_t sum = 0;
    for (const TilePart& p : k.parts) sum += p.bytes;
    EXPECT_EQ(sum, k.shared_bytes) << joined(r);
  }
}

TEST(SmemAnchor, OccupancyAsTheCudaHeaderSays) {
  const std::vector<Row> rows = rows_of("occupancy.csv");
  EXPECT_EQ(rows.size(), 288u);
  for (const Row& r : rows) {
    ASSERT_EQ(r.size(), 5u);
    const ComputeCapability* c = find_compute_capability(r[0]);
    ASSERT_NE(c, nullptr) << r[0];
    const Occupancy o =
        occupancy(sm_limits(*c), {std::stoll(r[1]), std::stoll(r[2]), std::stoll(r[3])});
    EXPECT_EQ(o.blocks, std::stoll(r[4])) << joined(r);
  }
}

// kernel: what a case computes with. A row without one has a reason why its bytes do not follow
// from what was published; then the published bytes themselves are judged.
TileKernel kernel_of(const Row& r, std::int64_t capacity) {
  const std::string& family = r[2];
  if (family == "bytes") return kernel_of_bytes(std::stoll(r[9]), 0, 0);
  if (const auto style = gemm_style_from_name(family)) {
    return gemm_kernel(gemm_tile(r[3], r[4], r[5], r[6], r[7], r[8]), *style, capacity);
  }
  const std::vector<std::int64_t> v = numbers(r[3]);
  if (family == "grouped") {
    GemmTile t = gemm_tile(r[3], r[4], r[5], r[6], r[7], r[8]);
    t.grouped = true;
    return gemm_kernel(t, GemmStyle::Sm120, capacity);
  }
  if (family == "mmq") return mmq_kernel(r[4], v.at(0), v.at(1), 256);
  AttentionTile t;
  t.m = v.at(0), t.n = v.at(1), t.dim_k = v.at(2), t.dim_v = v.at(3);
  t.element_bytes = find_tile_format(r[4])->bits / 8.0;
  t.kv_bytes = find_tile_format(r[5])->bits / 8.0;
  t.stages = r[8].empty() ? 1 : std::stoi(r[8]);
  t.family = *attention_family_from_name(family);
  t.q_in_registers = r[6] == "q-in-registers";
  if (r[6] == "kv-value") t.kv = AttentionTile::Kv::Value;
  if (r[6] == "kv-key") t.kv = AttentionTile::Kv::Key;
  return attention_kernel(t);
}

TEST(SmemAnchor, ReportedCasesAndTheirVerdicts) {
  const std::vector<Row> rows = rows_of("smem_cases.csv");
  EXPECT_EQ(rows.size(), 86u);
  int computed = 0, listed = 0;
  for (const Row& r : rows) {
    ASSERT_EQ(r.size(), 14u) << joined(r);
    const ComputeCapability* c = find_compute_capability(r[0]);
    ASSERT_NE(c, nullptr) << r[0];
    const TileKernel k = kernel_of(r, c->shared_per_block);
    EXPECT_EQ(k.shared_bytes, std::stoll(r[9])) << joined(r);
    EXPECT_EQ(c->shared_per_block, std::stoll(r[10])) << joined(r);
    EXPECT_EQ(k.shared_bytes <= c->shared_per_block, r[11] == "yes") << joined(r);
    // A kernel of another style is refused for its instructions too; bytes alone decide the others.
    const TileReport report =
        judge_kernel(r[0], sm_limits(*c), kernel_of_bytes(k.shared_bytes, 0, 0));
    EXPECT_EQ(report.launches, r[11] == "yes") << joined(r);
    EXPECT_FALSE(report.reason.empty());
    EXPECT_EQ(r[2] == "bytes", !r[12].empty())
        << "a reason, if and only if bytes are given: " << joined(r);
    EXPECT_FALSE(r[13].empty()) << "source: " << joined(r);
    ++(r[2] == "bytes" ? listed : computed);
  }
  std::printf("  %d cases computed from tile and formats, %d judged by their published bytes\n",
              computed, listed);
  EXPECT_GE(computed, 70);
}

}  // namespace
}  // namespace bandwall
