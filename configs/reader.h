// Strict YAML reading: every problem of a file at once, each "file:line:column: key.path: message",
// with did-you-mean for unknown keys. Refuses duplicate keys, unknown keys, missing keys, figures
// without unit or source, .inf/.nan, anchors cycles, other schema numbers.
//   Document doc = Document::parse(text, "gb10.yaml");   Reader r = doc.root();
//   auto bw = r.child("memory").figure<BytesPerSecond>("peak");   doc.finish();  // throws Error
// A figure is a mapping {value: "273 GB/s", source: datasheet, note: "..."}.
// Rates must be above zero: an unknown figure is left out. yaml-cpp lives behind yaml_tree.h only.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "hwmodel/machine.h"

namespace bandwall {

class Reader;
struct YamlTree;  // yaml_tree.h

class Document {
 public:
  // Throws Error (Input) when the text is no YAML mapping; later problems are collected.
  static Document parse(std::string_view text, std::string file_name);
  static Document of(YamlTree tree, std::string file_name);
  Document(Document&&) noexcept;
  ~Document();
  Reader root();
  void finish();        // unknown keys that no reader asked for, then all problems: throws Error

 private:
  friend class Reader;
  struct Impl;
  Document();
  std::unique_ptr<Impl> impl_;
};

// A view of one mapping. Reading a key declares it; what was never read is unknown.
class Reader {
 public:
  std::string text(std::string_view key);                        // required
  std::optional<std::string> optional_text(std::string_view key);
  std::int64_t integer(std::string_view key, std::int64_t low, std::int64_t high);
  std::optional<std::int64_t> optional_integer(std::string_view key, std::int64_t low,
                                               std::int64_t high);
  double number(std::string_view key, double low, double high);
  std::optional<double> optional_number(std::string_view key, double low, double high);
  bool flag(std::string_view key, bool absent);
  template <class Q> Sourced<Q> figure(std::string_view key);    // Q: a Quantity or double
  template <class Q> std::optional<Sourced<Q>> optional_figure(std::string_view key);
  template <class Q> Q quantity(std::string_view key);           // bare text, source() apart
  Source source();                    // keys source and note of this mapping
  std::vector<std::string> texts(std::string_view key);      // sequence of texts; absent = empty
  Reader child(std::string_view key);                            // required mapping
  std::optional<Reader> optional_child(std::string_view key);
  std::vector<Reader> children(std::string_view key);        // sequence of mappings; absent = empty
  std::vector<std::string> keys() const;                         // for maps with free keys
  void problem(std::string_view key, const std::string& message);

 private:
  friend class Document;
  struct Node;
  std::shared_ptr<Node> node_;
};

}  // namespace bandwall
