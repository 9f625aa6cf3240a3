// Chooses the next token. Order as in llama.cpp: top-k, top-p, min-p, temperature, draw.
//   Sampler s({.temperature = 0.8f, .top_k = 40, .seed = 7});  s.sample(logits)
// temperature <= 0 is greedy (lowest id wins a tie). Same seed, same logits: same tokens, on every
// machine (own generator, no library distribution).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace bandwall {

struct SamplerOptions {
  float temperature = 0.0f;
  std::int32_t top_k = 40;      // <= 0: off
  float top_p = 0.95f;          // >= 1: off
  float min_p = 0.05f;          // <= 0: off
  std::uint64_t seed = 42;
};

class Sampler {
 public:
  explicit Sampler(const SamplerOptions& options);   // throws Error (Input) for values out of range
  std::int32_t sample(std::span<const float> logits);

 private:
  SamplerOptions options_;
  std::uint64_t state_[4];
  std::vector<std::pair<float, std::int32_t>> candidates_;
};

std::int32_t argmax(std::span<const float> logits);

// 64-bit FNV-1a over the bit patterns of the logits: equal runs have equal hashes.
std::uint64_t logits_hash(std::span<const float> logits);

}  // namespace bandwall
