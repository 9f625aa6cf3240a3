#include "configs/reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "configs/library.h"
#include "configs/yaml_tree.h"
#include "hwmodel/error.h"

namespace bandwall {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// Every problem of a text that `read` meets, one "where: message" each.
template <class Read>
std::vector<std::string> problems(std::string_view text, Read read) {
  std::vector<std::string> found;
  try {
    Document document = Document::parse(text, "f.yaml");
    Reader root = document.root();
    read(root);
    document.finish();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), Error::Kind::Input);
    for (const Diagnostic& d : error.diagnostics()) found.push_back(d.where + ": " + d.message);
  }
  return found;
}

std::vector<std::string> problems(std::string_view text) {
  return problems(text, [](Reader& r) {
    for (const std::string& key : r.keys()) r.optional_text(key);
  });
}

TEST(Reader, ReadsWhatItIsAskedFor) {
  const auto found = problems(R"(
name: "gb10"
count: 48
eps: 1e-6
on: true
bandwidth: {value: "273 GB/s", source: datasheet, note: "8533 MT/s"}
list:
  - {a: 1}
  - {a: 2}
)", [](Reader& r) {
    EXPECT_EQ(r.text("name"), "gb10");
    EXPECT_EQ(r.integer("count", 1, 100), 48);
    EXPECT_EQ(r.number("eps", 0, 1), 1e-6);
    EXPECT_TRUE(r.flag("on", false));
    EXPECT_TRUE(r.flag("off", true));
    const auto figure = r.figure<BytesPerSecond>("bandwidth");
    EXPECT_EQ(figure.value.value(), 273e9);
    EXPECT_EQ(figure.source.kind, Source::Kind::Datasheet);
    EXPECT_EQ(figure.source.note, "8533 MT/s");
    EXPECT_FALSE(r.optional_figure<Bytes>("absent"));
    EXPECT_FALSE(r.optional_child("absent"));
    auto list = r.children("list");
    ASSERT_EQ(list.size(), 2u);
    EXPECT_EQ(list[0].integer("a", 0, 9) + list[1].integer("a", 0, 9), 3);
  });
  EXPECT_THAT(found, ElementsAre());
}

TEST(Reader, CollectsAllProblemsInTheOrderOfTheFile) {
  const auto found = problems(R"(bandwith: 3
count: many
count: 4
memory:
  peak: {value: "273 GiB", source: datashet, note: "x"}
  achievable: "231 GB/s"
list: [1, {a: .inf}]
)", [](Reader& r) {
    r.integer("count", 0, 10);
    r.optional_text("bandwidth");
    Reader memory = r.child("memory");
    memory.figure<BytesPerSecond>("peak");
    memory.figure<BytesPerSecond>("achievable");
    memory.figure<BytesPerSecond>("cache");
    for (Reader& item : r.children("list")) item.number("a", 0, 1);
    r.text("title");
  });
  ASSERT_EQ(found.size(), 10u);
  EXPECT_EQ(found[0], "f.yaml:1:1: title: missing");
  EXPECT_EQ(found[1], "f.yaml:1:1: bandwith: unknown key; did you mean bandwidth?");
  EXPECT_EQ(found[2], "f.yaml:2:8: count: \"many\" is no whole number; write digits only");
  EXPECT_EQ(found[3], "f.yaml:3:1: count: duplicate key; it stands already in line 2");
  EXPECT_THAT(found[4], HasSubstr("f.yaml:5:3: memory.cache: missing; a figure is {value: ..."));
  EXPECT_THAT(found[5], HasSubstr("f.yaml:5:17: memory.peak.value: \"273 GiB\" is a size"));
  EXPECT_THAT(found[6], HasSubstr("memory.peak.source: \"datashet\" is none of datasheet, "
                                  "measured, derived, assumed; did you mean datasheet?"));
  EXPECT_THAT(found[7], HasSubstr("f.yaml:6:3: memory.achievable: this is a single value"));
  EXPECT_THAT(found[8], HasSubstr("f.yaml:7:8: list[0]: a mapping is wanted, this is a single"));
  EXPECT_THAT(found[9], HasSubstr("list[1].a: \".inf\" is no number"));
}

TEST(Reader, RefusesFiguresWithoutUnitSourceOrNote) {
  const auto read = [](Reader& r) { r.figure<BytesPerSecond>("bw"); };
  EXPECT_THAT(problems("bw: {value: 273, source: datasheet, note: x}", read)[0],
              HasSubstr("has no unit"));
  EXPECT_THAT(problems("bw: {value: \"1 GB/s\", note: x}", read)[0],
              HasSubstr("bw.source: missing"));
  EXPECT_THAT(problems("bw: {value: \"1 GB/s\", source: measured}", read)[0],
              HasSubstr("bw.note: missing"));
  EXPECT_THAT(problems("bw: {value: \"1 GB/s\", source: measured, note: \"\"}", read)[0],
              HasSubstr("bw.note: is empty"));
  EXPECT_THAT(problems("bw: {source: measured, note: x}", read)[0],
              HasSubstr("bw.value: missing"));
  EXPECT_THAT(problems("bw: {value: \"0 GB/s\", source: measured, note: x}", read)[0],
              HasSubstr("is no rate; leave an unknown figure out"));
  EXPECT_THAT(problems("bw: {value: \"1e30 GB/s\", source: measured, note: x}", read)[0],
              HasSubstr("largest figure"));
  EXPECT_THAT(problems("bw: {value: .nan, source: measured, note: x}", read)[0],
              HasSubstr("does not begin with a number"));
  EXPECT_THAT(problems("bw: {value: \"1 GB/s\", source: measured, note: x, unit: y}", read)[0],
              HasSubstr("bw.unit: unknown key"));
  EXPECT_THAT(problems("bw:", read)[0], HasSubstr("this is nothing"));
}

TEST(Reader, RefusesWrongTypes) {
  EXPECT_THAT(problems("a: \"5\"", [](Reader& r) { r.integer("a", 0, 9); })[0],
              HasSubstr("is no whole number"));
  EXPECT_THAT(problems("a: 0x5", [](Reader& r) { r.integer("a", 0, 9); })[0],
              HasSubstr("is no whole number"));
  EXPECT_THAT(problems("a: 99999999999999999999", [](Reader& r) { r.integer("a", 0, 9); })[0],
              HasSubstr("is no whole number"));
  EXPECT_THAT(problems("a: 12", [](Reader& r) { r.integer("a", 0, 9); })[0],
              HasSubstr("12 is outside 0..9"));
  EXPECT_THAT(problems("a: yes", [](Reader& r) { r.flag("a", false); })[0],
              HasSubstr("neither true nor false"));
  EXPECT_THAT(problems("a: {}", [](Reader& r) { r.text("a"); })[0],
              HasSubstr("a single value is wanted, this is a mapping"));
  EXPECT_THAT(problems("a: [x]", [](Reader& r) { r.child("a").text("b"); })[0],
              HasSubstr("a mapping is wanted, this is a list"));
  EXPECT_THAT(problems("a: x", [](Reader& r) { r.children("a"); })[0],
              HasSubstr("a list is wanted, this is a single value"));
  EXPECT_THAT(problems("a: ~", [](Reader& r) { r.text("a"); })[0],
              HasSubstr("a single value is wanted, this is nothing"));
}

TEST(Reader, FindsDuplicateKeysAtAnyDepth) {
  EXPECT_THAT(problems("a:\n  - b:\n      c: 1\n      c: 2\n").back(),
              HasSubstr("f.yaml:4:7: a[0].b.c: duplicate key; it stands already in line 3"));
}

TEST(Reader, RefusesTextThatIsNoDataFile) {
  EXPECT_THAT(problems("")[0], HasSubstr("f.yaml:1:1: the file is empty"));
  EXPECT_THAT(problems("# only a comment\n")[0], HasSubstr("empty"));
  EXPECT_THAT(problems("- a\n- b\n")[0], HasSubstr("must be a mapping"));
  EXPECT_THAT(problems("just text")[0], HasSubstr("must be a mapping"));
  EXPECT_THAT(problems("a: 1\n---\nb: 2\n")[0], HasSubstr("f.yaml:2:1: a second document"));
  EXPECT_THAT(problems("a: [1, 2\nb: }")[0], HasSubstr("not valid YAML"));
  EXPECT_THAT(problems("a: &x 1\n")[0], HasSubstr("anchors"));
  EXPECT_THAT(problems("a: &x [*x]\n")[0], HasSubstr("anchors"));
  EXPECT_THAT(problems("a: !!binary x\n")[0], HasSubstr("tags"));
  EXPECT_THAT(problems("{a: 1}: b\n")[0], HasSubstr("a key must be plain text"));
  EXPECT_THAT(problems(std::string("a: \x04\n"))[0], HasSubstr("byte 0x04 is no text"));
  EXPECT_THAT(problems(std::string_view("a: \0b\n", 6))[0], HasSubstr("byte 0x00 is no text"));
  EXPECT_THAT(problems("a: \xff\xfe\n")[0], HasSubstr("f.yaml:1:4: byte 0xff is no text"));
  EXPECT_THAT(problems("a: \"\\x01\"\n")[0], HasSubstr("control characters"));
  EXPECT_THAT(problems("a:\tb: c\n\t- x").empty(), false);
}

TEST(Reader, SurvivesHostileText) {
  for (const char* unit : {"[", "{", "- ", "? ", "{a: ", "[[],", "\"", "&a [", "a: *a\n", "|\n"}) {
    std::string text = "a: ";
    while (text.size() < 200'000) text += unit;
    EXPECT_FALSE(problems(text).empty()) << unit;
  }
  std::string deep;
  for (int i = 0; i < 400; ++i) deep += std::string(static_cast<std::size_t>(i), ' ') + "a:\n";
  EXPECT_THAT(problems(deep)[0], HasSubstr("more than 64 levels"));
  EXPECT_THAT(problems(std::string(1'000'001, 'a'))[0], HasSubstr("1000001 bytes"));
  std::string many = "a: [";
  for (int i = 0; i < 30'000; ++i) many += "1,";
  EXPECT_THAT(problems(many + "1]")[0], HasSubstr("more than 20000 values"));
}

TEST(Reader, NamesAtMostFiftyProblems) {
  std::string text = "first: 1\n";
  for (int i = 0; i < 200; ++i) text += "key" + std::to_string(i) + ": 1\n";
  const auto found = problems(text, [](Reader& r) { r.optional_text("first"); });
  ASSERT_EQ(found.size(), 51u);
  EXPECT_THAT(found.back(), HasSubstr("and 150 more problems"));
}

}  // namespace
}  // namespace bandwall
