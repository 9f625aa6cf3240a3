#include "reports/cli/fit_train.h"

#include <fmt/format.h>

#include "analysis/training.h"
#include "hwmodel/error.h"
#include "reports/cli/fit_options.h"
#include "reports/training_report.h"

namespace bandwall {
namespace {

TrainOptions train_options(const Arguments& a, const Target& target) {
  TrainOptions o;
  o.mode = *train_mode_from_name(a.choice("train", {"full", "lora", "qlora"}));
  o.optimizer = *optimizer_from_name(a.choice("optimizer", {"adamw", "adamw8bit", "sgd"}));
  o.recompute = *recompute_from_name(a.choice("recompute", {"none", "selective", "full"}));
  o.sequence = a.integer("seq", 1, std::int64_t{1} << 30);
  o.batch = a.integer("batch", 1, 1 << 20);
  o.rank = a.integer("rank", 1, 1 << 16);
  if (o.mode == TrainMode::Full && a.has("rank")) {
    throw Error::input("--rank", "is of adapters; --train full has none");
  }
  if (target.backend.context_bytes) o.runtime_bytes = target.backend.context_bytes->value;
  return o;
}

}  // namespace

std::vector<OptionSpec> fit_train_options() {
  return {{"train", "MODE", "", "does fine-tuning fit? full, lora or qlora; with the five below"},
          {"optimizer", "NAME", "adamw", "adamw, adamw8bit, sgd"},
          {"seq", "N", "2048", "tokens per training sequence"},
          {"batch", "N", "1", "training sequences per step and device"},
          {"rank", "R", "16", "rank of the adapters of lora and qlora"},
          {"recompute", "HOW", "selective", "activations computed again: none, selective, full"}};
}

void check_train_options(const Arguments& a) {
  if (!a.has("train")) {
    for (const char* o : {"optimizer", "seq", "batch", "rank", "recompute"}) {
      if (a.has(o)) throw Error::input(std::string("--") + o, "goes with --train only");
    }
    return;
  }
  if (a.positional().size() > 1) throw Error::input("--train", "of one model at a time");
  for (const char* o : {"all",
                        "print",
                        "ctx-size",
                        "cache-type-k",
                        "cache-type-v",
                        "ubatch-size",
                        "parallel",
                        "engine",
                        "n-gpu-layers",
                        "n-cpu-moe",
                        "cpu-moe",
                        "override-tensor",
                        "tensor-split",
                        "split",
                        "draft",
                        "mmproj",
                        "mix",
                        "draft-max",
                        "kv-unified",
                        "flash-attn",
                        "swa-full",
                        "swa-f16",
                        "mla-off",
                        "cache-ram",
                        "host-memory",
                        "gpu-memory-utilization",
                        "free-gpu-memory-fraction"}) {
    if (!a.has(o)) continue;
    throw Error::input(
        std::string("--") + o,
        "is of inference and means nothing with --train, which has --seq and --batch");
  }
}

int fit_train(const Arguments& a, const std::string& model_text,
              const std::vector<Target>& targets) {
  if (targets.size() > 1) throw Error::input("--machine", "one at a time with --train");
  const Target& target = targets.front();
  const std::string form = a.choice("output", {"text", "md", "json"});
  const TrainOptions options = train_options(a, target);
  const ModelChoice model = choose_model(model_text);
  const TrainReport report = fit_training(target.machine, model.spec, options);
  // Training has formats of its own: a mix in the name would say otherwise.
  const std::string title =
      model.loaded ? model.title : model.title.substr(0, model.title.find(':'));
  fmt::print("{}", form == "json"
                       ? training_json(report, title, target.machine, options)
                       : training_text(report, title, target.machine, options, form == "md"));
  return exit_code(report.verdict);
}

}  // namespace bandwall
