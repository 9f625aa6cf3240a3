#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "hwmodel/error.h"
#include "runtime/kernels/kernels.h"

namespace bandwall {
namespace {

std::string folder() { return std::string(BANDWALL_SOURCE_DIR) + "/tests/parity/dequant/"; }

TEST(Dequantize, EqualsGgmlBitForBit) {
  std::ifstream file(folder() + "dequant.bin", std::ios::binary);
  const std::vector<char> bytes((std::istreambuf_iterator<char>(file)), {});
  std::ifstream text(folder() + "dequant.json");
  const auto cases = nlohmann::json::parse(text)["formats"];
  EXPECT_EQ(cases.size(), 20u);
  for (const auto& c : cases) {
    const auto format = format_from_name(c["type"].get<std::string>());
    ASSERT_TRUE(format.has_value());
    SCOPED_TRACE(std::string(name(*format)));
    const auto n = c["floats"].get<std::size_t>();
    ASSERT_EQ(row_bytes(*format, static_cast<std::int64_t>(n)), c["packed_bytes"]);
    std::vector<float> expected(n), got(n, -1.0f);
    std::memcpy(expected.data(), bytes.data() + c["float_offset"].get<std::size_t>(), 4 * n);
    dequantize(*format,
               reinterpret_cast<const std::byte*>(bytes.data()) +
                   c["packed_offset"].get<std::size_t>(),
               static_cast<std::int64_t>(n), got.data());
    for (std::size_t i = 0; i < n; ++i) {
      ASSERT_EQ(std::bit_cast<std::uint32_t>(got[i]), std::bit_cast<std::uint32_t>(expected[i]))
          << "value " << i << ": " << got[i] << " instead of " << expected[i];
    }
  }
}

TEST(Dequantize, HasKernelsAgreesWithDequantize) {
  std::vector<float> out(16384);
  std::vector<std::byte> in(65536);
  for (const FormatInfo& f : all_formats()) {
    SCOPED_TRACE(std::string(f.name));
    if (has_kernels(f.format)) {
      EXPECT_NO_THROW(dequantize(f.format, in.data(), f.values_per_block, out.data()));
      continue;
    }
    try {
      dequantize(f.format, in.data(), f.values_per_block, out.data());
      ADD_FAILURE() << "no error";
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), Error::Kind::Input);
      EXPECT_NE(std::string(e.what()).find(f.name), std::string::npos);
    }
  }
}

TEST(Dequantize, Float32IsCopied) {
  const float in[3] = {1.5f, -0.0f, std::nanf("")};
  float out[3] = {};
  dequantize(Format::F32, reinterpret_cast<const std::byte*>(in), 3, out);
  EXPECT_EQ(std::memcmp(in, out, sizeof in), 0);
}

TEST(Half, RoundTripsEveryPattern) {
  for (std::uint32_t h = 0; h < 0x10000; ++h) {
    const auto half = static_cast<std::uint16_t>(h);
    const float f = half_to_float(half);
    if (std::isnan(f)) {
      EXPECT_TRUE(std::isnan(half_to_float(float_to_half(f))));
    } else {
      ASSERT_EQ(float_to_half(f), half);
    }
  }
}

TEST(Half, RoundsToNearestEven) {
  EXPECT_EQ(float_to_half(1.0f + 0x1p-11f), 0x3c00);      // tie: down to even
  EXPECT_EQ(float_to_half(1.0f + 3 * 0x1p-11f), 0x3c02);  // tie: up to even
  EXPECT_EQ(float_to_half(std::nextafter(1.0f + 0x1p-11f, 2.0f)), 0x3c01);
  EXPECT_EQ(float_to_half(65519.0f), 0x7bff);
  EXPECT_EQ(float_to_half(65520.0f), 0x7c00);
  EXPECT_EQ(float_to_half(0x1p-25f), 0);  // tie of the smallest subnormal
  EXPECT_EQ(float_to_half(0x1.8p-25f), 1);
}

}  // namespace
}  // namespace bandwall
