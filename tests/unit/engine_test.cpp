// The engine's behaviour apart from its numbers (those: tests/parity).
#include "runtime/engine.h"

#include <filesystem>
#include <fstream>
#include <limits>
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "hwmodel/error.h"
#include "runtime/mapped_file.h"
#include "runtime/moe.h"
#include "runtime/rope.h"
#include "tests/support/gguf_writer.h"

namespace bandwall {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using Tokens = std::vector<std::int32_t>;
namespace fs = std::filesystem;
using bandwall::testing::Blob;
using bandwall::testing::GgufWriter;

void fill(GgufWriter& w, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0f, 0.2f);
  for (auto& t : w.tensors) {
    for (std::int64_t i = 0; i < t.bytes / 4; ++i) bandwall::testing::put(t.data, normal(random));
  }
}

GgufWriter random_model(const std::string& architecture = "qwen3moe") {
  GgufWriter w = bandwall::testing::tiny_model(architecture);
  fill(w, 7);
  return w;
}

LoadedModel load(const GgufWriter& w) {
  static std::vector<std::unique_ptr<Blob>> kept;
  kept.push_back(std::make_unique<Blob>(w.build()));
  return LoadedModel::from_memory(*kept.back(), "tiny.gguf");
}

EngineOptions options() {
  EngineOptions o;
  o.context = 64;
  o.threads = 2;
  o.pin_threads = false;
  o.kernels = KernelMode::Reference;
  return o;
}

template <class F>
std::string message(F&& f) {
  try {
    f();
  } catch (const Error& e) {
    return e.what();
  }
  return "no error";
}

class Folder {
 public:
  Folder()
      : path_(fs::temp_directory_path() / ("bandwall_engine_test_" + std::to_string(::getpid()))) {
    fs::create_directories(path_);
  }
  ~Folder() { fs::remove_all(path_); }
  std::string write(const std::string& name, const Blob& bytes) const {
    std::ofstream(path_ / name, std::ios::binary)
        .write(reinterpret_cast<const char*>(bytes.data()),
               static_cast<std::streamsize>(bytes.size()));
    return path_ / name;
  }
  std::string path() const { return path_; }

 private:
  fs::path path_;
};

TEST(Engine, OutputsAreNoneLastOrAll) {
  const LoadedModel model = load(random_model());
  Engine engine(model, options());
  const Tokens tokens = {1, 5, 9, 3};
  const auto all = engine.evaluate(tokens, Outputs::All);
  ASSERT_EQ(all.size(), 4u * 32);
  const std::vector<float> last_row(all.end() - 32, all.end());
  engine.reset();
  const auto last = engine.evaluate(tokens, Outputs::Last);
  EXPECT_EQ(std::vector<float>(last.begin(), last.end()), last_row);
  EXPECT_EQ(engine.position(), 4);
  EXPECT_TRUE(engine.evaluate(tokens, Outputs::None).empty());
  EXPECT_EQ(engine.position(), 8);
  EXPECT_TRUE(engine.evaluate({}, Outputs::Last).empty());
}

TEST(Engine, RewindForgetsLaterCells) {
  const LoadedModel model = load(random_model("gpt-oss"));
  Engine engine(model, options());
  const Tokens first = {1, 2, 3}, other = {30, 29, 28}, next = {4};
  engine.evaluate(first, Outputs::None);
  const auto a = engine.evaluate(next, Outputs::Last);
  const std::vector<float> expected(a.begin(), a.end());
  engine.evaluate(other, Outputs::None);
  engine.rewind(3);
  const auto b = engine.evaluate(next, Outputs::Last);
  EXPECT_EQ(std::vector<float>(b.begin(), b.end()), expected);
}

TEST(Engine, RefusesWhatDoesNotFit) {
  const LoadedModel model = load(random_model());
  Engine engine(model, options());
  EXPECT_THAT(message([&] { engine.evaluate(Tokens(65, 1), Outputs::Last); }),
              HasSubstr("65 tokens after 0 do not fit into a context of 64"));
  EXPECT_THAT(message([&] {
                engine.evaluate(Tokens{1, 32}, Outputs::Last);
              }),
              HasSubstr("token 1 is 32, the vocabulary has ids 0..31"));
  EXPECT_THAT(message([&] { engine.evaluate(Tokens{-1}, Outputs::Last); }),
              HasSubstr("token 0 is -1"));
  EXPECT_EQ(engine.position(), 0);
}

// Beyond 512 cells fast kernels split the cells of few queries into parts.
TEST(Engine, MicroBatchesDoNotChangeABitOfTheReference) {
  const LoadedModel model = load(random_model());
  EngineOptions o = options();
  o.context = 640;
  Tokens tokens;
  for (std::int32_t i = 0; i < 600; ++i) tokens.push_back((i * 7 + 3) % 32);
  Engine engine(model, o);
  const auto logits = engine.evaluate(tokens, Outputs::Last);
  const std::vector<float> expected(logits.begin(), logits.end());
  for (const std::size_t rest : {1u, 3u, 7u}) {
    engine.rewind(static_cast<std::int64_t>(tokens.size() - rest));
    const auto again = engine.evaluate(std::span(tokens).last(rest), Outputs::Last);
    EXPECT_EQ(std::vector<float>(again.begin(), again.end()), expected) << rest;
  }
}

TEST(Engine, RefusesOptionsOutOfRange) {
  const LoadedModel model = load(random_model());
  EngineOptions o = options();
  o.context = 0;
  EXPECT_THAT(message([&] { Engine(model, o); }), HasSubstr("context: 0 is outside 1.."));
  o.context = std::int64_t{1} << 31;
  EXPECT_THAT(message([&] { Engine(model, o); }), HasSubstr("is available"));
  o.n_ubatch = o.context;
  EXPECT_THAT(message([&] { Engine(model, o); }),
              AllOf(HasSubstr("ubatch: steps of 2147483648 rows need "),
                    HasSubstr(" for buffers, "),
                    HasSubstr(" is available; use a smaller micro-batch (-ub)")));
  o = options();
  o.threads = -1;
  EXPECT_THAT(message([&] { Engine(model, o); }), HasSubstr("threads: -1 is outside"));
  o = options();
  o.k = kv_format_from_name("q8_0");  // heads of 16
  EXPECT_THAT(message([&] { Engine(model, o); }),
              HasSubstr("KV cache type: q8_0 cannot hold the keys of this model: a head has 16 "
                        "values, q8_0 packs blocks of 32; possible are f32, f16, bf16"));
  o.k = nullptr;
  o.v = kv_format_from_name("tbq3_0");
  EXPECT_THAT(message([&] { Engine(model, o); }),
              HasSubstr("tbq3_0 cannot hold the values of this model: a head has 16 values"));
}

TEST(Engine, OptionsComeBackResolved) {
  const LoadedModel model = load(random_model());
  EngineOptions o = options();
  o.threads = 0;
  o.kernels = KernelMode::Fast;
  const Engine engine(model, o);
  EXPECT_GE(engine.options().threads, 1);
  EXPECT_EQ(engine.options().k->name, "f16");
  EXPECT_EQ(engine.options().table, &best_kernels());
  EXPECT_EQ(engine.options().n_ubatch, 64);
  // 2 layers, 2 heads, 64 cells, keys and values of 16 dimensions, 2 bytes each.
  EXPECT_EQ(engine.kv_bytes(), bytes(2 * 2 * 64 * 2 * 16 * 2));
}

TEST(Engine, DamagedWeightsAreReported) {
  GgufWriter w = random_model();
  auto& norm = w.tensor("output_norm.weight");
  const float nan = std::numeric_limits<float>::quiet_NaN();
  std::memcpy(norm.data.data() + 8, &nan, 4);
  const LoadedModel model = load(w);
  Engine engine(model, options());
  EXPECT_THAT(message([&] {
                engine.evaluate(Tokens{1, 2}, Outputs::Last);
              }),
              HasSubstr("op output_norm: tensor output_norm.weight holds nan at [2]"));
  EXPECT_EQ(engine.position(), 0);
}

TEST(Engine, InterruptEndsAStepAndKeepsTheCache) {
  const LoadedModel model = load(random_model());
  Engine engine(model, options());
  engine.evaluate(Tokens{1, 2}, Outputs::None);
  std::atomic<bool> flag{true};
  engine.set_interrupt(&flag);
  EXPECT_THROW(engine.evaluate(Tokens{3}, Outputs::Last), Interrupted);
  EXPECT_EQ(engine.position(), 2);
  flag = false;
  EXPECT_EQ(engine.evaluate(Tokens{3}, Outputs::Last).size(), 32u);
}

TEST(Engine, MeterSumsStepsAndKeepsEach) {
  const LoadedModel model = load(random_model());
  EngineOptions o = options();
  o.n_ubatch = 2;
  Engine engine(model, o);
  Meter meter;
  meter.record_experts = true;
  engine.evaluate(Tokens{1, 2, 3, 4, 5}, Outputs::Last, &meter);
  ASSERT_EQ(meter.steps.size(), 3u);
  EXPECT_EQ(meter.steps[1].step.past, 2);
  EXPECT_EQ(meter.steps[2].step.output_rows, 1);
  EXPECT_EQ(meter.ledger.tokens, 5);
  EXPECT_EQ(meter.ledger.steps, 3);
  const auto head = OpKey{OpKind::Head, -1};
  EXPECT_EQ(meter.ledger.rows.at(head).calls, 1);
  ASSERT_EQ(meter.experts.size(), 2u);
  ASSERT_EQ(meter.experts[1].size(), 1u) << "the last layer goes on with what has logits";
  EXPECT_EQ(meter.experts[1][0].size(), 2u);
  Meter all;
  all.record_experts = true;
  engine.reset();
  engine.evaluate(Tokens{1, 2, 3, 4, 5}, Outputs::All, &all);
  ASSERT_EQ(all.experts[1].size(), 5u);
  EXPECT_EQ(all.experts[1][4], meter.experts[1][0]);
  Seconds walls;
  for (const auto& s : meter.steps) walls += s.wall;
  EXPECT_DOUBLE_EQ(walls.value(), meter.ledger.wall.value());
}

TEST(LoadedModel, UnalignedMemoryGivesTheSameModel) {
  const Blob file = random_model().build();
  Blob shifted(file.size() + 65);
  const auto base = reinterpret_cast<std::uintptr_t>(shifted.data());
  std::byte* odd = shifted.data() + (64 - base % 64) % 64 + 1;
  std::memcpy(odd, file.data(), file.size());
  const LoadedModel model = LoadedModel::from_memory({odd, file.size()}, "odd.gguf");
  const LoadedModel even = load(random_model());
  Engine a(model, options()), b(even, options());
  const auto x = a.evaluate(Tokens{1, 2}, Outputs::All), y = b.evaluate(Tokens{1, 2}, Outputs::All);
  EXPECT_TRUE(std::equal(x.begin(), x.end(), y.begin(), y.end()));
}

TEST(LoadedModel, FindsThePartsOfASplitFile) {
  const GgufWriter whole = random_model();
  const Folder folder;
  std::string paths[2];
  for (int i = 0; i < 2; ++i) {
    GgufWriter part;
    if (i == 0) part.values = whole.values;
    part.set_as("split.no", GgufType::U16, static_cast<std::uint16_t>(i));
    part.set_as("split.count", GgufType::U16, std::uint16_t{2});
    part.set_as("split.tensors.count", GgufType::I32,
                static_cast<std::int32_t>(whole.tensors.size()));
    for (std::size_t t = 0; t < whole.tensors.size(); ++t) {
      if (static_cast<int>(t % 2) == i) part.tensors.push_back(whole.tensors[t]);
    }
    paths[i] = folder.write(split_file_name("m", i + 1, 2), part.build());
  }
  const LoadedModel single = load(whole);
  Engine expected(single, options());
  const auto y = expected.evaluate(Tokens{1, 2}, Outputs::All);
  for (const std::string& path : paths) {
    const LoadedModel model = LoadedModel::open(path);
    EXPECT_EQ(model.files().size(), 2u);
    Engine engine(model, options());
    const auto x = engine.evaluate(Tokens{1, 2}, Outputs::All);
    EXPECT_TRUE(std::equal(x.begin(), x.end(), y.begin(), y.end()));
  }
  fs::remove(paths[0]);
  EXPECT_THAT(message([&] { LoadedModel::open(paths[1]); }), HasSubstr("missing: " + paths[0]));
}

TEST(LoadedModel, CopiedFilesGiveTheSameAsMappedOnes) {
  const Folder folder;
  const std::string path = folder.write("m.gguf", random_model().build());
  const LoadedModel mapped = LoadedModel::open(path),
                    copied = LoadedModel::open(path, Loading::Copied);
  EXPECT_EQ(mapped.mappings().size(), 1u);
  EXPECT_TRUE(copied.mappings().empty());
  Engine a(mapped, options()), b(copied, options());
  const auto x = a.evaluate(Tokens{1, 2}, Outputs::All), y = b.evaluate(Tokens{1, 2}, Outputs::All);
  EXPECT_TRUE(std::equal(x.begin(), x.end(), y.begin(), y.end()));
}

TEST(LoadedModel, CopyingIsRefusedBeforeItIsBegun) {
  const Folder folder;
  const std::string path = folder.write("m.gguf", random_model().build());
  const std::atomic<bool> stop = true;
  EXPECT_THROW(LoadedModel::open(path, Loading::Copied, &stop), Interrupted);
  fs::resize_file(path, std::uintmax_t{1} << 42);  // sparse; more than any machine has
  EXPECT_THAT(
      message([&] { LoadedModel::open(path, Loading::Copied); }),
      AllOf(HasSubstr("needs 4398.05 GB"), HasSubstr("is available"), HasSubstr("--mmap 1")));
}

TEST(LoadedModel, TruncatedAndPaddedFiles) {
  const Folder folder;
  Blob file = random_model().build();
  Blob padded = file;
  padded.resize(padded.size() + 1000);
  const LoadedModel model = LoadedModel::open(folder.write("padded.gguf", padded));
  ASSERT_EQ(model.notes().size(), 1u);
  EXPECT_THAT(model.notes()[0], HasSubstr("1000 bytes after the last tensor"));
  file.resize(file.size() - 500);
  const std::string path = folder.write("short.gguf", file);
  EXPECT_THAT(message([&] { LoadedModel::open(path); }), HasSubstr("tensor blk.1."));
}

TEST(LoadedModel, NamesTheTensorWithoutKernels) {
  Hyper h = bandwall::testing::tiny_hyper(*find_architecture("llama"));
  h.hidden = 256;
  h.heads = 16;
  GgufWriter w = bandwall::testing::tiny_model("llama", h);
  w.drop("blk.0.ffn_up.weight");
  w.add("blk.0.ffn_up.weight", {256, h.ffn}, Format::IQ2_XXS);
  const LoadedModel model = load(w);
  EXPECT_THAT(message([&] { Engine(model, options()); }),
              HasSubstr("tensor blk.0.ffn_up.weight: format IQ2_XXS"));
}

TEST(MappedFile, NamesWhatIsWrong) {
  const Folder folder;
  EXPECT_THAT(message([&] { MappedFile::open(folder.path() + "/none"); }),
              HasSubstr("no such file"));
  EXPECT_THAT(message([&] { MappedFile::open(folder.path()); }), HasSubstr("is a directory"));
  EXPECT_THAT(message([&] { MappedFile::open("/dev/null"); }), HasSubstr("is no regular file"));
  const std::string empty = folder.write("empty", {});
  EXPECT_THAT(message([&] { MappedFile::open(empty); }), HasSubstr("is empty"));
  MappedFile file = MappedFile::open(folder.write("three", Blob(3, std::byte{7})));
  EXPECT_EQ(file.bytes().size(), 3u);
  const MappedFile moved = std::move(file);
  populate(moved.bytes());
  EXPECT_EQ(moved.bytes()[2], std::byte{7});
}

struct Chosen {
  std::vector<std::int32_t> ids;
  std::vector<float> weights;
};

Chosen choose(Hyper h, std::vector<float> scores, const float* bias = nullptr) {
  h.experts = static_cast<std::int64_t>(scores.size());
  Chosen c{std::vector<std::int32_t>(static_cast<std::size_t>(h.experts_used)),
           std::vector<float>(static_cast<std::size_t>(h.experts_used))};
  choose_experts(h, scores.data(), bias, c.ids.data(), c.weights.data());
  return c;
}

TEST(Router, EqualScoresPreferTheLowerId) {
  Hyper h{.experts_used = 3, .router = RouterKind::SoftmaxAll};
  const Chosen c = choose(h, {1, 2, 2, 1, 2, 1});
  EXPECT_EQ(c.ids, (std::vector<std::int32_t>{1, 2, 4}));
  for (const float w : c.weights) EXPECT_NEAR(w, 1.0f / 3, 1e-6);
}

TEST(Router, BiasChoosesButDoesNotWeigh) {
  Hyper h{.experts_used = 2, .router = RouterKind::SigmoidBias, .router_scale = 2.5};
  const std::vector<float> bias = {0, 0, 5, 0};
  const Chosen c = choose(h, {0.0f, 3.0f, -2.0f, 1.0f}, bias.data());
  EXPECT_EQ(c.ids, (std::vector<std::int32_t>{2, 1}));
  const double a = 1 / (1 + std::exp(2.0)), b = 1 / (1 + std::exp(-3.0));
  EXPECT_NEAR(c.weights[0], 2.5 * a / (a + b), 1e-6);
  EXPECT_NEAR(c.weights[1], 2.5 * b / (a + b), 1e-6);
}

// Groups {0 1 2}, {3 4 5}, {6 7 8}: the sums of the two best are 3, 4 and 3.5 (with the bias).
TEST(Router, GroupsAreChosenByTheirTwoBestBiasedScores) {
  Hyper h{.experts_used = 3, .router = RouterKind::SoftmaxAll, .router_norm = false};
  h.expert_groups = 3;
  h.expert_groups_used = 2;
  const std::vector<float> bias = {3, 0, 0, 2, 2, 0, 3.4f, 0.1f, 0};
  const Chosen c = choose(h, std::vector<float>(9, 0.0f), bias.data());
  EXPECT_EQ(c.ids, (std::vector<std::int32_t>{6, 3, 4}));
  for (const float w : c.weights) EXPECT_NEAR(w, 1.0f / 9, 1e-6);
  h.expert_groups_used = 3;
  EXPECT_EQ(choose(h, std::vector<float>(9, 0.0f), bias.data()).ids,
            (std::vector<std::int32_t>{6, 0, 3}));
}

TEST(Router, SoftmaxOverAllOrOverTheSelected) {
  Hyper h{.experts_used = 2, .router = RouterKind::SoftmaxAll, .router_norm = false};
  const std::vector<float> logits = {0, 1, 2};
  const double sum = 1 + std::exp(1.0) + std::exp(2.0);
  EXPECT_NEAR(choose(h, logits).weights[0], std::exp(2.0) / sum, 1e-6);
  h.router = RouterKind::SoftmaxSelected;
  EXPECT_NEAR(choose(h, logits).weights[0], std::exp(2.0) / (std::exp(1.0) + std::exp(2.0)), 1e-6);
}

TEST(Router, PairsAreGroupedByExpertInTokenOrder) {
  Hyper h{.experts = 4, .experts_used = 2};
  Choice c;
  c.ids = {3, 1, 1, 0, 3, 1};  // 3 tokens
  group_by_expert(h, 3, c);
  EXPECT_EQ(c.offset, (std::vector<std::int32_t>{0, 1, 4, 4, 6}));
  EXPECT_EQ(c.active, (std::vector<std::int32_t>{0, 1, 3}));
  EXPECT_EQ(c.tokens, (std::vector<std::int32_t>{1, 0, 1, 2, 0, 2}));
  EXPECT_EQ(c.pair_of, (std::vector<std::int32_t>{4, 1, 2, 0, 5, 3}));
}

TEST(Rope, PairsAreNeighboursOrHalves) {
  Hyper h{.head_dim_k = 6, .rope = RopeKind::Neighbours, .rope_dims = 4, .rope_base = 100.0};
  float angles[4];
  std::vector<float> x = {1, 0, 0, 1, 7, 8};
  const Rope neighbours(h, nullptr);
  neighbours.angles(3, angles);
  neighbours.rotate(angles, x.data());
  EXPECT_NEAR(x[0], std::cos(3.0), 1e-6);
  EXPECT_NEAR(x[1], std::sin(3.0), 1e-6);
  EXPECT_NEAR(x[2], -std::sin(0.3), 1e-6);
  EXPECT_NEAR(x[3], std::cos(0.3), 1e-6);
  h.rope = RopeKind::Halves;
  x = {1, 0, 0, 1, 7, 8};
  Rope(h, nullptr).rotate(angles, x.data());
  EXPECT_NEAR(x[0], std::cos(3.0), 1e-6);
  EXPECT_NEAR(x[2], std::sin(3.0), 1e-6);
  EXPECT_NEAR(x[1], -std::sin(0.3), 1e-6);
  EXPECT_EQ(x[4], 7);
  EXPECT_EQ(x[5], 8);
}

TEST(Rope, ScalesAndFactorsStretchTheAngle) {
  Hyper h{.head_dim_k = 2, .rope_dims = 2, .rope_scale = 4.0};
  const float factor = 2.0f;
  float angles[2];
  Rope(h, &factor).angles(8, angles);
  EXPECT_NEAR(angles[0], std::cos(1.0), 1e-6);
}

TEST(Rope, YarnKeepsFastPairsAndStretchesSlowOnes) {
  Hyper h{
      .head_dim_k = 64, .rope_dims = 64, .rope_base = 150000.0, .yarn = true, .yarn_factor = 32.0};
  h.yarn_original_context = 4096;
  std::vector<float> angles(64);
  Rope(h, nullptr).angles(5, angles.data());
  const double magnitude = 1 + 0.1 * std::log(32.0);
  EXPECT_NEAR(angles[0], std::cos(5.0) * magnitude, 1e-6);
  const double slowest = std::pow(150000.0, -62.0 / 64);
  EXPECT_NEAR(angles[63], std::sin(5 * slowest / 32) * magnitude, 1e-9);
}

}  // namespace
}  // namespace bandwall
