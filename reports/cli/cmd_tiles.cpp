// bandwall tiles: does this kernel launch on that GPU? Shared memory to the byte, occupancy and
// instructions, with the reason for a refusal.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <charconv>

#include "analysis/attention_tile.h"
#include "analysis/gemm_tile.h"
#include "analysis/tiles.h"
#include "configs/library.h"
#include "hwmodel/error.h"
#include "hwmodel/suggest.h"
#include "reports/cli/commands.h"
#include "reports/cli/common.h"
#include "reports/tiles_report.h"

namespace bandwall {
namespace {

struct TileTarget {
  std::string name;
  SmLimits limits;
};

std::vector<TileTarget> targets_of(const Arguments& a) {
  std::vector<TileTarget> targets;
  if (a.has("machine") || !a.has("cc")) {
    for (const std::string& name : a.list("machine")) {
      targets.push_back({name, sm_limits(load_machine(name))});
    }
  }
  for (const std::string& name : a.list("cc")) {
    const ComputeCapability* c = find_compute_capability(name);
    if (c == nullptr) {
      throw Error::input("--cc", fmt::format("'{}' is none of {}", name,
                                             fmt::join(compute_capability_names(), ", ")));
    }
    targets.push_back({name, sm_limits(*c)});
  }
  return targets;
}

// "128x64" or "576:512" into whole numbers.
std::vector<std::int64_t> numbers(const std::string& option, const std::string& text, char between,
                                  std::size_t least, std::size_t most, const char* wanted) {
  std::vector<std::int64_t> values;
  const char* at = text.data();
  const char* end = at + text.size();
  while (true) {
    std::int64_t value = 0;
    const auto [stop, status] = std::from_chars(at, end, value);
    if (status != std::errc() || value < 0) break;
    values.push_back(value);
    at = stop;
    if (at == end || *at != between || values.size() == most) break;
    ++at;
  }
  if (at != end || values.size() < least) {
    throw Error::input(option, fmt::format("'{}' is not {}", text, wanted));
  }
  return values;
}

const TileFormat* format(const std::string& option, const std::string& name) {
  if (const TileFormat* f = find_tile_format(name)) return f;
  const std::string near = suggest(name, tile_format_names());
  throw Error::input(option,
                     fmt::format("'{}' is none of {}{}", name, fmt::join(tile_format_names(), ", "),
                                 near.empty() ? "" : "; did you mean " + near + "?"));
}

std::optional<int> stages_of(const Arguments& a) {
  if (a.text("stages") == "auto") return std::nullopt;
  return static_cast<int>(a.integer("stages", 1, kMostStages));
}

void only_with(const Arguments& a, const std::vector<std::string>& options, const char* kind) {
  for (const std::string& o : options) {
    if (a.has(o)) throw Error::input("--" + o, fmt::format("goes with {} only", kind));
  }
}

GemmTile gemm_tile(const Arguments& a) {
  GemmTile t;
  const auto edges =
      numbers("--gemm", a.text("gemm"), 'x', 3, 3, "a tile MxNxK such as 128x128x64");
  t.m = edges[0], t.n = edges[1], t.k = edges[2];
  const std::string left = a.has("a") ? a.text("a") : "bf16";
  t.a = format("--a", left);
  t.b = format("--b", a.has("b") ? a.text("b") : left);
  if (a.text("c") != "none") t.c = format("--c", a.text("c"));
  t.d = a.has("d") ? format("--d", a.text("d")) : t.c;
  t.stages = stages_of(a);
  t.grouped = a.on("grouped");
  t.fused_gate_up = a.on("fused-gate-up");
  const std::string schedule = a.choice("schedule", {"auto", "cooperative", "pingpong"});
  if (schedule == "cooperative") t.schedule = Schedule::Cooperative;
  if (schedule == "pingpong") t.schedule = Schedule::Pingpong;
  return t;
}

AttentionTile attention_tile(const Arguments& a) {
  AttentionTile t;
  const auto tile = numbers("--fa", a.text("fa"), 'x', 2, 2, "a tile MxN such as 128x64");
  const auto dims =
      numbers("--head-dim", a.text("head-dim"), ':', 1, 2, "D or K:V such as 576:512");
  t.m = tile[0], t.n = tile[1];
  t.dim_k = dims[0], t.dim_v = dims.back();
  const std::string family = a.choice("attention", attention_family_names());
  t.family = *attention_family_from_name(family);
  t.stages = stages_of(a).value_or(1);
  const std::string element = a.has("a") ? a.text("a") : "bf16";
  t.element_bytes = format("--a", element)->bits / 8.0;
  t.kv_bytes = format("--b", a.has("b") ? a.text("b") : element)->bits / 8.0;
  t.q_in_registers = a.on("q-in-registers");
  const std::string kv = a.choice("kv", {"both", "key", "value"});
  if (kv == "key") t.kv = AttentionTile::Kv::Key;
  if (kv == "value") t.kv = AttentionTile::Kv::Value;
  return t;
}

// Registers and threads that the user knows override what a formula assumes.
TileKernel launched(TileKernel kernel, const Arguments& a) {
  if (a.has("regs")) kernel.registers = a.integer("regs", 1, 1024);
  if (a.has("threads")) kernel.threads = a.integer("threads", 1, kThreadsPerBlock);
  return kernel;
}

TileReport judge(const TileTarget& target, const TileKernel& kernel, const Arguments& a) {
  return judge_kernel(target.name, target.limits, launched(kernel, a),
                      static_cast<int>(a.integer("carveout", 0, 100)));
}

TileReport gemm_report(const TileTarget& target, const Arguments& a) {
  const GemmTile tile = gemm_tile(a);
  const std::string wanted = a.choice("style", {"auto", "multistage", "sm90", "sm100", "sm120"});
  const GemmStyle style =
      gemm_style_from_name(wanted).value_or(usual_style(*target.limits.capability, tile));
  TileReport r = judge(target, gemm_kernel(tile, style, target.limits.shared_per_block), a);
  r.largest_stages = largest_stage_count(tile, style, target.limits.shared_per_block);
  return r;
}

TileReport attention_report(const TileTarget& target, const Arguments& a) {
  const AttentionTile tile = attention_tile(a);
  TileReport r = judge(target, attention_kernel(tile), a);
  if (tile.family != AttentionFamily::LlamaMma && tile.family != AttentionFamily::LlamaVec) {
    r.largest_stages = largest_stage_count(tile, target.limits.shared_per_block);
  }
  return r;
}

TileReport mmq_report(const TileTarget& target, const Arguments& a) {
  const auto tile = numbers("--mmq", a.text("mmq"), 'x', 2, 2, "a tile IxJ such as 128x64");
  const std::int64_t threads = a.has("threads") ? a.integer("threads", 32, kThreadsPerBlock) : 256;
  return judge(target, mmq_kernel(a.has("a") ? a.text("a") : "q4_k", tile[0], tile[1], threads), a);
}

TileReport bytes_report(const TileTarget& target, const Arguments& a) {
  auto n =
      numbers("--kernel", a.text("kernel"), ':', 1, 3, "BYTES, BYTES:REGS or BYTES:REGS:THREADS");
  n.resize(3);
  return judge(target, kernel_of_bytes(n[0], n[1], n[2]), a);
}

int run_tiles(const Arguments& a) {
  const std::string form = a.choice("output", {"text", "md", "json", "csv"});
  const std::vector<std::string> kinds = {"gemm", "fa", "mmq", "kernel"};
  std::string kind;
  for (const std::string& k : kinds) {
    if (!a.has(k)) continue;
    if (!kind.empty())
      throw Error::input("--" + k, "one kernel at a time; --" + kind + " is given");
    kind = k;
  }
  if (kind.empty()) {
    throw Error::input("tiles",
                       "name a kernel: --gemm MxNxK, --fa MxN, --mmq IxJ or --kernel BYTES");
  }
  if (kind != "gemm")
    only_with(a, {"grouped", "fused-gate-up", "style", "schedule", "c", "d"}, "--gemm");
  if (kind != "fa") only_with(a, {"head-dim", "attention", "q-in-registers", "kv"}, "--fa");
  std::vector<TileReport> reports;
  bool all_launch = true;
  for (const TileTarget& target : targets_of(a)) {
    reports.push_back(kind == "gemm"  ? gemm_report(target, a)
                      : kind == "fa"  ? attention_report(target, a)
                      : kind == "mmq" ? mmq_report(target, a)
                                      : bytes_report(target, a));
    all_launch = all_launch && reports.back().launches;
  }
  fmt::print("{}", form == "json"  ? tiles_json(reports)
                   : form == "csv" ? tiles_csv(reports)
                                   : tiles_text(reports, form == "md"));
  return all_launch ? kExitDone : kExitDoesNotFit;
}

}  // namespace

CommandSpec command_tiles() {
  CommandSpec c{"tiles",
                "tiles --machine M[,M...] (--gemm MxNxK | --fa MxN | --mmq IxJ | --kernel BYTES)",
                "does a GPU kernel launch? shared memory of a tile to the byte, occupancy, reason",
                0,
                0,
                {},
                run_tiles};
  c.options = {
      {"machine,M", "LIST", "gb10", "shipped machines or YAML files"},
      {"cc", "LIST", "", "compute capabilities, 8.0 to 12.1, instead of or beside machines"},
      {"gemm", "MxNxK", "", "tile of a matrix product"},
      {"a", "TYPE", "",
       "nvfp4 mxfp4 mxfp6 mxfp8 fp4 fp6 fp8 fp8_block fp8_group int8 bf16 fp16 tf32 "
       "fp32; with --mmq a ggml type [bf16, q4_k]"},
      {"b", "TYPE", "", "second operand, with --fa of K and V; as --a when not given"},
      {"c", "TYPE", "bf16", "source of the epilogue: none, bf16, fp32, ..."},
      {"d", "TYPE", "", "result; as --c, else bf16"},
      {"stages", "N", "auto", "buffers of the main loop"},
      {"grouped", "", "", "grouped product (mixture of experts)"},
      {"fused-gate-up", "", "", "two B operands per tile"},
      {"style", "NAME", "auto", "auto, multistage (SM80, Triton), sm90, sm100, sm120"},
      {"schedule", "NAME", "auto", "auto, cooperative, pingpong"},
      {"fa", "MxN", "", "tile of an attention kernel (llama-mma: ncols1 x ncols2)"},
      {"head-dim", "D", "128", "head size, or K:V such as 576:512"},
      {"attention", "NAME", "flash",
       "flash, flash-backward, flashinfer, flashinfer-mla, llama-mma, llama-vec"},
      {"q-in-registers", "", "", "Q shares its buffer with V"},
      {"kv", "WHAT", "both", "what a stage holds: both, key (it is V too), value"},
      {"mmq", "IxJ", "", "tile of llama.cpp's quantized product"},
      {"kernel", "BYTES", "", "any kernel: BYTES, BYTES:REGS or BYTES:REGS:THREADS"},
      {"regs", "N", "", "registers per thread"},
      {"threads", "N", "", "threads per block"},
      {"carveout", "PERCENT", "100", "preferred share of shared memory in the L1"},
      option_output("text", "text, md, json, csv")};
  return c;
}

}  // namespace bandwall
