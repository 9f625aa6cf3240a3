// An OpenAI-compatible server that says what a test wants, on a free port of this machine.
//   ScriptedServer s({Style::Vllm});  run({"probe", "--url", s.url()});
// One word of a prompt is one token, and the server adds three of its own.
#pragma once

#include <httplib.h>

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

namespace bandwall::e2e {

enum class Style {
  LlamaServer,  // usage and timings in the last chunk; reuses prefixes and says so
  Vllm,         // usage in a chunk of its own, roles first
  Bare,         // no usage, no [DONE], CRLF
  Thinking,     // chat only: reasoning_content
  Pairs,        // two tokens per chunk
};

struct Script {
  Style style = Style::LlamaServer;
  bool completions = true;      // has /v1/completions
  bool refuses_extras = false;  // 400 for stream_options
  std::string key{};            // bearer token it wants; a refusal repeats the one it got
  std::vector<std::string> models = {"tiny"};
  std::size_t meet = 0;  // long prompts wait until so many are there
  bool one_at_a_time = false;
};

class ScriptedServer {
 public:
  explicit ScriptedServer(Script script);
  // Another answer for every POST.
  explicit ScriptedServer(std::function<void(const httplib::Request&, httplib::Response&)> post);
  ~ScriptedServer();
  std::string url() const { return "http://127.0.0.1:" + std::to_string(port_) + "/v1"; }
  std::size_t most_parallel() const { return most_; }
  std::vector<nlohmann::json> requests();
  void wait_for_end();  // for handlers that hang: returns when the test is over

 private:
  void start();
  void answer(const httplib::Request&, httplib::Response&, bool chat);
  std::size_t reused_words(const std::string& prompt);
  Script script_;
  httplib::Server server_;
  std::thread thread_;
  int port_ = 0;
  std::atomic<std::size_t> most_{0};
  std::size_t active_ = 0;
  bool over_ = false;
  std::mutex mutex_, one_;
  std::condition_variable changed_;
  std::vector<nlohmann::json> requests_;
  std::vector<std::string> prompts_;
};

}  // namespace bandwall::e2e
