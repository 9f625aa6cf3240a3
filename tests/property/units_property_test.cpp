// Laws of quantities: reading what was written gives the same value, bit for bit.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>

#include "hwmodel/error.h"
#include "hwmodel/units.h"

namespace bandwall {
namespace {

double random_positive(std::mt19937_64& random) {
  const std::uint64_t exponent = 1023 - 300 + random() % 600;   // about 1e-90 .. 1e90
  const std::uint64_t bits = exponent << 52 | (random() >> 12);
  double v = 0;
  std::memcpy(&v, &bits, sizeof v);
  return v;
}

template <class Q>
void expect_round_trip(double v) {
  const std::string text = to_text(Q(v));
  EXPECT_EQ(parse_quantity<Q>(text).value(), v) << text;
}

template <class Q>
void round_trips() {
  std::mt19937_64 random(17);
  for (int i = 0; i < 3000; ++i) expect_round_trip<Q>(random_positive(random));
  for (int i = 0; i < 1000; ++i) expect_round_trip<Q>(static_cast<double>(random() % 1'000'000));
  for (int p = -30; p < 31; ++p) {
    for (int d = 1; d < 1000; d += 37) expect_round_trip<Q>(d * std::pow(10.0, p));
  }
  expect_round_trip<Q>(0);
  expect_round_trip<Q>(5e-324);
  expect_round_trip<Q>(1.7976931348623157e308);
}

TEST(UnitsLaw, ParseOfTextIsTheSameValue) {
  round_trips<Bytes>();
  round_trips<BytesPerSecond>();
  round_trips<Flops>();
  round_trips<FlopsPerSecond>();
  round_trips<Seconds>();
  round_trips<Elements>();
  round_trips<ElementsPerSecond>();
  round_trips<Joules>();
  round_trips<Hertz>();
  round_trips<Watts>();
  round_trips<FlopsPerByte>();
}

TEST(UnitsLaw, ByteCountsStayWholeAndExact) {
  std::mt19937_64 random(18);
  for (int i = 0; i < 5000; ++i) {
    const auto n = static_cast<std::int64_t>(random() % (std::uint64_t{1} << (1 + random() % 52)));
    EXPECT_EQ(parse_quantity<Bytes>(to_text(bytes(n))).count(), n);
  }
}

TEST(UnitsLaw, HumanTextHasThreeDigitsAndStaysNear) {
  std::mt19937_64 random(19);
  std::uniform_real_distribution<double> exponent(3, 14.9);
  for (int i = 0; i < 5000; ++i) {
    const double v = std::pow(10.0, exponent(random));
    const std::string text = human(BytesPerSecond(v));
    EXPECT_NEAR(parse_quantity<BytesPerSecond>(text).value() / v, 1, 0.0051) << text;
    EXPECT_LE(text.find(' '), 4u) << text;
  }
}

TEST(UnitsLaw, AnyTextIsReadOrRefusedAsInput) {
  std::mt19937_64 random(20);
  const std::string alphabet = "0123456789.eE+- ,GMKTPiBbs/FLOuxn\xC2\xB5\n\t";
  for (int i = 0; i < 20000; ++i) {
    std::string text;
    for (std::size_t n = random() % 12; n > 0; --n) text += alphabet[random() % alphabet.size()];
    try {
      const double v = parse_quantity<BytesPerSecond>(text).value();
      EXPECT_TRUE(std::isfinite(v) && v >= 0) << text;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), Error::Kind::Input);
    }
  }
}

}  // namespace
}  // namespace bandwall
