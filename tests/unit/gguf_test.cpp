#include "workload/gguf.h"

#include <gmock/gmock.h>

#include "hwmodel/error.h"
#include "tests/support/gguf_writer.h"

namespace bandwall {
namespace {

using ::testing::AllOf;
using testing::Blob;
using testing::GgufWriter;
using ::testing::HasSubstr;

std::string failure(const Blob& file) {
  try {
    parse_gguf(file, "m.gguf");
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), Error::Kind::Input);
    return e.what();
  }
  return "no error";
}
std::string failure(const GgufWriter& w) { return failure(w.build()); }

GgufWriter sound() {
  GgufWriter w;
  w.set("general.architecture", "llama");
  w.set("a.count", 7u);
  w.set("a.share", 0.5f);
  w.set_flag("a.flag", 1);
  w.set_array("a.words", std::vector<std::string>{"one", "", "three"});
  w.set_array("a.numbers", std::vector<std::int32_t>{3, -1, 2});
  w.add("x", {64, 3});
  w.add("y", {256, 2}, Format::Q4_K);
  return w;
}

TEST(Gguf, ReadsValuesAndTensors) {
  const Blob file = sound().build();
  const GgufFile g = parse_gguf(file, "m.gguf");
  EXPECT_EQ(g.version, 3u);
  EXPECT_EQ(g.find("general.architecture")->as_string(), "llama");
  EXPECT_EQ(g.find("a.count")->as_int(), 7);
  EXPECT_EQ(g.find("a.count")->as_double(), 7.0);
  EXPECT_EQ(g.find("a.share")->as_double(), 0.5);
  EXPECT_EQ(g.find("a.share")->as_int(), std::nullopt);
  EXPECT_EQ(g.find("a.flag")->as_bool(), true);
  EXPECT_EQ(g.find("a.flag")->as_int(), std::nullopt);
  EXPECT_EQ(g.find("a.words")->as_strings(), (std::vector<std::string_view>{"one", "", "three"}));
  EXPECT_EQ(g.find("a.words")->as_ints(), std::nullopt);
  EXPECT_EQ(g.find("a.numbers")->as_ints(), (std::vector<std::int64_t>{3, -1, 2}));
  EXPECT_EQ(g.find("absent"), nullptr);
  ASSERT_EQ(g.tensors.size(), 2u);
  EXPECT_EQ(g.tensors[0].bytes, 64 * 3 * 4);
  EXPECT_EQ(g.tensors[1].format, Format::Q4_K);
  EXPECT_EQ(g.tensors[1].bytes, 2 * 144);
  EXPECT_EQ(g.tensors[1].offset, g.header_bytes + 768);
  EXPECT_EQ(g.computed_bytes, g.header_bytes + 768 + 288);
  EXPECT_EQ(g.file_bytes, static_cast<std::int64_t>(file.size()));
  EXPECT_TRUE(g.size_matches());
}

TEST(Gguf, Version2AndOtherAlignments) {
  GgufWriter w = sound();
  w.version = 2;
  w.alignment = 256;
  w.set("general.alignment", 256u);
  const Blob file = w.build();
  const GgufFile g = parse_gguf(file, "m.gguf");
  EXPECT_EQ(g.version, 2u);
  EXPECT_EQ(g.alignment, 256);
  EXPECT_EQ(g.header_bytes % 256, 0);
  EXPECT_EQ(g.tensors[1].offset % 256, 0);
}

TEST(Gguf, PartWithoutTensorsIsSound) {
  GgufWriter w;
  w.set("split.count", 2u);
  Blob file = w.build();
  EXPECT_TRUE(parse_gguf(file, "m.gguf").size_matches());
  file.resize(24 + 8 + 11 + 4 + 4);  // without the padding at the end
  EXPECT_TRUE(parse_gguf(file, "m.gguf").size_matches());
  file.resize(file.size() + 4096);
  EXPECT_FALSE(parse_gguf(file, "m.gguf").size_matches());
}

TEST(Gguf, EveryTruncationIsAnError) {
  GgufWriter w = sound();
  const Blob file = w.build();
  const std::int64_t needed = parse_gguf(file, "m.gguf").computed_bytes;
  for (std::int64_t n = 0; n < needed; ++n) {
    const Blob cut(file.begin(), file.begin() + n);
    EXPECT_THAT(failure(cut), HasSubstr("m.gguf: ")) << n;
  }
  EXPECT_THAT(failure(Blob(file.begin(), file.begin() + needed - 1)),
              AllOf(HasSubstr("tensor y"), HasSubstr("truncated: needs " + std::to_string(needed)),
                    HasSubstr("file has " + std::to_string(needed - 1))));
}

TEST(Gguf, RefusesOtherFilesAndVersions) {
  GgufWriter w = sound();
  w.magic = "GGML";
  EXPECT_THAT(failure(w), HasSubstr("magic (byte offset 0): 'GGML' is not 'GGUF'"));
  w = sound();
  w.version = 1;
  EXPECT_THAT(failure(w), HasSubstr("GGUF version 1 is not supported"));
  w.version = 0x03000000;
  EXPECT_THAT(failure(w), HasSubstr("big-endian"));
  w.version = 4;
  EXPECT_THAT(failure(w), HasSubstr("version 4 is not supported"));
  EXPECT_THAT(failure(Blob{}), HasSubstr("truncated"));
}

TEST(Gguf, RefusesImpossibleCounts) {
  for (const std::uint64_t count :
       {std::uint64_t{1000}, std::uint64_t{1} << 40, ~std::uint64_t{0}}) {
    GgufWriter w = sound();
    w.claimed_tensors = count;
    EXPECT_THAT(failure(w), HasSubstr("tensor count (byte offset 8): " + std::to_string(count)));
    w = sound();
    w.claimed_keys = count;
    EXPECT_THAT(failure(w), HasSubstr("key count (byte offset 16): " + std::to_string(count)));
  }
}

TEST(Gguf, RefusesLengthsBeyondTheFile) {
  GgufWriter w;
  Blob payload;
  testing::put(payload, ~std::uint64_t{0});
  w.set_raw("a.text", GgufType::String, payload);
  EXPECT_THAT(failure(w), HasSubstr("a.text (byte offset"));
  payload.clear();
  testing::put(payload, std::uint32_t{8});  // array of strings
  testing::put(payload, std::uint64_t{1} << 61);
  w.set_raw("a.text", GgufType::Array, payload);
  EXPECT_THAT(failure(w), HasSubstr("2305843009213693952 array items cannot fit"));
  payload.clear();
  testing::put(payload, std::uint32_t{8});
  testing::put(payload, std::uint64_t{1});
  testing::put(payload, ~std::uint64_t{0} - 3);  // length of the only string
  w.set_raw("a.text", GgufType::Array, payload);
  EXPECT_THAT(failure(w), HasSubstr("needs 18446744073709551612 bytes"));
}

TEST(Gguf, RefusesUnknownTypesAndNesting) {
  GgufWriter w = sound();
  w.set_raw("a.odd", static_cast<GgufType>(13), Blob(8));
  EXPECT_THAT(failure(w), HasSubstr("key a.odd (byte offset"));
  EXPECT_THAT(failure(w), HasSubstr("unknown value type 13"));
  Blob nested;
  testing::put(nested, std::uint32_t{9});
  testing::put(nested, std::uint64_t{0});
  w = sound();
  w.set_raw("a.nested", GgufType::Array, nested);
  EXPECT_THAT(failure(w), HasSubstr("arrays of arrays"));
  for (const std::uint32_t type : {4u, 5u, 31u, 99u, 1000u, 1002u}) {
    w = sound();
    w.tensors[0].type = type;
    EXPECT_THAT(failure(w), AllOf(HasSubstr("tensor x (byte offset"),
                                  HasSubstr("unknown tensor type " + std::to_string(type))));
  }
}

TEST(Gguf, RefusesImpossibleShapes) {
  const auto with_dims = [](std::vector<std::int64_t> dims) {
    GgufWriter w = sound();
    w.tensors[0].dims = std::move(dims);
    return failure(w);
  };
  EXPECT_THAT(with_dims({}), HasSubstr("tensor x (byte offset"));
  EXPECT_THAT(with_dims({}), HasSubstr("0 dimensions"));
  EXPECT_THAT(with_dims({1, 1, 1, 1, 1}), HasSubstr("5 dimensions"));
  EXPECT_THAT(with_dims({64, 0}), HasSubstr("dimension 1 is 0"));
  EXPECT_THAT(with_dims({-64, 3}), HasSubstr("dimension 0 is -64"));
  EXPECT_THAT(with_dims({std::int64_t{1} << 40, std::int64_t{1} << 40}), HasSubstr("dimension 1"));
  EXPECT_THAT(with_dims({std::int64_t{1} << 32, std::int64_t{1} << 32, 2}), HasSubstr("dimension"));
  EXPECT_THAT(with_dims({std::int64_t{1} << 50}), HasSubstr("truncated: needs"));
  GgufWriter w = sound();
  w.tensors[1].dims = {128, 4};
  EXPECT_THAT(failure(w),
              HasSubstr("rows of 128 values are no multiple of the 256 values of a Q4_K"));
}

TEST(Gguf, RefusesBadAlignmentAndOffsets) {
  for (const std::uint32_t alignment : {0u, 24u, 1u << 31}) {
    GgufWriter w = sound();
    w.set("general.alignment", alignment);
    EXPECT_THAT(failure(w), HasSubstr("key general.alignment (byte offset"));
  }
  GgufWriter w = sound();
  w.set("general.alignment", "32");
  EXPECT_THAT(failure(w), HasSubstr("general.alignment"));
  const auto at = [](std::uint64_t offset) {
    GgufWriter o = sound();
    o.tensors[1].offset = offset;
    return failure(o);
  };
  EXPECT_THAT(at(17), HasSubstr("data offset 17 is not a multiple of the alignment 32"));
  EXPECT_THAT(at(~std::uint64_t{0} - 31), HasSubstr("impossible"));
  EXPECT_THAT(at(std::uint64_t{1} << 40), HasSubstr("truncated: needs"));
  EXPECT_THAT(at(32), AllOf(HasSubstr("tensor y"), HasSubstr("overlaps tensor x")));
}

TEST(Gguf, RefusesDuplicatesAndBadNames) {
  GgufWriter w = sound();
  w.values.push_back(w.values.front());
  EXPECT_THAT(failure(w), AllOf(HasSubstr("key general.architecture"), HasSubstr("given twice")));
  w = sound();
  w.tensors[1].name = "x";
  EXPECT_THAT(failure(w), AllOf(HasSubstr("tensor x"), HasSubstr("given twice")));
  w = sound();
  w.tensors[1].name.clear();
  EXPECT_THAT(failure(w), HasSubstr("has no name"));
  w.tensors[1].name = std::string(65, 'n');
  EXPECT_THAT(failure(w), HasSubstr("length 65 is more than 64"));
  w = sound();
  w.values.emplace_back("", w.values.front().second);
  EXPECT_THAT(failure(w), HasSubstr("is empty"));
  w = sound();
  w.tensors[1].name = "x\x1b[31m";
  w.tensors[1].type = 77;
  EXPECT_THAT(failure(w), HasSubstr("tensor x\\x1b[31m"));
}

TEST(Gguf, IntegersOutsideInt64AreNoInteger) {
  GgufWriter w;
  w.set_as("big", GgufType::U64, ~std::uint64_t{0});
  w.set_as("small", GgufType::I8, std::int8_t{-5});
  w.set_as("wide", GgufType::F64, 2.5);
  const Blob file = w.build();
  const GgufFile g = parse_gguf(file, "m.gguf");
  EXPECT_EQ(g.find("big")->as_int(), std::nullopt);
  EXPECT_EQ(g.find("small")->as_int(), -5);
  EXPECT_EQ(g.find("wide")->as_double(), 2.5);
}

TEST(Gguf, HeaderOfALargeModelIsStepped) {
  GgufWriter w;
  std::vector<std::string> tokens;
  for (int i = 0; i < 200'000; ++i) tokens.push_back("token" + std::to_string(i));
  w.set_array("tokenizer.ggml.tokens", tokens);
  w.set_array("tokenizer.ggml.merges", tokens);
  for (int i = 0; i < 2000; ++i) w.add("blk." + std::to_string(i) + ".weight", {32});
  const Blob file = w.build();
  const GgufFile g = parse_gguf(file, "m.gguf");
  EXPECT_EQ(g.tensors.size(), 2000u);
  EXPECT_EQ(g.find("tokenizer.ggml.merges")->as_strings()->back(), "token199999");
}

TEST(Gguf, SplitNames) {
  const auto split = parse_split_name("dir/x-00002-of-00005.gguf");
  ASSERT_TRUE(split);
  EXPECT_EQ(split->prefix, "dir/x");
  EXPECT_EQ(split->number, 2);
  EXPECT_EQ(split->count, 5);
  EXPECT_EQ(split_file_name("dir/x", 2, 5), "dir/x-00002-of-00005.gguf");
  for (const char* other :
       {"x.gguf", "-00001-of-00002.gguf", "x-00003-of-00002.gguf", "", "x-00000-of-00002.gguf",
        "x-0001-of-00002.gguf", "x-0000a-of-00002.gguf", "x-00001-of-00002.ggml",
        "x-00001_of-00002.gguf"}) {
    EXPECT_FALSE(parse_split_name(other)) << other;
  }
}

}  // namespace
}  // namespace bandwall
