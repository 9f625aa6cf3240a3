// Text and markdown tables: columns are as wide as their cells, numbers to the right.
//   Table t({{"op"}, {"ms", Align::Right}});  t.add({"experts", "12.3"});  t.text();
// Cells are UTF-8; width counts code points. Does not wrap lines.
#pragma once

#include <string>
#include <vector>

namespace bandwall {

enum class Align { Left, Right };

struct Column {
  std::string title;
  Align align = Align::Left;
};

// The text between two of this quote, those inside doubled: a field of CSV or SQL.
std::string quoted(std::string text, char quote = '"');

class Table {
 public:
  explicit Table(std::vector<Column> columns);
  void add(std::vector<std::string> cells);  // as many as columns (CHECK)
  void rule();                               // a line before the next row
  std::string text() const;
  std::string markdown() const;

 private:
  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;  // an empty row is a rule
};

}  // namespace bandwall
