// Names of split files: "%s-%05d-of-%05d.gguf", numbered from 1 (ggml-org/llama.cpp gguf-split).
#include <charconv>

#include <fmt/format.h>

#include "workload/gguf.h"

namespace bandwall {
namespace {

constexpr std::string_view kSuffix = ".gguf", kOf = "-of-";
constexpr std::size_t kDigits = 5;

std::optional<int> five_digits(std::string_view text) {
  if (text.size() != kDigits) return std::nullopt;
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || value < 1) return std::nullopt;
  return value;
}

}  // namespace

std::optional<SplitName> parse_split_name(std::string_view file_name) {
  const std::size_t tail =
      1 + kDigits + kOf.size() + kDigits + kSuffix.size();  // -00001-of-00002.gguf
  if (file_name.size() <= tail) return std::nullopt;
  const std::string_view end = file_name.substr(file_name.size() - tail);
  if (end.front() != '-' || end.substr(1 + kDigits, kOf.size()) != kOf ||
      end.substr(end.size() - kSuffix.size()) != kSuffix) {
    return std::nullopt;
  }
  const auto number = five_digits(end.substr(1, kDigits));
  const auto count = five_digits(end.substr(1 + kDigits + kOf.size(), kDigits));
  if (!number || !count || *number > *count) return std::nullopt;
  return SplitName{std::string(file_name.substr(0, file_name.size() - tail)), *number, *count};
}

std::string split_file_name(const std::string& prefix, int number, int count) {
  return fmt::format("{}-{:05d}-of-{:05d}.gguf", prefix, number, count);
}

}  // namespace bandwall
