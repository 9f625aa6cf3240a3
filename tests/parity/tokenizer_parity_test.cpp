// Token ids of the golden files against those llama.cpp gave, special tokens and both kinds.
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

void check_vectors(const std::filesystem::path& json_path, const nlohmann::json& vectors) {
  const std::filesystem::path model = std::filesystem::path(json_path).replace_extension(".gguf");
  const std::string bytes = read_file(model);
  const GgufFile file = parse_gguf(std::as_bytes(std::span(bytes)), model.filename().string());
  const Tokenizer tokenizer = Tokenizer::from_gguf(file);
  EXPECT_TRUE(tokenizer.warnings().empty()) << tokenizer.warnings()[0];
  for (const nlohmann::json& v : vectors) {
    const EncodeOptions options = {
        v["add_special"].get<bool>(),
        v["parse_special"].get<bool>() ? SpecialTokens::Parse : SpecialTokens::Plain};
    const auto text = v["text"].get<std::string>();
    EXPECT_EQ(tokenizer.encode(text, options), v["ids"].get<std::vector<std::int32_t>>())
        << model.filename() << ": " << text;
  }
}

TEST(TokenizerParity, IdsEqualTheReference) {
  const std::filesystem::path folder = std::string(BANDWALL_SOURCE_DIR) + "/tests/parity/golden";
  int files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() != ".json") continue;
    const nlohmann::json golden = nlohmann::json::parse(read_file(entry.path()));
    if (!golden.is_object() || !golden.contains("tokenizer")) continue;
    check_vectors(entry.path(), golden["tokenizer"]["vectors"]);
    ++files;
  }
  EXPECT_GE(files, 5) << "golden files are missing in " << folder;
}

}  // namespace
}  // namespace bandwall
