#include "reports/table.h"

#include <algorithm>

#include "hwmodel/error.h"

namespace bandwall {
namespace {

std::size_t width(const std::string& s) {
  return static_cast<std::size_t>(
      std::count_if(s.begin(), s.end(), [](char c) { return (c & 0xc0) != 0x80; }));
}

std::string padded(const std::string& s, std::size_t to, Align align) {
  const std::size_t n = width(s);
  const std::string space(to > n ? to - n : 0, ' ');
  return align == Align::Right ? space + s : s + space;
}

void trim_right(std::string& line) {
  while (!line.empty() && line.back() == ' ') line.pop_back();
}

}  // namespace

std::string quoted(std::string text, char quote) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == quote) text.insert(i++, 1, quote);
  }
  return quote + text + quote;
}

Table::Table(std::vector<Column> columns) : columns_(std::move(columns)) {}

void Table::add(std::vector<std::string> cells) {
  BANDWALL_CHECK(cells.size() == columns_.size());
  rows_.push_back(std::move(cells));
}

void Table::rule() { rows_.emplace_back(); }

std::string Table::text() const {
  std::vector<std::size_t> widths;
  for (const Column& c : columns_) widths.push_back(width(c.title));
  for (const auto& row : rows_) {
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], width(row[i]));
  }
  std::size_t total = 2 * (columns_.size() - 1);
  for (const std::size_t w : widths) total += w;

  std::string out;
  const auto line = [&](auto cell) {
    std::string text;
    for (std::size_t i = 0; i < columns_.size(); ++i) {
      if (i > 0) text += "  ";
      text += padded(cell(i), widths[i], columns_[i].align);
    }
    trim_right(text);
    out += text + '\n';
  };
  line([&](std::size_t i) { return columns_[i].title; });
  out += std::string(total, '-') + '\n';
  for (const auto& row : rows_) {
    if (row.empty()) {
      out += std::string(total, '-') + '\n';
    } else {
      line([&](std::size_t i) { return row[i]; });
    }
  }
  return out;
}

std::string Table::markdown() const {
  std::string out = "|";
  for (const Column& c : columns_) out += " " + c.title + " |";
  out += "\n|";
  for (const Column& c : columns_) out += c.align == Align::Right ? "---:|" : "---|";
  out += '\n';
  for (const auto& row : rows_) {
    if (row.empty()) continue;
    out += "|";
    for (const std::string& cell : row) out += " " + cell + " |";
    out += '\n';
  }
  return out;
}

}  // namespace bandwall
