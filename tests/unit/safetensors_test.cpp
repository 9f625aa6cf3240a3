// Every way in which the header of a safetensors file can lie.
#include "workload/safetensors.h"

#include <gmock/gmock.h>

#include "hwmodel/error.h"
#include "tests/support/safetensors_writer.h"
#include "workload/hf_model.h"

namespace bandwall {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::safetensors_file;

SafetensorsHeader parse(const std::string& file, std::int64_t missing = 0) {
  return parse_safetensors(std::as_bytes(std::span(file.data(), file.size())),
                           static_cast<std::int64_t>(file.size()) - missing, "m.safetensors");
}

std::string why(const std::string& header, std::size_t data) {
  try {
    parse(safetensors_file(header, data));
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), Error::Kind::Input);
    return e.what();
  }
  return "accepted";
}

std::string entry(const std::string& name, const std::string& dtype, const std::string& shape,
                  int begin, int end) {
  return "\"" + name + R"(":{"dtype":")" + dtype + R"(","shape":)" + shape +
         R"(,"data_offsets":[)" + std::to_string(begin) + "," + std::to_string(end) + "]}";
}

TEST(Safetensors, ReadsTensorsInTheOrderOfTheirData) {
  const SafetensorsHeader h = parse(safetensors_file(
      R"({"__metadata__":{"format":"pt"},)" + entry("b", "F8_E4M3", "[3]", 8, 11) + "," +
          entry("a", "BF16", "[2,2]", 0, 8) + "," + entry("s", "F32", "[]", 11, 15) + "}   ",
      15));
  ASSERT_EQ(h.tensors.size(), 3u);
  EXPECT_EQ(h.tensors[0].name, "a");
  EXPECT_EQ(h.tensors[0].dtype, "BF16");
  EXPECT_EQ(h.tensors[0].values(), 4);
  EXPECT_EQ(h.tensors[2].values(), 1);
  EXPECT_EQ(h.tensors[2].bytes, 4);
  EXPECT_EQ(h.header_bytes + 15, h.file_bytes);
}

TEST(Safetensors, RefusesHeadersThatDoNotFit) {
  const std::string file = safetensors_file("{" + entry("a", "U8", "[4]", 0, 4) + "}", 4);
  const auto length = [&](std::string bytes, std::int64_t size) -> std::string {
    try {
      safetensors_header_bytes(std::as_bytes(std::span(bytes.data(), bytes.size())), size, "m");
    } catch (const Error& e) {
      return e.what();
    }
    return "accepted";
  };
  EXPECT_EQ(length(file, static_cast<std::int64_t>(file.size())), "accepted");
  EXPECT_THAT(length(file, 20), HasSubstr("is more than the 12 bytes that follow"));
  EXPECT_THAT(length(std::string(8, '\xff'), 1 << 20),
              HasSubstr("header length 18446744073709551615"));
  EXPECT_THAT(length(std::string("\0\0\0\x20\0\0\0\0", 8), std::int64_t{1} << 40),
              HasSubstr("header length 536870912 is more than 100000000"));
  EXPECT_THAT(length("abc", 3), HasSubstr("3 bytes are no safetensors file"));
  EXPECT_THAT(length("version https://git-lfs", 130), HasSubstr("pointer of Git LFS"));
}

TEST(Safetensors, RefusesSizesThatContradictEachOther) {
  EXPECT_THAT(why("{" + entry("a", "F32", "[4]", 0, 8) + "}", 8),
              HasSubstr("tensor a: F32 of shape [4] takes 16 bytes, data_offsets give it 8"));
  EXPECT_THAT(why("{" + entry("a", "F31", "[4]", 0, 16) + "}", 16),
              HasSubstr("unknown dtype 'F31'"));
  EXPECT_THAT(why("{" + entry("a", "U8", "[4]", 0, 9) + "}", 4),
              HasSubstr("not inside the 4 bytes"));
  EXPECT_THAT(why("{" + entry("a", "U8", "[4]", 4, 0) + "}", 4),
              HasSubstr("[4, 0) are not inside"));
  EXPECT_THAT(why("{" + entry("a", "U8", "[-4]", 0, 4) + "}", 4),
              HasSubstr("shape must be a list"));
  EXPECT_THAT(why("{" + entry("a", "U8", "[4.5]", 0, 4) + "}", 4),
              HasSubstr("shape must be a list"));
  EXPECT_THAT(
      why("{" + entry("a", "U8", "[4611686018427387904,4611686018427387904]", 0, 4) + "}", 4),
      HasSubstr("impossibly many values"));
}

TEST(Safetensors, RefusesOverlapsHolesAndRests) {
  const std::string a = entry("a", "U8", "[4]", 0, 4);
  EXPECT_THAT(why("{" + a + "," + entry("b", "U8", "[4]", 2, 6) + "}", 6),
              HasSubstr("tensor b: its data at 2 overlap those of a, which end at 4"));
  EXPECT_THAT(why("{" + a + "," + entry("b", "U8", "[4]", 6, 10) + "}", 10),
              HasSubstr("tensor b: 2 bytes before its data belong to no tensor"));
  EXPECT_THAT(why("{" + a + "}", 7), HasSubstr("3 bytes after its data belong to no tensor"));
  EXPECT_EQ(why("{" + a + "," + entry("b", "U8", "[0]", 4, 4) + "}", 4), "accepted");
}

TEST(Safetensors, TellsAllProblemsAtOnce) {
  EXPECT_THAT(why("{" + entry("a", "F31", "[4]", 0, 4) + "," + entry("b", "U8", "[5]", 0, 4) +
                      R"(,"c":7,"d":{"dtype":"U8"}})",
                  4),
              AllOf(HasSubstr("tensor a: unknown"), HasSubstr("tensor b: U8 of shape"),
                    HasSubstr("tensor c: its entry is no object"), HasSubstr("tensor d: shape")));
}

TEST(Safetensors, RefusesTextThatIsNoHeader) {
  const std::string a = entry("a", "U8", "[4]", 0, 4);
  EXPECT_THAT(why("[1]", 0), HasSubstr("does not start with {"));
  EXPECT_THAT(why("{" + a, 4), HasSubstr("not valid JSON"));
  EXPECT_THAT(why("{" + a + "," + a + "}", 4), HasSubstr("key \"a\" is given twice"));
  std::string deep = "{\"a\":";
  for (int i = 0; i < 100'000; ++i) deep += '[';
  EXPECT_THAT(why(deep, 0), HasSubstr("nested deeper than 64 levels"));
  EXPECT_THAT(why(R"({"a":{"dtype":"U8","shape":[1e999],"data_offsets":[0,4]}})", 4),
              Not(HasSubstr("accepted")));
}

TEST(SafetensorsIndex, NamesItsShardsOnce) {
  const SafetensorsIndex index = parse_safetensors_index(
      R"({"weight_map":{"x":"b.safetensors","y":"a.safetensors","z":"b.safetensors"}})", "i.json");
  EXPECT_EQ(index.shards, (std::vector<std::string>{"a.safetensors", "b.safetensors"}));
  ASSERT_EQ(index.tensors.size(), 3u);
  EXPECT_EQ(index.shards[index.tensors[0].second], "b.safetensors");
}

TEST(SafetensorsIndex, RefusesPathsOutOfTheFolder) {
  const auto failure = [](const std::string& text) -> std::string {
    try {
      parse_safetensors_index(text, "i.json");
    } catch (const Error& e) {
      return e.what();
    }
    return "accepted";
  };
  EXPECT_THAT(failure(R"({"weight_map":{"x":"../etc/passwd"}})"), HasSubstr("no name of a file"));
  EXPECT_THAT(failure(R"({"weight_map":{"x":7}})"), HasSubstr("weight_map.x: must be the name"));
  EXPECT_THAT(failure(R"({"weight_map":{}})"), HasSubstr("missing or empty"));
}

}  // namespace
}  // namespace bandwall
