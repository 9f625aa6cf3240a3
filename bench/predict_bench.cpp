// Time of one prediction, as a sweep over depths or batches asks for thousands of them.
//   predict/decode/MODEL, predict/prefill/MODEL    one point: a step or a chunk
#include "analysis/predict.h"
#include "bench/bench.h"
#include "configs/library.h"

namespace bandwall::bench {
namespace {

struct Target {
  Machine machine = load_machine("gb10");
  Backend backend = backend_for(load_backend("llama.cpp-cuda"), machine);
};

void predict_point(benchmark::State& state, const char* shape, const char* mix, bool prefill) {
  static const Target target;
  const ModelSpec model = model_from_shape(load_model_shape(shape), mix);
  Scenario s;
  s.kv = {kv_format_from_name("f16"), kv_format_from_name("f16")};
  s.n_prompt = prefill ? 2048 : 0;
  s.n_ubatch = 2048;
  s.n_gen = 32;
  for (auto _ : state) {
    s.depth = (s.depth + 1024) % 65536;
    const Throughput t = prefill ? predict_prefill(target.machine, target.backend, model, s)
                                 : predict_decode(target.machine, target.backend, model, s);
    benchmark::DoNotOptimize(t.ts);
  }
}

const bool kRegistered = [] {
  for (const auto& [shape, mix] : {std::pair{"gpt-oss-120b", "MXFP4_MOE"},
                                   {"minimax-m2.5", "Q3_K_M"},
                                   {"llama-3.1-70b", "Q4_K_M"},
                                   {"deepseek-v3", "Q4_K_M"}}) {
    for (const bool prefill : {false, true}) {
      const std::string name = std::string("predict/") + (prefill ? "prefill/" : "decode/") + shape;
      benchmark::RegisterBenchmark(name.c_str(), predict_point, shape, mix, prefill)
          ->Unit(benchmark::kMicrosecond);
    }
  }
  return true;
}();

}  // namespace
}  // namespace bandwall::bench
