// NaN, infinities and too little memory, as a user meets them: exit code, and what the one line
// says. Models: golden files with a few bytes changed.
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>

#include "tests/support/small_files.h"
#include "workload/gguf.h"

namespace bandwall::e2e {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr std::uint16_t kHalfNan = 0x7e00;

struct Model {
  explicit Model(const std::string& golden) {
    const std::string path = BANDWALL_SOURCE_DIR "/tests/parity/golden/" + golden + ".gguf";
    std::ifstream in(path, std::ios::binary);
    text.assign(std::istreambuf_iterator<char>(in), {});
    gguf = parse_gguf(std::as_bytes(std::span(text)), golden);
  }
  const GgufTensor& tensor(const std::string& name) const {
    for (const GgufTensor& t : gguf.tensors) {
      if (t.name == name) return t;
    }
    throw std::runtime_error(name);
  }
  template <class T>
  void put(const std::string& name, std::int64_t byte, T value) {
    std::memcpy(text.data() + tensor(name).offset + byte, &value, sizeof value);
  }
  std::string text;
  GgufFile gguf;
};

void expect_found(const Model& model, const std::vector<std::string>& parts,
                  const std::string& tokens = "41,7,300,12,99,5,64,250") {
  const std::string path = file("poisoned.gguf", model.text);
  const std::string logits = folder() + "/poisoned.f32";
  for (const char* kernels : {"fast", "reference"}) {
    const Outcome o =
        run({"eval", "-m", path, "--tokens", tokens, "--logits", logits, "--kernels", kernels});
    EXPECT_EQ(o.exit_code, 1) << kernels << o.err;
    EXPECT_EQ(lines(o.err), 1) << o.err;
    EXPECT_FALSE(std::filesystem::exists(logits));
    for (const std::string& part : parts) EXPECT_NE(o.err.find(part), std::string::npos) << o.err;
  }
}

// The first token of the golden prompt takes this expert in layer 1.
TEST(BadNumbers, ScaleOfAnExpert) {
  Model m("qwen3moe-block32");
  const GgufTensor& t = m.tensor("blk.1.ffn_gate_exps.weight");
  const std::int64_t row = row_bytes(t.format, t.dims[0]);
  for (std::int64_t e = 0; e < t.dims[2]; ++e) {
    m.put(std::string(t.name), (e * t.dims[1] + 5) * row, kHalfNan);
  }
  expect_found(m, {"layer 1, op experts", "blk.1.ffn_gate_exps.weight holds nan at [0, 5, 0]"});
}

TEST(BadNumbers, WeightOfANorm) {
  Model m("qwen3moe-f32");
  m.put("blk.1.ffn_norm.weight", 3 * 4, kInf);
  expect_found(m, {"layer 1, op ffn_norm", "tensor blk.1.ffn_norm.weight holds inf at [3]"});
}

TEST(BadNumbers, RowOfTheEmbedding) {
  Model m("qwen3moe-f32");
  const std::int64_t width = m.tensor("token_embd.weight").dims[0];
  m.put("token_embd.weight", (12 * width + 7) * 4, kNan);
  expect_found(m, {"op embedding: nan at value 7 of position 3",
                   "tensor token_embd.weight holds nan at [7, 12]"});
  // Rows that are not looked up do no harm.
  const std::string path = file("poisoned.gguf", m.text);
  EXPECT_EQ(
      run({"eval", "-m", path, "--tokens", "1,2,3", "--logits", folder() + "/fine.f32"}).exit_code,
      0);
}

// A sigmoid or softmax brings an infinite score back into range; the choice would be arbitrary.
TEST(BadNumbers, RouterAndItsBias) {
  for (const char* name : {"blk.0.ffn_gate_inp.weight", "blk.0.exp_probs_b.bias"}) {
    for (const float value : {kNan, kInf, -kInf}) {
      Model m("minimax-m2-f32");
      m.put(name, 4, value);
      expect_found(m, {"layer 0, op router: ", std::string("tensor ") + name + " holds "});
    }
  }
}

TEST(BadNumbers, LatentAttention) {
  Model m("deepseek2-f32");
  m.put("blk.2.attn_k_b.weight", 4, kNan);
  expect_found(m, {"layer 2, op qkv_proj", "blk.2.attn_k_b.weight holds nan at [1, 0, 0]"});
  Model v("deepseek2-f32");
  v.put("blk.0.attn_v_b.weight", 4, -kInf);
  expect_found(v, {"layer 0, op attn_out", "blk.0.attn_v_b.weight holds -inf at [1, 0, 0]"});
  Model s("deepseek2-f32");
  s.put("blk.1.ffn_up_shexp.weight", 0, kNan);
  expect_found(s, {"layer 1, op shared_expert", "blk.1.ffn_up_shexp.weight holds nan at [0, 0]"});
}

// Finite weights whose keys leave the range of a half-precision cache.
TEST(BadNumbers, KeysBeyondTheRangeOfTheCache) {
  Model m("llama-f32");
  const GgufTensor& t = m.tensor("blk.0.attn_k.weight");
  for (std::int64_t i = 0; i < t.dims[0]; ++i) m.put("blk.0.attn_k.weight", i * 4, 1e6f);
  const std::string path = file("poisoned.gguf", m.text);
  const std::string logits = folder() + "/range.f32";
  const auto eval = [&](const char* type) {
    return run({"eval", "-m", path, "--tokens", "1,2,3", "--logits", logits, "-ctk", type});
  };
  const Outcome half = eval("f16");
  EXPECT_EQ(half.exit_code, 1);
  EXPECT_NE(half.err.find("layer 0, op attention"), std::string::npos) << half.err;
  EXPECT_NE(half.err.find("-ctk f32"), std::string::npos) << half.err;
  EXPECT_EQ(eval("f32").exit_code, 0);
}

void expect_refused(const Outcome& o, const std::vector<std::string>& parts) {
  EXPECT_EQ(o.exit_code, 2) << o.err;
  EXPECT_EQ(lines(o.err), 1) << o.err;
  for (const std::string& part : parts) EXPECT_NE(o.err.find(part), std::string::npos) << o.err;
}

TEST(BadNumbers, MemoryThatIsNotThere) {
  const std::string logits = folder() + "/memory.f32";
  const auto eval = [&](const std::string& field, const std::string& value, std::int64_t space) {
    RunOptions options;
    options.address_space = space;
    return run({"eval", "-m", small_model(), "--tokens", "1,2,3", "--logits", logits, field, value,
                "-t", "1"},
               options);
  };
  // More than any machine has, and more than this process may have.
  expect_refused(eval("-c", "2000000000", 0), {"KV cache", "is available", "positions fit"});
  expect_refused(eval("-c", "4000000", std::int64_t{300} << 20),
                 {"KV cache", "GiB", "is available", "positions fit"});
}

// Whatever the limit, the program ends by itself, with its result or with one message.
TEST(BadNumbers, LittleAddressSpaceNeverHangs) {
  const std::string logits = folder() + "/little.f32";
  const std::vector<std::vector<std::string>> calls = {
      {"eval", "-m", small_model(), "--tokens", "1,2,3", "--logits", logits, "-t", "2"},
      {"run", "-m", small_model(), "--profile", profile(), "-n", "2", "-t", "2"},
      {"bench", "--synthetic", "olmoe-1b-7b:Q4_K_M", "--layers", "1", "-p", "0", "-n", "1", "-r",
       "1", "--profile", profile()}};
  for (const std::int64_t megabytes : {60, 100, 200, 500}) {
    for (const std::vector<std::string>& words : calls) {
      RunOptions options;
      options.address_space = megabytes * 1000 * 1000;
      options.kill_after_seconds = 60;
      const Outcome o = run(words, options);
      // Below what the shared libraries take the loader ends it (127).
      EXPECT_TRUE(o.exit_code <= 2 || o.exit_code == 127)
          << words[0] << " in " << megabytes << " MB: " << o.exit_code << o.err;
      if (o.exit_code == 1) {
        EXPECT_NE(o.err.find(" is available"), std::string::npos) << words[0] << megabytes << o.err;
      }
    }
  }
}

TEST(BadNumbers, ThreadsThatCannotBeStarted) {
  RunOptions options;
  options.address_space = std::int64_t{600} << 20;
  const Outcome o = run({"eval", "-m", small_model(), "--tokens", "1,2,3", "--logits",
                         folder() + "/threads.f32", "-t", "1000"},
                        options);
  EXPECT_EQ(o.exit_code, 1) << o.err;
  EXPECT_EQ(lines(o.err), 1) << o.err;
  for (const char* part : {"1000 threads cannot be started", "stacks take", "is available", "-t"}) {
    EXPECT_NE(o.err.find(part), std::string::npos) << o.err;
  }
}

TEST(BadNumbers, PromptsLongerThanTheContextAreRefusedBeforeAnyWork) {
  const std::string logits = folder() + "/context.f32";
  const Outcome o =
      run({"eval", "-m", small_model(), "--tokens", "1,2,3,4,5", "-c", "4", "--logits", logits});
  expect_refused(o, {"5 tokens", "the context is 4", "-c"});
  EXPECT_FALSE(std::filesystem::exists(logits));
  const Outcome greedy = run({"eval", "-m", small_model(), "--tokens", "1,2,3", "-c", "4",
                              "--greedy", "8", "--logits", logits});
  expect_refused(greedy, {"the context is 4", "-c"});
  EXPECT_FALSE(std::filesystem::exists(logits));
}

}  // namespace
}  // namespace bandwall::e2e
