#include "configs/yaml_tree.h"

#include <fmt/format.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>

#include <sstream>

namespace bandwall {
namespace {

constexpr std::size_t kMostBytes = 1'000'000;
constexpr int kMostLevels = 64;
constexpr int kMostNodes = 20'000;
constexpr std::size_t kLongestKey = 200;

// Thrown inside the parser's recursion and caught in parse_yaml.
struct Refused {
  YamlPosition at;
  std::string message;
};

YamlPosition position(const YAML::Mark& mark) {
  if (mark.is_null()) return {};
  return {mark.line + 1, mark.column + 1};
}

// Length of the UTF-8 sequence at the beginning of s; 0 when it is none.
std::size_t utf8_length(std::string_view s) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(s[i]); };
  const unsigned char first = byte(0);
  const std::size_t length = first < 0x80 ? 1 : first >= 0xc2 && first < 0xe0 ? 2
                             : (first & 0xf0) == 0xe0 ? 3 : first >= 0xf0 && first < 0xf5 ? 4 : 0;
  if (length == 0 || length > s.size()) return 0;
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
  }
  if (first == 0xe0 && byte(1) < 0xa0) return 0;
  if (first == 0xed && byte(1) >= 0xa0) return 0;
  if (first == 0xf0 && byte(1) < 0x90) return 0;
  if (first == 0xf4 && byte(1) >= 0x90) return 0;
  return length;
}

bool is_control(unsigned char c) { return (c < 0x20 && c != '\n' && c != '\t') || c == 0x7f; }

// Before the parser sees the text: size, bytes, and the nesting of brackets, which costs it most.
void check_text(std::string_view text) {
  if (text.size() > kMostBytes) {
    throw Refused{{}, fmt::format("the file has {} bytes; data files end at {}", text.size(),
                                  kMostBytes)};
  }
  YamlPosition at;
  int open = 0;
  for (std::size_t i = 0; i < text.size();) {
    const auto c = static_cast<unsigned char>(text[i]);
    const std::size_t length = utf8_length(text.substr(i));
    const bool line_end = c == '\r' && i + 1 < text.size() && text[i + 1] == '\n';
    if (length == 0 || (is_control(c) && !line_end)) {
      throw Refused{at, fmt::format("byte 0x{:02x} is no text; save the file as plain UTF-8", c)};
    }
    if (c == '[' || c == '{') ++open;
    if ((c == ']' || c == '}') && open > 0) --open;
    if (open > kMostLevels) {
      throw Refused{at, fmt::format("more than {} open brackets", kMostLevels)};
    }
    if (c == '\n') {
      ++at.line;
      at.column = 1;
    } else {
      ++at.column;
    }
    i += length;
  }
}

// Builds the tree from events; the parser's own Node type would drop duplicate keys silently.
class TreeBuilder : public YAML::EventHandler {
 public:
  explicit TreeBuilder(YamlTree& tree) : tree_(tree) {}

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (++documents_ > 1) throw Refused{position(mark), "a second document begins; one is allowed"};
  }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t) override {
    YamlNode node;
    node.at = position(mark);
    place(std::move(node));
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override {
    throw Refused{position(mark), "aliases (*name) are not used in data files; write the value"};
  }
  void OnAnchor(const YAML::Mark& mark, const std::string&) override {
    throw Refused{position(mark), "anchors (&name) are not used in data files; write the value"};
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t,
                const std::string& value) override {
    check_tag(mark, tag);
    YamlNode node;
    node.kind = YamlNode::Kind::Scalar;
    node.at = position(mark);
    node.text = value;
    node.quoted = tag == "!";
    for (const char c : value) {
      if (is_control(static_cast<unsigned char>(c))) {
        throw Refused{node.at, "control characters are not allowed in a value"};
      }
    }
    place(std::move(node));
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t,
                       YAML::EmitterStyle::value) override {
    enter(mark, tag, YamlNode::Kind::Sequence);
  }
  void OnSequenceEnd() override { leave(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t,
                  YAML::EmitterStyle::value) override {
    enter(mark, tag, YamlNode::Kind::Mapping);
  }
  void OnMapEnd() override { leave(); }

  bool saw_document() const { return documents_ > 0; }

 private:
  struct Level {
    YamlNode node;
    std::string key;               // Mapping: the key whose value comes next
    YamlPosition key_at;
    bool has_key = false;
    bool duplicate = false;
  };

  static void check_tag(const YAML::Mark& mark, const std::string& tag) {
    if (!tag.empty() && tag != "?" && tag != "!") {
      throw Refused{position(mark), "tags (!name) are not used in data files"};
    }
  }

  void enter(const YAML::Mark& mark, const std::string& tag, YamlNode::Kind kind) {
    check_tag(mark, tag);
    if (levels_.size() >= kMostLevels) {
      throw Refused{position(mark), fmt::format("more than {} levels", kMostLevels)};
    }
    if (!levels_.empty()) {
      const Level& parent = levels_.back();
      if (parent.node.kind == YamlNode::Kind::Mapping && !parent.has_key) {
        throw Refused{position(mark), "a key must be plain text"};
      }
    }
    Level level;
    level.node.kind = kind;
    level.node.at = position(mark);
    levels_.push_back(std::move(level));
  }

  void leave() {
    YamlNode node = std::move(levels_.back().node);
    levels_.pop_back();
    place(std::move(node));
  }

  void place(YamlNode node) {
    if (++nodes_ > kMostNodes) {
      throw Refused{node.at, fmt::format("more than {} values", kMostNodes)};
    }
    if (levels_.empty()) {
      tree_.root = std::move(node);
      return;
    }
    Level& parent = levels_.back();
    if (parent.node.kind == YamlNode::Kind::Sequence) {
      parent.node.items.push_back(std::move(node));
    } else if (!parent.has_key) {
      take_key(parent, node);
    } else {
      parent.has_key = false;
      if (!parent.duplicate) {
        parent.node.entries.push_back({std::move(parent.key), parent.key_at, std::move(node)});
      }
    }
  }

  void take_key(Level& parent, const YamlNode& node) {
    if (node.kind != YamlNode::Kind::Scalar || node.text.empty() ||
        node.text.size() > kLongestKey) {
      throw Refused{node.at, fmt::format("a key must be text of 1 to {} bytes", kLongestKey)};
    }
    parent.key = node.text;
    parent.key_at = node.at;
    parent.has_key = true;
    parent.duplicate = false;
    for (const YamlEntry& entry : parent.node.entries) {
      if (entry.key != node.text) continue;
      parent.duplicate = true;
      tree_.problems.push_back(
          {node.at, fmt::format("{}: duplicate key; it stands already in line {}",
                                path_to(node.text), entry.at.line)});
      break;
    }
  }

  std::string path_to(const std::string& key) const {
    std::string path;
    for (std::size_t i = 0; i + 1 < levels_.size(); ++i) {
      const Level& level = levels_[i];
      if (level.node.kind == YamlNode::Kind::Mapping) {
        path += (path.empty() ? "" : ".") + level.key;
      } else {
        path += fmt::format("[{}]", level.node.items.size());
      }
    }
    return path + (path.empty() ? "" : ".") + key;
  }

  YamlTree& tree_;
  std::vector<Level> levels_;
  int documents_ = 0;
  int nodes_ = 0;
};

void parse_into(std::string_view text, YamlTree& tree) {
  check_text(text);
  std::istringstream stream{std::string(text)};
  YAML::Parser parser(stream);
  TreeBuilder builder(tree);
  while (parser.HandleNextDocument(builder)) {
  }
  if (!builder.saw_document()) throw Refused{{}, "the file is empty"};
  if (tree.root.kind != YamlNode::Kind::Mapping) {
    throw Refused{tree.root.at, "the file must be a mapping (key: value)"};
  }
}

}  // namespace

std::string yaml_where(const std::string& file_name, YamlPosition at) {
  return fmt::format("{}:{}:{}", file_name, at.line, at.column);
}

YamlTree parse_yaml(std::string_view text, const std::string& file_name) {
  YamlTree tree;
  try {
    parse_into(text, tree);
  } catch (const Refused& refused) {
    throw Error::input(yaml_where(file_name, refused.at), refused.message);
  } catch (const YAML::Exception& error) {
    throw Error::input(yaml_where(file_name, position(error.mark)),
                       fmt::format("not valid YAML: {}", error.msg));
  }
  return tree;
}

}  // namespace bandwall
