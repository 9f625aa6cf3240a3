#include "hwmodel/units.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "hwmodel/error.h"
#include "hwmodel/machine.h"

namespace bandwall {
namespace {

using testing::HasSubstr;

template <class Q>
std::string why(std::string_view text) {
  try {
    parse_quantity<Q>(text);
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), Error::Kind::Input);
    return error.diagnostics().front().message;
  }
  return "accepted";
}

TEST(Units, ReadsSizes) {
  EXPECT_EQ(parse_quantity<Bytes>("128 GB").value(), 128e9);
  EXPECT_EQ(parse_quantity<Bytes>("99 KiB").value(), 101376);
  EXPECT_EQ(parse_quantity<Bytes>("101376 B").value(), 101376);
  EXPECT_EQ(parse_quantity<Bytes>("124610 MiB").count(), 130663055360);
  EXPECT_EQ(parse_quantity<Bytes>("101.93 GB").value(), 101930000000.0);
  EXPECT_EQ(parse_quantity<Bytes>("178.35 GB").count(), 178350000000);
  EXPECT_EQ(parse_quantity<Bytes>("64 KB").value(), 64000);
  EXPECT_EQ(parse_quantity<Bytes>("64 kB").value(), 64000);
  EXPECT_EQ(parse_quantity<Bytes>("1 TiB").value(), 1099511627776.0);
  EXPECT_EQ(parse_quantity<Bytes>("  5GiB ").value(), 5 * kGiB);
  EXPECT_EQ(parse_quantity<Bytes>("0 B").value(), 0);
}

TEST(Units, ReadsRatesTimesAndTheRest) {
  EXPECT_EQ(parse_quantity<BytesPerSecond>("273 GB/s").value(), 273e9);
  EXPECT_EQ(parse_quantity<BytesPerSecond>("1 GiB/s").value(), kGiB);
  EXPECT_EQ(parse_quantity<BytesPerSecond>("7.67 TB/s").value(), 7.67e12);
  EXPECT_EQ(parse_quantity<FlopsPerSecond>("107 TFLOP/s").value(), 107e12);
  EXPECT_EQ(parse_quantity<FlopsPerSecond>("107 TFLOPS").value(), 107e12);
  EXPECT_EQ(parse_quantity<FlopsPerSecond>("1 PFLOPS").value(), 1e15);
  EXPECT_EQ(parse_quantity<FlopsPerSecond>("16400 GFLOPS").value(), 16.4e12);
  EXPECT_EQ(parse_quantity<Seconds>("43 us").value(), 43e-6);
  EXPECT_EQ(parse_quantity<Seconds>("43 \xC2\xB5s").value(), 43e-6);
  EXPECT_EQ(parse_quantity<Seconds>("43 \xCE\xBCs").value(), 43e-6);
  EXPECT_EQ(parse_quantity<Seconds>("10 min").value(), 600);
  EXPECT_EQ(parse_quantity<Seconds>("113 ns").value(), 113e-9);
  EXPECT_EQ(parse_quantity<ElementsPerSecond>("3.0e11 elem/s").value(), 3e11);
  EXPECT_EQ(parse_quantity<ElementsPerSecond>("300 Gelem/s").value(), 3e11);
  EXPECT_EQ(parse_quantity<Hertz>("2.4 GHz").value(), 2.4e9);
  EXPECT_EQ(parse_quantity<Watts>("140 W").value(), 140);
  EXPECT_EQ(parse_quantity<Joules>("15 J").value(), 15);
}

TEST(Units, RefusesEverythingElseAndSaysWhy) {
  EXPECT_THAT(why<BytesPerSecond>("273 GiB"), HasSubstr("\"273 GiB\" is a size in bytes; a rate in "
                                                        "bytes per second is wanted"));
  EXPECT_THAT(why<BytesPerSecond>("273"), HasSubstr("has no unit"));
  EXPECT_THAT(why<BytesPerSecond>("273"), HasSubstr("\"273 GB/s\""));
  EXPECT_THAT(why<BytesPerSecond>("273 Gb/s"), HasSubstr("counts bits"));
  EXPECT_THAT(why<BytesPerSecond>("100 Gbps"), HasSubstr("counts bits"));
  EXPECT_THAT(why<Bytes>("1,5 GB"), HasSubstr("comma"));
  EXPECT_THAT(why<Bytes>("1,500,000 B"), HasSubstr("comma"));
  EXPECT_THAT(why<Bytes>("-1 GB"), HasSubstr("negative"));
  EXPECT_THAT(why<Bytes>("inf GB"), HasSubstr("does not begin with a number"));
  EXPECT_THAT(why<Bytes>("nan B"), HasSubstr("does not begin with a number"));
  EXPECT_THAT(why<Bytes>(".inf"), HasSubstr("does not begin with a number"));
  EXPECT_THAT(why<Bytes>(""), HasSubstr("is empty"));
  EXPECT_THAT(why<Bytes>("1e999 B"), HasSubstr("out of range"));
  EXPECT_THAT(why<Bytes>("1e300 PiB"), HasSubstr("out of range"));
  EXPECT_THAT(why<Bytes>("1e99999999999999999999 B"), HasSubstr("out of range"));
  EXPECT_THAT(why<Bytes>("5 gb"), HasSubstr("unknown unit \"gb\""));
  EXPECT_THAT(why<Bytes>("5 GB extra"), HasSubstr("unknown unit"));
  EXPECT_THAT(why<Bytes>("0x10 B"), HasSubstr("unknown unit"));
  EXPECT_THAT(why<Seconds>("5 GB/s"), HasSubstr("is a rate in bytes per second; a time is wanted"));
  EXPECT_THAT(why<Bytes>(std::string(5000, 'x')), HasSubstr("xxx...\""));
}

TEST(Units, WritesWhatItReads) {
  EXPECT_EQ(to_text(BytesPerSecond(273e9)), "273 GB/s");
  EXPECT_EQ(to_text(BytesPerSecond(7.67e12)), "7.67 TB/s");
  EXPECT_EQ(to_text(bytes(101376)), "101376 B");
  EXPECT_EQ(to_text(Bytes(128e9)), "128 GB");
  EXPECT_EQ(to_text(Bytes(178.35e9)), "178.35 GB");
  EXPECT_EQ(to_text(Bytes(5 * kGiB)), "5 GiB");
  EXPECT_EQ(to_text(bytes(130663055360)), "130663055360 B");
  EXPECT_EQ(to_text(Seconds(43e-6)), "43 us");
  EXPECT_EQ(to_text(FlopsPerSecond(33.4e12)), "33.4 TFLOP/s");
  EXPECT_EQ(to_text(ElementsPerSecond(3e11)), "300 Gelem/s");
  EXPECT_EQ(to_text(Watts(140)), "140 W");
  EXPECT_EQ(to_text(Seconds(0)), "0 s");
  EXPECT_EQ(to_text(Bytes(0)), "0 B");
}

TEST(Units, SpeaksToPeople) {
  EXPECT_EQ(gb_and_gib(Bytes(101.93e9)), "101.93 GB (94.93 GiB)");
  EXPECT_EQ(human(Seconds(43.12e-6)), "43.1 us");
  EXPECT_EQ(human(Seconds(0.1)), "100 ms");
  EXPECT_EQ(human(Seconds(120)), "120 s");
  EXPECT_EQ(human(BytesPerSecond(231.4e9)), "231 GB/s");
  EXPECT_EQ(human(BytesPerSecond(999.6e9)), "1.00 TB/s");
  EXPECT_EQ(human(BytesPerSecond(999.4e9)), "999 GB/s");
  EXPECT_EQ(human(FlopsPerSecond(33.4e12)), "33.4 TFLOP/s");
  EXPECT_EQ(human(Bytes(12)), "12 B");
  EXPECT_EQ(human(Bytes(1024)), "1.02 kB");
  EXPECT_EQ(human(Bytes(0)), "0 B");
  EXPECT_EQ(human(Seconds(0)), "0 s");
  EXPECT_EQ(human(Seconds(std::numeric_limits<double>::infinity())), "inf s");
}

TEST(RateCurve, InterpolatesOverTheLogarithmAndHoldsAtTheEnds) {
  RateCurve curve;
  curve.points = {{Bytes(1e6), BytesPerSecond(400e9)}, {Bytes(1e8), BytesPerSecond(200e9)}};
  EXPECT_EQ(curve.at(Bytes(0)).value(), 400e9);
  EXPECT_EQ(curve.at(Bytes(1e6)).value(), 400e9);
  EXPECT_NEAR(curve.at(Bytes(1e7)).value(), 300e9, 1);
  EXPECT_EQ(curve.at(Bytes(1e8)).value(), 200e9);
  EXPECT_EQ(curve.at(Bytes(1e12)).value(), 200e9);
}

}  // namespace
}  // namespace bandwall
