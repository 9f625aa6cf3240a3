#include "configs/reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>
#include <type_traits>

#include "configs/yaml_tree.h"
#include "hwmodel/error.h"
#include "hwmodel/suggest.h"

namespace bandwall {
namespace {

constexpr std::size_t kMostProblems = 50;
constexpr const char* kFigureForm =
    "a figure is {value: ..., source: datasheet|measured|derived|assumed, note: \"...\"}";

std::string shown(std::string_view text) {
  return fmt::format("\"{}{}\"", text.substr(0, 60), text.size() > 60 ? "..." : "");
}

std::string_view kind_text(YamlNode::Kind kind) {
  switch (kind) {
    case YamlNode::Kind::Null: return "nothing";
    case YamlNode::Kind::Scalar: return "a single value";
    case YamlNode::Kind::Sequence: return "a list";
    case YamlNode::Kind::Mapping: return "a mapping";
  }
  return "nothing";
}

// Largest value that later arithmetic is sure to survive: sizes stay whole as 64-bit counts.
template <class Q>
double largest() {
  if constexpr (std::is_same_v<Q, Bytes>) return 1e15;
  if constexpr (std::is_same_v<Q, Seconds>) return 1e6;
  return 1e21;
}

}  // namespace

struct Document::Impl {
  std::string file_name;
  YamlTree tree;
  std::vector<YamlProblem> problems;
  std::map<const YamlNode*, std::shared_ptr<Reader::Node>> readers;

  void add(YamlPosition at, const std::string& path, const std::string& message) {
    problems.push_back({at, path.empty() ? message : path + ": " + message});
  }
  Reader reader_of(const YamlNode* node, const std::string& path);
};

struct Reader::Node {
  Document::Impl* document = nullptr;
  const YamlNode* node = nullptr;   // nullptr: a mapping that is not there; reads give nothing
  std::string path;
  std::vector<std::string> asked;

  std::string path_of(std::string_view key) const {
    return path.empty() ? std::string(key) : fmt::format("{}.{}", path, key);
  }
  const YamlEntry* entry(std::string_view key) {
    if (std::find(asked.begin(), asked.end(), key) == asked.end()) asked.emplace_back(key);
    if (node == nullptr) return nullptr;
    for (const YamlEntry& e : node->entries) {
      if (e.key == key) return &e;
    }
    return nullptr;
  }
  // The value of a key that must hold `kind`; nullptr after a problem or when it is absent.
  const YamlNode* value(std::string_view key, YamlNode::Kind kind, bool required) {
    const YamlEntry* e = entry(key);
    if (e == nullptr) {
      if (required && node != nullptr) document->add(node->at, path_of(key), "missing");
      return nullptr;
    }
    if (e->value.kind == kind) return &e->value;
    const std::string form = kind == YamlNode::Kind::Scalar    ? "a single value"
                             : kind == YamlNode::Kind::Mapping ? "a mapping"
                                                               : "a list";
    document->add(e->at, path_of(key),
                  fmt::format("{} is wanted, this is {}", form, kind_text(e->value.kind)));
    return nullptr;
  }
  void problem(const YamlNode& at, std::string_view key, const std::string& message) {
    document->add(at.at, path_of(key), message);
  }
};

Reader Document::Impl::reader_of(const YamlNode* node, const std::string& path) {
  Reader reader;
  std::shared_ptr<Reader::Node> made;
  if (node != nullptr) {
    auto& slot = readers[node];
    if (slot == nullptr) slot = std::make_shared<Reader::Node>();
    made = slot;
  } else {
    made = std::make_shared<Reader::Node>();
  }
  made->document = this;
  made->node = node;
  made->path = path;
  reader.node_ = made;
  return reader;
}

Document::Document() : impl_(std::make_unique<Impl>()) {}
Document::Document(Document&&) noexcept = default;
Document::~Document() = default;

Document Document::parse(std::string_view text, std::string file_name) {
  YamlTree tree = parse_yaml(text, file_name);
  return of(std::move(tree), std::move(file_name));
}

Document Document::of(YamlTree tree, std::string file_name) {
  Document document;
  document.impl_->tree = std::move(tree);
  document.impl_->file_name = std::move(file_name);
  document.impl_->problems = std::move(document.impl_->tree.problems);
  return document;
}

Reader Document::root() { return impl_->reader_of(&impl_->tree.root, ""); }

void Document::finish() {
  for (const auto& [yaml, reader] : impl_->readers) {
    for (const YamlEntry& entry : yaml->entries) {
      const auto& asked = reader->asked;
      if (std::find(asked.begin(), asked.end(), entry.key) != asked.end()) continue;
      const std::string near = suggest(entry.key, asked);
      impl_->add(entry.at, reader->path_of(entry.key),
                 near.empty() ? fmt::format("unknown key; known: {}", fmt::join(asked, ", "))
                              : fmt::format("unknown key; did you mean {}?", near));
    }
  }
  auto& problems = impl_->problems;
  if (problems.empty()) return;
  std::stable_sort(problems.begin(), problems.end(), [](const auto& a, const auto& b) {
    return a.at.line != b.at.line ? a.at.line < b.at.line : a.at.column < b.at.column;
  });
  std::vector<Diagnostic> diagnostics;
  for (const YamlProblem& p : problems) {
    if (diagnostics.size() == kMostProblems) {
      diagnostics.push_back({impl_->file_name, fmt::format("and {} more problems",
                                                           problems.size() - kMostProblems)});
      break;
    }
    diagnostics.push_back({yaml_where(impl_->file_name, p.at), p.message});
  }
  throw Error(Error::Kind::Input, std::move(diagnostics));
}

std::optional<std::string> Reader::optional_text(std::string_view key) {
  const YamlNode* value = node_->value(key, YamlNode::Kind::Scalar, false);
  if (value == nullptr) return std::nullopt;
  if (value->text.find_first_not_of(" \n\t") == std::string::npos) {
    node_->problem(*value, key, "is empty");
    return std::nullopt;
  }
  return value->text;
}

std::string Reader::text(std::string_view key) {
  node_->value(key, YamlNode::Kind::Scalar, true);
  // A wrong kind was reported above; the second look must not report it again.
  const YamlEntry* entry = node_->entry(key);
  if (entry == nullptr || entry->value.kind != YamlNode::Kind::Scalar) return {};
  return optional_text(key).value_or("");
}

std::vector<std::string> Reader::texts(std::string_view key) {
  std::vector<std::string> found;
  const YamlNode* list = node_->value(key, YamlNode::Kind::Sequence, false);
  if (list == nullptr) return found;
  for (const YamlNode& item : list->items) {
    if (item.kind == YamlNode::Kind::Scalar && !item.text.empty()) {
      found.push_back(item.text);
    } else {
      node_->problem(item, key, fmt::format("text is wanted, this is {}", kind_text(item.kind)));
    }
  }
  return found;
}

std::optional<std::int64_t> Reader::optional_integer(std::string_view key, std::int64_t low,
                                                     std::int64_t high) {
  const YamlNode* value = node_->value(key, YamlNode::Kind::Scalar, false);
  if (value == nullptr) return std::nullopt;
  const std::string& s = value->text;
  std::int64_t n = 0;
  const auto [end, code] = std::from_chars(s.data(), s.data() + s.size(), n);
  if (value->quoted || code != std::errc() || end != s.data() + s.size()) {
    node_->problem(*value, key, fmt::format("{} is no whole number; write digits only", shown(s)));
    return std::nullopt;
  }
  if (n < low || n > high) {
    node_->problem(*value, key, fmt::format("{} is outside {}..{}", n, low, high));
    return std::nullopt;
  }
  return n;
}

std::int64_t Reader::integer(std::string_view key, std::int64_t low, std::int64_t high) {
  if (node_->entry(key) == nullptr) {
    node_->value(key, YamlNode::Kind::Scalar, true);
    return low;
  }
  return optional_integer(key, low, high).value_or(low);
}

std::optional<double> Reader::optional_number(std::string_view key, double low, double high) {
  const YamlNode* value = node_->value(key, YamlNode::Kind::Scalar, false);
  if (value == nullptr) return std::nullopt;
  const std::string& s = value->text;
  double n = 0;
  const auto [end, code] = std::from_chars(s.data(), s.data() + s.size(), n);
  if (value->quoted || code != std::errc() || end != s.data() + s.size() || !std::isfinite(n)) {
    node_->problem(*value, key, fmt::format("{} is no number", shown(s)));
    return std::nullopt;
  }
  if (n < low || n > high) {
    node_->problem(*value, key, fmt::format("{} is outside {}..{}", n, low, high));
    return std::nullopt;
  }
  return n;
}

double Reader::number(std::string_view key, double low, double high) {
  if (node_->entry(key) == nullptr) {
    node_->value(key, YamlNode::Kind::Scalar, true);
    return low;
  }
  return optional_number(key, low, high).value_or(low);
}

bool Reader::flag(std::string_view key, bool absent) {
  const YamlNode* value = node_->value(key, YamlNode::Kind::Scalar, false);
  if (value == nullptr) return absent;
  if (!value->quoted && (value->text == "true" || value->text == "false")) {
    return value->text == "true";
  }
  node_->problem(*value, key, fmt::format("{} is neither true nor false", shown(value->text)));
  return absent;
}

template <class Q>
Q Reader::quantity(std::string_view key) {
  const YamlNode* value = node_->value(key, YamlNode::Kind::Scalar, true);
  if (value == nullptr) return Q(0);
  if constexpr (std::is_same_v<Q, double>) {
    return optional_number(key, 0, 1e15).value_or(0);
  } else {
    try {
      const Q q = parse_quantity<Q>(value->text);
      if (q.value() > largest<Q>()) {
        node_->problem(*value, key, fmt::format("{} is beyond {}, the largest figure taken",
                                                shown(value->text), to_text(Q(largest<Q>()))));
      } else if (Q::dim::s < 0 && q.value() < 1) {
        node_->problem(*value, key, fmt::format("{} is no rate; leave an unknown figure out",
                                                shown(value->text)));
      } else {
        return q;
      }
    } catch (const Error& error) {
      node_->problem(*value, key, error.diagnostics().front().message);
    }
    return Q(1);
  }
}

template <class Q>
Sourced<Q> Reader::figure(std::string_view key) {
  const YamlEntry* entry = node_->entry(key);
  if (entry == nullptr) {
    if (node_->node != nullptr) {
      node_->document->add(node_->node->at, node_->path_of(key),
                           fmt::format("missing; {}", kFigureForm));
    }
    return {};
  }
  if (entry->value.kind != YamlNode::Kind::Mapping) {
    node_->document->add(entry->at, node_->path_of(key),
                         fmt::format("this is {}; {}", kind_text(entry->value.kind), kFigureForm));
    return {};
  }
  Reader reader = node_->document->reader_of(&entry->value, node_->path_of(key));
  Sourced<Q> figure;
  figure.value = reader.quantity<Q>("value");
  figure.source = reader.source();
  return figure;
}

template <class Q>
std::optional<Sourced<Q>> Reader::optional_figure(std::string_view key) {
  if (node_->entry(key) == nullptr) return std::nullopt;
  return figure<Q>(key);
}

Source Reader::source() {
  Source source;
  const YamlNode* kind = node_->value("source", YamlNode::Kind::Scalar, true);
  if (kind != nullptr) {
    std::vector<std::string> names;
    for (const auto k : {Source::Kind::Datasheet, Source::Kind::Measured, Source::Kind::Derived,
                         Source::Kind::Assumed}) {
      names.emplace_back(name(k));
      if (kind->text == names.back()) source.kind = k;
    }
    if (kind->text != name(source.kind)) {
      const std::string near = suggest(kind->text, names);
      node_->problem(*kind, "source",
                     fmt::format("{} is none of {}{}", shown(kind->text), fmt::join(names, ", "),
                                 near.empty() ? "" : "; did you mean " + near + "?"));
    }
  }
  source.note = text("note");
  return source;
}

Reader Reader::child(std::string_view key) {
  const YamlNode* value = node_->value(key, YamlNode::Kind::Mapping, true);
  return node_->document->reader_of(value, node_->path_of(key));
}

std::optional<Reader> Reader::optional_child(std::string_view key) {
  if (node_->entry(key) == nullptr) return std::nullopt;
  return child(key);
}

std::vector<Reader> Reader::children(std::string_view key) {
  std::vector<Reader> readers;
  const YamlNode* list = node_->value(key, YamlNode::Kind::Sequence, false);
  if (list == nullptr) return readers;
  for (std::size_t i = 0; i < list->items.size(); ++i) {
    const YamlNode& item = list->items[i];
    const std::string path = fmt::format("{}[{}]", node_->path_of(key), i);
    if (item.kind == YamlNode::Kind::Mapping) {
      readers.push_back(node_->document->reader_of(&item, path));
    } else {
      node_->document->add(item.at, path,
                           fmt::format("a mapping is wanted, this is {}", kind_text(item.kind)));
    }
  }
  return readers;
}

std::vector<std::string> Reader::keys() const {
  std::vector<std::string> keys;
  if (node_->node == nullptr) return keys;
  for (const YamlEntry& entry : node_->node->entries) keys.push_back(entry.key);
  return keys;
}

void Reader::problem(std::string_view key, const std::string& message) {
  if (node_->node == nullptr) return;
  const YamlEntry* entry = node_->entry(key);
  node_->document->add(entry != nullptr ? entry->at : node_->node->at, node_->path_of(key),
                       message);
}

#define BANDWALL_READS(Q)                                                    \
  template Q Reader::quantity<Q>(std::string_view);                          \
  template Sourced<Q> Reader::figure<Q>(std::string_view);                   \
  template std::optional<Sourced<Q>> Reader::optional_figure<Q>(std::string_view);
BANDWALL_READS(Bytes)
BANDWALL_READS(BytesPerSecond)
BANDWALL_READS(FlopsPerSecond)
BANDWALL_READS(Seconds)
BANDWALL_READS(ElementsPerSecond)
BANDWALL_READS(Hertz)
BANDWALL_READS(Watts)
BANDWALL_READS(double)
#undef BANDWALL_READS

}  // namespace bandwall
