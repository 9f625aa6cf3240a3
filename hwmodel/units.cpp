#include "hwmodel/units.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <span>
#include <type_traits>

#include "hwmodel/error.h"

namespace bandwall {
namespace {

// One unit: value = number * 10^exponent * factor. Decimal prefixes are kept as exponents so that
// "101.93 GB" is read as the decimal 101.93e9, rounded once.
struct Unit {
  std::string_view text;
  int exponent;
  double factor;
  bool printed;  // to_text and human choose among these, ascending
};

struct Dimension {
  std::string_view what;      // "a size in bytes"
  std::string_view examples;  // "\"128 GB\" or \"99 KiB\""
  std::span<const Unit> units;
};

constexpr double kTiB = kGiB * 1024.0, kPiB = kTiB * 1024.0;

constexpr Unit kBytesUnits[] = {
    {"B", 0, 1, true},        {"kB", 3, 1, true},       {"KB", 3, 1, false},
    {"MB", 6, 1, true},       {"GB", 9, 1, true},       {"TB", 12, 1, true},
    {"PB", 15, 1, false},     {"KiB", 0, kKiB, false},  {"MiB", 0, kMiB, false},
    {"GiB", 0, kGiB, false},  {"TiB", 0, kTiB, false},  {"PiB", 0, kPiB, false},
};
constexpr Unit kRateUnits[] = {
    {"B/s", 0, 1, true},       {"kB/s", 3, 1, true},      {"KB/s", 3, 1, false},
    {"MB/s", 6, 1, true},      {"GB/s", 9, 1, true},      {"TB/s", 12, 1, true},
    {"PB/s", 15, 1, false},    {"KiB/s", 0, kKiB, false}, {"MiB/s", 0, kMiB, false},
    {"GiB/s", 0, kGiB, false}, {"TiB/s", 0, kTiB, false},
};
constexpr Unit kFlopsUnits[] = {
    {"FLOP", 0, 1, true},   {"kFLOP", 3, 1, true},   {"MFLOP", 6, 1, true},
    {"GFLOP", 9, 1, true},  {"TFLOP", 12, 1, true},  {"PFLOP", 15, 1, true},
};
constexpr Unit kFlopRateUnits[] = {
    {"FLOP/s", 0, 1, true},   {"kFLOP/s", 3, 1, true},   {"MFLOP/s", 6, 1, true},
    {"GFLOP/s", 9, 1, true},  {"TFLOP/s", 12, 1, true},  {"PFLOP/s", 15, 1, true},
    {"FLOPS", 0, 1, false},   {"MFLOPS", 6, 1, false},   {"GFLOPS", 9, 1, false},
    {"TFLOPS", 12, 1, false}, {"PFLOPS", 15, 1, false},
};
constexpr Unit kSecondUnits[] = {
    {"ns", -9, 1, true},       {"us", -6, 1, true},       {"\xC2\xB5s", -6, 1, false},
    {"\xCE\xBCs", -6, 1, false}, {"ms", -3, 1, true},     {"s", 0, 1, true},
    {"min", 0, 60, false},
};
constexpr Unit kElementUnits[] = {
    {"elem", 0, 1, true}, {"Melem", 6, 1, true}, {"Gelem", 9, 1, true}, {"Telem", 12, 1, true}};
constexpr Unit kElementRateUnits[] = {{"elem/s", 0, 1, true},
                                      {"Melem/s", 6, 1, true},
                                      {"Gelem/s", 9, 1, true},
                                      {"Telem/s", 12, 1, true}};
constexpr Unit kJouleUnits[] = {{"mJ", -3, 1, true}, {"J", 0, 1, true}, {"kJ", 3, 1, true}};
constexpr Unit kHertzUnits[] = {
    {"Hz", 0, 1, true}, {"kHz", 3, 1, true}, {"MHz", 6, 1, true}, {"GHz", 9, 1, true}};
constexpr Unit kWattUnits[] = {{"mW", -3, 1, true}, {"W", 0, 1, true}, {"kW", 3, 1, true}};
constexpr Unit kIntensityUnits[] = {{"FLOP/B", 0, 1, true}};

// The position of a dimension in this table is fixed by dimension_of below.
constexpr Dimension kDimensions[] = {
    {"a size in bytes", "\"128 GB\", \"99 KiB\", \"101376 B\"", kBytesUnits},
    {"a rate in bytes per second", "\"273 GB/s\", \"7.67 TB/s\", \"120 GiB/s\"", kRateUnits},
    {"a number of floating-point operations", "\"2 TFLOP\"", kFlopsUnits},
    {"a rate in floating-point operations per second", "\"107 TFLOP/s\", \"107 TFLOPS\"",
     kFlopRateUnits},
    {"a time", "\"43 us\", \"1.5 ms\", \"2 s\"", kSecondUnits},
    {"a number of elements", "\"3e9 elem\"", kElementUnits},
    {"a rate in elements per second", "\"3e11 elem/s\", \"300 Gelem/s\"", kElementRateUnits},
    {"an energy", "\"15 J\"", kJouleUnits},
    {"a frequency", "\"2.4 GHz\", \"800 MHz\"", kHertzUnits},
    {"a power", "\"140 W\"", kWattUnits},
    {"an intensity in operations per byte", "\"62 FLOP/B\"", kIntensityUnits},
};

template <class Q> constexpr const Dimension& dimension_of();
template <> constexpr const Dimension& dimension_of<Bytes>() { return kDimensions[0]; }
template <> constexpr const Dimension& dimension_of<BytesPerSecond>() { return kDimensions[1]; }
template <> constexpr const Dimension& dimension_of<Flops>() { return kDimensions[2]; }
template <> constexpr const Dimension& dimension_of<FlopsPerSecond>() { return kDimensions[3]; }
template <> constexpr const Dimension& dimension_of<Seconds>() { return kDimensions[4]; }
template <> constexpr const Dimension& dimension_of<Elements>() { return kDimensions[5]; }
template <> constexpr const Dimension& dimension_of<ElementsPerSecond>() { return kDimensions[6]; }
template <> constexpr const Dimension& dimension_of<Joules>() { return kDimensions[7]; }
template <> constexpr const Dimension& dimension_of<Hertz>() { return kDimensions[8]; }
template <> constexpr const Dimension& dimension_of<Watts>() { return kDimensions[9]; }
template <> constexpr const Dimension& dimension_of<FlopsPerByte>() { return kDimensions[10]; }

bool is_blank(char c) { return c == ' ' || c == '\t'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

std::string_view trimmed(std::string_view s) {
  while (!s.empty() && is_blank(s.front())) s.remove_prefix(1);
  while (!s.empty() && is_blank(s.back())) s.remove_suffix(1);
  return s;
}

// The text as it may stand in a message: control bytes replaced, long texts cut.
std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text.substr(0, 60)) {
    out += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? '?' : c;
  }
  return out + (text.size() > 60 ? "...\"" : "\"");
}

// Length of a leading decimal number: digits, an optional fraction, an optional exponent.
std::size_t number_length(std::string_view s) {
  std::size_t i = 0, digits = 0;
  while (i < s.size() && is_digit(s[i])) ++i, ++digits;
  if (i < s.size() && s[i] == '.') {
    ++i;
    while (i < s.size() && is_digit(s[i])) ++i, ++digits;
  }
  if (digits == 0) return 0;
  if (i < s.size() && (s[i] == 'e' || s[i] == 'E')) {
    std::size_t j = i + 1;
    if (j < s.size() && (s[j] == '+' || s[j] == '-')) ++j;
    if (j < s.size() && is_digit(s[j])) {
      while (j < s.size() && is_digit(s[j])) ++j;
      i = j;
    }
  }
  return i;
}

const Unit* find_unit(std::span<const Unit> units, std::string_view text) {
  for (const Unit& unit : units) {
    if (unit.text == text) return &unit;
  }
  return nullptr;
}

[[noreturn]] void refuse(std::string_view text, const Dimension& wanted, std::string_view why) {
  throw Error::input("", fmt::format("{} {}; {} is wanted, such as {}", quoted(text), why,
                                     wanted.what, wanted.examples));
}

[[noreturn]] void refuse_unit(std::string_view text, std::string_view unit,
                              const Dimension& wanted) {
  if (unit.empty()) refuse(text, wanted, "has no unit");
  for (const Dimension& other : kDimensions) {
    if (find_unit(other.units, unit) != nullptr) {
      refuse(text, wanted, fmt::format("is {}", other.what));
    }
  }
  if (unit.front() == ',') refuse(text, wanted, "holds a comma; write the number without one");
  if (unit.ends_with("b/s") || unit.ends_with("bps") || unit.ends_with("bit/s")) {
    refuse(text, wanted, "counts bits; give bytes (bits / 8)");
  }
  refuse(text, wanted, fmt::format("has the unknown unit {}", quoted(unit)));
}

// from_chars is exact and knows no locale. The sum of both exponents keeps it to one rounding.
double parse_decimal(std::string_view number, int exponent, std::string_view text,
                     const Dimension& wanted) {
  const std::size_t e = number.find_first_of("eE");
  long own = 0;
  if (e != std::string_view::npos) {
    std::string_view tail = number.substr(e + 1);
    if (tail.front() == '+') tail.remove_prefix(1);
    const auto [end, code] = std::from_chars(tail.data(), tail.data() + tail.size(), own);
    if (code != std::errc() || own < -400 || own > 400) refuse(text, wanted, "is out of range");
  }
  const std::string full = fmt::format("{}e{}", number.substr(0, e), own + exponent);
  double value = 0;
  const auto [end, code] = std::from_chars(full.data(), full.data() + full.size(), value);
  if (code != std::errc() || !std::isfinite(value)) refuse(text, wanted, "is out of range");
  return value;
}

double parse_value(std::string_view text, const Dimension& wanted) {
  const std::string_view s = trimmed(text);
  if (s.empty()) refuse(text, wanted, "is empty");
  if (s.front() == '-') refuse(text, wanted, "is negative");
  const std::size_t length = number_length(s);
  if (length == 0) refuse(text, wanted, "does not begin with a number");
  const std::string_view unit_text = trimmed(s.substr(length));
  const Unit* unit = find_unit(wanted.units, unit_text);
  if (unit == nullptr) refuse_unit(text, unit_text, wanted);
  const double value = parse_decimal(s.substr(0, length), unit->exponent, text, wanted) *
                       unit->factor;
  if (!std::isfinite(value)) refuse(text, wanted, "is out of range");
  return value;
}

// Shortest digits of v, as a decimal text divided by 10^exponent, so that no rounding happens.
std::string shifted_digits(double v, int exponent) {
  char buffer[64];
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, v, std::chars_format::scientific);
  std::string_view text(buffer, static_cast<std::size_t>(end.ptr - buffer));
  const std::size_t e = text.find('e');
  int own = 0;
  std::string_view tail = text.substr(e + 1);
  if (tail.front() == '+') tail.remove_prefix(1);
  std::from_chars(tail.data(), tail.data() + tail.size(), own);
  std::string digits;
  for (const char c : text.substr(0, e)) {
    if (c != '.') digits += c;
  }
  const int point = own - exponent + 1;  // digits before the point
  const int count = static_cast<int>(digits.size());
  if (point > 21 || point < -5) return fmt::format("{}e{}", text.substr(0, e), own - exponent);
  if (point <= 0) return "0." + std::string(static_cast<std::size_t>(-point), '0') + digits;
  if (point >= count) return digits + std::string(static_cast<std::size_t>(point - count), '0');
  return digits.substr(0, static_cast<std::size_t>(point)) + "." +
         digits.substr(static_cast<std::size_t>(point));
}

// The largest printed unit that leaves at least 1 before it; the smallest one when none does.
const Unit& fitting_unit(double magnitude, const Dimension& dimension) {
  const Unit* first = nullptr;
  const Unit* found = nullptr;
  for (const Unit& unit : dimension.units) {
    if (!unit.printed) continue;
    if (first == nullptr) first = &unit;
    if (magnitude >= std::pow(10.0, unit.exponent)) found = &unit;
  }
  return found != nullptr ? *found : *first;
}

std::string text_of(double v, const Dimension& dimension) {
  if (!std::isfinite(v)) return fmt::format("{}", v);
  if (v < 0) return "-" + text_of(-v, dimension);
  if (v == 0) {
    const Unit* plain = find_unit(dimension.units, dimension.units.front().text);
    for (const Unit& unit : dimension.units) {
      if (unit.printed && unit.exponent == 0) plain = &unit;
    }
    return fmt::format("0 {}", plain->text);
  }
  const Unit& unit = fitting_unit(v, dimension);
  return fmt::format("{} {}", shifted_digits(v, unit.exponent), unit.text);
}

std::string text_of_bytes(double v) {
  const Dimension& dimension = kDimensions[0];
  const bool whole = v == std::floor(v) && v >= 0 && v < 9007199254740992.0;
  if (!whole) return v < 1e15 && v > 0 ? shifted_digits(v, 0) + " B" : text_of(v, dimension);
  if (v >= kGiB && std::fmod(v, kGiB) == 0) return fmt::format("{:.0f} GiB", v / kGiB);
  if (v >= kGiga && std::fmod(v, 1e7) == 0) return shifted_digits(v, 9) + " GB";
  return fmt::format("{:.0f} B", v);
}

std::string human_of(double v, const Dimension& dimension) {
  if (!std::isfinite(v)) return fmt::format("{} {}", v, fitting_unit(1, dimension).text);
  if (v < 0) return "-" + human_of(-v, dimension);
  if (v == 0) return text_of(v, dimension);
  // Rounding to three digits first lets 999.6 MB become 1.00 GB.
  const double digit = std::pow(10.0, std::floor(std::log10(v)) - 2);
  const double rounded = digit > 0 ? std::round(v / digit) * digit : v;
  const Unit& unit = fitting_unit(rounded * (1 + 1e-12), dimension);
  const double shown = rounded / std::pow(10.0, unit.exponent);
  if (shown >= 9.9995e5 || shown < 1e-3) return fmt::format("{:.2e} {}", shown, unit.text);
  const int decimals = shown >= 99.95 ? 0 : shown >= 9.995 ? 1 : shown >= 0.9995 ? 2 : 3;
  return fmt::format("{:.{}f} {}", shown, decimals, unit.text);
}

}  // namespace

template <class Q>
Q parse_quantity(std::string_view text) {
  return Q(parse_value(text, dimension_of<Q>()));
}

template <class Q>
std::string to_text(Q q) {
  if constexpr (std::is_same_v<Q, Bytes>) return text_of_bytes(q.value());
  return text_of(q.value(), dimension_of<Q>());
}

#define BANDWALL_QUANTITY(Q)                      \
  template Q parse_quantity<Q>(std::string_view); \
  template std::string to_text<Q>(Q);
BANDWALL_QUANTITY(Bytes)
BANDWALL_QUANTITY(BytesPerSecond)
BANDWALL_QUANTITY(Flops)
BANDWALL_QUANTITY(FlopsPerSecond)
BANDWALL_QUANTITY(Seconds)
BANDWALL_QUANTITY(Elements)
BANDWALL_QUANTITY(ElementsPerSecond)
BANDWALL_QUANTITY(Joules)
BANDWALL_QUANTITY(Hertz)
BANDWALL_QUANTITY(Watts)
BANDWALL_QUANTITY(FlopsPerByte)
#undef BANDWALL_QUANTITY

std::string gb_and_gib(Bytes b) {
  constexpr double kLeastGb = 1e8;
  if (b.value() > 0 && b.value() < kLeastGb) {
    return fmt::format("{:.2f} MB ({:.2f} MiB)", b.value() / kMega, b.value() / kMiB);
  }
  return fmt::format("{:.2f} GB ({:.2f} GiB)", b.value() / kGiga, b.value() / kGiB);
}

std::string human(Bytes b) {
  const double v = b.value();
  if (v >= 0 && v < 1000 && v == std::floor(v)) return fmt::format("{:.0f} B", v);
  return human_of(v, kDimensions[0]);
}
std::string human(Seconds t) { return human_of(t.value(), dimension_of<Seconds>()); }
std::string human(BytesPerSecond r) { return human_of(r.value(), dimension_of<BytesPerSecond>()); }
std::string human(FlopsPerSecond r) { return human_of(r.value(), dimension_of<FlopsPerSecond>()); }

}  // namespace bandwall
