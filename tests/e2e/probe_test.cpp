// bandwall probe against servers that a test writes: good streams of several kinds, and everything
// that can go wrong between a client and a server.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <set>
#include <sstream>

#include "tests/support/program.h"
#include "tests/support/scripted_server.h"

namespace bandwall::e2e {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using Json = nlohmann::json;

Outcome probe(const std::string& url, std::vector<std::string> more = {}) {
  std::vector<std::string> words = {"probe", "--url", url, "-n", "8", "-r", "2"};
  if (std::find(more.begin(), more.end(), "-p") == more.end()) {
    words.insert(words.end(), {"-p", "40"});
  }
  words.insert(words.end(), more.begin(), more.end());
  return run(words);
}

Json rows(const Outcome& o) {
  EXPECT_EQ(o.exit_code, 0) << o.err;
  return Json::parse(o.out, nullptr, false);
}

void expect_failure(const Outcome& o, int code, const std::string& what) {
  EXPECT_EQ(o.exit_code, code) << o.out << o.err;
  EXPECT_THAT(o.err, HasSubstr(what));
  EXPECT_EQ(o.out, "");
  EXPECT_EQ(std::count(o.err.begin(), o.err.end(), '\n'), 1) << o.err;
}

Outcome probe_of(const std::string& body, const std::string& type = "text/event-stream",
                 int status = 200, std::vector<std::string> more = {}) {
  ScriptedServer server([&](const httplib::Request&, httplib::Response& res) {
    res.status = status;
    res.set_content(body, type.c_str());
  });
  return probe(server.url(), std::move(more));
}

TEST(Probe, LlamaServerGivesCountsTimingsAndTheShareOfTheWall) {
  ScriptedServer server(Script{Style::LlamaServer});
  const Json all = rows(probe(
      server.url(), {"-p", "40,100", "-o", "json", "--machine", "gb10", "--shape", "gpt-oss-20b"}));
  ASSERT_EQ(all.size(), 4u);
  const Json& pp = all[0];
  EXPECT_EQ(pp["n_prompt"], 40);  // the server's own three tokens are part of them
  EXPECT_EQ(pp["n_gen"], 0);
  EXPECT_EQ(pp["server"], "llama.cpp");
  EXPECT_EQ(pp["endpoint"], "/completions");
  EXPECT_EQ(pp["server_ts"], 4321.5);
  EXPECT_GT(pp["ttft_ms"], 0);
  EXPECT_EQ(pp["samples_ts"].size(), 2u);
  EXPECT_GT(pp["pred_ts_speed_of_light"], pp["pred_ts"]);
  const Json& tg = all[1];
  EXPECT_EQ(tg["n_gen"], 8);
  EXPECT_EQ(tg["n_depth"], 40);
  EXPECT_EQ(tg["server_ts"], 123.25 * 7 / 8);  // eight tokens in seven intervals
  EXPECT_EQ(tg["tokens_from"], "usage");
  EXPECT_GT(tg["itl_ms"], 0);
  EXPECT_LE(tg["itl_ms"], tg["itl_p95_ms"]);
  const double ts = tg["median_ts"], light = tg["pred_ts_speed_of_light"];
  EXPECT_NEAR(tg["of_speed_of_light"], ts / light, 1e-3);
  EXPECT_EQ(all[2]["n_prompt"], 100);
}

TEST(Probe, NoPromptIsSentTwice) {
  ScriptedServer server(Script{Style::Vllm});
  ASSERT_EQ(probe(server.url()).exit_code, 0);
  ASSERT_EQ(probe(server.url()).exit_code, 0);  // nor in another run
  std::set<std::string> prompts;
  const std::vector<Json> requests = server.requests();
  for (const Json& r : requests) prompts.insert(r["prompt"].get<std::string>().substr(0, 40));
  EXPECT_EQ(prompts.size(), requests.size());
}

TEST(Probe, TextTellsTheServerAndThatNothingIsPredictedWithoutAMachine) {
  ScriptedServer server(Script{Style::Vllm});
  const Outcome o = probe(server.url());
  EXPECT_EQ(o.exit_code, 0) << o.err;
  EXPECT_THAT(o.out, HasSubstr("(vLLM), /completions"));
  EXPECT_THAT(o.out, HasSubstr("tg8 @ d40"));
  EXPECT_THAT(o.out, HasSubstr("--machine"));
}

TEST(Probe, ChatWithThinkingWhereThereAreNoCompletions) {
  Script script{Style::Thinking};
  script.completions = false;
  ScriptedServer server(script);
  const Json all = rows(probe(server.url(), {"-o", "json"}));
  EXPECT_EQ(all[1]["endpoint"], "/chat/completions");
  EXPECT_EQ(all[1]["n_gen"], 8);
  EXPECT_GT(all[1]["median_ts"], 0);
}

TEST(Probe, ShortChatsMayShowNothingYet) {
  // The first three tokens open a channel and are not shown.
  ScriptedServer server([](const httplib::Request& req, httplib::Response& res) {
    const Json body = Json::parse(req.body);
    const int n = body["max_tokens"].get<int>();
    std::string text = "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\"}}]}\n\n";
    for (int i = 3; i < n; ++i) {
      text += "data: {\"choices\":[{\"delta\":{\"reasoning_content\":\" a\"}}]}\n\n";
    }
    text +=
        "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"length\"}],\"usage\":"
        "{\"prompt_tokens\":" +
        std::to_string(n) + ",\"completion_tokens\":" + std::to_string(n) +
        "}}\n\ndata: [DONE]\n\n";
    res.set_content(text, "text/event-stream");
  });
  const Outcome o = probe(server.url(), {"--endpoint", "chat", "-n", "30"});
  EXPECT_EQ(o.exit_code, 0) << o.err;
  EXPECT_THAT(o.out, HasSubstr("% more tokens than chunks"));
  expect_failure(probe(server.url(), {"--endpoint", "chat", "-n", "3"}), 1, "no token");
}

TEST(Probe, RolesThatComeFirstAreNoTokens) {
  ScriptedServer server(Script{Style::Vllm});
  const Json all = rows(probe(server.url(), {"-o", "json", "--endpoint", "chat"}));
  EXPECT_EQ(all[1]["tokens_per_chunk"], 1.0);
}

TEST(Probe, WithoutUsageChunksAreCountedAndItSaysSo) {
  ScriptedServer server(Script{Style::Bare});
  const Json all = rows(probe(server.url(), {"-o", "json"}));
  EXPECT_EQ(all[1]["tokens_from"], "chunks");
  EXPECT_EQ(all[1]["n_gen"], 8);
  EXPECT_TRUE(all[0]["samples_ts"].empty());
  EXPECT_THAT(all[1]["notes"].dump(), HasSubstr("counted by chunks"));
}

TEST(Probe, SeveralTokensPerChunkAreCountedByUsage) {
  ScriptedServer server(Script{Style::Pairs});
  const Json all = rows(probe(server.url(), {"-o", "json", "-n", "16"}));
  EXPECT_EQ(all[1]["n_gen"], 16);
  EXPECT_NEAR(all[1]["tokens_per_chunk"], 15.0 / 7, 1e-3);
  EXPECT_THAT(all[1]["reading"], HasSubstr("speculative decoding"));
}

TEST(Probe, ConcurrentRequestsAreReallyThereAtTheSameTime) {
  Script script{Style::Vllm};
  script.meet = 4;
  ScriptedServer server(script);
  const Json all = rows(probe(server.url(), {"-o", "json", "-p", "128", "-c", "4", "-n", "24"}));
  EXPECT_GE(server.most_parallel(), 4u);  // more: ends of the round before
  EXPECT_EQ(all[1]["n_batch_sequences"], 4);
  EXPECT_EQ(all[0]["n_prompt"], 128);
}

// One stream is predicted for, and a server of another kind than the backend is told.
TEST(Probe, APredictionForOtherSoftwareSaysSo) {
  ScriptedServer server(Script{Style::Vllm});
  const Json all = rows(probe(
      server.url(), {"-o", "json", "-c", "1,2", "--machine", "gb10", "--shape", "gpt-oss-20b"}));
  EXPECT_THAT(all[0]["notes"].dump(), HasSubstr("the server is vLLM"));
  EXPECT_TRUE(all[0].contains("pred_ts"));
  EXPECT_FALSE(all[2].contains("pred_ts"));
  EXPECT_TRUE(all[3].contains("pred_ts"));
}

TEST(Probe, AServerThatAnswersOneAfterTheOtherIsFoundOut) {
  Script script{Style::Vllm};
  script.one_at_a_time = true;
  ScriptedServer server(script);
  const Json all = rows(probe(server.url(), {"-o", "json", "-c", "3", "-n", "40"}));
  EXPECT_THAT(all[1]["reading"], HasSubstr("did not overlap"));
}

TEST(Probe, DepthIsWhatTheServerSaysThatItReused) {
  ScriptedServer llama(Script{Style::LlamaServer});
  const Json all = rows(probe(llama.url(), {"-o", "json", "-d", "64", "-p", "32", "--seed", "5"}));
  EXPECT_EQ(all[0]["n_depth"], 61);  // words; the server's own tokens count as evaluated
  EXPECT_EQ(all[0]["n_prompt"], 35);
  EXPECT_EQ(all[1]["n_depth"], 96);
  ScriptedServer vllm(Script{Style::Vllm});
  const Json silent = rows(probe(vllm.url(), {"-o", "json", "-d", "64", "-p", "32"}));
  EXPECT_TRUE(silent[0]["samples_ts"].empty());
  EXPECT_THAT(silent[0]["reading"], HasSubstr("cache"));
  EXPECT_EQ(silent[1]["n_depth"], 96);
}

TEST(Probe, CsvIsReadByValidate) {
  ScriptedServer server(Script{Style::LlamaServer});
  const Outcome o =
      probe(server.url(), {"-o", "csv", "--machine", "gb10", "--shape", "gpt-oss-20b"});
  EXPECT_EQ(o.exit_code, 0) << o.err;
  EXPECT_THAT(o.out, ::testing::StartsWith(
                         "device,engine,backend,model,model_file_gib,quant,phase,n_tokens,depth,"
                         "batch,ubatch,kv_type,flash_attn,tok_s,source\ngb10,\"llama.cpp"));
  EXPECT_THAT(o.out, HasSubstr(",tg,8,40,1,,f16,,"));  // the server's micro-batch is not known
  const Outcome read = run({"validate", file("probe.csv", o.out)});
  EXPECT_THAT(read.out, HasSubstr("2 predicted, 0 without a prediction, 0 lines skipped"));
}

TEST(Probe, AServerThatTakesNoExtraFieldsIsAskedWithoutThem) {
  Script script{Style::Vllm};
  script.refuses_extras = true;
  ScriptedServer server(script);
  const Outcome o = probe(server.url());
  EXPECT_EQ(o.exit_code, 0) << o.err;
  EXPECT_THAT(o.out, HasSubstr("neither stream_options nor ignore_eos"));
}

TEST(Probe, TheKeyIsSentAndNeverShown) {
  Script script{Style::Vllm};
  script.key = "sk-right";
  ScriptedServer server(script);
  RunOptions environment;
  environment.environment = {"BANDWALL_API_KEY=sk-right"};
  EXPECT_EQ(run({"probe", "--url", server.url(), "-n", "4", "-r", "1"}, environment).exit_code, 0);
  const Outcome good = probe(server.url(), {"--api-key", "sk-right", "-o", "json"});
  EXPECT_EQ(good.exit_code, 0) << good.err;
  EXPECT_THAT(good.out + good.err, Not(HasSubstr("sk-right")));
  const Outcome bad = probe(server.url(), {"--api-key", "sk-wrong"});
  expect_failure(bad, 1, "HTTP 401");
  EXPECT_THAT(bad.err, HasSubstr("BANDWALL_API_KEY"));
  EXPECT_THAT(bad.err, Not(HasSubstr("sk-wrong")));
  expect_failure(probe(server.url(), {"--api-key", "a\r\nHost: b"}), 2, "--api-key");
}

TEST(Probe, ModelsAreNamedWhereThereAreSeveral) {
  Script script{Style::Vllm};
  script.models = {"one", "two"};
  ScriptedServer server(script);
  expect_failure(probe(server.url()), 2, "one, two");
  EXPECT_THAT(probe(server.url(), {"--model", "two"}).out, HasSubstr("two at http"));
  script.models = {};
  ScriptedServer none(script);
  expect_failure(probe(none.url()), 2, "lists no model");
}

TEST(Probe, TheShapeFollowsTheServersModel) {
  Script script{Style::Vllm};
  script.models = {"unsloth/gpt-oss-20b-GGUF"};
  ScriptedServer server(script);
  const Outcome o = probe(server.url(), {"--machine", "gb10"});
  EXPECT_THAT(o.out, HasSubstr("predicted: gpt-oss-20b:"));
  script.models = {"nobody-knows"};
  ScriptedServer other(script);
  expect_failure(probe(other.url(), {"--machine", "gb10"}), 2, "--shape");
}

TEST(Probe, TheQuantizationFollowsTheServersModelToo) {
  Script script{Style::Vllm};
  script.models = {"/models/Qwen3-30B-A3B-Q3_K_M.gguf"};
  ScriptedServer server(script);
  const Outcome o = probe(server.url(), {"--machine", "gb10"});
  EXPECT_THAT(o.out, HasSubstr("predicted: qwen3-30b-a3b:Q3_K_M"));
}

TEST(Probe, AnotherModelThanTheOneAskedForIsTold) {
  ScriptedServer server(Script{Style::LlamaServer});
  const Outcome o = probe(server.url(), {"--model", "nosuch"});
  EXPECT_EQ(o.exit_code, 0) << o.err;
  EXPECT_THAT(o.out, HasSubstr("does not list 'nosuch' but 'tiny'"));
}

TEST(Probe, AddressesThatCannotBeUsed) {
  expect_failure(probe("127.0.0.1:8001/v1"), 2, "has no scheme");
  expect_failure(probe("ftp://127.0.0.1/v1"), 2, "'ftp' is not http");
  expect_failure(probe("https://127.0.0.1/v1"), 2, "tunnel");
  expect_failure(probe("http://127.0.0.1:99999/v1"), 2, "no port");
  expect_failure(probe("http://:80/v1"), 2, "names no host");
  expect_failure(probe("http://me:secret@h/v1"), 2, "--api-key");
  expect_failure(probe("http://h/v1?a=b"), 2, "a query");
  expect_failure(probe(""), 2, "is missing");
}

TEST(Probe, NobodyListens) {
  expect_failure(probe("http://127.0.0.1:1/v1"), 1, "no connection");
  expect_failure(probe("http://no-such-name.invalid/v1"), 1, "no connection");
}

TEST(Probe, RefusalsCarryStatusBodyAndAWayOut) {
  expect_failure(probe_of("no such model", "text/plain", 404), 1, "HTTP 404");
  expect_failure(probe_of("out of memory\n\x1b[31m", "text/plain", 500), 1, "out of memory");
  expect_failure(probe_of("{\"error\":\"loading\"}", "application/json", 503), 1, "still loading");
  expect_failure(probe_of("<html>hello</html>", "text/html"), 1, "no event stream");
  expect_failure(probe_of(std::string(100000, 'x'), "text/plain", 500), 1, "HTTP 500");
  ScriptedServer moved([](const httplib::Request&, httplib::Response& res) {
    res.set_redirect("http://elsewhere/v1", 308);
  });
  expect_failure(probe(moved.url()), 1, "moved to 'http://elsewhere/v1'");
}

TEST(Probe, StreamsThatGoWrong) {
  expect_failure(probe_of("data: hello\n\n"), 1, "no JSON object");
  expect_failure(probe_of("data: [1]\n\n"), 1, "no JSON object");
  expect_failure(probe_of(""), 1, "ended early");
  expect_failure(probe_of("data: [DONE]\n\n"), 1, "no token");
  expect_failure(probe_of("data: {\"choices\":[{\"text\":\" a\"}]}\n\n"), 1,
                 "ended early, after 1 tokens");
  expect_failure(probe_of("data: {\"error\":{\"message\":\"cuda\"}}\n\n"), 1, "cuda");
  expect_failure(probe_of(std::string(5 << 20, 'a')), 1, "longer than");
  expect_failure(probe_of("data: {\"choices\":[{\"text\":7,\"finish_reason\":[]}],\"usage\":"
                          "{\"prompt_tokens\":-1e300}}\n\n"),
                 1, "no token");
}

TEST(Probe, AConnectionThatIsCutOff) {
  ScriptedServer server([](const httplib::Request&, httplib::Response& res) {
    res.set_chunked_content_provider("text/event-stream", [n = 0](std::size_t, auto& sink) mutable {
      const std::string event = "data: {\"choices\":[{\"text\":\" a\"}]}\n\n";
      sink.write(event.data(), event.size());
      return ++n < 3;
    });
  });
  expect_failure(probe(server.url()), 1, "early");
}

TEST(Probe, WhatWasMeasuredBeforeAServerEndsIsPrinted) {
  const std::string full =
      "data: {\"choices\":[{\"text\":\" a\"}]}\n\ndata: {\"choices\":[{\"text\":\" b\","
      "\"finish_reason\":\"length\"}]}\n\ndata: [DONE]\n\n";
  ScriptedServer server([n = 0, &full](const httplib::Request&, httplib::Response& res) mutable {
    // Contact, two lengths, the first test's warm-up and repetitions; then it fails.
    res.status = ++n <= 6 ? 200 : 500;
    res.set_content(full, "text/event-stream");
  });
  const Outcome o = probe(server.url(), {"-p", "40,80", "-o", "json"});
  EXPECT_EQ(o.exit_code, 1);
  EXPECT_THAT(o.err, HasSubstr("HTTP 500"));
  const Json all = Json::parse(o.out, nullptr, false);
  ASSERT_EQ(all.size(), 2u) << o.out;
  EXPECT_THAT(all[1]["notes"].dump(), HasSubstr("stopped before all tests were done"));
  EXPECT_THAT(all[1]["notes"].dump(), HasSubstr("ended before 8 tokens"));
}

TEST(Probe, AHangingServerEndsWithinTheTimeOut) {
  ScriptedServer* self = nullptr;
  ScriptedServer server([&](const httplib::Request&, httplib::Response&) { self->wait_for_end(); });
  self = &server;
  const auto start = std::chrono::steady_clock::now();
  expect_failure(probe(server.url(), {"--timeout", "0.5"}), 1, "no answer within 0.5 s");
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(30));
}

TEST(Probe, AServerThatDripsForeverEndsWithinTheTimeOut) {
  ScriptedServer server([](const httplib::Request&, httplib::Response& res) {
    res.set_chunked_content_provider("text/event-stream", [](std::size_t, auto& sink) {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      return sink.write(": still here\n\n", 14);
    });
  });
  expect_failure(probe(server.url(), {"--timeout", "0.5"}), 1, "did not end within 0.5 s");
}

TEST(Probe, CtrlCEndsAWait) {
  ScriptedServer* self = nullptr;
  ScriptedServer server([&](const httplib::Request&, httplib::Response&) { self->wait_for_end(); });
  self = &server;
  RunOptions options;
  options.interrupt_after_seconds = 0.5;
  const Outcome o = run({"probe", "--url", server.url()}, options);
  EXPECT_EQ(o.exit_code, 130) << o.err;
}

TEST(Probe, OptionsThatContradictAreRefusedBeforeAnythingIsSent) {
  ScriptedServer server(Script{});
  expect_failure(probe(server.url(), {"--shape", "gpt-oss-20b"}), 2, "--machine");
  expect_failure(probe(server.url(), {"--machine", "gb10", "--mix", "Q4_K_M"}), 2, "--shape");
  expect_failure(probe(server.url(), {"--timeout", "0"}), 2, "--timeout");
  expect_failure(probe(server.url(), {"-n", "1"}), 2, "--n-gen");
  expect_failure(probe(server.url(), {"-c", "0"}), 2, "--concurrency");
  EXPECT_TRUE(server.requests().empty());
}

std::string on_path(const std::string& program) {
  const char* path = std::getenv("PATH");
  std::istringstream folders(path != nullptr ? path : "");
  for (std::string folder; std::getline(folders, folder, ':');) {
    const std::string file = folder + "/" + program;
    if (access(file.c_str(), X_OK) == 0) return file;
  }
  return "";
}

int free_port() {
  const int s = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  const bool bound = bind(s, reinterpret_cast<sockaddr*>(&address), size) == 0 &&
                     getsockname(s, reinterpret_cast<sockaddr*>(&address), &size) == 0;
  close(s);
  return bound ? ntohs(address.sin_port) : 0;
}

TEST(Probe, ARealLlamaServer) {
  const std::string program = on_path("llama-server");
  if (program.empty()) GTEST_SKIP() << "no llama-server on PATH";
  const std::string port = std::to_string(free_port());
  const std::string model = std::string(BANDWALL_SOURCE_DIR) + "/configs/demo/demo.gguf";
  const int pid = fork();
  if (pid == 0) {
    const std::string log = folder() + "/llama-server.log";
    if (freopen(log.c_str(), "w", stdout) == nullptr || dup2(1, 2) < 0) _exit(126);
    execl(program.c_str(), "llama-server", "-m", model.c_str(), "--host", "127.0.0.1", "--port",
          port.c_str(), "-c", "1024", "-np", "2", nullptr);
    _exit(127);
  }
  const std::string url = "http://127.0.0.1:" + port + "/v1";
  Outcome o;
  for (int i = 0; i < 100; ++i) {  // until it has loaded
    o = run({"probe", "--url", url, "-p", "64", "-n", "16", "-r", "2", "-c", "1,2", "-o", "json"});
    if (o.exit_code == 0) break;
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
  }
  kill(pid, SIGTERM);
  waitpid(pid, nullptr, 0);
  const Json all = rows(o);
  ASSERT_EQ(all.size(), 4u);
  EXPECT_EQ(all[0]["server"], "llama.cpp");
  EXPECT_EQ(all[0]["prompt_tokens_from"], "usage");
  EXPECT_GT(all[0]["server_ts"], 0);
  EXPECT_GT(all[1]["median_ts"], 0);
}

}  // namespace
}  // namespace bandwall::e2e
