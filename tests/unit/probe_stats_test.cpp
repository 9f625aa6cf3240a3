// Streams of tokens and the measures taken from them, by hand-made times.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "hwmodel/error.h"
#include "reports/probe_report.h"

namespace bandwall {
namespace {

using ::testing::HasSubstr;

ProbeAnswer answer(double sent, std::vector<double> at, std::int64_t prompt = 100,
                   std::optional<std::int64_t> tokens = std::nullopt) {
  ProbeAnswer a;
  a.sent = Seconds(sent);
  for (const double t : at) a.stream.arrivals.push_back(Seconds(t));
  a.stream.prompt_tokens = prompt;
  a.stream.completion_tokens = tokens;
  return a;
}

TEST(ProbeStats, QuantilesAreLinearBetweenRanks) {
  EXPECT_EQ(quantile({}, 0.5), 0);
  EXPECT_EQ(quantile({3}, 0.95), 3);
  EXPECT_EQ(quantile({4, 1, 3, 2}, 0.5), 2.5);
  EXPECT_DOUBLE_EQ(quantile({0, 10}, 0.95), 9.5);
  EXPECT_EQ(quantile({5, 1}, 1), 5);
}

TEST(ProbeStats, OneStream) {
  const ProbeMeasures m = measures({{{answer(1, {1.5, 1.6, 1.7, 1.9}, 100, 4)}}});
  EXPECT_DOUBLE_EQ(m.ttft.at(0), 0.5);
  EXPECT_NEAR(median(m.itl), 0.1, 1e-12);
  EXPECT_NEAR(m.tpot.at(0), 0.4 / 3, 1e-12);
  EXPECT_NEAR(m.prefill_ts.at(0), 200, 1e-9);
  EXPECT_NEAR(m.decode_ts.at(0), 3 / 0.4, 1e-9);
  EXPECT_TRUE(m.together);
}

TEST(ProbeStats, UsageCountsTokensThatShareAChunk) {
  const ProbeMeasures m = measures({{{answer(0, {1, 2, 3}, 10, 5)}}});
  EXPECT_EQ(m.tokens_per_chunk, 2);
  EXPECT_NEAR(m.tpot.at(0), 0.5, 1e-12);
  EXPECT_NEAR(m.decode_ts.at(0), 2, 1e-12);
}

TEST(ProbeStats, SeveralStreamsAreCountedWhileAllDecode) {
  // The second begins at 2 and the first ends at 5: from 2 to 5 each brings three tokens.
  const ProbeMeasures m = measures({{{answer(0, {1, 2, 3, 4, 5}), answer(0, {2, 3, 4, 5, 6, 7})}}});
  EXPECT_NEAR(m.decode_ts.at(0), 6.0 / 3, 1e-12);
  EXPECT_NEAR(m.prefill_ts.at(0), 200.0 / 2, 1e-12);
  EXPECT_TRUE(m.together);
}

TEST(ProbeStats, StreamsOneAfterTheOtherAreNotTogether) {
  const ProbeMeasures m = measures({{{answer(0, {1, 2, 3}), answer(0, {4, 5, 6})}}});
  EXPECT_FALSE(m.together);
  EXPECT_NEAR(m.decode_ts.at(0), 4.0 / 5, 1e-12);
}

TEST(ProbeStats, WhatCannotBeMeasuredHasNoRate) {
  EXPECT_TRUE(measures({{{answer(0, {1})}}}).decode_ts.empty());
  EXPECT_TRUE(measures({{{answer(0, {1, 1, 1})}}}).decode_ts.empty());
  EXPECT_TRUE(measures({{{answer(0, {})}}}).prefill_ts.empty());
  EXPECT_TRUE(measures({}).ttft.empty());
  ProbeAnswer cached = answer(0, {1, 2});
  cached.stream.cached_tokens = 1000;
  EXPECT_TRUE(measures({{{cached}}}).prefill_ts.empty());
}

TokenStream stream_of(const std::string& text) {
  TokenStreamReader reader;
  reader.feed(text, Seconds(1));
  reader.finish(Seconds(2));
  return reader.result();
}

TEST(TokenStream, TimingsOfLlamaServerTellWhatWasReused) {
  const TokenStream s = stream_of(
      R"(data: {"choices":[{"text":"a"}]})"
      "\n\n"
      R"(data: {"choices":[{"text":"","finish_reason":"length"}],"usage":{"prompt_tokens":50,)"
      R"("completion_tokens":1},"timings":{"prompt_n":20,"prompt_per_second":10.5,)"
      R"("predicted_per_second":5.5}})"
      "\n\n");
  EXPECT_EQ(s.arrivals.size(), 1u);
  EXPECT_EQ(s.prompt_tokens, 50);
  EXPECT_EQ(s.cached_tokens, 30);
  EXPECT_EQ(s.server_prefill_ts, 10.5);
  EXPECT_TRUE(s.complete);
}

TEST(TokenStream, NumbersOutOfRangeAreNotTaken) {
  const TokenStream s =
      stream_of(R"(data: {"usage":{"prompt_tokens":-1,"completion_tokens":18446744073709551615},)"
                R"("timings":{"prompt_per_second":0}})"
                "\n\n");
  EXPECT_FALSE(s.prompt_tokens || s.completion_tokens || s.server_prefill_ts || s.complete);
}

TEST(TokenStream, ALineWithoutEndIsRefusedBeforeItIsStored) {
  TokenStreamReader reader;
  const std::string piece(1 << 19, 'x');
  reader.feed(piece, Seconds(0));
  reader.feed(piece, Seconds(0));
  EXPECT_THROW(reader.feed(piece, Seconds(0)), Error);
  TokenStreamReader event;  // many lines of one event
  EXPECT_THROW(
      {
        for (int i = 0; i < 300; ++i)
          event.feed("data: " + piece.substr(0, 9999) + "\n", Seconds(0));
      },
      Error);
}

// Chunks of llama-server b9749 whose tokens have no text, and its last one, shortened.
TEST(TokenStream, TokensWithoutTextCountInCompletions) {
  const TokenStream s = stream_of(
      R"(data: {"choices":[{"text":"","index":0,"logprobs":null,"finish_reason":null}],)"
      R"("object":"text_completion"})"
      "\n\n"
      R"(data: {"choices":[{"text":" s","index":0,"logprobs":null,"finish_reason":null}]})"
      "\n\n"
      R"(data: {"choices":[{"text":"","index":0,"logprobs":null,"finish_reason":"length"}],)"
      R"("usage":{"completion_tokens":2,"prompt_tokens":7,"total_tokens":9,)"
      R"("prompt_tokens_details":{"cached_tokens":0}},"timings":{"cache_n":0,"prompt_n":7,)"
      R"("prompt_ms":1.226,"prompt_per_second":5709.624796084829,"predicted_n":2,)"
      R"("predicted_ms":1.193,"predicted_per_second":1676.4459346186084}})"
      "\n\ndata: [DONE]\n\n");
  EXPECT_EQ(s.arrivals.size(), 2u);
  EXPECT_EQ(s.completion_tokens, 2);
  EXPECT_EQ(s.cached_tokens, 0);
  // Its clock of two tokens starts when the first is there: one interval in 1.193 ms.
  EXPECT_NEAR(s.server_decode_ts.value(), 1000 / 1.193, 1e-9);
  EXPECT_TRUE(s.complete);
  const TokenStream chat =
      stream_of("data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n");
  EXPECT_TRUE(chat.arrivals.empty());
}

ProbeRow decode_row(double ts) {
  ProbeRow r;
  r.row.n_tokens = 64;
  r.row.tok_s = ts;
  r.samples = {ts};
  r.measures.itl = {0.01, 0.01};
  r.measures.tokens_per_chunk = 1;
  r.result = RowResult{};
  r.result->measured = ts;
  r.result->predicted = 100;
  r.result->low = 90;
  r.result->high = 110;
  r.result->error = 100 / ts - 1;
  r.result->inside = ts >= 90 && ts <= 110;
  r.result->speed_of_light = 125;
  r.causes = {{"a cause", "its figures"}, {"another", "with others"}};
  return r;
}

TEST(ProbeReading, NamesTheLikeliestCause) {
  EXPECT_THAT(likely_reading(decode_row(100)), HasSubstr("as predicted"));
  EXPECT_THAT(likely_reading(decode_row(100)), HasSubstr("80 % of the wall"));
  EXPECT_EQ(likely_reading(decode_row(50)), "50 % slower than predicted: a cause (its figures)");
  EXPECT_THAT(likely_reading(decode_row(120)), HasSubstr("20 % faster than predicted: a cause"));
  ProbeRow wide = decode_row(160);
  wide.result->inside = true;
  EXPECT_THAT(likely_reading(wide), HasSubstr("inside the band"));
  ProbeRow elsewhere = decode_row(50);
  elsewhere.measures.server_decode_ts = {98};
  EXPECT_THAT(likely_reading(elsewhere), HasSubstr("not by the server's own clock (98.00 tok/s)"));
  ProbeRow uneven = decode_row(100);
  uneven.measures.itl = {0.01, 0.01, 0.01, 0.09};
  EXPECT_THAT(likely_reading(uneven), HasSubstr("uneven"));
  ProbeRow burst = decode_row(100);
  burst.samples.clear();
  EXPECT_THAT(likely_reading(burst), HasSubstr("buffers"));
}

}  // namespace
}  // namespace bandwall
