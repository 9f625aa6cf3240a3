#include "configs/settings.h"

#include <algorithm>
#include <vector>

#include <fmt/format.h>

#include "configs/library.h"
#include "configs/load.h"
#include "configs/yaml_tree.h"
#include "hwmodel/suggest.h"

namespace bandwall {
namespace {

// The part of `path` behind `key` and its dot; nullopt when the path does not begin so. Keys may
// hold dots themselves ("attention.latent"), so the path is matched, not split.
std::optional<std::string_view> behind(std::string_view path, std::string_view key) {
  if (path.substr(0, key.size()) != key) return std::nullopt;
  if (path.size() == key.size()) return std::string_view();
  if (path[key.size()] != '.') return std::nullopt;
  return path.substr(key.size() + 1);
}

std::string_view item_name(const YamlNode& item) {
  for (const YamlEntry& e : item.entries) {
    if (e.key == "name" || e.key == "numeric") return e.value.text;
  }
  return {};
}

struct Step {
  std::string_view key;
  YamlNode* node;
};
std::vector<Step> steps_from(YamlNode& node) {
  std::vector<Step> steps;
  for (YamlEntry& e : node.entries) steps.push_back({e.key, &e.value});
  for (YamlNode& item : node.items) {
    if (const std::string_view name = item_name(item); !name.empty())
      steps.push_back({name, &item});
  }
  return steps;
}

struct Place {
  YamlNode* node = nullptr;  // the deepest that the path reaches
  std::string_view rest;     // what is left of the path
};
Place find(YamlNode& root, std::string_view path) {
  Place place{&root, path};
  while (!place.rest.empty()) {
    Step best{{}, nullptr};
    for (const Step& s : steps_from(*place.node)) {
      const bool longer = best.node == nullptr || s.key.size() > best.key.size();
      if (longer && behind(place.rest, s.key)) best = s;
    }
    if (best.node == nullptr) break;
    place = {best.node, *behind(place.rest, best.key)};
  }
  return place;
}

YamlNode scalar(std::string_view text, bool quoted) {
  YamlNode node;
  node.kind = YamlNode::Kind::Scalar;
  node.text = text;
  node.quoted = quoted;
  return node;
}

void put(YamlNode& mapping, std::string_view key, YamlNode value) {
  for (YamlEntry& e : mapping.entries) {
    if (e.key != key) continue;
    e.value = std::move(value);
    return;
  }
  mapping.entries.push_back({std::string(key), mapping.at, std::move(value)});
}

// Plain numbers stay plain: figures without a unit are written so.
bool is_number(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789.+-eE") == std::string_view::npos;
}

// False when the node is no figure but a group of them.
bool set_value(YamlNode& node, std::string_view value) {
  const YamlNode text = scalar(value, !is_number(value));
  if (node.kind == YamlNode::Kind::Scalar) {
    node = text;
    return true;
  }
  for (const char* key : {"value", "rate"}) {
    for (YamlEntry& e : node.entries) {
      if (e.key != key) continue;
      e.value = text;
      put(node, "source", scalar("assumed", false));
      put(node, "note", scalar("set by hand", true));
      return true;
    }
  }
  return false;
}

[[noreturn]] void unknown(std::string_view path, const Place& place) {
  std::vector<std::string> names;
  for (const Step& s : steps_from(*place.node)) names.emplace_back(s.key);
  const std::string near = suggest(place.rest.substr(0, place.rest.find('.')), names);
  throw Error::input(fmt::format("--set {}", path),
                     fmt::format("{} {}; {}", place.rest.empty() ? path : place.rest,
                                 place.rest.empty() ? "is a group of figures" : "is unknown",
                                 near.empty() ? fmt::format("known: {}", fmt::join(names, ", "))
                                              : fmt::format("did you mean {}?", near)));
}

// What was not there before: the reader says whether there can be such a key.
YamlNode new_figure(std::string_view value) {
  YamlNode node;
  node.kind = YamlNode::Kind::Mapping;
  put(node, "value", scalar(value, !is_number(value)));
  put(node, "source", scalar("assumed", false));
  put(node, "note", scalar("set by hand", true));
  return node;
}

void put_in_group(YamlNode& root, std::string_view path, std::string_view value) {
  const std::size_t dot = path.find('.');
  if (dot == path.npos) return put(root, path, new_figure(value));
  YamlNode group;
  group.kind = YamlNode::Kind::Mapping;
  put(group, path.substr(dot + 1), new_figure(value));
  put(root, path.substr(0, dot), std::move(group));
}

std::string full_path(const Machine& machine, std::string_view path) {
  if (const auto rest = behind(path, "memory"); rest && !machine.pools.empty()) {
    return fmt::format("pools.{}.{}", machine.pools.front().name, *rest);
  }
  return std::string(path);
}
std::string full_path(const Backend&, std::string_view path) { return std::string(path); }

std::string written(const Machine& m) { return write_machine(m); }
std::string written(const Backend& b) { return write_backend(b); }
Machine read(Reader& root, const Machine&) { return read_machine(root); }
Backend read(Reader& root, const Backend&) { return read_backend(root); }

template <class T>
bool has(const T& thing, std::string_view path) {
  YamlTree tree = parse_yaml(written(thing), "figures");
  const std::string full = full_path(thing, path);
  return find(tree.root, full).rest.empty();
}

template <class T>
std::vector<std::string> groups(const T& thing) {
  YamlTree tree = parse_yaml(written(thing), "figures");
  std::vector<std::string> names;
  for (const YamlEntry& e : tree.root.entries) names.push_back(e.key);
  return names;
}

template <class T>
T with(const T& thing, std::string_view path, std::string_view value) {
  const std::string place = fmt::format("--set {}={}", path, value);
  const std::string full = full_path(thing, path);
  YamlTree tree = parse_yaml(written(thing), "figures");
  const Place found = find(tree.root, full);
  if (found.rest.empty()) {
    if (!set_value(*found.node, value)) unknown(path, found);
  } else if (found.node == &tree.root) {
    put_in_group(tree.root, found.rest, value);
  } else if (found.node->kind == YamlNode::Kind::Mapping) {
    put(*found.node, found.rest, new_figure(value));
  } else {
    unknown(path, found);
  }
  try {
    Document document = Document::of(std::move(tree), "figures");
    Reader root = document.root();
    root.integer("schema", -1'000'000, 1'000'000);
    T result = read(root, thing);
    document.finish();
    return result;
  } catch (const Error& e) {
    throw Error::input(place, e.diagnostics().front().message);
  }
}

}  // namespace

Machine with_figure(const Machine& machine, std::string_view path, std::string_view value) {
  return with(machine, path, value);
}
Backend with_figure(const Backend& backend, std::string_view path, std::string_view value) {
  return with(backend, path, value);
}
bool has_figure(const Machine& machine, std::string_view path) { return has(machine, path); }
bool has_figure(const Backend& backend, std::string_view path) { return has(backend, path); }
std::vector<std::string> figure_groups(const Machine& machine) { return groups(machine); }
std::vector<std::string> figure_groups(const Backend& backend) {
  std::vector<std::string> names = groups(backend);
  for (const char* name :
       {"stream", "kv_stream", "kv_elements", "gemm", "attention_rate", "op_seconds",
        "cached_op_seconds", "batch_op_seconds", "activation_stream", "layer_seconds",
        "step_seconds", "overlap", "routing_concentration"}) {
    if (std::find(names.begin(), names.end(), name) == names.end()) names.emplace_back(name);
  }
  return names;
}

}  // namespace bandwall
