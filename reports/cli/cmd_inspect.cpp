// bandwall inspect: metadata, tensors, and bytes per role and per expert of a model.
#include <fmt/format.h>

#include <map>
#include <nlohmann/json.hpp>

#include "hwmodel/error.h"
#include "reports/cli/commands.h"
#include "reports/cli/common.h"
#include "reports/table.h"
#include "runtime/synthetic_model.h"
#include "workload/mix.h"

namespace bandwall {
namespace {

struct RoleSum {
  std::int64_t tensors = 0, values = 0, bytes = 0;
  std::map<std::string, std::int64_t> formats;  // bytes by format
};

std::map<Role, RoleSum> by_role(const ModelSpec& spec) {
  std::map<Role, RoleSum> sums;
  for (const TensorSpec& t : spec.tensors) {
    RoleSum& s = sums[t.role];
    ++s.tensors;
    s.values += t.values();
    s.bytes += t.bytes;
    s.formats[std::string(name(t.format))] += t.bytes;
  }
  return sums;
}

// Bytes of one routed expert in one layer: its gate, up and down matrices (and biases).
std::optional<std::int64_t> bytes_per_expert(const ModelSpec& spec) {
  if (spec.hyper.experts == 0) return std::nullopt;
  std::map<int, std::int64_t> layers;
  for (const TensorSpec& t : spec.tensors) {
    if (t.role == Role::ExpertGate || t.role == Role::ExpertUp || t.role == Role::ExpertDown) {
      layers[t.layer] += t.bytes;
    }
  }
  if (layers.empty()) return std::nullopt;
  return layers.begin()->second / spec.hyper.experts;
}

// A value on one line, arrays shortened; untrusted text is made printable.
std::string shown(const GgufValue& v) {
  if (const auto s = v.as_string()) return printable(*s);
  if (const auto b = v.as_bool()) return *b ? "true" : "false";
  if (const auto i = v.as_int()) return std::to_string(*i);
  if (const auto d = v.as_double()) return fmt::format("{:g}", *d);
  return fmt::format("array of {} values", v.size());
}

// The GGUF file that a mix by rule gives: its header and its tensors, each padded to 32 bytes.
// Header of a shape: without a vocabulary.
struct MadeFile {
  std::int64_t header = 0, tensors = 0;
  bool vocabulary = false;
};
std::optional<MadeFile> made_file(const ModelChoice& m) {
  if (m.loaded || find_mix(m.spec.quantization) == nullptr) return std::nullopt;
  constexpr std::int64_t kAlignment = 32;
  MadeFile file;
  for (const TensorSpec& t : m.spec.tensors) {
    if (static_cast<std::uint32_t>(t.format) >= 1000) return std::nullopt;  // no format of GGUF
    file.tensors += (t.bytes + kAlignment - 1) / kAlignment * kAlignment;
  }
  file.vocabulary = m.header_bytes > 0;
  file.header = file.vocabulary ? m.header_bytes : synthetic_bytes(m.spec, {}) - file.tensors;
  return file;
}

std::string dims_text(const TensorSpec& t) {
  std::string text;
  for (int i = 0; i < t.n_dims; ++i) text += fmt::format("{}{}", i > 0 ? " x " : "", t.dims[i]);
  return text;
}

std::string format_list(const RoleSum& s) {
  std::string text;
  for (const auto& [format, n] : s.formats) text += (text.empty() ? "" : " ") + format;
  return text;
}

void print_text(const ModelChoice& model, bool tensors) {
  const ModelSpec& spec = model.spec;
  fmt::print("{}: architecture {}, {} parameters, {}\n", model.title, spec.architecture,
             spec.parameters(), gb_and_gib(bytes(spec.weight_bytes())));
  if (!spec.bytes_note.empty()) fmt::print("{}\n", spec.bytes_note);
  if (const auto file = made_file(model)) {
    fmt::print("as a GGUF file: {} bytes of tensors, padded, and {} of header{}\n", file->tensors,
               file->header, file->vocabulary ? "" : " without a vocabulary");
  }
  if (model.loaded) {
    for (const GgufFile& f : model.loaded->files()) {
      fmt::print(
          "\n{}: GGUF version {}, {} values, {} tensors, header {} bytes, file {} bytes, computed "
          "{} bytes ({})\n",
          printable(f.file_name), f.version, f.values.size(), f.tensors.size(), f.header_bytes,
          f.file_bytes, f.computed_bytes, f.size_matches() ? "equal" : "different");
      Table table({{"key"}, {"value"}});
      for (const auto& [key, value] : f.values) table.add({printable(key), shown(value)});
      fmt::print("{}", table.text());
    }
  }
  Table roles({{"role"},
               {"tensors", Align::Right},
               {"values", Align::Right},
               {"bytes", Align::Right},
               {"GB", Align::Right},
               {"formats"}});
  for (const auto& [role, s] : by_role(spec)) {
    roles.add({std::string(name(role)), std::to_string(s.tensors), std::to_string(s.values),
               std::to_string(s.bytes), fmt::format("{:.3f}", static_cast<double>(s.bytes) / kGiga),
               format_list(s)});
  }
  fmt::print("\n{}", roles.text());
  if (const auto b = bytes_per_expert(spec)) {
    fmt::print("\none expert of one layer: {} bytes; {} of {} experts per token\n", *b,
               spec.hyper.experts_used, spec.hyper.experts);
  }
  if (!tensors) return;
  Table list({{"tensor"}, {"role"}, {"dims"}, {"format"}, {"bytes", Align::Right}});
  for (const TensorSpec& t : spec.tensors) {
    list.add({printable(t.name), std::string(name(t.role)), dims_text(t),
              std::string(name(t.format)), std::to_string(t.bytes)});
  }
  fmt::print("\n{}", list.text());
}

void print_json(const ModelChoice& model) {
  using Json = nlohmann::ordered_json;
  const ModelSpec& spec = model.spec;
  Json roles = Json::object(), tensors = Json::array(), files = Json::array();
  for (const auto& [role, s] : by_role(spec)) {
    roles[std::string(name(role))] = {
        {"tensors", s.tensors}, {"values", s.values}, {"bytes", s.bytes}, {"formats", s.formats}};
  }
  for (const TensorSpec& t : spec.tensors) {
    tensors.push_back({{"name", t.name},
                       {"role", name(t.role)},
                       {"layer", t.layer},
                       {"format", name(t.format)},
                       {"dims", std::vector<std::int64_t>(t.dims, t.dims + t.n_dims)},
                       {"bytes", t.bytes}});
  }
  if (model.loaded) {
    for (const GgufFile& f : model.loaded->files()) {
      Json values = Json::object();
      for (const auto& [key, value] : f.values) values[std::string(key)] = shown(value);
      files.push_back({{"file", f.file_name},
                       {"version", f.version},
                       {"alignment", f.alignment},
                       {"header_bytes", f.header_bytes},
                       {"file_bytes", f.file_bytes},
                       {"computed_bytes", f.computed_bytes},
                       {"values", values}});
    }
  }
  const auto expert = bytes_per_expert(spec);
  Json made = nullptr;
  if (const auto file = made_file(model)) {
    made = {{"file_bytes", file->header + file->tensors},
            {"header_bytes", file->header},
            {"tensor_bytes", file->tensors},
            {"vocabulary", file->vocabulary}};
  }
  fmt::print("{}\n", Json{{"model", model.title},
                          {"architecture", spec.architecture},
                          {"parameters", spec.parameters()},
                          {"weight_bytes", spec.weight_bytes()},
                          {"bytes_per_expert", expert ? Json(*expert) : Json(nullptr)},
                          {"experts", spec.hyper.experts},
                          {"experts_used", spec.hyper.experts_used},
                          {"roles", roles},
                          {"quantization", spec.quantization},
                          {"bytes_note", spec.bytes_note},
                          {"gguf", made},
                          {"files", files},
                          {"tensors", tensors}}
                         .dump(2, ' ', false, Json::error_handler_t::replace));
}

int run_inspect(const Arguments& a) {
  const ModelChoice model = choose_model(model_argument(a), a.text("mix"));
  if (a.choice("output", {"text", "json"}) == "json")
    print_json(model);
  else
    print_text(model, a.on("tensors"));
  return kExitDone;
}

}  // namespace

CommandSpec command_inspect() {
  return {"inspect",
          "inspect MODEL [--mix MIX] [OPTIONS]",
          "metadata, tensors, bytes per role and per expert of any model, as it is or as a mix",
          0,
          1,
          {option_model(),
           option_mix(),
           {"tensors", "", "", "list every tensor"},
           option_output("text", "text, json")},
          run_inspect};
}

}  // namespace bandwall
