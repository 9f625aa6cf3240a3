// Laws of measured rows: what is written reads back the same, in any order of columns, and a file
// with damaged lines keeps every line that was not damaged.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "configs/measurements.h"

namespace bandwall {
namespace {

std::string random_text(std::mt19937_64& r) {
  static const std::string kLetters = "abcXYZ019 ._-+()\",;/x\xc3\xa9";
  std::string text(1, 'a');
  const std::size_t n = r() % 12;
  for (std::size_t i = 0; i < n; ++i) text += kLetters[r() % (kLetters.size() - 2)];
  if (r() % 4 == 0) text += "\xc3\xa9";
  return text + "z";
}

Measurement random_row(std::mt19937_64& r) {
  Measurement m;
  m.device = random_text(r);
  m.engine = random_text(r);
  m.backend = r() % 3 == 0 ? "" : random_text(r);
  m.model = random_text(r);
  m.quant = r() % 3 == 0 ? "" : random_text(r);
  m.source = random_text(r);
  if (r() % 2 == 0) m.file_gib = static_cast<double>(1 + r() % 100000) / 100;
  m.phase = r() % 2 == 0 ? MeasuredPhase::Prefill : MeasuredPhase::Decode;
  if (r() % 4 != 0) m.n_tokens = 1 + static_cast<std::int64_t>(r() % 9999);
  if (r() % 4 != 0) m.depth = static_cast<std::int64_t>(r() % 99999);
  m.batch = 1 + static_cast<std::int64_t>(r() % 64);
  if (r() % 2 == 0) m.ubatch = 1 + static_cast<std::int64_t>(r() % 4096);
  if (r() % 2 == 0) m.type_k = m.type_v = "f16";
  if (r() % 4 == 0) {
    m.type_k = "q8_0";
    m.type_v = "q4_0";
  }
  if (r() % 2 == 0) m.flash_attention = r() % 2 == 0;
  m.tok_s = static_cast<double>(1 + r() % 1'000'000) / 128;
  m.marks = engine_marks(m.engine);
  return m;
}

TEST(MeasurementsProperty, WhatIsWrittenReadsBackTheSame) {
  std::mt19937_64 r(7);
  for (int round = 0; round < 200; ++round) {
    std::vector<Measurement> rows;
    for (std::size_t i = 0; i < 1 + r() % 20; ++i) {
      rows.push_back(random_row(r));
      rows.back().line = static_cast<int>(i) + 2;
    }
    const MeasurementFile f = parse_measurements(write_measurements(rows), "x.csv");
    ASSERT_TRUE(f.skipped.empty()) << f.skipped[0].reason;
    ASSERT_EQ(f.rows, rows);
  }
}

TEST(MeasurementsProperty, DamagedLinesCostOnlyThemselves) {
  std::mt19937_64 r(11);
  for (int round = 0; round < 200; ++round) {
    std::vector<Measurement> rows;
    for (int i = 0; i < 12; ++i) rows.push_back(random_row(r));
    const std::string text = write_measurements(rows);
    std::vector<std::string> lines;
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t end = text.find('\n', at);
      lines.push_back(text.substr(at, end - at));
      at = end + 1;
    }
    const std::size_t hurt = 1 + r() % (lines.size() - 1);
    lines[hurt] = lines[hurt].substr(0, r() % 8);  // too short for 15 fields
    std::string damaged;
    for (const std::string& line : lines) damaged += line + "\n";
    const MeasurementFile f = parse_measurements(damaged, "x.csv");
    EXPECT_EQ(f.rows.size(), rows.size() - 1);
    EXPECT_LE(f.skipped.size(), 1u);  // an empty line is no row at all
  }
}

}  // namespace
}  // namespace bandwall
