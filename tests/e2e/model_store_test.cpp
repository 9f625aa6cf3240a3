// Models of any place through the shipped program: checkpoints of Hugging Face on disk, and the
// stores of other programs, made up in a temporary folder.
#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>

#include "tests/support/safetensors_writer.h"
#include "tests/support/small_files.h"

namespace bandwall::e2e {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;
using testing::StWriter;

const std::string kConfig = R"({"model_type": "llama", "hidden_size": 64, "num_hidden_layers": 1,
  "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 256, "intermediate_size": 128,
  "max_position_embeddings": 512, "tie_word_embeddings": false, "torch_dtype": "bfloat16"})";

StWriter table_part() {
  StWriter w;
  w.add("model.embed_tokens.weight", "BF16", {256, 64});
  w.add("lm_head.weight", "BF16", {256, 64});
  w.add("model.norm.weight", "BF16", {64});
  return w;
}
StWriter layer_part() {
  StWriter w;
  const std::string b = "model.layers.0.";
  w.add(b + "input_layernorm.weight", "BF16", {64});
  w.add(b + "post_attention_layernorm.weight", "BF16", {64});
  w.add(b + "self_attn.q_proj.weight", "BF16", {64, 64});
  w.add(b + "self_attn.k_proj.weight", "BF16", {32, 64});
  w.add(b + "self_attn.v_proj.weight", "BF16", {32, 64});
  w.add(b + "self_attn.o_proj.weight", "BF16", {64, 64});
  w.add(b + "mlp.gate_proj.weight", "BF16", {128, 64});
  w.add(b + "mlp.up_proj.weight", "BF16", {128, 64});
  w.add(b + "mlp.down_proj.weight", "BF16", {64, 128});
  return w;
}

std::string put(const fs::path& path, const std::string& bytes) {
  fs::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary) << bytes;
  return path.string();
}

// A checkpoint in two numbered files without an index.
std::string checkpoint(const std::string& name) {
  const fs::path at = fs::path(folder()) / name;
  put(at / "config.json", kConfig);
  put(at / "model-00001-of-00002.safetensors", table_part().build());
  put(at / "model-00002-of-00002.safetensors", layer_part().build());
  return at.string();
}

std::int64_t weight_bytes(const Outcome& o) {
  EXPECT_EQ(o.exit_code, 0) << o.err;
  if (o.exit_code != 0) return -1;
  return nlohmann::json::parse(o.out)["weight_bytes"].get<std::int64_t>();
}
std::int64_t inspect(const std::vector<std::string>& model, const RunOptions& options = {}) {
  std::vector<std::string> words = {"inspect", "-o", "json"};
  words.insert(words.end(), model.begin(), model.end());
  return weight_bytes(run(words, options));
}
std::string refused(const std::vector<std::string>& words, const RunOptions& options = {}) {
  const Outcome o = run(words, options);
  EXPECT_EQ(o.exit_code, 2) << o.err;
  EXPECT_EQ(o.out, "");
  return o.err;
}

TEST(ModelStore, ReadsAFolderOfSafetensors) {
  const std::string at = checkpoint("whole");
  const std::int64_t all = table_part().data_bytes() + layer_part().data_bytes();
  EXPECT_EQ(inspect({at}), all);
  EXPECT_EQ(inspect({at + "/config.json"}), all);  // by the rules: everything in BF16
  EXPECT_EQ(inspect({at + "/model-00002-of-00002.safetensors"}), all);
  const Outcome text = run({"inspect", at, "--tensors"});
  EXPECT_THAT(text.out, AllOf(HasSubstr("read from the headers of 2 safetensors files"),
                              HasSubstr("blk.0.ffn_down.weight")));
  for (const char* command : {"predict", "fit", "roofline"}) {
    EXPECT_EQ(run({command, at}).exit_code, 0) << command;
  }
  EXPECT_THAT(refused({"run", "-m", at}), HasSubstr("runs GGUF files: convert it"));
  const Outcome shown = run({"show", "model", at});
  EXPECT_EQ(shown.exit_code, 0) << shown.err;
  const std::string own = put(folder() + "/own.yaml", shown.out);
  EXPECT_EQ(inspect({own, "--mix", "BF16"}), inspect({at, "--mix", "BF16"}));
}

TEST(ModelStore, MixesByRuleOnAnyModel) {
  const std::string at = checkpoint("mixed");
  const std::int64_t q8 = inspect({at, "--mix", "Q8_0"});
  EXPECT_EQ(q8, 2 * 256 * 64 * 34 / 32 + 64 * (192 + 3 * 128) * 34 / 32 + 3 * 64 * 4);
  EXPECT_EQ(inspect({at + ":q8_0"}), q8);
  EXPECT_EQ(inspect({small_model(), "--mix", "F32"}), inspect({small_model()}));
  EXPECT_EQ(inspect({"llama-3.1-8b", "--mix", "Q4_K_S"}), inspect({"llama-3.1-8b:Q4_K_S"}));
  const Outcome fit = run({"fit", at, "--mix", "Q8_0", "--machine", "gb10", "-o", "json"});
  EXPECT_EQ(fit.exit_code, 0) << fit.err;
  EXPECT_THAT(fit.out, HasSubstr(std::to_string(q8)));
  EXPECT_THAT(refused({"inspect", "llama-3.1-8b:Q4_K_S", "--mix", "Q8_0"}),
              HasSubstr("two quantizations"));
  EXPECT_THAT(refused({"inspect", at, "--mix", "UD-Q3_K_XL"}),
              HasSubstr("UD mixes are tuned tensor by tensor by their publisher"));
}

TEST(ModelStore, FileSizesOfMixesAreThoseOfFiles) {
  const auto made = [](const std::string& mix) {
    const std::string path = folder() + "/made-" + mix + ".gguf";
    const Outcome o =
        run({"synth", "gemma-3-4b:" + mix, "--layers", "1", "--vocab", "300", "-o", path});
    EXPECT_EQ(o.exit_code, 0) << o.err;
    return path;
  };
  // Names of equal length: the header holds the name.
  const std::string from = made("Q8_0"), to = made("Q4_0");
  const Outcome o = run({"inspect", from, "--mix", "Q4_0", "-o", "json"});
  ASSERT_EQ(o.exit_code, 0) << o.err;
  const auto gguf = nlohmann::json::parse(o.out)["gguf"];
  EXPECT_EQ(gguf["file_bytes"].get<std::uintmax_t>(), fs::file_size(to));
  EXPECT_NE(fs::file_size(from), fs::file_size(to));
  fs::remove(from);
  fs::remove(to);
}

TEST(ModelStore, TellsWhatAFolderLacks) {
  const std::string at = checkpoint("lacking");
  fs::remove(at + "/model-00001-of-00002.safetensors");
  EXPECT_THAT(refused({"inspect", at}),
              HasSubstr("1 of 2 safetensors files are missing: model-00001-of-00002.safetensors"));
  put(at + "/model.safetensors.index.json",
      R"({"weight_map": {"lm_head.weight": "a.safetensors",
          "model.norm.weight": "model-00002-of-00002.safetensors"}})");
  EXPECT_THAT(refused({"inspect", at}), HasSubstr("1 of 2 safetensors files are missing: a.safe"));
  put(at + "/a.safetensors", table_part().build());
  EXPECT_THAT(refused({"inspect", at}),
              HasSubstr("weight_map.model.norm.weight: model-00002-of-00002.safetensors does not"));
  fs::remove(at + "/config.json");
  EXPECT_THAT(refused({"inspect", at}),
              AllOf(HasSubstr("without config.json or GGUF"), HasSubstr("a.safetensors")));
  EXPECT_THAT(refused({"inspect", at + "/a.safetensors"}), HasSubstr("has no config.json"));
}

TEST(ModelStore, FindsModelsInTheCacheOfHuggingFace) {
  const fs::path hub = fs::path(folder()) / "hub";
  const RunOptions with = {.environment = {"HF_HUB_CACHE=" + hub.string()}};
  const fs::path st = hub / "models--org--tiny-llama";
  put(st / "refs/main", "abc123\n");
  put(st / "snapshots/abc123/config.json", kConfig);
  const fs::path gguf = hub / "models--org--tiny-GGUF/snapshots/1";
  put(gguf / "tiny-Q8_0.gguf", "not read");
  fs::copy_file(small_model(), gguf / "tiny-Q4_K_M.gguf");
  put(gguf / "mmproj-F16.gguf", "not read");

  const std::int64_t all = table_part().data_bytes() + layer_part().data_bytes();
  EXPECT_EQ(inspect({"-hf", "org/tiny-llama"}, with), all);
  EXPECT_EQ(inspect({"org/tiny-llama"}, with), all);
  EXPECT_LT(inspect({"-hf", "org/tiny-llama:Q4_0"}, with), all);
  EXPECT_EQ(inspect({"-m", "hf:org/tiny-GGUF"}, with), inspect({small_model()}));
  EXPECT_EQ(inspect({"-hf", "org/tiny-GGUF:q4_k_m"}, with), inspect({small_model()}));
  EXPECT_EQ(run({"run", "-hf", "org/tiny-GGUF", "--profile", profile(), "-n", "1", "-p", "a"}, with)
                .exit_code,
            0);
  EXPECT_THAT(refused({"inspect", "-hf", "org/tiny-GGUF:Q6_K"}, with),
              AllOf(HasSubstr("no GGUF of Q6_K"), HasSubstr("tiny-Q8_0.gguf")));
  EXPECT_THAT(refused({"inspect", "-hf", "org/tiny-lama"}, with),
              AllOf(HasSubstr("not found in " + hub.string()),
                    HasSubstr("did you mean org/tiny-llama?"), HasSubstr("nothing is downloaded")));
  EXPECT_THAT(refused({"inspect", "-hf", "../escape"}, with), HasSubstr("is no repository"));
}

TEST(ModelStore, FindsModelsOfOllama) {
  const fs::path store = fs::path(folder()) / "ollama";
  const RunOptions with = {.environment = {"OLLAMA_MODELS=" + store.string()}};
  const std::string manifest =
      put(store / "manifests/registry.ollama.ai/library/tiny/latest",
          R"({"layers": [{"mediaType": "application/vnd.ollama.image.license",
                                       "digest": "sha256:00"},
                                      {"mediaType": "application/vnd.ollama.image.model",
                                       "digest": "sha256:beef"}]})");
  EXPECT_THAT(refused({"inspect", "ollama:tiny"}, with),
              AllOf(HasSubstr("sha256-beef are missing"), HasSubstr("ollama pull")));
  fs::create_directories(store / "blobs");
  fs::copy_file(small_model(), store / "blobs/sha256-beef");
  const std::int64_t bytes = inspect({small_model()});
  EXPECT_EQ(inspect({"ollama:tiny"}, with), bytes);
  EXPECT_EQ(inspect({"ollama:tiny:latest"}, with), bytes);
  EXPECT_EQ(inspect({manifest}), bytes);
  EXPECT_EQ(inspect({(store / "blobs/sha256-beef").string()}), bytes);
  EXPECT_THAT(refused({"inspect", "ollama:tinny"}, with), HasSubstr("did you mean tiny:latest?"));
  put(manifest, "{}");
  EXPECT_THAT(refused({"inspect", manifest}), HasSubstr("is no manifest of Ollama"));
}

TEST(ModelStore, FindsModelsOfLmStudioAndLlamaCpp) {
  const fs::path home = fs::path(folder()) / "home";
  fs::create_directories(home / ".lmstudio/models/org/tiny-GGUF");
  fs::copy_file(small_model(), home / ".lmstudio/models/org/tiny-GGUF/tiny-Q8_0.gguf");
  const std::int64_t bytes = inspect({small_model()});
  EXPECT_EQ(inspect({"lmstudio:org/tiny-GGUF"}, {.environment = {"HOME=" + home.string()}}), bytes);
  EXPECT_EQ(inspect({(home / ".lmstudio/models/org/tiny-GGUF").string()}), bytes);
  const fs::path flat = fs::path(folder()) / "llama";
  fs::create_directories(flat);
  fs::copy_file(small_model(), flat / "org_tiny-GGUF_tiny-Q8_0.gguf");
  EXPECT_EQ(
      inspect({"-hf", "org/tiny-GGUF:Q8_0"}, {.environment = {"LLAMA_CACHE=" + flat.string()}}),
      bytes);
}

TEST(Checkpoint, AFileThatIsNotThere) {
  for (const char* name : {"nowhere.json", "nowhere.safetensors"}) {
    const Outcome o = run({"fit", name});
    EXPECT_EQ(o.exit_code, 2);
    EXPECT_THAT(o.err, AllOf(HasSubstr(name), HasSubstr("no file that exists")));
  }
}

TEST(Checkpoint, AMixBehindTheNameOfAFolder) {
  const std::string at = checkpoint("plain");
  const Outcome o = run({"fit", at + ":Q8_0", "-o", "json"});
  EXPECT_EQ(o.exit_code, 0) << o.err;
  EXPECT_NE(o.out.find("\"plain:Q8_0\""), std::string::npos) << o.out.substr(0, 200);
  fs::current_path(folder());
  const Outcome bare = run({"fit", "plain:Q8_0", "-o", "json"});
  EXPECT_EQ(bare.out, o.out) << bare.err;
}

TEST(Checkpoint, TheNameStaysWholeInRowsOfSeveralMachines) {
  const std::string at = checkpoint("org:name");
  const Outcome o = run({"fit", at, "--machine", "gb10,h200", "-o", "csv"});
  EXPECT_EQ(o.exit_code, 0) << o.err;
  EXPECT_NE(o.out.find("gb10,org:name,BF16,"), std::string::npos) << o.out;
}

TEST(Checkpoint, AQuantizationThatIsNoObjectIsRefused) {
  for (const char* value : {"[]", "7", "\"fp8\""}) {
    std::string config = kConfig;
    config.insert(config.rfind('}'), std::string(", \"quantization_config\": ") + value);
    const Outcome o = run({"fit", put(fs::path(folder()) / "list" / "config.json", config)});
    EXPECT_EQ(o.exit_code, 2) << value;
    EXPECT_THAT(o.err, HasSubstr("quantization_config: must be an object"));
  }
}

}  // namespace
}  // namespace bandwall::e2e
