#include "reports/sse.h"

#include <fmt/format.h>

#include "hwmodel/error.h"

namespace bandwall {
namespace {

void check_size(std::size_t size) {
  if (size <= kMostSseBytes) return;
  throw Error::running("event stream",
                       fmt::format("a line or event is longer than {} bytes: the server does not "
                                   "stream tokens; is --url the address of its OpenAI API?",
                                   kMostSseBytes));
}

}  // namespace

void SseParser::take_line(const Event& event) {
  constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";
  std::string_view line = line_;
  if (first_line_ && line.starts_with(kByteOrderMark)) line.remove_prefix(kByteOrderMark.size());
  first_line_ = false;
  if (line.empty()) {
    if (has_data_) event(data_);
    data_.clear();
    has_data_ = false;
  } else if (const std::size_t colon = line.find(':'); line.substr(0, colon) == "data") {
    std::string_view value = colon == line.npos ? std::string_view() : line.substr(colon + 1);
    if (value.starts_with(' ')) value.remove_prefix(1);
    check_size(data_.size() + value.size() + 1);
    if (has_data_) data_ += '\n';
    data_ += value;
    has_data_ = true;
  }
  line_.clear();
}

void SseParser::feed(std::string_view bytes, const Event& event) {
  if (bytes.empty()) return;
  if (after_cr_ && bytes.front() == '\n') bytes.remove_prefix(1);
  after_cr_ = false;
  while (!bytes.empty()) {
    const std::size_t end = bytes.find_first_of("\r\n");
    const std::string_view part = bytes.substr(0, end);
    check_size(line_.size() + part.size());
    line_ += part;
    if (end == bytes.npos) return;
    const bool cr = bytes[end] == '\r';
    bytes.remove_prefix(end + 1);
    take_line(event);
    if (!cr) continue;
    after_cr_ = bytes.empty();
    if (bytes.starts_with('\n')) bytes.remove_prefix(1);
  }
}

void SseParser::finish(const Event& event) {
  if (!line_.empty()) take_line(event);
  take_line(event);
}

}  // namespace bandwall
