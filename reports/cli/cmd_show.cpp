// bandwall show: every figure of a shipped machine, backend or model with its source.
#include <fmt/format.h>

#include "hwmodel/error.h"
#include "hwmodel/suggest.h"
#include "reports/cli/commands.h"
#include "reports/cli/common.h"
#include "reports/cli/model_store.h"
#include "workload/mix.h"

namespace bandwall {
namespace {

const std::vector<ConfigText>& texts_of(const std::string& kind) {
  if (kind == "machine") return shipped_machines();
  if (kind == "backend") return shipped_backends();
  if (kind == "model") return shipped_models();
  throw Error::input("show", fmt::format("'{}' is none of machine, backend, model", kind));
}

// "machines/gb10.yaml" -> "gb10"
std::string stem(std::string_view file_name) {
  const std::size_t slash = file_name.rfind('/');
  if (slash != std::string_view::npos) file_name.remove_prefix(slash + 1);
  return std::string(file_name.substr(0, file_name.rfind(".yaml")));
}

// The shape of a model of any place as a file of the user's own.
std::string shape_text(const std::string& model) {
  const ModelSpec spec = choose_model(model).spec;
  ModelShape shape;
  shape.name = spec.name;
  shape.architecture = spec.architecture;
  shape.hyper = spec.hyper;
  shape.default_mix = find_mix(spec.quantization) != nullptr ? spec.quantization : "Q4_K_M";
  shape.published_parameters = spec.parameters();
  return write_model_shape(shape, "read from " + model);
}

int run_show(const Arguments& a) {
  const std::vector<ConfigText>& texts = texts_of(a.positional()[0]);
  std::vector<std::string> names;
  for (const ConfigText& t : texts) names.push_back(stem(t.file_name));
  if (a.positional().size() == 1) {
    for (const std::string& n : names) fmt::print("{}\n", n);
    return kExitDone;
  }
  const std::string& wanted = a.positional()[1];
  if (wanted == "this" && a.positional()[0] != "model") {
    const std::string path = a.has("profile") ? a.text("profile") : default_profile_path();
    if (path.empty()) throw Error::input("this", "no profile; run 'bandwall calibrate' first");
    fmt::print("{}", read_file(path, 1 << 20));
    return kExitDone;
  }
  for (std::size_t i = 0; i < texts.size(); ++i) {
    if (names[i] == wanted) {
      fmt::print("{}", texts[i].text);
      return kExitDone;
    }
  }
  if (a.positional()[0] == "model" && find_model(wanted).kind != ModelPlace::Kind::Shape) {
    fmt::print("{}", shape_text(wanted));
    return kExitDone;
  }
  const std::string near = suggest(wanted, names);
  throw Error::input("show", fmt::format("unknown {} '{}'{}; known: {}", a.positional()[0], wanted,
                                         near.empty() ? "" : "; did you mean " + near + "?",
                                         fmt::join(names, ", ")));
}

}  // namespace

CommandSpec command_show() {
  return {"show",
          "show machine|backend|model [NAME]",
          "figures of a shipped machine, backend or model, each with its source",
          1,
          2,
          {option_profile()},
          run_show};
}

}  // namespace bandwall
