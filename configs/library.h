// The shipped data (machines, backends, models), embedded in the program, and user files of the
// same schemas. Names are looked up first, then paths ending in .yaml.
//   Machine m = load_machine("gb10");  Machine two = load_machine("2xgb10");
//   ModelShape s = load_model_shape("minimax-m2.5");
// Throws Error (Input): unknown name with did-you-mean and the list, or every problem of the file.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "hwmodel/machine.h"
#include "workload/model_spec.h"

namespace bandwall {

struct ClaimFile;  // workload/claim.h

Machine load_machine(std::string_view name_or_path);
Backend load_backend(std::string_view name_or_path);
ModelShape load_model_shape(std::string_view name_or_path);  // also by shape_named(): "deepseek-r1"

std::vector<std::string> machine_names();
std::vector<std::string> backend_names();
std::vector<std::string> model_names();

// Claims to audit (configs/claims/); models, mixes, machines and units are checked on reading.
ClaimFile load_claims(std::string_view name_or_path);
std::vector<std::string> claim_names();

// The text of a shipped file and its name, for `show` and for tests.
struct ConfigText {
  std::string_view file_name, text;
};
const std::vector<ConfigText>& shipped_machines();
const std::vector<ConfigText>& shipped_backends();
const std::vector<ConfigText>& shipped_models();
const std::vector<ConfigText>& shipped_claims();

Machine parse_machine(std::string_view text, std::string file_name);
Backend parse_backend(std::string_view text, std::string file_name);
ModelShape parse_model_shape(std::string_view text, std::string file_name);
ClaimFile parse_claims(std::string_view text, std::string file_name);

// Writers: parse(write(x)) == x. A figure without a note gets the note "not stated".
std::string write_machine(const Machine& machine);
std::string write_backend(const Backend& backend);
// Without published mixes (Q4_K_M where one was the default); the hyper-parameters get the note.
std::string write_model_shape(const ModelShape& shape, std::string_view note);

// A calibrated host in one file: {schema, date, environment, spread, machine: {}, backend: {},
// other_threads: [], hash}. parse_machine and parse_backend read their part of such a file too.
// hash: of all lines but its own; a file that was changed since is refused, one without is not.
struct ProfileFile {
  Machine machine;
  Backend backend;
  std::vector<Backend> other_threads;  // the same for other thread counts
  std::string date, environment;
  double spread = 0;   // relative
  friend bool operator==(const ProfileFile&, const ProfileFile&) = default;
};
std::string write_profile_file(const ProfileFile& profile);
std::string profile_hash(std::string_view text);  // 16 hex digits
ProfileFile parse_profile_file(std::string_view text, std::string file_name);

}  // namespace bandwall
