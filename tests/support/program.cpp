#include "tests/support/program.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <stdexcept>

namespace bandwall::e2e {
namespace {

struct Folder {
  std::string path;
  Folder() {
    char name[] = "/tmp/bandwall-e2e-XXXXXX";
    if (mkdtemp(name) == nullptr) throw std::runtime_error("no temporary folder");
    path = name;
  }
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path, ignored);
  }
};

void redirect(const std::string& path, int fd) {
  if (path.empty()) return;
  close(fd);
  if (path == "closed") return;
  if (open(path.c_str(), O_WRONLY) != fd) _exit(126);
}

[[noreturn]] void child(const std::vector<std::string>& arguments, const RunOptions& options,
                        int in, int out, int err) {
  dup2(in, 0);
  dup2(out, 1);
  dup2(err, 2);
  for (const int fd : {in, out, err}) close(fd);
  const std::string home = folder();
  setenv("HOME", home.c_str(), 1);
  setenv("XDG_CONFIG_HOME", (home + "/config").c_str(), 1);
  setenv("XDG_CACHE_HOME", (home + "/cache").c_str(), 1);
  for (const std::string& e : options.environment) putenv(strdup(e.c_str()));
  std::vector<char*> argv = {const_cast<char*>(BANDWALL_PROGRAM)};
  for (const std::string& a : arguments) argv.push_back(const_cast<char*>(a.c_str()));
  argv.push_back(nullptr);
  if (options.address_space > 0) {
    const auto bytes = static_cast<rlim_t>(options.address_space);
    const rlimit limit{bytes, bytes};
    setrlimit(RLIMIT_AS, &limit);
  }
  redirect(options.stdout_to, 1);
  redirect(options.stderr_to, 2);
  execv(argv[0], argv.data());
  _exit(127);
}

// Reads both pipes until they close; sends SIGINT when asked to.
void collect(int pid, int out, int err, const RunOptions& options, Outcome& outcome) {
  const auto start = std::chrono::steady_clock::now();
  bool sent = false, out_open = true, err_open = true;
  while (out_open || err_open) {
    pollfd fds[2] = {{out_open ? out : -1, POLLIN, 0}, {err_open ? err : -1, POLLIN, 0}};
    poll(fds, 2, 20);
    char buffer[65536];
    const auto drain = [&](const pollfd& p, bool& open, std::string& text) {
      if (p.fd < 0 || p.revents == 0) return;
      const ssize_t n = read(p.fd, buffer, sizeof buffer);
      if (n > 0)
        text.append(buffer, static_cast<std::size_t>(n));
      else
        open = false;
    };
    drain(fds[0], out_open, outcome.out);
    drain(fds[1], err_open, outcome.err);
    const std::chrono::duration<double> past = std::chrono::steady_clock::now() - start;
    const bool due =
        (options.interrupt_after_seconds > 0 && past.count() > options.interrupt_after_seconds) ||
        (!options.interrupt_when.empty() &&
         outcome.out.find(options.interrupt_when) != std::string::npos);
    if (due && !sent) {
      kill(pid, SIGINT);
      sent = true;
    }
    if (past.count() > options.kill_after_seconds) kill(pid, SIGKILL);
  }
}

}  // namespace

std::string folder() {
  static const Folder only;
  return only.path;
}

std::string file(const std::string& name, const std::string& bytes) {
  const std::string path = folder() + "/" + name;
  std::ofstream(path, std::ios::binary) << bytes;
  return path;
}

Outcome run(const std::vector<std::string>& arguments, const RunOptions& options) {
  folder();
  int in[2], out[2], err[2];
  if (pipe(in) != 0 || pipe(out) != 0 || pipe(err) != 0) throw std::runtime_error("no pipe");
  const int pid = fork();
  if (pid == 0) {
    for (const int fd : {in[1], out[0], err[0]}) close(fd);
    child(arguments, options, in[0], out[1], err[1]);
  }
  close(in[0]);
  close(out[1]);
  close(err[1]);
  if (!options.stdin_text.empty() &&
      write(in[1], options.stdin_text.data(), options.stdin_text.size()) < 0) {
    throw std::runtime_error("stdin refused");
  }
  close(in[1]);
  Outcome outcome;
  collect(pid, out[0], err[0], options, outcome);
  close(out[0]);
  close(err[0]);
  int status = 0;
  rusage used{};
  wait4(pid, &status, 0, &used);
  outcome.peak_bytes = static_cast<std::int64_t>(used.ru_maxrss) * 1024;
  outcome.exit_code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  return outcome;
}

}  // namespace bandwall::e2e
