// Any bytes as a stream of tokens: they are read, or refused as a failure of the server. However
// they are cut, the result is the same. The first byte of the input chooses where to cut.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "hwmodel/error.h"
#include "reports/token_stream.h"

namespace {

std::string outcome(std::string_view text, std::size_t step) {
  bandwall::TokenStreamReader reader;
  try {
    for (std::size_t at = 0; at < text.size(); at += step) {
      reader.feed(text.substr(at, step), bandwall::Seconds(1));
    }
    reader.finish(bandwall::Seconds(2));
  } catch (const bandwall::Error& error) {
    if (error.kind() != bandwall::Error::Kind::Running) std::abort();
    return error.what();
  }
  const bandwall::TokenStream& s = reader.result();
  if (s.prompt_tokens.value_or(0) < 0 || s.completion_tokens.value_or(0) < 0 ||
      s.cached_tokens.value_or(0) < 0) {
    std::abort();
  }
  return std::to_string(s.arrivals.size()) + (s.complete ? " complete " : " cut ") +
         std::to_string(s.prompt_tokens.value_or(-1)) + " " +
         std::to_string(s.completion_tokens.value_or(-1));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const std::size_t step = 1 + data[0] % 7;
  if (outcome(text, text.size()) != outcome(text, step)) std::abort();
  return 0;
}
