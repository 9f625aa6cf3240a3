// The one place with network code: HTTP requests to an OpenAI-compatible server.
//   ProbeClient c("http://127.0.0.1:8001/v1", key, Seconds(300));
//   c.get("/models");   c.post_together("/completions", bodies);
// Every request ends within the time-out, connecting included (looking up a host name excepted), or
// is given up on Ctrl-C (Interrupted). Throws Error: Input for an address that cannot be used,
// Running for whatever the server or the network does. No redirect is followed; the key is sent as
// a bearer token and never shown, not even where the server repeats it.
#pragma once

#include <string>
#include <vector>

#include "hwmodel/units.h"
#include "reports/probe_stats.h"

namespace bandwall {

class ProbeClient {
 public:
  ProbeClient(const std::string& url, std::string key, Seconds timeout);

  struct Answer {
    int status = 0;
    std::string body;   // whole for get(), else the beginning of what was no event stream
    std::string place;  // of a redirect
    bool streamed = false;
    ProbeAnswer tokens;  // seconds since the requests were started
  };
  Answer get(const std::string& path) const;
  // All at once, each on a connection and thread of its own; in the order of the bodies.
  std::vector<Answer> post_together(const std::string& path,
                                    const std::vector<std::string>& bodies) const;

  // The address as it was understood, without trailing slashes.
  const std::string& shown() const { return shown_; }

  // The Error for an answer that is none: status, beginning of the body, what to do.
  [[noreturn]] void refuse(const std::string& path, const Answer& answer) const;

 private:
  std::vector<Answer> together(const std::string& path, const std::vector<std::string>& bodies,
                               bool post) const;
  std::string host_, base_, shown_, key_;
  int port_ = 80;
  Seconds timeout_;
};

}  // namespace bandwall
