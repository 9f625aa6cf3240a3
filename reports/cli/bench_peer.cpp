#include "reports/cli/bench_peer.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "hwmodel/error.h"
#include "reports/cli/common.h"

extern char** environ;

namespace bandwall {
namespace {

struct Outcome {
  int status = 0;
  std::string out, err;
};

std::string drain(std::FILE* file) {
  std::rewind(file);
  std::string text;
  std::array<char, 65536> buffer{};
  constexpr std::size_t kMost = 16 << 20;
  std::size_t n = 0;
  while (text.size() < kMost && (n = std::fread(buffer.data(), 1, buffer.size(), file)) > 0) {
    text.append(buffer.data(), n);
  }
  return text;
}

// Output goes to unnamed temporary files, so neither stream can block the other.
Outcome run_program(const std::vector<std::string>& words) {
  struct Close {
    void operator()(std::FILE* f) const { std::fclose(f); }
  };
  const std::unique_ptr<std::FILE, Close> out(std::tmpfile()), err(std::tmpfile());
  if (!out || !err) {
    throw Error::running(words[0], fmt::format("no temporary file: {}", std::strerror(errno)));
  }
  std::vector<char*> argv;
  for (const std::string& w : words) argv.push_back(const_cast<char*>(w.c_str()));
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, fileno(out.get()), 1);
  posix_spawn_file_actions_adddup2(&actions, fileno(err.get()), 2);
  pid_t pid = 0;
  const int failed = posix_spawnp(&pid, argv[0], &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (failed != 0) {
    throw Error::running(words[0], fmt::format("cannot be started: {}", std::strerror(failed)));
  }
  int status = 0;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  if (interrupted()) throw Interrupted{};
  return {status, drain(out.get()), drain(err.get())};
}

std::string last_lines(const std::string& text) {
  constexpr std::size_t kMost = 600;
  return text.size() > kMost ? "..." + text.substr(text.size() - kMost) : text;
}

}  // namespace

BenchPeer::BenchPeer(std::string program, std::vector<std::string> extra)
    : program_(std::move(program)), extra_(std::move(extra)) {
  name_ = std::filesystem::path(program_).filename().string();
  if (program_.empty()) throw Error::input("--compare", "is empty; name a llama-bench program");
  const Outcome help = run_program({program_, "--help"});
  const std::string text = help.out + help.err;
  if (text.find("--n-prompt") == std::string::npos) {
    throw Error::input(program_, "its --help does not mention --n-prompt; this is no llama-bench");
  }
  knows_depth_ = text.find("--n-depth") != std::string::npos;
}

double BenchPeer::measure(const std::string& model_file, const BenchRow& row) const {
  std::vector<std::string> words = {program_, "-m", model_file, "-r", "1", "-o", "json"};
  const auto add = [&](const char* option, const std::string& value) {
    words.insert(words.end(), {option, value});
  };
  add("-t", std::to_string(row.threads));
  add("-ub", std::to_string(row.n_ubatch));
  add("-b", std::to_string(std::max(row.n_batch, row.n_ubatch)));
  add("-ctk", row.type_k);
  add("-ctv", row.type_v);
  add("-fa", "1");
  if (row.n_depth > 0 && !knows_depth_ && row.n_prompt > 0) {
    throw Error::input(program_, "cannot measure a prompt at a depth (it has no --n-depth)");
  }
  if (row.n_depth > 0 && !knows_depth_) {
    words.insert(words.end(),
                 {"-p", "0", "-n", "0", "-gp", fmt::format("{},{}", row.n_depth, row.n_gen)});
  } else if (row.n_prompt > 0 && row.n_gen > 0) {
    words.insert(words.end(),
                 {"-p", "0", "-n", "0", "-pg", fmt::format("{},{}", row.n_prompt, row.n_gen)});
  } else {
    add("-p", std::to_string(row.n_prompt));
    add("-n", std::to_string(row.n_gen));
  }
  if (row.n_depth > 0 && knows_depth_) add("-d", std::to_string(row.n_depth));
  words.insert(words.end(), extra_.begin(), extra_.end());
  const Outcome got = run_program(words);
  const auto fail = [&](const std::string& what) {
    return Error::running(program_, fmt::format("{}; it wrote: {}", what, last_lines(got.err)));
  };
  if (!WIFEXITED(got.status) || WEXITSTATUS(got.status) != 0) throw fail("did not end well");
  const auto rows = nlohmann::json::parse(got.out, nullptr, false);
  if (!rows.is_array() || rows.size() != 1 || !rows[0].contains("avg_ts") ||
      !rows[0]["avg_ts"].is_number()) {
    throw fail("gave no JSON row with avg_ts");
  }
  const double ts = rows[0]["avg_ts"].get<double>();
  if (!std::isfinite(ts) || ts <= 0) throw fail(fmt::format("gave {} tokens per second", ts));
  return ts;
}

}  // namespace bandwall
