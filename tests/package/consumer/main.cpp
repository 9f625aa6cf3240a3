// Asks the installed libraries the first question of every user: does it fit?
#include <cstdio>

#include "analysis/fit.h"
#include "configs/library.h"

int main() {
  using namespace bandwall;
  FitOptions options;
  options.context = 4096;
  options.kv = {kv_format_from_name("f16"), kv_format_from_name("f16")};
  const ModelSpec model = model_from_shape(load_model_shape("gpt-oss-20b"), "MXFP4_MOE");
  const FitReport report = fit(load_machine("gb10"), model, options);
  std::printf("%s\n", std::string(name(report.verdict)).c_str());
  return report.verdict == Verdict::Fits ? 0 : 1;
}
