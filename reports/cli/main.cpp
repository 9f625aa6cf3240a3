// The only main of the program: finds the command, parses, runs, and turns errors into one message
// and the right exit code. stdout carries data only; everything else goes to stderr.
#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <exception>
#include <new>
#include <system_error>

#include "hwmodel/error.h"
#include "hwmodel/suggest.h"
#include "reports/cli/commands.h"
#include "reports/cli/common.h"
#include "reports/cli/refused_memory.h"
#include "reports/version.h"
#include "runtime/host.h"

namespace bandwall {
namespace {

int usage_error(const std::string& message) {
  note("bandwall: " + message);
  return kExitInput;
}

int run_command(const CommandSpec& command, const std::vector<std::string>& words) {
  for (const std::string& w : words) {
    if (w == "--") break;
    if (w == "--help" || w == "-h" || w == "-help") {
      fmt::print("{}", help_text(command));
      return kExitDone;
    }
    if (w == "--help-json") {
      fmt::print("{}", help_json({command}));
      return kExitDone;
    }
  }
  return command.run(parse_arguments(command, words));
}

int dispatch(const std::vector<std::string>& words) {
  const std::vector<CommandSpec>& commands = all_commands();
  if (words.empty()) {
    std::fputs(help_overview(commands).c_str(), stderr);
    return kExitInput;
  }
  const std::string& first = words.front();
  if (first == "--help" || first == "-h" || first == "help") {
    fmt::print("{}", help_overview(commands));
    return kExitDone;
  }
  if (first == "--help-json") {
    fmt::print("{}", help_json(commands));
    return kExitDone;
  }
  if (first == "--version" || first == "version") {
    fmt::print("bandwall {}\n", version());
    return kExitDone;
  }
  std::vector<std::string> names;
  for (const CommandSpec& c : commands) {
    if (c.name == first) return run_command(c, {words.begin() + 1, words.end()});
    names.push_back(c.name);
  }
  const std::string near = suggest(first, names);
  return usage_error(fmt::format("unknown command '{}'{}; see bandwall --help", first,
                                 near.empty() ? "" : "; did you mean " + near + "?"));
}

// A closed stdin, stdout or stderr would give its number to the next file that is opened, and
// messages or data would land in that file. Opened for the wrong direction, it refuses them.
void occupy_standard_files() {
  for (int fd = 0; fd <= 2; ++fd) {
    if (fcntl(fd, F_GETFD) < 0) open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY);
  }
}

// A call that Ctrl-C cut short fails in its own way first; the user wants to hear of the Ctrl-C.
int failed(const std::vector<std::string>& lines, int code = kExitFailed) {
  progress_done();
  if (interrupted()) {
    note("bandwall: interrupted");
    return kExitInterrupted;
  }
  for (const std::string& line : lines) note("bandwall: " + line);
  return code;
}

// Whoever read our output has gone ("| head"): nothing failed, and nobody listens.
constexpr int kExitPipeClosed = 141;  // what shells report of programs that SIGPIPE ends
bool output_closed() {
  pollfd out{STDOUT_FILENO, POLLOUT, 0};
  return poll(&out, 1, 0) == 1 && (out.revents & POLLERR) != 0;
}

int out_of_memory() {
  try {
    return failed(
        {fmt::format("not enough memory: {} bytes cannot be had, {} is available; take a "
                     "smaller model or context (-c), or allow more (ulimit -v)",
                     refused_bytes(), available_memory())});
  } catch (const std::bad_alloc&) {  // not even for the message
    std::fputs("bandwall: not enough memory\n", stderr);
    return kExitFailed;
  }
}

}  // namespace
}  // namespace bandwall

int main(int argc, char** argv) {
  using namespace bandwall;
  try {
    occupy_standard_files();
    install_interrupt();
    const int code = dispatch({argv + std::min(argc, 1), argv + argc});
    if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0) {
      if (output_closed()) return kExitPipeClosed;
      return failed({"stdout cannot be written; the output is not complete"});
    }
    return code;
  } catch (const Interrupted&) {
    return failed({"interrupted"}, kExitInterrupted);
  } catch (const Error& e) {
    std::vector<std::string> lines;
    for (const Diagnostic& d : e.diagnostics()) {
      lines.push_back(fmt::format("{}{}{}", d.where, d.where.empty() ? "" : ": ", d.message));
    }
    return failed(lines, e.kind() == Error::Kind::Input ? kExitInput : kExitFailed);
  } catch (const std::bad_alloc&) {
    return out_of_memory();
  } catch (const std::system_error& e) {
    if (output_closed()) return kExitPipeClosed;
    return failed({std::string("stdout or a system call failed: ") + e.what()});
  } catch (const std::exception& e) {
    return failed({e.what()});
  }
}
