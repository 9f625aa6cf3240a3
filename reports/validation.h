// Measured rows looked up, predicted and judged: what "validate" and "compare" print.
//   Validation v = validate_rows({load_measurements("apple")}, {});   v.rows, v.left, v.bars
// Every row that was read is either predicted or listed with the reason why not; equal reasons have
// equal words, so that they can be counted.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "analysis/gap_causes.h"
#include "analysis/validate.h"
#include "configs/library.h"
#include "configs/measurements.h"

namespace bandwall {

struct ValidationOptions {
  std::string machine, backend;            // only rows that mean these; empty: all
  const Machine* at = nullptr;             // every row was measured on this machine ...
  const Backend* with = nullptr;           // ... with this backend, whatever its own words say
  const Backend* otherwise = nullptr;  // ... where its words lead to no backend, or to this name
  const ModelSpec* model = nullptr;        // ... of this model
  const ProfileFile* host = nullptr;       // what the device "this" means; null: not calibrated
  const ValidationRules* rules = nullptr;  // null: the shipped ones
  bool explain = false;                    // causes of what lies outside its band
};

struct CheckedRow {
  std::string file, model;  // model: name of the shape
  Measurement row;
  RowAttributes attributes;
  RowClass of;
};
struct LeftRow {
  std::string file, reason;
  int line = 0;
  bool skipped = false;  // not a measurement at all, rather than one without a prediction
};

struct ClassSummary {
  ErrorSummary errors;
  bool meets = false;  // of failing classes: the bar they would otherwise count for
};

struct Validation {
  std::vector<std::string> files;
  std::size_t read = 0;  // rows that are measurements; = rows + left that are not skipped + others
  std::size_t others = 0;  // of other machines or backends than asked for
  std::vector<CheckedRow> rows;
  std::vector<RowResult> results;             // of the same places
  std::vector<std::vector<GapCause>> causes;  // likewise, when asked for
  std::vector<LeftRow> left;
  std::vector<std::string> notes;
  ValidationRules rules;
  std::vector<ClassSummary> bars, failing;  // as in rules
  ErrorSummary all, judged;                 // judged: without failing classes
};

Validation validate_rows(const std::vector<MeasurementFile>& files,
                         const ValidationOptions& options);

// The shape that a row's model text names, with an own name or a publisher's; "NAME:MIX" too.
std::optional<ModelShape> shape_of_row(const std::string& model);

}  // namespace bandwall
