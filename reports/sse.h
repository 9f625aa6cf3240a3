// Server-sent events (WHATWG HTML, "Server-sent events"), the form in which servers stream tokens.
//   SseParser parser;  parser.feed(bytes, [](std::string_view data) { ... });  parser.finish(...);
// Gives the data of each event; names, ids, retry times and comments are left out. Lines may end in
// LF, CR or CRLF, and bytes may be cut anywhere: the events are the same for any cutting. finish()
// gives what stands complete before the end of the stream without a closing empty line. A line or
// an event longer than kMostSseBytes is an Error (Running).
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

namespace bandwall {

inline constexpr std::size_t kMostSseBytes = 1 << 20;

class SseParser {
 public:
  using Event = std::function<void(std::string_view data)>;
  void feed(std::string_view bytes, const Event& event);
  void finish(const Event& event);

 private:
  void take_line(const Event& event);
  std::string line_, data_;
  bool has_data_ = false, after_cr_ = false, first_line_ = true;
};

}  // namespace bandwall
