// A speed that somebody measured: which device, software, model and test, and tokens per second.
// Pure data: configs/measurements.h reads it from CSV, analysis/validate.h predicts it.
//   llama-bench tg128 @ d4096: phase Decode, n_tokens 128, depth 4096, batch 1
// Blank cells of the file mean "not stated" and stay unknown here; nothing is guessed.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace bandwall {

enum class MeasuredPhase { Prefill, Decode };  // "pp": tokens of a prompt, "tg": generated tokens
std::string_view name(MeasuredPhase phase);    // "pp", "tg"

// What the text of the engine says about how the figure came about, each read off one of its words.
struct EngineMarks {
  bool aggregate = false;    // tok_s counts the tokens of all sequences together
  bool speculative = false;  // drafted tokens: "speculative", "MTP", "EAGLE"
  bool eager = false;        // kernels started one by one: "eager"
  bool end_to_end = false;   // the clock also ran while the prompt was read: "end-to-end"
  bool staggered = false;    // requests arrive together and wait for each other: "llama-benchy"
  bool off_by_one = false;   // divides N tokens by the time of N - 1: "N-1 intervals"
  friend bool operator==(const EngineMarks&, const EngineMarks&) = default;
};
EngineMarks engine_marks(std::string_view engine);  // any letter case

struct Measurement {
  std::string device, engine, backend, model, quant;  // as written, or names of this program
  double file_gib = 0;                                // size of the model file; 0: not stated
  MeasuredPhase phase = MeasuredPhase::Decode;
  std::optional<std::int64_t> n_tokens;  // prompt tokens or generated tokens, of each sequence
  std::optional<std::int64_t> depth;     // in the cache before the test; of servers: the prompt
  std::int64_t batch = 1;                // sequences at once
  std::optional<std::int64_t> ubatch;
  std::string type_k, type_v;  // KV formats as written; empty: not stated
  std::optional<bool> flash_attention;
  double tok_s = 0;    // of all sequences together
  std::string source;  // who measured, where it is written
  int line = 0;        // of the file it came from
  EngineMarks marks;   // engine_marks(engine)
  friend bool operator==(const Measurement&, const Measurement&) = default;
};

// "tg128 @ d4096 x8": as llama-bench names its tests; an unknown length is left out.
std::string test_name(const Measurement& m);

}  // namespace bandwall
