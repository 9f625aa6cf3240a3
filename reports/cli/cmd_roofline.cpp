// bandwall roofline: ceilings of a machine and where a model's ops lie under them, as text or SVG.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "analysis/roofline.h"
#include "hwmodel/error.h"
#include "reports/cli/commands.h"
#include "reports/cli/common.h"
#include "reports/roofline_svg.h"
#include "reports/roofline_text.h"

namespace bandwall {
namespace {

std::string json(const Roofline& r, const std::string& title) {
  nlohmann::ordered_json ceilings = nlohmann::ordered_json::array(), points = ceilings;
  for (const RooflineCeiling& c : r.ceilings) {
    ceilings.push_back({{"name", c.name},
                        {"flops_per_second", c.rate.value()},
                        {"ridge_flops_per_byte", c.ridge.value()}});
  }
  for (const RooflinePoint& p : r.points) {
    points.push_back({{"name", p.name},
                      {"intensity_flops_per_byte", p.intensity.value()},
                      {"expected_flops_per_second", p.expected.value()},
                      {"attainable_flops_per_second", p.attainable.value()},
                      {"bound_by", name(p.bound)}});
  }
  return nlohmann::ordered_json{
             {"title", title},
             {"machine", r.machine},
             {"peak_bandwidth_bytes_per_second", r.peak_bandwidth.value()},
             {"achievable_bandwidth_bytes_per_second", r.achievable_bandwidth.value()},
             {"ceilings", ceilings},
             {"points", points}}
             .dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) +
         "\n";
}

int run_roofline(const Arguments& a) {
  const ModelChoice model = choose_model(model_argument(a), a.text("mix"));
  const Target target =
      choose_target(a.text("machine"), a.optional_text("backend"), a.optional_text("profile"));
  const KvConfig kv = kv_config(a);
  const std::int64_t depth = a.integer("n-depth", 0, 1 << 28);
  const std::int64_t n_prompt = a.integer("n-prompt", 0, 1 << 20);
  Step step{.sequences = a.integer("batch", 1, 1 << 16),
            .tokens_per_sequence = 1,
            .past = depth,
            .output_rows = 1};
  std::string label = "decode";
  if (n_prompt > 0) {
    step = {.sequences = 1, .tokens_per_sequence = n_prompt, .past = depth, .output_rows = 1};
    label = fmt::format("prefill {}", n_prompt);
  } else {
    step.output_rows = step.sequences;
    if (step.sequences > 1) label = fmt::format("decode x{}", step.sequences);
  }
  if (depth > 0) label += fmt::format(" @ d{}", depth);
  const Prediction p = predict(target.machine, target.backend, model.spec, kv, step,
                               expected_routing(model.spec, step));
  const Roofline r = roofline(target.machine, p, label);
  const std::string title = fmt::format("{} on {}, {}", model.title, target.machine.title, label);
  const std::string form = a.choice("output", {"text", "svg", "json"});
  const std::string out = form == "svg"
                              ? roofline_svg(r, {.title = title, .source = target.backend.title})
                          : form == "json" ? json(r, title)
                                           : title + "\n\n" + roofline_text(r);
  if (a.has("out")) {
    write_file(a.text("out"), out);
  } else {
    fmt::print("{}", out);
  }
  return kExitDone;
}

}  // namespace

CommandSpec command_roofline() {
  CommandSpec c{"roofline",
                "roofline MODEL --machine M [OPTIONS]",
                "ceilings of a machine and where the ops of a model lie, as text or SVG",
                0,
                1,
                {},
                run_roofline};
  c.options = {
      option_model(),
      option_mix(),
      {"machine,M", "NAME", "gb10", "a shipped machine, a YAML file, 'this', or several: 2xgb10"},
      {"backend", "NAME", "", "software stack; the machine's usual one when not given"},
      {"n-prompt,p", "N", "0", "a prefill step of N tokens instead of a decode step"},
      {"n-depth,d", "N", "0", "tokens already in the KV cache"},
      {"batch,B", "N", "1", "sequences decoded together"},
      option_kv_k(),
      option_kv_v(),
      option_profile(),
      {"out", "FILE", "", "write to a file instead of stdout"},
      option_output("text", "text, svg, json")};
  return c;
}

}  // namespace bandwall
