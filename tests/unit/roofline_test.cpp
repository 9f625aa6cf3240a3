#include "analysis/roofline.h"

#include <algorithm>
#include <cstdio>

#include <gtest/gtest.h>

#include "reports/roofline_scale.h"
#include "reports/roofline_svg.h"
#include "reports/roofline_text.h"
#include "tests/support/hand_machine.h"
#include "tests/support/hand_model.h"

namespace bandwall {
namespace {

using namespace testing_support;

Roofline decode_roofline(const std::string& label = "decode") {
  const ModelSpec model = hand_model({.experts = 8, .experts_used = 2, .expert_ffn = 256});
  const KvConfig kv{kv_format_from_name("f16"), kv_format_from_name("f16")};
  Machine m = hand_machine();
  m.compute.push_back({"fp4", given(FlopsPerSecond(400e12)), std::nullopt});
  const Prediction p =
      predict(m, hand_backend(), model, kv, {1, 1, 512, 1}, expected_routing(model, 1));
  return roofline(m, p, label);
}

TEST(Roofline, CeilingsDescendAndRidgeIsRateOverBandwidth) {
  const Roofline r = decode_roofline();
  ASSERT_EQ(r.ceilings.size(), 2u);
  EXPECT_GT(r.ceilings[0].rate, r.ceilings[1].rate);
  EXPECT_NEAR(r.ceilings[1].ridge.value(), 100e12 / 250e9, 1e-9);
  EXPECT_EQ(r.peak_bandwidth, BytesPerSecond(250e9));
  EXPECT_EQ(r.achievable_bandwidth, BytesPerSecond(200e9));
}

TEST(Roofline, EveryPointLiesUnderTheRoof) {
  const Roofline r = decode_roofline();
  ASSERT_FALSE(r.points.empty());
  for (const RooflinePoint& p : r.points) {
    EXPECT_LE(p.expected.value(), p.attainable.value() * (1 + 1e-12)) << p.name;
    EXPECT_LE(p.attainable.value(), roof_at(r, p.intensity).value() * (1 + 1e-12)) << p.name;
  }
  EXPECT_EQ(r.points.back().name, "step decode");
}

TEST(Roofline, DecodeOfQ8HasAboutTwoFlopsPerByte) {
  const Roofline r = decode_roofline();
  const auto at = std::find_if(r.points.begin(), r.points.end(),
                               [](const RooflinePoint& p) { return p.name == "experts decode"; });
  ASSERT_NE(at, r.points.end());
  EXPECT_NEAR(at->intensity.value(), 2 * 32 / 34.0, 1e-9);
}

TEST(Roofline, FrameHoldsEveryPointAndRidge) {
  const Roofline r = decode_roofline();
  const RooflineFrame f = roofline_frame(r);
  for (const RooflinePoint& p : r.points) {
    EXPECT_GE(f.x(p.intensity), 0);
    EXPECT_LE(f.x(p.intensity), 1);
    EXPECT_GE(f.y(p.expected), 0);
    EXPECT_LE(f.y(p.expected), 1);
  }
  for (const RooflineCeiling& c : r.ceilings) EXPECT_LE(f.x(c.ridge), 1);
}

TEST(RooflineText, ShowsRoofPointsAndTable) {
  const std::string text = roofline_text(decode_roofline());
  EXPECT_NE(text.find('/'), std::string::npos);
  EXPECT_NE(text.find("experts decode"), std::string::npos);
  EXPECT_NE(text.find("ridge at 400"), std::string::npos);
  EXPECT_NE(text.find("1e12 flop/s"), std::string::npos);
}

TEST(RooflineText, EmptyRooflineIsAFrameNotACrash) {
  Roofline r;
  r.machine = "none";
  EXPECT_NE(roofline_text(r).find("none"), std::string::npos);
}

int count(const std::string& text, std::string_view part) {
  int n = 0;
  for (auto at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++n;
  return n;
}

TEST(RooflineSvg, IsOneClosedDocumentWithEscapedText) {
  const Roofline r = decode_roofline("a<b & \"c\"");
  const std::string svg = roofline_svg(r, {.title = "T & <t>", .source = "test"});
  EXPECT_EQ(svg.rfind("<svg ", 0), 0u);
  EXPECT_NE(svg.find("</svg>\n"), std::string::npos);
  EXPECT_NE(svg.find("T &amp; &lt;t&gt;"), std::string::npos);
  EXPECT_EQ(svg.find("a<b"), std::string::npos);
  EXPECT_NE(svg.find("source: test"), std::string::npos);
  EXPECT_EQ(count(svg, "<text "), count(svg, "</text>"));
  EXPECT_EQ(count(svg, "<circle "), static_cast<int>(r.points.size()));
  EXPECT_EQ(svg.find("nan"), std::string::npos);
  EXPECT_EQ(svg.find("inf"), std::string::npos);
}

TEST(RooflineSvg, MarksDoNotOverlapEvenWhenPointsCoincide) {
  Roofline r = decode_roofline();
  while (r.points.size() < 12) r.points.push_back(r.points.front());
  const std::string svg = roofline_svg(r);
  std::vector<std::pair<double, double>> marks;
  const std::string css = "class=\"mark\">";
  for (auto at = svg.find(css); at != std::string::npos; at = svg.find(css, at + 1)) {
    const auto tag = svg.rfind("<text ", at);
    double x = 0, y = 0;
    ASSERT_EQ(std::sscanf(svg.c_str() + tag, "<text x=\"%lf\" y=\"%lf\"", &x, &y), 2);
    if (svg[at + css.size() + 1] == '<') marks.emplace_back(x, y);  // one character: a mark
  }
  ASSERT_EQ(marks.size(), r.points.size());
  for (std::size_t i = 0; i < marks.size(); ++i) {
    for (std::size_t j = i + 1; j < marks.size(); ++j) {
      const bool apart = std::abs(marks[i].first - marks[j].first) >= 9.9 ||
                         std::abs(marks[i].second - marks[j].second) >= 11.9;
      EXPECT_TRUE(apart) << i << " and " << j;
    }
  }
}

}  // namespace
}  // namespace bandwall
