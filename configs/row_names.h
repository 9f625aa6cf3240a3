// What the words of a measured row mean in the names of this program: which machine, backend,
// KV formats and stored weights (configs/validation/names.yaml says how).
//   RowMeaning r = meaning_of(m, row_names());         r.machine == "gb10"
//   ModelMeaning w = weights_of(m, shape, r.backend, row_names());   w.model.weight_bytes()
// What cannot be mapped is a `problem` of few words, the same for rows of the same kind, so that
// rows can be counted by it; it is never an exception and never a guess.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "workload/measurement.h"
#include "workload/model_spec.h"
#include "workload/plan.h"

namespace bandwall {

struct DeviceName {
  std::vector<std::string> device;  // patterns, lower case
  std::string machine;              // empty: none of the shipped ones
};
struct BackendName {
  // Patterns; stack empty: any. An entry whose backend is not shipped is passed over.
  std::vector<std::string> engine, stack;
  std::int64_t from_build = 0, to_build = 1'000'000'000;
  std::optional<bool> eager;  // only rows with that mark, or only those without
  std::string backend;        // empty: the engine is known to be none of the shipped ones
  std::int64_t n_ubatch = 512;
};
struct KvName {
  std::vector<std::string> text;
  const KvFormat* format = nullptr;
};
struct QuantName {
  std::vector<std::string> quant, backend, model;  // backend or model empty: any
  std::string mix;                          // of the shape or by rule; empty: formats
  std::optional<PublishedMix> formats;
  std::string unknown;  // why nothing can be said
};
struct RowNames {
  std::vector<DeviceName> machines;
  std::vector<BackendName> backends;
  std::vector<KvName> kv;
  std::vector<QuantName> quants;
};

const RowNames& row_names();                                             // the shipped ones
RowNames parse_row_names(std::string_view text, std::string file_name);  // throws Error (Input)

struct RowMeaning {
  std::string machine, backend;  // for load_machine and load_backend
  KvConfig kv;                   // f16 where the row states none
  std::int64_t n_ubatch = 512;
  std::string problem;  // empty: all of it is known
};
RowMeaning meaning_of(const Measurement& m, const RowNames& names);

struct ModelMeaning {
  ModelSpec model;
  std::string problem;
};
// The shape in the formats of the row. A stated file size corrects the feed-forward tensors by up
// to a quarter; a size further off contradicts the quantization.
ModelMeaning weights_of(const Measurement& m, const ModelShape& shape, std::string_view backend,
                        const RowNames& names);

}  // namespace bandwall
