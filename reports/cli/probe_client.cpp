#include "reports/cli/probe_client.h"

#include <fmt/format.h>
#include <httplib.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <chrono>
#include <exception>
#include <future>
#include <memory>
#include <optional>

#include "hwmodel/error.h"
#include "reports/cli/common.h"

namespace bandwall {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kMostBody = 16 << 20;     // of an answer that is read whole
constexpr std::size_t kMostStream = 256 << 20;  // of an event stream
constexpr std::size_t kMostExcerpt = 2000;

Seconds since(Clock::time_point start) {
  return Seconds(std::chrono::duration<double>(Clock::now() - start).count());
}

// One request: what it is sent with, and what came back so far.
class Call {
 public:
  Call(const std::string& host, int port, Seconds timeout) : client_(host, port) {
    const auto limit = std::chrono::microseconds(
        std::max<std::int64_t>(1, static_cast<std::int64_t>(timeout.value() * 1e6)));
    client_.set_connection_timeout(
        std::min<std::chrono::microseconds>(limit, std::chrono::seconds(10)));
    client_.set_read_timeout(limit);
    client_.set_write_timeout(limit);
    client_.set_tcp_nodelay(true);  // head and body leave in two writes
    client_.set_follow_location(false);
    client_.set_decompress(false);
  }

  httplib::Request request;
  ProbeClient::Answer answer;

  void give_up() {
    given_up_ = true;
    client_.stop();  // ends a read that waits
  }

  // Empty when an answer came, whatever its status; else what went wrong.
  std::string perform(Clock::time_point start) {
    const bool whole = request.method == "GET";
    request.response_handler = [&](const httplib::Response& response) {
      answer.status = response.status;
      answer.place = response.get_header_value("Location");
      answer.streamed =
          response.get_header_value("Content-Type").find("text/event-stream") != std::string::npos;
      return !given_up_;
    };
    request.content_receiver = [&](const char* data, std::size_t n, std::uint64_t, std::uint64_t) {
      if (given_up_) return false;
      try {
        return take({data, n}, whole, since(start));
      } catch (...) {  // not through the library's frames
        failure_ = std::current_exception();
        return false;
      }
    };
    answer.tokens.sent = since(start);
    httplib::Response response;
    httplib::Error error = httplib::Error::Success;
    const bool arrived = client_.send(request, response, error);
    if (failure_) std::rethrow_exception(failure_);
    if (arrived && answer.streamed && answer.status == 200) reader_.finish(since(start));
    answer.tokens.stream = reader_.result();
    if (arrived || enough_) return "";
    return what_failed(error);
  }

 private:
  bool take(std::string_view bytes, bool whole, Seconds now) {
    received_ += bytes.size();
    if (answer.status == 200 && answer.streamed && !whole) {
      if (received_ > kMostStream) {
        throw Error::running("event stream", fmt::format("is longer than {} bytes", kMostStream));
      }
      reader_.feed(bytes, now);
      return true;
    }
    const std::size_t most = whole && answer.status == 200 ? kMostBody : kMostExcerpt;
    answer.body += bytes.substr(0, most - std::min(most, answer.body.size()));
    enough_ = received_ > most;
    return !enough_;
  }

  std::string what_failed(httplib::Error error) const {
    switch (error) {
      case httplib::Error::Connection:
        return "no connection: refused, unreachable, or the name is not known; is the server "
               "running, and is this its port?";
      case httplib::Error::ConnectionTimeout:
        return "no connection within the time-out; is the machine up, does a firewall drop it?";
      case httplib::Error::Write:
        return "the connection broke while the request was sent";
      default:
        break;
    }
    const std::size_t tokens = answer.tokens.stream.arrivals.size();
    if (answer.status == 0) return "the server closed the connection without an HTTP answer";
    return fmt::format(
        "the answer broke off after {} bytes and {} tokens: the server ended early; "
        "its log says why",
        received_, tokens);
  }

  httplib::Client client_;
  TokenStreamReader reader_;
  std::size_t received_ = 0;
  bool enough_ = false;
  std::atomic<bool> given_up_{false};
  std::exception_ptr failure_;
};

// Waits until every call is done; those that are not at the deadline are given up.
bool wait_for_all(std::vector<std::future<std::string>>& done,
                  std::vector<std::unique_ptr<Call>>& calls, Clock::time_point deadline) {
  bool in_time = true;
  for (std::size_t i = 0; i < done.size(); ++i) {
    while (done[i].wait_for(std::chrono::milliseconds(20)) != std::future_status::ready) {
      if (Clock::now() >= deadline) in_time = false;
      if (in_time && !interrupted()) continue;
      for (std::size_t k = i; k < calls.size(); ++k) calls[k]->give_up();
    }
  }
  return in_time;
}

}  // namespace

ProbeClient::ProbeClient(const std::string& url, std::string key, Seconds timeout)
    : key_(std::move(key)), timeout_(timeout) {
  const auto refuse_url = [](const std::string& why) {
    throw Error::input("--url", why + ": give http://HOST:PORT/v1");
  };
  if (url.empty()) refuse_url("is missing");
  const std::size_t scheme = url.find("://");
  if (scheme == url.npos) refuse_url(fmt::format("'{}' has no scheme", url));
  if (url.substr(0, scheme) == "https") {
    throw Error::input("--url",
                       "https is not supported: give http://, on the server's own machine or "
                       "through a tunnel (ssh -L 8001:HOST:PORT) or a local proxy");
  }
  if (url.substr(0, scheme) != "http") {
    refuse_url(fmt::format("scheme '{}' is not http", url.substr(0, scheme)));
  }
  const bool clean = std::all_of(url.begin(), url.end(), [](unsigned char c) {
    return c > 0x20 && c < 0x7f && c != '?' && c != '#';
  });
  if (!clean) refuse_url("holds blanks, control characters, a query or a fragment");
  const std::string rest = url.substr(scheme + 3);
  const std::size_t slash = rest.find('/');
  std::string server = rest.substr(0, slash);
  base_ = slash == rest.npos ? "" : rest.substr(slash);
  while (base_.ends_with('/')) base_.pop_back();
  if (base_.empty()) base_ = "/v1";
  if (server.find('@') != server.npos) {
    throw Error::input("--url", "holds a user or password; give a key with --api-key instead");
  }
  const std::size_t bracket = server.rfind(']');
  const std::size_t colon = server.rfind(':');
  if (colon != server.npos && (bracket == server.npos || colon > bracket)) {
    const std::string digits = server.substr(colon + 1);
    const auto [stop, status] =
        std::from_chars(digits.data(), digits.data() + digits.size(), port_);
    if (status != std::errc() || stop != digits.data() + digits.size() || port_ < 1 ||
        port_ > 65535) {
      refuse_url(fmt::format("'{}' is no port", digits));
    }
    server.resize(colon);
  }
  host_ = server.starts_with('[') && server.ends_with(']') ? server.substr(1, server.size() - 2)
                                                           : server;
  if (host_.empty()) refuse_url(fmt::format("'{}' names no host", url));
  shown_ = fmt::format("http://{}:{}{}", server, port_, base_);
  const bool sendable =
      std::all_of(key_.begin(), key_.end(), [](unsigned char c) { return c > 0x20 && c < 0x7f; });
  if (!sendable) throw Error::input("--api-key", "holds blanks or characters beyond ASCII");
}

std::vector<ProbeClient::Answer> ProbeClient::together(const std::string& path,
                                                       const std::vector<std::string>& bodies,
                                                       bool post) const {
  std::vector<std::unique_ptr<Call>> calls;
  for (const std::string& body : bodies) {
    calls.push_back(std::make_unique<Call>(host_, port_, timeout_));
    httplib::Request& r = calls.back()->request;
    r.method = post ? "POST" : "GET";
    r.path = base_ + path;
    r.headers = {{"Accept", post ? "text/event-stream" : "application/json"},
                 {"Accept-Encoding", "identity"},
                 {"Connection", "close"},
                 {"User-Agent", "bandwall-probe"}};
    if (post) r.headers.emplace("Content-Type", "application/json");
    if (!key_.empty()) r.headers.emplace("Authorization", "Bearer " + key_);
    r.body = body;
  }
  const Clock::time_point start = Clock::now();
  const auto limit =
      std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(timeout_.value()));
  std::vector<std::future<std::string>> done;
  for (const auto& call : calls) {
    done.push_back(
        std::async(std::launch::async, [&c = *call, start] { return c.perform(start); }));
  }
  const bool in_time = wait_for_all(done, calls, start + limit);
  std::vector<Answer> answers;
  std::optional<Error> failed;
  for (std::size_t i = 0; i < calls.size(); ++i) {
    try {
      const std::string problem = done[i].get();
      if (!problem.empty() && !failed) failed = Error::running(shown_ + path, problem);
    } catch (const Error& e) {
      if (!failed) failed = e;
    }
    answers.push_back(std::move(calls[i]->answer));
  }
  if (interrupted()) throw Interrupted{};
  // A read that waits as long as the whole request ends by itself at the same moment.
  if (!in_time || (failed && since(start) >= timeout_)) {
    const auto late =
        std::find_if(answers.begin(), answers.end(), [](const Answer& a) { return a.status == 0; });
    throw Error::running(
        shown_ + path,
        fmt::format("{} within {} s; is the server hanging, still loading, or is the request "
                    "longer than --timeout allows?",
                    late != answers.end() ? "no answer" : "the answer did not end",
                    timeout_.value()));
  }
  if (failed) throw Error(*failed);
  return answers;
}

ProbeClient::Answer ProbeClient::get(const std::string& path) const {
  return together(path, {""}, false).front();
}

std::vector<ProbeClient::Answer> ProbeClient::post_together(
    const std::string& path, const std::vector<std::string>& bodies) const {
  std::vector<Answer> answers = together(path, bodies, true);
  for (const Answer& a : answers) {
    if (a.status != 200 || !a.streamed) continue;
    const TokenStream& s = a.tokens.stream;
    if (!s.complete) {
      throw Error::running(
          shown_ + path,
          fmt::format("the stream ended early, after {} tokens, without a finish "
                      "reason; the server's log says why{}",
                      s.arrivals.size(), s.arrivals.empty() ? ", or --url lacks its /v1" : ""));
    }
  }
  return answers;
}

void ProbeClient::refuse(const std::string& path, const Answer& a) const {
  std::string body = a.body.substr(0, 300);
  for (std::size_t at = 0; !key_.empty() && (at = body.find(key_, at)) != body.npos;) {
    body.replace(at, key_.size(), "***");
  }
  if (!body.empty()) body = ": " + body;
  const std::string where = shown_ + path;
  if (a.status >= 300 && a.status < 400) {
    throw Error::running(
        where, fmt::format("HTTP {}, moved to '{}'; give that place as --url", a.status, a.place));
  }
  if (a.status == 401 || a.status == 403) {
    throw Error::running(where,
                         fmt::format("HTTP {}: the server wants another key; give --api-key or set "
                                     "BANDWALL_API_KEY{}",
                                     a.status, body));
  }
  if (a.status == 404) {
    throw Error::running(where,
                         "HTTP 404: no such path or model; --url usually ends in /v1, and "
                         "--model must be one that the server lists" +
                             body);
  }
  if (a.status == 200) {
    throw Error::running(where,
                         "the answer is no event stream; is --url the address of an OpenAI API "
                         "that can stream?" +
                             body);
  }
  if (a.status == 429 || a.status == 503) {
    throw Error::running(where, fmt::format("HTTP {}: the server is busy or still loading; try "
                                            "again later{}",
                                            a.status, body));
  }
  throw Error::running(where,
                       fmt::format("HTTP {}: the server refuses the request{}", a.status, body));
}

}  // namespace bandwall
