#include "hwmodel/error.h"

#include <cstdio>
#include <cstdlib>

namespace bandwall {
namespace {

std::string join(const std::vector<Diagnostic>& diagnostics) {
  std::string text;
  for (const Diagnostic& d : diagnostics) {
    if (!text.empty()) text += '\n';
    text += d.where.empty() ? d.message : d.where + ": " + d.message;
  }
  return text;
}

}  // namespace

Error::Error(Kind kind, std::vector<Diagnostic> diagnostics)
    : std::runtime_error(join(diagnostics)), kind_(kind), diagnostics_(std::move(diagnostics)) {}

Error Error::input(std::string where, std::string message) {
  return Error(Kind::Input, {{std::move(where), std::move(message)}});
}

Error Error::running(std::string where, std::string message) {
  return Error(Kind::Running, {{std::move(where), std::move(message)}});
}

void throw_problems(std::vector<Diagnostic> problems) {
  constexpr std::size_t kMost = 20;
  if (problems.size() > kMost) {
    const std::size_t more = problems.size() - kMost;
    problems.resize(kMost);
    problems.push_back({problems.front().where, "and " + std::to_string(more) + " more problems"});
  }
  throw Error(Error::Kind::Input, std::move(problems));
}

void check_failed(const char* file, int line, const char* expression) {
  std::fprintf(stderr, "%s:%d: bug in bandwall: CHECK(%s) failed; please report it\n", file, line,
               expression);
  std::abort();
}

}  // namespace bandwall
