// Rows of a CSV file of the tests: quoted fields, doubled quotes, a heading.
#pragma once

#include <fstream>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

namespace bandwall::testing_support {

using CsvRow = std::map<std::string, std::string>;

inline std::vector<std::string> csv_fields(const std::string& line) {
  std::vector<std::string> fields(1);
  bool quoted = false;
  for (std::size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    if (quoted && c == '"' && i + 1 < line.size() && line[i + 1] == '"') {
      fields.back() += line[++i];
    } else if (c == '"') {
      quoted = !quoted;
    } else if (c == ',' && !quoted) {
      fields.emplace_back();
    } else {
      fields.back() += c;
    }
  }
  return fields;
}

// Throws std::runtime_error when a row has not as many fields as the heading.
inline std::vector<CsvRow> read_csv(const std::string& path) {
  std::ifstream in(path);
  std::string line;
  std::vector<std::string> heading;
  std::vector<CsvRow> rows;
  while (std::getline(in, line)) {
    const std::vector<std::string> fields = csv_fields(line);
    if (heading.empty()) {
      heading = fields;
      continue;
    }
    if (fields.size() != heading.size()) throw std::runtime_error(path + ": bad row: " + line);
    CsvRow row;
    for (std::size_t i = 0; i < fields.size(); ++i) row[heading[i]] = fields[i];
    rows.push_back(row);
  }
  if (rows.empty()) throw std::runtime_error(path + ": no rows");
  return rows;
}

}  // namespace bandwall::testing_support
