// Token ids of the golden files against those llama.cpp b10256 gave (tokenizer/vectors.json: text,
// options, ids); special tokens and both kinds of vocabulary.
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "runtime/tokenizer.h"

namespace bandwall {
namespace {

std::string read_file(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

void check_vectors(const std::string& model, const nlohmann::json& vectors) {
  const std::string folder = std::string(BANDWALL_SOURCE_DIR) + "/tests/parity/golden/";
  const std::string bytes = read_file(folder + model);
  const GgufFile file = parse_gguf(std::as_bytes(std::span(bytes)), model);
  const Tokenizer tokenizer = Tokenizer::from_gguf(file);
  EXPECT_TRUE(tokenizer.warnings().empty()) << tokenizer.warnings()[0];
  for (const nlohmann::json& v : vectors) {
    const EncodeOptions options = {
        v["add_special"].get<bool>(),
        v["parse_special"].get<bool>() ? SpecialTokens::Parse : SpecialTokens::Plain};
    const auto text = v["text"].get<std::string>();
    EXPECT_EQ(tokenizer.encode(text, options), v["ids"].get<std::vector<std::int32_t>>())
        << model << ": " << text;
  }
}

TEST(TokenizerParity, IdsEqualTheReference) {
  const nlohmann::json models = nlohmann::json::parse(
      read_file(std::string(BANDWALL_SOURCE_DIR) + "/tests/parity/tokenizer/vectors.json"));
  ASSERT_GE(models.size(), 4u);
  for (const nlohmann::json& m : models) check_vectors(m["file"], m["vectors"]);
}

}  // namespace
}  // namespace bandwall
