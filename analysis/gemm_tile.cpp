#include "analysis/gemm_tile.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "hwmodel/error.h"

namespace bandwall {
namespace {

// Shared memory of the epilogue: buffers of C and D, stored in swizzle atoms of eight rows whose
// size is also their alignment. Callbacks and pipelines behind them cost one alignment each.
struct Epilogue {
  std::int64_t m = 0, n = 0;  // tile of one pass
  int stages_c = 1, stages_d = 0;
  std::int64_t align = 128;
  std::int64_t tensors = 1;    // bytes of the buffers
  std::int64_t storage = 128;  // with its pipeline: what the stage rule sets aside
  std::string how = "no shared memory: results go from registers";
};

std::int64_t atom_alignment(std::int64_t row_bytes) {
  for (const std::int64_t row : {128, 64, 32}) {
    if (row_bytes % row == 0) return 8 * row;
  }
  return 128;
}

struct EpilogueRule {
  std::int64_t m, n;
  int most_c;            // most buffers of C
  bool share_any_width;  // C and D share buffers though their widths differ
};

Epilogue epilogue_of(const GemmTile& t, const EpilogueRule& rule) {
  Epilogue e;
  e.m = rule.m;
  e.n = rule.n;
  const int c = t.c ? t.c->bits : 0;
  const int d = t.d->bits;
  const int passes =
      static_cast<int>(std::clamp<std::int64_t>((t.m / rule.m) * (t.n / rule.n), 1, 64));
  const bool share = c > 8 && (c == d || rule.share_any_width);
  e.stages_d = std::min(passes, 2);
  e.stages_c = std::min(passes, rule.most_c);
  if (share) e.stages_c = std::max(e.stages_c, e.stages_d + 1);
  const std::int64_t values = e.m * e.n;
  const std::int64_t c_bytes = values * c / 8 * e.stages_c;
  const std::int64_t d_bytes = values * d / 8 * e.stages_d;
  e.align = std::max(atom_alignment(e.n * d / 8), c > 0 ? atom_alignment(e.n * c / 8) : 128);
  const std::int64_t buffers = share ? std::max(c_bytes, d_bytes) : c_bytes + d_bytes;
  e.tensors = round_up(buffers + 1, e.align);
  e.storage = e.tensors + e.align;
  if (share) {
    e.how = fmt::format("{} buffers of {}x{} x {} B, shared by C and D, + {}", e.stages_c, e.m, e.n,
                        c / 8, e.align);
  } else {
    e.how = fmt::format("{} buffers of {}x{} x {} B", e.stages_d, e.m, e.n, d / 8);
    if (c > 0) e.how += fmt::format(" + {} of C x {} B", e.stages_c, c / 8);
    e.how += fmt::format(" + {}", e.align);
  }
  return e;
}

Epilogue epilogue_sm120(const GemmTile& t) {
  return epilogue_of(t, {t.n < 16 ? 128 : 64, std::min<std::int64_t>(t.n, 32), 2, false});
}

Epilogue epilogue_sm90(const GemmTile& t) {
  if (t.schedule == Schedule::Automatic) return {};
  if (t.schedule == Schedule::Cooperative) {
    return epilogue_of(
        t, {std::min<std::int64_t>(t.m, 128), std::gcd(t.n, std::int64_t{32}), 4, false});
  }
  const std::int64_t wide = t.d->bits == 8 && t.n % 64 == 0 ? 64 : 32;
  return epilogue_of(t, {std::min<std::int64_t>(t.m, 64), std::gcd(t.n, wide), 4, false});
}

Epilogue epilogue_sm100(const GemmTile& t, bool scaled) {
  const std::int64_t m = std::min<std::int64_t>(t.m, 128);
  if (scaled && t.n == 256) return epilogue_of(t, {m, 128, 4, true});
  const int widest = std::max(t.c ? t.c->bits : 0, t.d->bits);
  std::int64_t n = 64;
  if (!t.c)
    n = 4096 / m;
  else if (widest == 32)
    n = t.m > 64 && t.n <= 128 ? 16 : 32;
  else if (widest == 16)
    n = t.n <= 128 ? 32 : 64;
  n = std::min({t.n, std::max<std::int64_t>(n, 128 / std::min(t.c ? t.c->bits : 128, t.d->bits))});
  if (t.n % n != 0) n = t.n;
  return epilogue_of(t, {m, n, 4, true});
}

// One stage of the main loop.
struct Stage {
  std::int64_t a = 0, b = 0, scales_a = 0, scales_b = 0;
  bool block_scaled = false, float_scales = false;
  std::string how;
  std::int64_t bytes() const { return a + b + scales_a + scales_b; }
};

// Block scales lie in atoms of 128 rows.
std::int64_t scale_bytes(std::int64_t rows, std::int64_t k, int vector) {
  return round_up(rows, 128) * k / vector;
}

Stage stage_of(const GemmTile& t, GemmStyle style) {
  Stage s;
  s.block_scaled = style != GemmStyle::Multistage && (t.a->vector > 0 || t.b->vector > 0);
  s.float_scales = style == GemmStyle::Sm120 && t.a->scale != TileFormat::Scale::None;
  const bool packed = t.a->bits == t.b->bits && s.block_scaled && t.a->bits == 4;
  // FP4 and FP6 are unpacked to bytes on the way into shared memory unless both are scaled FP4.
  const auto bits = [&](const TileFormat& f) {
    return style == GemmStyle::Multistage || packed ? f.bits : std::max(f.bits, 8);
  };
  const int copies = t.fused_gate_up ? 2 : 1;
  s.a = t.m * t.k * bits(*t.a) / 8;
  s.b = copies * (t.n * t.k * bits(*t.b) / 8);
  s.how = fmt::format("{}x{} x {} B + {}{}x{} x {} B", t.m, t.k, bits(*t.a) / 8.0,
                      copies == 2 ? "2 x " : "", t.n, t.k, bits(*t.b) / 8.0);
  if (s.block_scaled) {
    s.scales_a = scale_bytes(t.m, t.k, t.a->vector);
    s.scales_b = copies * scale_bytes(t.n, t.k, t.b->vector);
    s.how += fmt::format(" + scales {} + {}", s.scales_a, s.scales_b);
  }
  if (s.float_scales) {
    s.scales_a = 4 * (t.a->scale == TileFormat::Scale::Row ? t.m : 1);
    s.scales_b = 4 * copies * (t.b->scale == TileFormat::Scale::Row && t.n > 128 ? t.n / 128 : 1);
    s.how += fmt::format(" + scales {} + {}", s.scales_a, s.scales_b);
  }
  return s;
}

int accumulator_stages(const GemmTile& t, bool scaled) {
  if (scaled) return t.n == 256 ? 1 : 2;
  const std::int64_t room = t.m <= 64 ? 512 / t.n * 2 : 512 / t.n;
  return static_cast<int>(std::clamp<std::int64_t>(room, 1, 4));
}

// What the builder counts per stage, and what it holds back, when it chooses the stage count.
struct StageRule {
  std::int64_t per_stage, available;
  std::string how;
};

StageRule stage_rule(const GemmTile& t, GemmStyle style, const Stage& s, const Epilogue& e,
                     std::int64_t capacity) {
  std::int64_t barriers = s.block_scaled ? 128 : 16;
  std::int64_t held = 0, stage = s.bytes(), carve = e.storage;
  if (style == GemmStyle::Multistage) return {stage, capacity, fmt::format("{}", capacity)};
  if (style == GemmStyle::Sm120) {
    // Scheduler pipeline and responses; for grouped products tensor maps and their pipeline.
    if (s.block_scaled) held = t.grouped ? 128 + 256 + 48 : 48 + 48;
  } else if (style == GemmStyle::Sm90) {
    held = t.grouped ? 256 + 128 : 0;
    stage = round_up(stage, 128);
    carve = round_up(carve, 128);
    capacity = capacity / 128 * 128;
  } else {
    const int acc = accumulator_stages(t, s.block_scaled);
    const int maps = s.block_scaled ? 4 : 2;
    held = t.grouped ? 16 * acc + 256 + 16 + 8 + 128 + 256 + 32 + 128 * 5 * maps + 128
                     : 16 * acc + 32 + 16 + 8 + 32 + 32 + 8;
  }
  return {stage + barriers, capacity - held - carve,
          fmt::format("{} - {} held back - {} for the epilogue", capacity, held, carve)};
}

// Barriers, responses and tensor maps beside the buffers.
std::int64_t header_bytes(const GemmTile& t, GemmStyle style, const Stage& s, const Epilogue& e,
                          int stages) {
  const std::int64_t pipes = 16 * stages + 16 * e.stages_c + 16;
  if (style == GemmStyle::Sm100) {
    const int acc = accumulator_stages(t, s.block_scaled);
    if (!t.grouped) return pipes + 16 * acc + 32 + 32 + 16 + 32 + 4;
    return round_up(pipes + 16 * acc + 128 + 128 + 16 + 16 + 320 + 4, 128) +
           128 * 5 * ((s.block_scaled ? 4 : 2) + 2);
  }
  const bool pingpong = t.schedule == Schedule::Pingpong || (style == GemmStyle::Sm90 && t.m < 128);
  const std::int64_t order = pingpong ? 32 : 0;
  if (!t.grouped) return pipes + order + (style == GemmStyle::Sm120 ? 144 : 1);
  return round_up(128 + pipes + order + 128, 128) + 128 * ((s.block_scaled ? 4 : 2) + 3);
}

void add_cutlass_parts(TileKernel& k, const GemmTile& t, GemmStyle style, const Stage& s,
                       const Epilogue& e, int stages) {
  const bool sm120 = style == GemmStyle::Sm120;
  const std::int64_t align = sm120 ? 1024 : std::max<std::int64_t>(128, e.align);
  std::int64_t main = stages * s.bytes();
  std::string how = fmt::format("{} stages x {} ({})", stages, s.bytes(), s.how);
  if (s.float_scales) {
    main = stages * (s.a + s.b) + round_up(stages * s.scales_a, 16) +
           round_up(stages * s.scales_b, 16);
  }
  const std::int64_t main_up = round_up(main, sm120 ? 1024 : 128);
  if (main_up != main) how += fmt::format(", {} rounded up", main);
  k.add("main loop", main_up, std::move(how));
  const std::int64_t epilogue = round_up(e.tensors, sm120 ? 1024 : 128);
  const std::int64_t tensors = round_up(main_up + epilogue, align);
  k.add(
      "epilogue", tensors - main_up,
      e.how + (tensors - main_up == e.tensors ? "" : fmt::format(" = {}, rounded up", e.tensors)));
  const std::int64_t header = header_bytes(t, style, s, e, stages);
  k.add("barriers",
        t.grouped && style != GemmStyle::Sm100 ? round_up(tensors + header, align) - tensors
                                               : round_up(header, align),
        fmt::format("{} B of barriers{}, rounded up to {}", header,
                    t.grouped ? " and tensor maps" : "", align));
}

std::string shape_problem(const GemmTile& t, GemmStyle style, const Stage& s) {
  const auto multiple = [](const char* edge, std::int64_t n, std::int64_t of, const char* why) {
    return n % of == 0 ? std::string()
                       : fmt::format("{} = {} is no multiple of {} ({})", edge, n, of, why);
  };
  if (s.block_scaled) {
    if (t.a->vector != t.b->vector) {
      return fmt::format(
          "scales of {} go with {} values and those of {} with {}: one instruction "
          "takes one kind",
          t.a->name, t.a->vector, t.b->name, t.b->vector);
    }
    const std::string k = multiple("K", t.k, 4 * t.a->vector, "four scales lie together");
    if (!k.empty()) return k;
    const std::string m = multiple("M", t.m, 128, "scale factors lie in atoms of 128 rows");
    if (!m.empty()) return m;
  }
  if (style == GemmStyle::Sm120) {
    const bool power = t.n >= 8 && t.n <= 256 && (t.n & (t.n - 1)) == 0;
    if (!power) return fmt::format("N = {} is none of 8, 16, 32, 64, 128, 256", t.n);
    if (t.n < 16 && t.schedule == Schedule::Pingpong) return "pingpong wants N of 16 or more";
    return multiple("M", t.m, t.n < 16 ? 128 : 64, "rows of one pass of the epilogue");
  }
  if (style == GemmStyle::Multistage) return multiple("M", t.m, 8, "of the matrix instruction");
  if (t.n % 8 != 0 || t.n > 256) {
    return fmt::format("N = {} is no multiple of 8 up to 256 (one instruction)", t.n);
  }
  if (style == GemmStyle::Sm100 && t.m != 64 && t.m != 128) {
    return fmt::format("M = {}: one SM computes 64 or 128 rows; larger tiles pair two SMs", t.m);
  }
  if (t.schedule == Schedule::Cooperative && t.m < 128) {
    return "the cooperative schedule splits M between two warp groups: 128 or more";
  }
  return multiple("M", t.m, 64, "a warp group covers 64 rows");
}

std::vector<Instruction> needs_of(const GemmTile& t, GemmStyle style, const Stage& s) {
  switch (style) {
    case GemmStyle::Sm90:
      return {Instruction::Wgmma, Instruction::Tma};
    case GemmStyle::Sm100:
      return {Instruction::Tcgen05, Instruction::Tma};
    case GemmStyle::Sm120:
      return {s.block_scaled && t.a->bits == 4 && t.b->bits == 4 ? Instruction::MmaNvfp4
                                                                 : Instruction::MmaF8f6f4,
              Instruction::Tma};
    case GemmStyle::Multistage:
      break;
  }
  const auto narrow = [](const TileFormat& f) { return f.bits < 8 || f.name == "int8"; };
  // Narrower operands are expanded by the kernel's own code before they meet an instruction.
  if (narrow(*t.a) || narrow(*t.b)) return {};
  if (t.a->bits == 8 && t.b->bits == 8) return {Instruction::MmaFp8};
  if (t.a->name == "fp16" && t.b->name == "fp16") return {Instruction::MmaFp16};
  if (t.a->name == "fp32" || t.b->name == "fp32") return {};
  return {Instruction::MmaBf16};
}

void check_formats(const GemmTile& t, GemmStyle style) {
  const auto no_formula = [&](std::string_view format, const char* way_out) {
    throw Error::input("tile", fmt::format("no formula for {} operands in {} kernels; {}", format,
                                           name(style), way_out));
  };
  for (const TileFormat* f : {t.a, t.b}) {
    const bool scaled = f->vector > 0;
    const bool floats = f->scale != TileFormat::Scale::None;
    if (style == GemmStyle::Sm120 && f->bits > 8) {
      no_formula(f->name, "SM120 builders take 8, 6 and 4-bit values; use --style multistage");
    }
    if (style == GemmStyle::Sm120 && f->name == "int8") no_formula(f->name, "use multistage");
    if ((style == GemmStyle::Sm90 && (scaled || f->bits < 8 || floats)) ||
        (style == GemmStyle::Sm100 && floats)) {
      no_formula(f->name, "give the bytes with --kernel");
    }
  }
  if ((t.a->vector > 0) != (t.b->vector > 0) && style != GemmStyle::Multistage) {
    no_formula(fmt::format("{} with {}", t.a->name, t.b->name), "scale both or neither");
  }
  if ((t.a->scale == TileFormat::Scale::None) != (t.b->scale == TileFormat::Scale::None)) {
    no_formula(fmt::format("{} with {}", t.a->name, t.b->name), "scale both or neither");
  }
}

GemmTile checked(GemmTile t) {
  BANDWALL_CHECK(t.a != nullptr && t.b != nullptr);
  if (t.d == nullptr) t.d = find_tile_format("bf16");
  for (const auto& [edge, n] : {std::pair{"M", t.m}, {"N", t.n}, {"K", t.k}}) {
    if (n < 8 || n > kLargestEdge || n % 8 != 0) {
      throw Error::input(
          "tile", fmt::format("{} = {} is no multiple of 8 from 8 to {}", edge, n, kLargestEdge));
    }
  }
  if (t.stages && (*t.stages < 1 || *t.stages > kMostStages)) {
    throw Error::input("tile",
                       fmt::format("{} stages; wanted are 1 to {}", *t.stages, kMostStages));
  }
  for (const TileFormat* f : {t.c, t.d}) {
    if (f != nullptr && f->bits < 8) {
      throw Error::input("tile",
                         fmt::format("{} as C or D: only formats of 8 bits and more", f->name));
    }
  }
  return t;
}

TileKernel multistage_kernel(TileKernel k, const GemmTile& t, const Stage& s) {
  k.title = fmt::format("multistage GEMM {}x{}x{} of {} x {}", t.m, t.n, t.k, t.a->name, t.b->name);
  k.source = "stages x (M K a + N K b), NVIDIA/cutlass issue 617; the epilogue reuses the buffers";
  k.add("main loop", k.stages * s.bytes(),
        fmt::format("{} stages x {} ({})", k.stages, s.bytes(), s.how));
  k.notes.push_back("a fused epilogue of Triton adds scratch of its own that is not counted here");
  return k;
}

}  // namespace

std::string_view name(GemmStyle style) {
  switch (style) {
    case GemmStyle::Multistage:
      return "multistage";
    case GemmStyle::Sm90:
      return "sm90";
    case GemmStyle::Sm100:
      return "sm100";
    case GemmStyle::Sm120:
      return "sm120";
  }
  return "";
}

std::optional<GemmStyle> gemm_style_from_name(std::string_view wanted) {
  for (const GemmStyle s :
       {GemmStyle::Multistage, GemmStyle::Sm90, GemmStyle::Sm100, GemmStyle::Sm120}) {
    if (name(s) == wanted) return s;
  }
  return std::nullopt;
}

std::string_view name(Schedule schedule) {
  switch (schedule) {
    case Schedule::Automatic:
      return "auto";
    case Schedule::Cooperative:
      return "cooperative";
    case Schedule::Pingpong:
      return "pingpong";
  }
  return "";
}

GemmStyle usual_style(const ComputeCapability& c, const GemmTile& t) {
  const bool narrow = t.a->bits <= 8 && t.b->bits <= 8 && t.a->name != "int8";
  const bool scaled = t.a->vector > 0 || t.b->vector > 0;
  if (has(c, Instruction::Tcgen05)) return GemmStyle::Sm100;
  if (has(c, Instruction::Wgmma) && !scaled) return GemmStyle::Sm90;
  if (narrow && (has(c, Instruction::MmaF8f6f4) || scaled)) return GemmStyle::Sm120;
  return GemmStyle::Multistage;
}

TileKernel gemm_kernel(const GemmTile& given, GemmStyle style, std::int64_t capacity) {
  const GemmTile t = checked(given);
  check_formats(t, style);
  const Stage s = stage_of(t, style);
  TileKernel k;
  k.automatic = !t.stages.has_value();
  k.needs = needs_of(t, style, s);
  k.refused = shape_problem(t, style, s);
  const bool multistage = style == GemmStyle::Multistage;
  Epilogue e;
  if (style == GemmStyle::Sm120) e = epilogue_sm120(t);
  if (style == GemmStyle::Sm90) e = epilogue_sm90(t);
  if (style == GemmStyle::Sm100) e = epilogue_sm100(t, s.block_scaled);
  const StageRule rule = stage_rule(t, style, s, e, capacity);
  const int least = multistage ? 1 : 2;
  const std::int64_t room = std::max<std::int64_t>(rule.available, 0) / rule.per_stage;
  k.stages =
      t.stages.value_or(static_cast<int>(std::clamp<std::int64_t>(room, least, kMostStages)));
  if (k.refused.empty() && k.automatic && room < least) {
    k.refused = fmt::format(
        "room for {} stage{} of {} B in {} = {} B; {} at least are needed, so "
        "the automatic count does not compile",
        room, room == 1 ? "" : "s", rule.per_stage, rule.how, rule.available, least);
  } else if (k.refused.empty() && k.stages < least) {
    k.refused = fmt::format("{} stage; these kernels assert at least {}", k.stages, least);
  }
  if (multistage) return multistage_kernel(std::move(k), t, s);
  k.title = fmt::format("CUTLASS {} {}{}GEMM {}x{}x{} of {} x {}", name(style),
                        t.grouped ? "grouped " : "", t.fused_gate_up ? "gate+up " : "", t.m, t.n,
                        t.k, t.a->name, t.b->name);
  k.source = "storage structures and stage rules of NVIDIA/cutlass at 7107b05";
  k.threads = style == GemmStyle::Sm100 && !t.grouped ? 256 : 384;
  add_cutlass_parts(k, t, style, s, e, k.stages);
  return k;
}

int largest_stage_count(const GemmTile& given, GemmStyle style, std::int64_t capacity) {
  GemmTile t = given;
  int best = 0;
  for (int stages = style == GemmStyle::Multistage ? 1 : 2; stages <= kMostStages; ++stages) {
    t.stages = stages;
    const TileKernel k = gemm_kernel(t, style, capacity);
    if (k.shared_bytes > capacity || !k.refused.empty()) break;
    best = stages;
  }
  return best;
}

}  // namespace bandwall
