// Golden vectors: a small model, prompts, reference logits and the limits that our logits must
// keep.
//   Golden g = load_golden(folder, "qwen3moe-f32");  for (const GoldenTest& t : g.tests) ...
//   std::vector<std::string> bad = judge(t, t.limits.at("tolerance"), ours);   // empty: passed
// Measures: error of a position = rms(ours - reference) over the rms of the reference's logits
// about their mean; a position is safe when no layer chooses its experts by a narrow margin.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "runtime/engine.h"

namespace bandwall::testing {

struct GoldenLimits {
  double rms_rel_median = 0, rms_rel_position = 0, max_abs = 0, kl_max = 0, clear_gap = 0;
  double unsafe_rms_rel_position = 0;  // 0: no limit
};

struct GoldenTest {
  std::string id;  // "short", "long"
  std::vector<std::int32_t> prompt, greedy;
  std::vector<double> greedy_gap;
  std::int64_t rows = 0, vocab = 0;  // reference logits: the last `rows` positions
  std::vector<float> logits;
  std::vector<bool> safe;                      // per row
  std::map<std::string, GoldenLimits> limits;  // "tolerance", "tolerance_exact", ...
  std::map<int, std::vector<std::vector<std::int32_t>>> experts;  // layer -> row -> ids
  std::map<int, std::vector<double>> margins;
  double safe_margin = 0;
};

// Another type of the KV cache, judged against the logits with a float32 cache.
struct GoldenCache {
  std::string id, k, v;
  bool rotated = false;
  GoldenLimits limits;
  std::vector<float> logits;  // of the other engine with this cache; may be empty
};

struct Golden {
  std::string name, model;  // path of the GGUF
  bool f32 = false;         // weights are float32
  std::vector<GoldenTest> tests;
  std::vector<GoldenCache> caches;  // for tests[0]
};

Golden load_golden(const std::string& folder, const std::string& name);
// Names of all JSON files of the folder that hold a golden model with a GGUF beside it.
std::vector<std::string> golden_names(const std::string& folder);

// What is wrong with our logits (all prompt positions or the last rows), one line each.
std::vector<std::string> judge(const GoldenTest& test, const GoldenLimits& limits,
                               std::span<const float> ours);
// Our greedy continuation must agree as far as no step is near a tie.
std::vector<std::string> judge_greedy(const GoldenTest& test, const GoldenLimits& limits,
                                      const std::vector<std::int32_t>& ours);
// Sets of chosen experts must be equal where the choice is not near a tie.
std::vector<std::string> judge_experts(
    const GoldenTest& test, const std::vector<std::vector<std::vector<std::int32_t>>>& ours);

}  // namespace bandwall::testing
