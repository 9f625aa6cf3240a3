// The only main of the program: finds the command, parses, runs, and turns errors into one message
// and the right exit code. stdout carries data only; everything else goes to stderr.
#include <fmt/format.h>

#include <cstdio>
#include <exception>
#include <new>

#include "hwmodel/error.h"
#include "hwmodel/suggest.h"
#include "reports/cli/commands.h"
#include "reports/cli/common.h"
#include "reports/version.h"

namespace bandwall {
namespace {

int usage_error(const std::string& message) {
  fmt::print(stderr, "bandwall: {}\n", message);
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
    fmt::print(stderr, "{}", help_overview(commands));
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

}  // namespace
}  // namespace bandwall

int main(int argc, char** argv) {
  using namespace bandwall;
  try {
    install_interrupt();
    const int code = dispatch({argv + 1, argv + argc});
    if (std::fflush(stdout) != 0) {
      fmt::print(stderr, "bandwall: stdout cannot be written\n");
      return kExitFailed;
    }
    return code;
  } catch (const Interrupted&) {
    progress_done();
    fmt::print(stderr, "bandwall: interrupted\n");
    return kExitInterrupted;
  } catch (const Error& e) {
    progress_done();
    for (const Diagnostic& d : e.diagnostics()) {
      fmt::print(stderr, "bandwall: {}{}{}\n", d.where, d.where.empty() ? "" : ": ", d.message);
    }
    return e.kind() == Error::Kind::Input ? kExitInput : kExitFailed;
  } catch (const std::bad_alloc&) {
    progress_done();
    fmt::print(stderr, "bandwall: not enough memory\n");
    return kExitFailed;
  } catch (const std::exception& e) {
    progress_done();
    fmt::print(stderr, "bandwall: {}\n", e.what());
    return kExitFailed;
  }
}
