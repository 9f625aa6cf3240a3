// bandwall fit --train: does fine-tuning fit, in every mode and form, and what bad options say.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/support/program.h"

namespace bandwall::e2e {
namespace {

using testing::HasSubstr;

Outcome train(std::vector<std::string> words) {
  words.insert(words.begin(), {"fit", "llama-3.1-8b", "--train"});
  return run(words);
}

TEST(FitTrain, FullDoesNotFitWhereQloraDoes) {
  EXPECT_EQ(train({"full"}).exit_code, 3);
  EXPECT_EQ(train({"lora"}).exit_code, 0);
  const Outcome o = train({"qlora", "--machine", "rtx-5090", "--seq", "1024", "-o", "json"});
  EXPECT_EQ(o.exit_code, 0) << o.err;
  const auto j = nlohmann::json::parse(o.out);
  EXPECT_EQ(j["trained_parameters"], 41943040);
  EXPECT_EQ(j["needed_bytes"].get<std::int64_t>() + j["headroom_bytes"].get<std::int64_t>(),
            j["usable_bytes"].get<std::int64_t>());
}

TEST(FitTrain, OptionsChangeTheirLines) {
  EXPECT_THAT(train({"full", "--optimizer", "adamw8bit"}).out, HasSubstr("2.031 B"));
  EXPECT_THAT(train({"lora", "--rank", "64"}).out,
              HasSubstr("llama-3.1-8b, lora with adamw, 1 x 2048 tokens, recomputation selective, "
                        "rank 64: fits"));
  EXPECT_THAT(train({"lora", "--recompute", "full"}).out, HasSubstr("one layer's activations"));
  EXPECT_THAT(train({"lora", "--batch", "4", "-o", "md"}).out, HasSubstr("| attention scores"));
  EXPECT_THAT(train({"full", "--budget", "400GiB"}).out, HasSubstr("fits on"));
}

TEST(FitTrain, BadOptionsAreNamed) {
  const auto refusal = [](const Outcome& o) {
    EXPECT_EQ(o.exit_code, 2) << o.out;
    return o.err;
  };
  EXPECT_THAT(refusal(train({"half"})), HasSubstr("'half' is none of full, lora, qlora"));
  EXPECT_THAT(refusal(train({"full", "--rank", "8"})), HasSubstr("--train full has none"));
  EXPECT_THAT(refusal(train({"lora", "--rank", "0"})), HasSubstr("--rank: '0'"));
  EXPECT_THAT(refusal(train({"lora", "--seq", "99999999999999999999"})), HasSubstr("--seq"));
  EXPECT_THAT(refusal(train({"lora", "--optimizer", "adam"})), HasSubstr("did you mean adamw?"));
  EXPECT_THAT(refusal(train({"lora", "-c", "4096"})), HasSubstr("--seq and --batch"));
  EXPECT_THAT(refusal(train({"lora", "--machine", "gb10,b200"})), HasSubstr("one at a time"));
  EXPECT_THAT(refusal(run({"fit", "qwen3-8b", "--seq", "9"})), HasSubstr("goes with --train only"));
  EXPECT_THAT(refusal(run({"fit", "--all", "--train", "full"})),
              HasSubstr("--all: is of inference"));
}

}  // namespace
}  // namespace bandwall::e2e
