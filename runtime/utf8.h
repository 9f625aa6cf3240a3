// One character of UTF-8, strictly: no overlong forms, no surrogates, nothing above U+10FFFF (RFC
// 3629).
//   utf8_length("é!", 0) == 2 ; utf8_length("\xff", 0) == 0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace bandwall {

// Bytes of the character that starts at `at`; 0 when the bytes there are no character.
inline std::size_t utf8_length(std::string_view text, std::size_t at) {
  const auto byte = [&](std::size_t i) -> unsigned {
    return at + i < text.size() ? static_cast<unsigned char>(text[at + i]) : 0u;
  };
  const auto tail = [&](std::size_t i) { return (byte(i) & 0xC0u) == 0x80u; };
  const unsigned lead = byte(0);
  if (at >= text.size()) return 0;
  if (lead < 0x80) return 1;
  if (lead < 0xC2) return 0;
  if (lead < 0xE0) return tail(1) ? 2 : 0;
  if (lead < 0xF0) {
    if (!tail(1) || !tail(2)) return 0;
    if (lead == 0xE0 && byte(1) < 0xA0) return 0;   // overlong
    if (lead == 0xED && byte(1) >= 0xA0) return 0;  // surrogate
    return 3;
  }
  if (lead > 0xF4 || !tail(1) || !tail(2) || !tail(3)) return 0;
  if (lead == 0xF0 && byte(1) < 0x90) return 0;   // overlong
  if (lead == 0xF4 && byte(1) >= 0x90) return 0;  // above U+10FFFF
  return 4;
}

// Bytes from `at` on that are whole characters.
inline std::size_t utf8_run(std::string_view text, std::size_t at) {
  const std::size_t start = at;
  while (at < text.size()) {
    const std::size_t length = utf8_length(text, at);
    if (length == 0) break;
    at += length;
  }
  return at - start;
}

}  // namespace bandwall
