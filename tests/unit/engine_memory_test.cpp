// What our own engine allocates against what the fit check says of it, to the byte.
#include <gtest/gtest.h>

#include <cmath>

#include "analysis/memory_ledger.h"
#include "configs/engines.h"
#include "runtime/engine.h"
#include "runtime/pass.h"
#include "runtime/state_cache.h"

namespace bandwall {
namespace {

TEST(EngineMemory, LedgerEqualsWhatTheEngineAllocates) {
  const std::string folder = std::string(BANDWALL_SOURCE_DIR) + "/tests/parity/golden/";
  for (const char* file : {"gemma3-f32", "gpt-oss-mxfp4", "deepseek2-f32", "nemotron_h_moe-f32",
                           "qwen3-f32", "minimax-m2-q3_k_m"}) {
    const LoadedModel model = LoadedModel::open(folder + file + ".gguf");
    EngineOptions e;
    e.context = 1000;
    e.sequences = 3;
    e.n_ubatch = 64;
    e.threads = 1;
    const Engine engine(model, e);

    FitOptions o;
    o.engine = load_engine("bandwall");
    o.context = e.context;
    o.slots = e.sequences;
    o.n_ubatch = e.n_ubatch;
    o.kv = {engine.options().k, engine.options().v};
    const ModelSpec& spec = model.spec();
    const MemoryLedger l = memory_ledger(spec, place(spec, 1, {}, o.engine), o);
    EXPECT_EQ(l.of(MemoryGroup::Kv), engine.kv_bytes()) << file;
    EXPECT_EQ(l.of(MemoryGroup::State).count(), StateCache(spec.hyper, e.sequences).bytes())
        << file;
    EXPECT_EQ(l.of(MemoryGroup::Compute).value(), std::ceil(Scratch::size(spec.hyper, e.n_ubatch)))
        << file;
    EXPECT_EQ(l.of(MemoryGroup::Weights).count(), spec.weight_bytes()) << file;
  }
}

}  // namespace
}  // namespace bandwall
