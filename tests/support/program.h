// Runs the shipped program as a user would: arguments in, exit code, stdout and stderr out.
//   Outcome o = run({"fit", "gpt-oss-20b", "--machine", "gb10", "-o", "json"});
// HOME and XDG folders point into a fresh temporary folder, so that no profile of the host is read.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace bandwall::e2e {

struct Outcome {
  int exit_code = -1;  // 128 + signal when it was killed
  std::string out, err;
  std::int64_t peak_bytes = 0;  // largest resident set
};

struct RunOptions {
  std::vector<std::string> environment;  // "NAME=value"
  std::string stdin_text;
  double interrupt_after_seconds = 0;  // SIGINT after that time; 0 = never
  std::string interrupt_when;          // SIGINT once stdout holds this text; empty = not used
  std::string stdout_to;               // a path instead of the collected text; "closed" closes it
  std::string stderr_to;               // the same for stderr
  std::int64_t address_space = 0;      // RLIMIT_AS in bytes; 0 = no limit
  double kill_after_seconds = 120;     // a hang ends as exit code 137
};

Outcome run(const std::vector<std::string>& arguments, const RunOptions& options = {});

// A temporary folder of this test process, removed at exit; and a file in it.
std::string folder();
std::string file(const std::string& name, const std::string& bytes);

}  // namespace bandwall::e2e
