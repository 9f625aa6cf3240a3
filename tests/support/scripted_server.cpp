#include "tests/support/scripted_server.h"

#include <algorithm>
#include <chrono>
#include <sstream>

namespace bandwall::e2e {
namespace {

using Json = nlohmann::json;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::int64_t kOwnTokens = 3;

std::vector<std::string> words_of(const std::string& text) {
  std::istringstream in(text);
  return {std::istream_iterator<std::string>(in), {}};
}

Json chunk_of(Style style, bool chat, std::int64_t i) {
  const std::string text = style == Style::Pairs ? " a b" : " w" + std::to_string(i);
  Json choice = {{"index", 0}, {"finish_reason", nullptr}};
  if (style == Style::Thinking) {
    choice["delta"] = {{"reasoning_content", text}};
  } else if (chat) {
    choice["delta"] = {{"content", text}};
  } else {
    choice["text"] = text;
  }
  return {{"object", "chunk"}, {"choices", Json::array({choice})}};
}

struct Answer {
  Style style = Style::Bare;
  bool chat = false;
  std::int64_t prompt = 0, reused = 0, tokens = 0;

  std::vector<std::string> events() const {
    std::vector<std::string> all;
    const std::string end = style == Style::Bare ? "\r\n\r\n" : "\n\n";
    const auto add = [&](const Json& j) { all.push_back("data: " + j.dump() + end); };
    if (style == Style::Vllm && chat) {
      add({{"choices", Json::array({{{"delta", {{"role", "assistant"}, {"content", ""}}}}})}});
    }
    const std::int64_t per_chunk = style == Style::Pairs ? 2 : 1;
    for (std::int64_t i = 0; i < tokens; i += per_chunk) add(chunk_of(style, chat, i));
    Json last = {{"choices", Json::array({{{"index", 0}, {"finish_reason", "length"}}})}};
    const Json usage = {{"prompt_tokens", prompt}, {"completion_tokens", tokens}};
    if (style == Style::LlamaServer) {
      last["usage"] = usage;
      last["timings"] = {{"prompt_n", prompt - reused},
                         {"cache_n", reused},
                         {"prompt_per_second", 4321.5},
                         {"predicted_n", tokens},
                         {"predicted_per_second", 123.25}};
    }
    add(last);
    if (style == Style::Bare) return all;
    if (style != Style::LlamaServer) add({{"choices", Json::array()}, {"usage", usage}});
    all.push_back("data: [DONE]" + end);
    return all;
  }
};

}  // namespace

ScriptedServer::ScriptedServer(Script script) : script_(std::move(script)) {
  server_.Get("/v1/models", [this](const httplib::Request&, httplib::Response& res) {
    Json data = Json::array();
    for (const std::string& m : script_.models) {
      data.push_back({{"id", m},
                      {"owned_by", script_.style == Style::LlamaServer ? "llamacpp" : "vllm"},
                      {"meta", {{"size", 12100000000}}}});
    }
    res.set_content(Json{{"object", "list"}, {"data", data}}.dump(), "application/json");
  });
  if (script_.completions) {
    server_.Post("/v1/completions", [this](const httplib::Request& req, httplib::Response& res) {
      answer(req, res, false);
    });
  }
  server_.Post("/v1/chat/completions", [this](const httplib::Request& req, httplib::Response& res) {
    answer(req, res, true);
  });
  start();
}

ScriptedServer::ScriptedServer(
    std::function<void(const httplib::Request&, httplib::Response&)> post) {
  server_.Get("/v1/models", [](const httplib::Request&, httplib::Response& res) {
    res.set_content(R"({"data":[{"id":"tiny"}]})", "application/json");
  });
  server_.Post(".*", std::move(post));
  start();
}

ScriptedServer::~ScriptedServer() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    over_ = true;
  }
  changed_.notify_all();
  server_.stop();
  thread_.join();
}

void ScriptedServer::start() {
  server_.new_task_queue = [] { return new httplib::ThreadPool(32); };
  server_.set_tcp_nodelay(true);
  port_ = server_.bind_to_any_port("127.0.0.1");
  thread_ = std::thread([this] { server_.listen_after_bind(); });
  while (!server_.is_running()) std::this_thread::sleep_for(milliseconds(1));
}

std::vector<Json> ScriptedServer::requests() {
  const std::lock_guard<std::mutex> lock(mutex_);
  return requests_;
}

void ScriptedServer::wait_for_end() {
  std::unique_lock<std::mutex> lock(mutex_);
  changed_.wait_for(lock, seconds(60), [this] { return over_; });
}

std::size_t ScriptedServer::reused_words(const std::string& prompt) {
  const std::vector<std::string> words = words_of(prompt);
  std::size_t most = 0;
  for (const std::string& p : prompts_) {
    const std::vector<std::string> old = words_of(p);
    const auto [a, b] = std::mismatch(words.begin(), words.end(), old.begin(), old.end());
    most = std::max(most, static_cast<std::size_t>(a - words.begin()));
  }
  prompts_.push_back(prompt);
  return most;
}

void ScriptedServer::answer(const httplib::Request& req, httplib::Response& res, bool chat) {
  const std::string given = req.get_header_value("Authorization");
  if (!script_.key.empty() && given != "Bearer " + script_.key) {
    res.status = 401;
    res.set_content(R"({"error":"wrong key )" + given + "\"}", "application/json");
    return;
  }
  const Json body = Json::parse(req.body);
  if (script_.refuses_extras && body.contains("stream_options")) {
    res.status = 400;
    res.set_content(R"({"error":"unknown field stream_options"})", "application/json");
    return;
  }
  const std::string prompt =
      chat ? body["messages"][0]["content"].get<std::string>() : body["prompt"].get<std::string>();
  Answer a{script_.style, chat};
  const std::size_t words = words_of(prompt).size();
  a.prompt = static_cast<std::int64_t>(words) + kOwnTokens;
  a.tokens = body["max_tokens"].get<std::int64_t>();
  if (script_.one_at_a_time) one_.lock();  // until the answer is over: one thread serves it
  {
    std::unique_lock<std::mutex> lock(mutex_);
    requests_.push_back(body);
    if (script_.style == Style::LlamaServer && body.value("cache_prompt", true)) {
      a.reused = static_cast<std::int64_t>(reused_words(prompt));
    }
    most_ = std::max(most_.load(), ++active_);
    changed_.notify_all();
    if (script_.meet > 0 && words > 100) {
      changed_.wait_for(lock, seconds(20), [this] { return most_ >= script_.meet; });
    }
  }
  res.set_chunked_content_provider(
      "text/event-stream",
      [events = a.events(), at = std::size_t{0}](std::size_t, httplib::DataSink& sink) mutable {
        if (at == events.size()) {
          sink.done();
          return true;
        }
        const std::string& event = events[at++];
        std::this_thread::sleep_for(milliseconds(2));
        return sink.write(event.data(), event.size());
      },
      [this](bool) {
        if (script_.one_at_a_time) one_.unlock();
        const std::lock_guard<std::mutex> lock(mutex_);
        --active_;
      });
}

}  // namespace bandwall::e2e
