// Laws of the event stream: where the bytes are cut changes nothing, and what was written as events
// is read as those events.
#include <gtest/gtest.h>

#include <random>

#include "reports/sse.h"

namespace bandwall {
namespace {

using Events = std::vector<std::string>;

Events read(const std::string& bytes, std::mt19937* cuts) {
  Events events;
  const auto keep = [&](std::string_view data) { events.emplace_back(data); };
  SseParser parser;
  for (std::size_t at = 0; at < bytes.size();) {
    const std::size_t n = cuts == nullptr ? bytes.size() : (*cuts)() % 6;
    parser.feed(std::string_view(bytes).substr(at, n), keep);
    at += n;
  }
  parser.finish(keep);
  return events;
}

TEST(SseProperty, AnyCuttingOfAnyBytesGivesTheSameEvents) {
  std::mt19937 random(11);
  const std::string pieces[] = {"data",  ":",    " ",       "\n",      "\r",
                                "\r\n",  "\n\n", "x",       "data: y", "\xef\xbb\xbf",
                                "id: 1", ":c",   "\r\n\r\n"};
  for (int i = 0; i < 3000; ++i) {
    std::string bytes;
    for (std::size_t k = random() % 30; k > 0; --k) bytes += pieces[random() % std::size(pieces)];
    const Events whole = read(bytes, nullptr);
    for (int again = 0; again < 3; ++again) ASSERT_EQ(read(bytes, &random), whole) << bytes;
  }
}

TEST(SseProperty, WhatIsWrittenIsRead) {
  std::mt19937 random(12);
  const std::string ends[] = {"\n", "\r", "\r\n"};
  for (int i = 0; i < 1000; ++i) {
    Events events;
    std::string bytes;
    const std::string end = ends[random() % 3];
    for (std::size_t k = 1 + random() % 5; k > 0; --k) {
      std::string data;
      for (std::size_t lines = 1 + random() % 3; lines > 0; --lines) {
        std::string line;
        for (std::size_t n = random() % 9; n > 0; --n) line += "a: {\""[random() % 5];
        bytes += "data: " + line + end;
        data += line + (lines > 1 ? "\n" : "");
      }
      if (random() % 2 == 0) bytes += ": comment" + end;
      bytes += end;
      events.push_back(data);
    }
    ASSERT_EQ(read(bytes, &random), events) << bytes;
  }
}

}  // namespace
}  // namespace bandwall
