#include "reports/validation.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "configs/model_names.h"
#include "configs/row_names.h"
#include "configs/validation_rules.h"
#include "hwmodel/error.h"

namespace bandwall {
namespace {

// What rows share, looked up once.
class Lookup {
 public:
  explicit Lookup(const ValidationOptions& options) : options_(options) {}

  struct Place {
    const Machine* machine = nullptr;
    const Backend* backend = nullptr;
    KvConfig kv;
    std::int64_t n_ubatch = 512;
    std::string problem;
  };
  Place place_of(const Measurement& m) {
    Measurement asked = m;
    if (options_.at != nullptr) asked.device = machine_names().front();  // it plays no part
    if (options_.with != nullptr) asked.engine = asked.backend = options_.with->name;
    const bool here = options_.at == nullptr && m.device == "this";
    if (here && options_.host == nullptr) {
      Place unknown;
      unknown.problem = "this host is not calibrated: run bandwall calibrate";
      return unknown;
    }
    if (here) asked.device = machine_names().front();
    const std::string key = fmt::format("{}\n{}\n{}\n{}\n{}", asked.device, asked.engine,
                                        asked.backend, m.type_k, m.type_v);
    auto [found, is_new] = meanings_.try_emplace(key);
    if (is_new) found->second = meaning(asked);
    const RowMeaning& r = found->second;
    Place p{options_.at, options_.with, r.kv, r.n_ubatch, r.problem};
    if (!p.problem.empty()) return p;
    if (p.machine == nullptr) p.machine = here ? &options_.host->machine : machine(r.machine);
    // The machine's usual backend, also where the words name it: a profile has figures of its own.
    const Backend* usual = options_.otherwise;
    if (p.backend == nullptr && (r.backend.empty() || (usual && usual->name == r.backend))) {
      p.backend = usual;
    }
    if (p.backend == nullptr) p.backend = here ? &options_.host->backend : backend(r.backend);
    return p;
  }

  struct Weights {
    std::string shape;
    const ModelSpec* model = nullptr;
    std::string problem;
  };
  Weights weights_of_row(const Measurement& m, const std::string& backend) {
    if (options_.model != nullptr) return {options_.model->name, options_.model, ""};
    auto [shape, new_shape] = shapes_.try_emplace(m.model);
    if (new_shape) shape->second = shape_of_row(m.model);
    if (!shape->second) return {"", nullptr, "no shape is known of the model: " + m.model};
    Measurement asked = m;
    const std::size_t colon = m.model.rfind(':');
    if (asked.quant.empty() && colon != std::string::npos) asked.quant = m.model.substr(colon + 1);
    const std::string key =
        fmt::format("{}\n{}\n{}\n{}", shape->second->name, asked.quant, m.file_gib, backend);
    auto [found, is_new] = models_.try_emplace(key);
    if (is_new) {
      found->second = weights_of(asked, *shape->second, backend, row_names());
      // "qwen3:8b": what follows is no quantization but a part of the name.
      if (m.quant.empty() && found->second.problem.starts_with("no formats known")) {
        found->second = weights_of(m, *shape->second, backend, row_names());
      }
    }
    return {shape->second->name, &found->second.model, found->second.problem};
  }

 private:
  RowMeaning meaning(const Measurement& asked) {
    RowMeaning r = meaning_of(asked, row_names());
    const Backend* instead = options_.with != nullptr ? options_.with : options_.otherwise;
    if (instead != nullptr && r.problem.starts_with("no backend")) {
      Measurement kv_only = asked;
      kv_only.engine = kv_only.backend = backend_names().front();
      const std::int64_t n_ubatch = r.n_ubatch;
      r = meaning_of(kv_only, row_names());
      r.backend.clear();
      r.n_ubatch = n_ubatch;
    }
    return r;
  }
  const Machine* machine(const std::string& name) {
    auto [found, is_new] = machines_.try_emplace(name);
    if (is_new) found->second = load_machine(name);
    return &found->second;
  }
  const Backend* backend(const std::string& name) {
    auto [found, is_new] = backends_.try_emplace(name);
    if (is_new) found->second = load_backend(name);
    return &found->second;
  }

  const ValidationOptions& options_;
  std::map<std::string, RowMeaning> meanings_;
  std::map<std::string, Machine> machines_;
  std::map<std::string, Backend> backends_;
  std::map<std::string, std::optional<ModelShape>> shapes_;
  std::map<std::string, ModelMeaning> models_;
};

bool asked_for(const std::string& wanted, const std::string& name) {
  return wanted.empty() || wanted == name;
}

void check_one(const Measurement& m, const std::string& file, const ValidationOptions& options,
               Lookup& lookup, Validation& v, std::vector<RowInputs>& inputs) {
  const Lookup::Place place = lookup.place_of(m);
  if (!place.problem.empty()) {
    v.left.push_back({file, place.problem, m.line, false});
    return;
  }
  if (!asked_for(options.machine, place.machine->name) ||
      !asked_for(options.backend, place.backend->name)) {
    ++v.others;
    return;
  }
  const Lookup::Weights weights = lookup.weights_of_row(m, place.backend->name);
  if (!weights.problem.empty()) {
    v.left.push_back({file, weights.problem, m.line, false});
    return;
  }
  const RowInputs in{&m, place.machine, place.backend, weights.model, place.kv, place.n_ubatch};
  try {
    RowResult result = check_row(in);
    CheckedRow row{file, weights.shape, m, attributes_of(in, result, weights.shape), {}};
    row.of = classify(row.attributes, v.rules);
    v.rows.push_back(std::move(row));
    v.results.push_back(std::move(result));
    inputs.push_back(in);
  } catch (const Error& e) {
    v.left.push_back(
        {file, e.diagnostics().front().where + ": " + e.diagnostics().front().message, m.line});
  }
}

// The row of the same model, software and batch with the lowest depth.
ShallowRow shallow_of(std::size_t i, const std::vector<RowInputs>& inputs, const Validation& v) {
  ShallowRow best;
  const Measurement& m = *inputs[i].row;
  for (std::size_t k = 0; k < inputs.size(); ++k) {
    const Measurement& o = *inputs[k].row;
    const bool same = inputs[k].model == inputs[i].model &&
                      inputs[k].machine == inputs[i].machine && o.engine == m.engine &&
                      o.backend == m.backend && o.batch == m.batch && o.phase == m.phase &&
                      o.marks == m.marks;
    if (same && o.depth.value_or(0) < m.depth.value_or(0) &&
        (best.row == nullptr || o.depth.value_or(0) < best.row->depth.value_or(0))) {
      best = {&o, &v.results[k]};
    }
  }
  return best;
}

void summarize_classes(Validation& v) {
  std::vector<std::vector<std::size_t>> bars(v.rules.bars.size()), failing(v.rules.failing.size());
  std::vector<std::size_t> all, judged;
  for (std::size_t i = 0; i < v.rows.size(); ++i) {
    const RowClass& of = v.rows[i].of;
    all.push_back(i);
    if (of.failing < 0) judged.push_back(i);
    if (of.bar >= 0) bars[static_cast<std::size_t>(of.bar)].push_back(i);
    if (of.failing >= 0) failing[static_cast<std::size_t>(of.failing)].push_back(i);
  }
  v.all = summarize(v.results, all);
  v.judged = summarize(v.results, judged);
  for (std::size_t i = 0; i < bars.size(); ++i) {
    const ErrorSummary s = summarize(v.results, bars[i]);
    v.bars.push_back({s, s.n > 0 && meets(s, v.rules.bars[i])});
  }
  for (std::size_t i = 0; i < failing.size(); ++i) {
    const ErrorSummary s = summarize(v.results, failing[i]);
    const auto bar = std::find_if(v.rules.bars.begin(), v.rules.bars.end(),
                                  [&](const Bar& b) { return b.name == v.rules.failing[i].bar; });
    v.failing.push_back({s, s.n > 0 && bar != v.rules.bars.end() && meets(s, *bar)});
  }
}

}  // namespace

std::optional<ModelShape> shape_of_row(const std::string& model) {
  const std::string name = model.substr(0, model.rfind(':'));
  const std::vector<std::string> own = model_names();
  if (std::find(own.begin(), own.end(), name) != own.end()) return load_model_shape(name);
  const std::optional<std::string> shape = shape_named(model);
  return shape ? std::optional(load_model_shape(*shape)) : std::nullopt;
}

Validation validate_rows(const std::vector<MeasurementFile>& files,
                         const ValidationOptions& options) {
  Validation v;
  v.rules = options.rules != nullptr ? *options.rules : validation_rules();
  Lookup lookup(options);
  std::vector<RowInputs> inputs;
  for (const MeasurementFile& file : files) {
    v.files.push_back(file.name);
    v.read += file.rows.size();
    v.notes.insert(v.notes.end(), file.notes.begin(), file.notes.end());
    for (const SkippedRow& s : file.skipped) v.left.push_back({file.name, s.reason, s.line, true});
    for (const Measurement& m : file.rows) check_one(m, file.name, options, lookup, v, inputs);
  }
  for (std::size_t i = 0; options.explain && i < inputs.size(); ++i) {
    v.causes.push_back(likely_causes(inputs[i], v.results[i], shallow_of(i, inputs, v)));
  }
  summarize_classes(v);
  return v;
}

}  // namespace bandwall
