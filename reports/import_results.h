// Results that other programs wrote, as measured rows:
//   llama-bench          -o json, jsonl, csv, md (old and new fields)
//   llama-server, llama-cli, llama-completion    logs with "eval time = ... ms / N tokens"
//   vllm bench serve     --save-result JSON
//   bandwall             run -o json, bench -o json/jsonl/csv, probe -o json, rows of validate's
//   CSV Imported r = import_results(bytes, "bench.jsonl");   r.kind == "llama-bench JSON"
// Fields that a file does not state stay unknown. A test that is no row (prompt and generation in
// one) is skipped with its reason. Throws Error (Input) when nothing of the file is known, naming
// what was looked for. Takes bytes, does no I/O.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "configs/measurements.h"

namespace bandwall {

struct Imported {
  std::string kind;
  MeasurementFile file;
};

Imported import_results(std::string_view text, const std::string& file_name);

// Parts of it, for each kind of text; they add to `file`. False: the text is not of that kind.
bool import_json(std::string_view text, const std::string& name, Imported& into);
bool import_llama_csv(std::string_view text, Imported& into);
bool import_markdown(std::string_view text, Imported& into);
bool import_timing_log(std::string_view text, Imported& into);

// What llama-bench prints of a model: "gpt-oss 20B MXFP4 MoE" -> "MXFP4", and of a file:
// "/models/gpt-oss-20b-UD-Q4_K_XL-00001-of-00002.gguf" -> "gpt-oss-20b", "UD-Q4_K_XL".
std::string quant_of_type(std::string_view model_type);
struct FileLabel {
  std::string model, quant;
};
FileLabel label_of_file(std::string_view path);

// Text without blanks around it; the first line of a text, which is taken off it.
std::string_view trimmed(std::string_view text);
std::string_view next_line(std::string_view& text);
double gib_of(std::string_view text);  // of "11.27 GiB" or "643.33 MiB"; 0 when it is neither

// A number of a text or JSON, only when finite and in [low, high].
std::optional<double> number_in(std::string_view text, double low, double high);
std::optional<std::int64_t> count_in(std::string_view text, std::int64_t low);

}  // namespace bandwall
