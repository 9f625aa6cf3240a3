// A YAML text as a plain tree, each node with its line and column, in the order of the file.
//   YamlTree tree = parse_yaml(text, "gb10.yaml");   tree.root.entries[0].key == "schema"
// Only what data files need: one document, mappings, sequences, scalars. Anchors, aliases, tags,
// control bytes, more than 64 levels, 1 MB or 20,000 nodes are refused, so that hostile text
// costs little. Throws Error (Input) when the text is no YAML mapping; duplicate keys become
// problems. Says nothing about meaning: that is reader.h.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "hwmodel/error.h"

namespace bandwall {

struct YamlPosition {
  int line = 1, column = 1;  // counted from 1
};

struct YamlEntry;
struct YamlNode {
  enum class Kind { Null, Scalar, Sequence, Mapping } kind = Kind::Null;
  YamlPosition at;
  std::string text;                 // Scalar
  bool quoted = false;              // Scalar: "48" is text, 48 is a number
  std::vector<YamlNode> items;      // Sequence
  std::vector<YamlEntry> entries;   // Mapping; keys differ
};
struct YamlEntry {
  std::string key;
  YamlPosition at;
  YamlNode value;
};

struct YamlProblem {
  YamlPosition at;
  std::string message;
};
struct YamlTree {
  YamlNode root;                    // a Mapping
  std::vector<YamlProblem> problems;
};

YamlTree parse_yaml(std::string_view text, const std::string& file_name);

std::string yaml_where(const std::string& file_name, YamlPosition at);

}  // namespace bandwall
