// Lines of the ledger of memory against the rules of memory_ledger.h, and against figures that
// llama.cpp logged or prints.
#include "analysis/memory_ledger.h"

#include <gtest/gtest.h>

#include <cmath>

#include "configs/engines.h"
#include "configs/library.h"
#include "hwmodel/error.h"
#include "tests/support/hand_model.h"

namespace bandwall {
namespace {

using namespace testing_support;

FitOptions options(std::int64_t context, std::string_view kv = "f16") {
  FitOptions o;
  o.context = context;
  o.kv = {kv_format_from_name(kv), kv_format_from_name(kv)};
  return o;
}

MemoryLedger ledger(const ModelSpec& m, const FitOptions& o, int devices = 1) {
  return memory_ledger(m, place(m, devices, o.offload, o.engine), o);
}

double line(const MemoryLedger& l, std::string_view what, int where = 0) {
  for (const MemoryLine& x : l.lines) {
    if (x.what == what && x.where == where) return x.bytes.value();
  }
  return 0;
}

// A hybrid of 27B: 16 layers attend, 48 are gated delta nets.
ModelSpec hybrid_27b() {
  ModelSpec m;
  Hyper& h = m.hyper;
  h.layers = 64;
  h.hidden = 5120;
  h.vocab = 248320;
  h.heads = 24;
  h.kv_heads = 4;
  h.head_dim_k = h.head_dim_v = 256;
  h.ffn = 17408;
  h.attention_interval = 4;
  h.ssm_inner = 6144;
  h.ssm_state = 128;
  h.ssm_heads = 48;
  h.ssm_groups = 16;
  h.ssm_conv = 4;
  return m;
}

TEST(MemoryLedger, CellsOfSlots) {
  const Hyper h = hand_model({.window = 1024}).hyper;
  FitOptions o = options(1024);
  o.slots = 3;
  EXPECT_EQ(cache_cells(h, o).full * cache_cells(h, o).streams, 1536) << "1024 / 3 -> 512 each";
  o.unified = true;
  EXPECT_EQ(cache_cells(h, o).full, 1024);
  EXPECT_EQ(cache_cells(h, o).streams, 1);
  o = options(65536);
  EXPECT_EQ(cache_cells(h, o).window, 1536) << "window 1024 + ubatch 512";
  o.slots = 4;
  o.unified = true;
  EXPECT_EQ(cache_cells(h, o).window, 4608) << "4 x 1024 + 512";
  o.swa_full = true;
  EXPECT_EQ(cache_cells(h, o).window, 65536);
}

TEST(MemoryLedger, MoreSlotsThanCellsKeepOneStepEach) {
  FitOptions o = options(256);
  o.slots = 1000;
  const CacheCells cells = cache_cells(hand_model({}).hyper, o);
  EXPECT_EQ(cells.full, 256);
  EXPECT_EQ(cells.streams, 1000);
}

TEST(MemoryLedger, RecurrentStateWithSnapshots) {
  const ModelSpec m = hybrid_27b();
  FitOptions o = options(32768);
  EXPECT_DOUBLE_EQ(line(ledger(m, o), "recurrent state") / kMiB, 149.625);
  o.slots = 4;
  EXPECT_DOUBLE_EQ(line(ledger(m, o), "recurrent state") / kMiB, 598.5);
  o.draft_max = 12;
  EXPECT_DOUBLE_EQ(line(ledger(m, o), "recurrent state") / kMiB, 7780.5);
  o.slots = 1;
  o.draft_max = 2;
  EXPECT_DOUBLE_EQ(line(ledger(m, o), "recurrent state") / kMiB, 448.875);
}

TEST(MemoryLedger, LongContextOfAHybridAsLogged) {
  const MemoryLedger l = ledger(hybrid_27b(), options(200192, "q8_0"));
  EXPECT_NEAR(line(l, "KV cache") / kMiB, 6647.0, 0.01);
  EXPECT_NEAR(line(l, "compute buffer") / kMiB, 654.78, 0.5);
  EXPECT_NEAR(line(l, "host buffer", kHost) / kMiB, 411.29, 0.5);
}

TEST(MemoryLedger, ScoresOfAllHeadsWithoutFlashAttention) {
  const ModelSpec m = model_from_shape(load_model_shape("qwen3-30b-a3b"), "Q8_0");
  FitOptions o = options(16384);
  o.flash_attention = false;
  EXPECT_NEAR(line(ledger(m, o), "compute buffer") / kMiB, 1080, 0.5);
  EXPECT_NEAR(line(ledger(m, options(16384)), "compute buffer") / kMiB, 300.75, 0.01);
}

TEST(MemoryLedger, MiniMaxAt96000) {
  const ModelSpec m = model_from_shape(load_model_shape("minimax-m2.5"), "UD-Q3_K_XL");
  const auto gb = [&](const char* k, const char* v) {
    FitOptions o = options(96000);
    o.kv = {cache_layout_from_name(k), cache_layout_from_name(v)};
    return ledger(m, o).of(MemoryGroup::Kv).value() / kGiga;
  };
  EXPECT_NEAR(gb("f16", "f16"), 24.38, 0.005);
  EXPECT_NEAR(gb("q8_0", "q8_0"), 12.95, 0.005);
  EXPECT_NEAR(gb("q4_0", "q4_0"), 6.86, 0.005);
  EXPECT_NEAR(gb("turbo4_0", "turbo4_0"), 6.48, 0.005);
  EXPECT_NEAR(gb("tbq4_0", "tbq3_0"), 5.43, 0.005);
  EXPECT_NEAR(gb("turbo3_0", "turbo3_0"), 5.33, 0.005);
}

// 137.25 MiB against 9,760 at 2048 positions (ikawrakow/ik_llama.cpp issue 285).
TEST(MemoryLedger, LatentCacheAndWholeOne) {
  const ModelSpec m = model_from_shape(load_model_shape("deepseek-v3"), "Q4_K_M");
  FitOptions o = options(2048);
  EXPECT_DOUBLE_EQ(line(ledger(m, o), "KV cache") / kMiB, 137.25);
  o.whole_latent = true;
  EXPECT_DOUBLE_EQ(line(ledger(m, o), "KV cache") / kMiB, 9760);
}

TEST(MemoryLedger, ExpandedCacheIsCountedWithTheRuntime) {
  const ModelSpec m = hand_model({});
  FitOptions o = options(4096, "q8_0");
  EXPECT_EQ(line(ledger(m, o), "expanded cache"), 0);
  o.runtime_bytes = Bytes(1e6);
  EXPECT_EQ(line(ledger(m, o), "expanded cache"), 2.0 * 4096 * (128 + 128));
  o.kv = options(1).kv;
  EXPECT_EQ(line(ledger(m, o), "expanded cache"), 0) << "f16 is read as it is";
}

TEST(MemoryLedger, DraftModelAndProjectorAndPromptCache) {
  const ModelSpec m = hand_model({.layers = 8});
  FitOptions o = options(4096);
  const double before = ledger(m, o).on(0).value();
  o.draft = std::make_shared<const ModelSpec>(hand_model({.layers = 2}));
  o.projector = Bytes(1e6);
  o.prompt_cache = Bytes(8192 * kMiB);
  const MemoryLedger l = ledger(m, o);
  EXPECT_EQ(l.of(MemoryGroup::Cache, kHost), Bytes(8192 * kMiB));
  EXPECT_EQ(l.of(MemoryGroup::Projector, 0), Bytes(1e6));
  EXPECT_EQ(line(l, "draft model: KV cache"), 2 * 4096 * 2 * 256.0);
  EXPECT_DOUBLE_EQ(l.on(0).value(), before + 1e6 + l.of(MemoryGroup::Draft, 0).value());
}

TEST(MemoryLedger, EveryLineSaysHowAndSumsAreWhole) {
  FitOptions o = options(5000, "q4_0");
  o.runtime_bytes = Bytes(5e8);
  for (const char* engine : {"llama.cpp", "vllm", "tensorrt-llm", "bandwall"}) {
    o.engine = load_engine(engine);
    for (const int devices : {1, 3}) {
      for (const Split split : {Split::Layer, Split::Tensor, Split::Expert}) {
        o.offload.split = split;
        const MemoryLedger l = ledger(hand_model({.layers = 6}), o, devices);
        Bytes sum;
        for (int d = kHost; d < devices; ++d) sum += l.on(d);
        Bytes all;
        for (const MemoryLine& x : l.lines) {
          all += x.bytes;
          EXPECT_FALSE(x.how.empty()) << x.what;
          EXPECT_EQ(x.bytes.value(), std::floor(x.bytes.value())) << x.what;
        }
        EXPECT_EQ(sum, all);
      }
    }
  }
}

TEST(MemoryLedger, CacheOfTensorRtLeavesAShareFree) {
  FitOptions o = options(4096);
  o.engine = load_engine("tensorrt-llm");
  const MemoryLedger l = ledger(hand_model({}), o);
  const double kv = l.of(MemoryGroup::Kv).value();
  EXPECT_NEAR(line(l, "left free beside the cache"), kv / 0.9 - kv, 1);
}

// 1.26 GiB were profiled for Llama-3-8B (vllm-project/vllm PR 10511).
TEST(MemoryLedger, ActivationsOfVllm) {
  const ModelSpec m = model_from_shape(load_model_shape("llama-3.1-8b"), "BF16");
  FitOptions o = options(8192);
  o.engine = load_engine("vllm");
  EXPECT_NEAR(line(ledger(m, o), "activations") / kGiB, 1.26, 0.03);
}

TEST(MemoryLedger, OffloadIsRefusedWhereTheEngineHasNone) {
  FitOptions o = options(4096);
  o.engine = load_engine("vllm");
  EXPECT_NO_THROW(check_fit_options(o));
  o.offload.gpu_layers = 3;
  EXPECT_THROW(check_fit_options(o), Error);
}

TEST(Engines, AreShippedAndTheDefaultIsLlamaCpp) {
  EXPECT_EQ(engine_names().size(), 5u);
  for (const std::string& name : engine_names()) {
    EXPECT_EQ(load_engine(name).name, name);
    EXPECT_FALSE(load_engine(name).version.empty()) << name;
  }
  const EngineRules shipped = load_engine("llama.cpp"), built_in;
  EXPECT_EQ(shipped.layout, built_in.layout);
  EXPECT_EQ(shipped.shared_context, built_in.shared_context);
  EXPECT_EQ(shipped.table_on_host, built_in.table_on_host);
  const auto same = [](const Sourced<double>& a, const Sourced<double>& b) {
    EXPECT_EQ(a.value, b.value);
    EXPECT_FALSE(a.source.note.empty());
  };
  same(shipped.cell_step, built_in.cell_step);
  same(shipped.row_step, built_in.row_step);
  same(shipped.tensor_step, built_in.tensor_step);
  same(shipped.state_value_bytes, built_in.state_value_bytes);
  same(shipped.hidden_copies, built_in.hidden_copies);
  same(shipped.mask_bytes, built_in.mask_bytes);
  same(shipped.ffn_bytes, built_in.ffn_bytes);
  same(shipped.host_hidden_copies, built_in.host_hidden_copies);
  same(shipped.host_mask_bytes, built_in.host_mask_bytes);
}

TEST(Engines, BadFilesAreRefused) {
  const auto refused = [](const std::string& text) {
    EXPECT_THROW(parse_engine(text, "e.yaml"), Error) << text;
  };
  const std::string head = "schema: 1\nname: e\nversion: \"1\"\n";
  EXPECT_NO_THROW(parse_engine(head + "layout: exact\n", "e.yaml"));
  refused(head + "layout: pages\n");
  refused(head + "layout: blocks\n");  // no batch
  refused(head + "layout: exact\ncell_step: {value: 0, source: assumed, note: \"n\"}\n");
  refused(head + "layout: exact\nmemory_share: {value: 2, source: assumed, note: \"n\"}\n");
  EXPECT_THROW(load_engine("vlm"), Error);
}

}  // namespace
}  // namespace bandwall
