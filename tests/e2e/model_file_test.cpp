// Damaged, lying and incomplete model files through the shipped program: exit 2, one clear line
// that names the file and the field, no crash, no hang. Weights that are no numbers: exit 1.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <functional>
#include <limits>

#include "runtime/kernels/kernels.h"
#include "tests/support/gguf_writer.h"
#include "tests/support/shapes.h"
#include "tests/support/small_files.h"

namespace bandwall::e2e {
namespace {

using testing::Blob;
using testing::GgufWriter;

void expect_refused(const Outcome& o, const std::vector<std::string>& parts) {
  EXPECT_EQ(o.exit_code, 2) << o.err;
  EXPECT_TRUE(o.out.empty()) << o.out;
  EXPECT_EQ(o.err.rfind("bandwall: ", 0), 0u) << o.err;
  for (const std::string& part : parts) EXPECT_NE(o.err.find(part), std::string::npos) << o.err;
}
void expect_one_line(const Outcome& o, const std::vector<std::string>& parts) {
  expect_refused(o, parts);
  EXPECT_EQ(lines(o.err), 1) << o.err;
}

// ---- damaged headers ----

struct Damage {
  std::string name;
  std::function<void(GgufWriter&)> apply;
  std::vector<std::string> parts;
};

std::vector<Damage> damages() {
  const std::string ffn = "blk.1.ffn_down_exps.weight";
  const auto number = [](const char* key, std::uint32_t value) {
    return [=](GgufWriter& w) { w.set(key, value); };
  };
  return {
      {"magic", [](GgufWriter& w) { w.magic = "GGML"; }, {"magic (byte offset 0)", "GGML"}},
      {"version 1", [](GgufWriter& w) { w.version = 1; }, {"byte offset 4", "version 1"}},
      {"version 4", [](GgufWriter& w) { w.version = 4; }, {"byte offset 4", "version 4"}},
      {"big endian", [](GgufWriter& w) { w.version = 3u << 24; }, {"big-endian"}},
      {"tensors", [](GgufWriter& w) { w.claimed_tensors = ~0ull; }, {"tensor count", "offset 8"}},
      {"keys", [](GgufWriter& w) { w.claimed_keys = 1ull << 60; }, {"key count", "offset 16"}},
      {"offset", [=](GgufWriter& w) { w.tensor(ffn).offset = ~0ull - 31; }, {ffn, "offset"}},
      {"behind", [=](GgufWriter& w) { w.tensor(ffn).offset = 1 << 30; }, {ffn, "truncated"}},
      {"misaligned", [=](GgufWriter& w) { w.tensor(ffn).offset = 33; }, {ffn, "33", "alignment"}},
      {"overlap", [=](GgufWriter& w) { w.tensor(ffn).offset = 0; }, {"overlaps"}},
      {"type", [=](GgufWriter& w) { w.tensor(ffn).type = 1234; }, {ffn, "1234"}},
      {"dims", [=](GgufWriter& w) { w.tensor(ffn).dims[1] = 1ll << 62; }, {ffn, "dimension 1"}},
      {"negative", [=](GgufWriter& w) { w.tensor(ffn).dims[0] = -64; }, {ffn, "-64"}},
      {"twice",
       [](GgufWriter& w) {
         w.add("output.weight", {64, 272});
       },
       {"output.weight", "twice"}},
      {"missing", [=](GgufWriter& w) { w.drop(ffn); }, {ffn, "missing"}},
      {"key missing", [](GgufWriter& w) { w.remove("qwen3moe.block_count"); }, {"block_count"}},
      {"layers", number("qwen3moe.block_count", 4'000'000'000u), {"block_count"}},
      {"heads", number("qwen3moe.attention.head_count", 0), {"head_count"}},
      {"experts", number("qwen3moe.expert_used_count", 5), {"expert_used_count"}},
      {"vocabulary", [](GgufWriter& w) { w.tensor("token_embd.weight").dims[1] = 16; }, {"token"}},
      {"alignment", number("general.alignment", 12), {"general.alignment", "12"}},
      {"architecture",
       [](GgufWriter& w) { w.set("general.architecture", "mamba"); },
       {"mamba", "minimax-m2"}},
      {"split", number("split.count", 3), {"split.count"}},
  };
}

TEST(ModelFile, DamagedHeadersAreNamed) {
  for (const Damage& damage : damages()) {
    SCOPED_TRACE(damage.name);
    GgufWriter w = small_writer();
    damage.apply(w);
    const std::string path = file("damaged.gguf", w.build());
    std::vector<std::string> parts = damage.parts;
    parts.push_back(path);
    expect_refused(run({"inspect", path}), parts);
    expect_refused(run({"eval", "-m", path, "--tokens", "1"}), parts);
  }
}

TEST(ModelFile, WrongShapesNameBothShapes) {
  GgufWriter w = small_writer();
  w.drop("blk.0.attn_q.weight");
  w.add("blk.0.attn_q.weight", {64, 32});
  expect_one_line(run({"inspect", file("shape.gguf", w.build())}),
                  {"blk.0.attn_q.weight", "[64, 32]", "[64, 64]"});
}

TEST(ModelFile, TruncatedAnywhere) {
  const Blob whole = small_writer().build();
  const std::size_t header = 10000;
  std::vector<std::size_t> sizes = {1, 3, 4, 7, 8, 12, 16, 20, 23, 24, 25, 31, 40};
  for (std::size_t n = 100; n < whole.size(); n += n < header ? 977 : whole.size() / 8) {
    sizes.push_back(n);
  }
  sizes.push_back(whole.size() - 1);
  for (const std::size_t n : sizes) {
    SCOPED_TRACE(n);
    const std::string path = file("short.gguf", Blob(whole.begin(), whole.begin() + n));
    expect_one_line(run({"inspect", path}), {path, "byte offset", "download it again"});
  }
}

TEST(ModelFile, SingleBitsFlipped) {
  const Blob whole = small_writer().build();
  for (std::size_t i = 0; i < 160; ++i) {
    Blob bad = whole;
    const std::size_t at = i < 40 ? i : (i * 7919) % 9000;
    bad[at] ^= static_cast<std::byte>(1u << (i % 8));
    SCOPED_TRACE(at);
    const Outcome o = run({"eval", "-m", file("flipped.gguf", bad), "--tokens", "1"});
    EXPECT_TRUE(o.exit_code == 0 || o.exit_code == 2 || o.exit_code == 1) << o.exit_code << o.err;
    EXPECT_LT(o.peak_bytes, 300 << 20);
  }
}

// ---- things that are no model file ----

TEST(ModelFile, NotAFile) {
  const std::string directory = folder() + "/directory.gguf", pipe = folder() + "/pipe.gguf";
  std::filesystem::create_directory(directory);
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  expect_one_line(run({"inspect", directory}), {directory, "is a directory"});
  expect_one_line(run({"inspect", pipe}), {pipe, "no regular file"});
  expect_one_line(run({"inspect", file("empty.gguf", std::string())}), {"is empty"});
  expect_one_line(run({"inspect", "/dev/zero"}), {"/dev/zero", "no regular file"});
  expect_one_line(run({"inspect", "/proc/self/mem"}), {"/proc/self/mem"});
  expect_one_line(run({"inspect", folder() + "/nowhere.gguf"}), {"no such file"});
  expect_one_line(run({"inspect", folder() + "/two\nlines.gguf"}),
                  {"two\\x0alines", "no such file"});
  expect_one_line(run({"run", "-m", "gpt-oss-20b"}), {"gpt-oss-20b", "is no file"});
}

// ---- split files ----

GgufWriter part_of(int no, int count) {
  GgufWriter w;
  const GgufWriter whole = small_writer();
  if (no == 0) w.values = whole.values;
  w.set_as("split.no", GgufType::U16, static_cast<std::uint16_t>(no));
  w.set_as("split.count", GgufType::U16, static_cast<std::uint16_t>(count));
  w.set_as("split.tensors.count", GgufType::I32, static_cast<std::int32_t>(whole.tensors.size()));
  const std::size_t half = whole.tensors.size() / 2;
  for (std::size_t i = 0; i < whole.tensors.size(); ++i) {
    if ((i < half) == (no == 0)) w.tensors.push_back(whole.tensors[i]);
  }
  return w;
}

TEST(ModelFile, SplitPartsAreFoundFromAnyOfThem) {
  const std::string first = file("split-00001-of-00002.gguf", part_of(0, 2).build());
  const std::string second = folder() + "/split-00002-of-00002.gguf";
  expect_one_line(run({"inspect", first}), {"part 1 of 2", "missing", second});
  file("split-00002-of-00002.gguf", part_of(1, 2).build());
  EXPECT_EQ(run({"inspect", first}).exit_code, 0);
  const Outcome from_second = run({"eval", "-m", second, "--tokens", "1,2"});
  EXPECT_EQ(from_second.exit_code, 0) << from_second.err;
  file("split-00002-of-00002.gguf", part_of(1, 3).build());
  expect_refused(run({"inspect", first}), {"split.count", second});
  file("split-00002-of-00002.gguf", part_of(0, 2).build());
  expect_refused(run({"inspect", first}), {"split.no", second});
}

TEST(ModelFile, MissingPartsOfManyAreListedShortly) {
  const std::string path = file("many-00007-of-99999.gguf", part_of(0, 2).build());
  const Outcome o = run({"inspect", path});
  expect_one_line(o, {"many-00001-of-99999.gguf", "more"});
  EXPECT_LT(o.err.size(), 4000u);
}

// ---- weights ----

void fill(GgufWriter& w, const std::string& tensor, float value) {
  testing::WrittenTensor& t = w.tensor(tensor);
  std::vector<float> values(static_cast<std::size_t>(t.bytes) / sizeof(float), value);
  t.data.resize(static_cast<std::size_t>(t.bytes));
  std::memcpy(t.data.data(), values.data(), t.data.size());
}

std::string with_value(const std::string& tensor, float value) {
  GgufWriter w = small_writer();
  for (const testing::WrittenTensor& t : std::vector(w.tensors)) fill(w, t.name, 0.01f);
  fill(w, tensor, value);
  return file("values.gguf", w.build());
}

TEST(ModelFile, WeightsThatAreNoNumbersFailTheRun) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (const char* tensor : {"token_embd.weight", "blk.1.ffn_gate_inp.weight", "output.weight",
                             "output_norm.weight", "blk.0.attn_norm.weight"}) {
    for (const float value : {nan, std::numeric_limits<float>::infinity()}) {
      SCOPED_TRACE(tensor);
      const std::string path = with_value(tensor, value), logits = folder() + "/logits.f32";
      for (const char* kernels : {"fast", "reference"}) {
        for (const char* tokens : {"1,2,3", "1,2,3,4,5,6,7,8"}) {  // in parts, in query blocks
          const Outcome o = run(
              {"eval", "-m", path, "--tokens", tokens, "--kernels", kernels, "--logits", logits});
          EXPECT_EQ(o.exit_code, 1) << kernels << tokens << o.err;
          EXPECT_EQ(lines(o.err), 1) << o.err;
          EXPECT_FALSE(std::filesystem::exists(logits));
        }
      }
    }
  }
}

TEST(ModelFile, FormatsWithoutKernelsAreCountedButNotRun) {
  Hyper h = testing::tiny_hyper(testing::architecture_row("qwen3moe"));
  h.expert_ffn = 256;
  int tried = 0;
  for (const FormatInfo& f : all_formats()) {
    const bool in_files = format_from_ggml_type(static_cast<std::uint32_t>(f.format)).has_value();
    if (!in_files || !f.quantized || has_kernels(f.format)) continue;
    SCOPED_TRACE(f.name);
    ++tried;
    GgufWriter w = testing::tiny_model("qwen3moe", h);
    w.drop("blk.1.ffn_down_exps.weight");
    w.add("blk.1.ffn_down_exps.weight", {256, 64, 4}, f.format);
    const std::string path = file("iq.gguf", w.build());
    const Outcome counted = run({"inspect", path});
    EXPECT_EQ(counted.exit_code, 0) << counted.err;
    EXPECT_NE(counted.out.find(f.name), std::string::npos);
    for (const char* command : {"fit", "predict"}) {
      const Outcome o = run({command, path, "--machine", "gb10"});
      EXPECT_EQ(o.exit_code, 0) << command << ": " << o.err;
    }
    expect_one_line(run({"eval", "-m", path, "--tokens", "1"}),
                    {path, "blk.1.ffn_down_exps.weight", std::string(f.name), "Q4_K_M"});
  }
  EXPECT_EQ(tried, 9);  // IQ1_*, IQ2_*, IQ3_* and the two activation formats
}

TEST(ModelFile, NoTextWithoutAVocabulary) {
  const std::string path = file("mute.gguf", testing::tiny_model("qwen3moe").build());
  expect_one_line(run({"tokenize", "-m", path, "abc"}), {path, "tokenizer.ggml.model"});
  expect_one_line(run({"run", "-m", path, "-p", "abc"}), {path, "tokenizer.ggml.model"});
  EXPECT_EQ(run({"eval", "-m", path, "--tokens", "1,2"}).exit_code, 0);
}

// ---- size ----

// A file of 100 GB and more whose data are holes: only the header may be read.
std::string sparse_giant(std::int64_t& size) {
  const ModelShape shape = testing::minimax_m2();
  const Architecture& a = testing::architecture_row("minimax-m2");
  GgufWriter w = testing::tiny_model("minimax-m2", shape.hyper);
  w.set("minimax-m2.attention.key_length", static_cast<std::uint32_t>(shape.hyper.head_dim_k));
  w.set("minimax-m2.attention.value_length", static_cast<std::uint32_t>(shape.hyper.head_dim_v));
  w.set("minimax-m2.rope.dimension_count", static_cast<std::uint32_t>(shape.hyper.rope_dims));
  w.tensors.clear();
  std::uint64_t at = 0;
  for (const ExpectedTensor& t : expected_tensors(a, shape.hyper)) {
    if (!t.required) continue;
    const bool large = t.spec.name.find("_exps.weight") != std::string::npos;
    auto& added = w.add(t.spec.name, {t.spec.dims, t.spec.dims + t.spec.n_dims},
                        large ? Format::Q4_K : Format::F32);
    added.offset = at;
    at += (static_cast<std::uint64_t>(added.bytes) + 31) / 32 * 32;
  }
  const Blob header = w.build();
  size = static_cast<std::int64_t>(header.size() + at);
  return file("giant.gguf", header);
}

TEST(ModelFile, OnlyTheHeaderOfAGiantIsRead) {
  std::int64_t size = 0;
  const std::string path = sparse_giant(size);
  ASSERT_GT(size, 100'000'000'000);
  std::error_code refused;
  std::filesystem::resize_file(path, static_cast<std::uintmax_t>(size), refused);
  if (refused) GTEST_SKIP() << "no sparse files of this size here: " << refused.message();
  const Outcome o = run({"inspect", path, "-o", "json"});
  ASSERT_EQ(o.exit_code, 0) << o.err;
  EXPECT_EQ(nlohmann::json::parse(o.out)["files"][0]["computed_bytes"].get<std::int64_t>(), size);
  EXPECT_LT(o.peak_bytes, 200 << 20);
  EXPECT_EQ(run({"fit", path, "--machine", "gb10"}).exit_code, 3);
  EXPECT_EQ(run({"fit", path, "--machine", "b200"}).exit_code, 0);
  std::filesystem::resize_file(path, static_cast<std::uintmax_t>(size - 64), refused);
  expect_one_line(run({"inspect", path}), {path, "truncated", std::to_string(size)});
}

}  // namespace
}  // namespace bandwall::e2e
