// Runs the shipped program as a user would: arguments in, exit code, stdout and stderr out.
//   Outcome o = run({"fit", "gpt-oss-20b", "--machine", "gb10", "-o", "json"});
// HOME and XDG folders point into a fresh temporary folder, so that no profile of the host is read.
#pragma once

#include <string>
#include <vector>

namespace bandwall::e2e {

struct Outcome {
  int exit_code = -1;  // 128 + signal when it was killed
  std::string out, err;
};

struct RunOptions {
  std::vector<std::string> environment;  // "NAME=value"
  std::string stdin_text;
  double interrupt_after_seconds = 0;  // SIGINT after that time; 0 = never
  std::string interrupt_when;          // SIGINT once stdout holds this text; empty = not used
};

Outcome run(const std::vector<std::string>& arguments, const RunOptions& options = {});

// A temporary folder of this test process, removed at exit; and a file in it.
std::string folder();
std::string file(const std::string& name, const std::string& bytes);

}  // namespace bandwall::e2e
