// The one exception type and the one assertion of bandwall.
//   throw Error::input("model.gguf", "tensor blk.3.ffn_up_exps.weight: offset 17 is misaligned");
// Error: the user's or the world's fault; it carries one or more diagnostics, each "place: message"
// saying what is wrong and what to do. Input errors end in exit 2, failures in a run in exit 1.
// CHECK: our own bug; aborts with file, line and expression in every build.
// Answers ("does not fit") are return values, never errors.
#pragma once

#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace bandwall {

struct Diagnostic {
  std::string where;    // "file", "file:line:column" or "file: key.path"; may be empty
  std::string message;  // one sentence; names the field, the value and the way out
};

class Error : public std::runtime_error {
 public:
  enum class Kind { Input, Running };

  Error(Kind kind, std::vector<Diagnostic> diagnostics);
  static Error input(std::string where, std::string message);
  static Error running(std::string where, std::string message);

  Kind kind() const { return kind_; }
  const std::vector<Diagnostic>& diagnostics() const { return diagnostics_; }

 private:
  Kind kind_;
  std::vector<Diagnostic> diagnostics_;
};

// Throws Error (Input) with the first 20 of them and how many more there are.
[[noreturn]] void throw_problems(std::vector<Diagnostic> problems);

[[noreturn]] void check_failed(const char* file, int line, const char* expression);

}  // namespace bandwall

#define BANDWALL_CHECK(expression) \
  ((expression) ? (void)0 : ::bandwall::check_failed(__FILE__, __LINE__, #expression))
