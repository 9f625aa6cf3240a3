// Files that black-box tests hand to the program: small models with text, and a made-up profile of
// this host, so that `run` needs no probe.
//   run({"run", "-m", small_model(), "--profile", profile(), "-p", "the machine"})
#pragma once

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "tests/support/program.h"
#include "tests/support/tiny_vocabulary.h"

namespace bandwall::e2e {

inline std::string file(const std::string& name, const testing::Blob& bytes) {
  return file(name, std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
}

// A complete model of zeros with a byte-level vocabulary of 272 tokens and a context of 256.
inline testing::GgufWriter small_writer(const std::string& architecture = "qwen3moe") {
  const testing::GgufWriter text = testing::tiny_bpe();
  Hyper h = testing::tiny_hyper(testing::architecture_row(architecture));
  h.vocab = 256 + static_cast<std::int64_t>(testing::kMerges.size()) + 4;
  testing::GgufWriter w = testing::tiny_model(architecture, h);
  for (const auto& value : text.values) w.values.push_back(value);
  return w;
}
inline std::string small_model() {
  static const std::string path = file("small.gguf", small_writer().build());
  return path;
}

inline std::string profile_text(const std::string& cpu) {
  const std::string source = "source: measured, note: \"made up\"";
  return fmt::format(R"(schema: 1
date: "2025-01-01"
environment: "{0}; made up"
spread: 0.01
machine:
  name: "this"
  title: "made up"
  default_backend: "bandwall-cpu"
  pools:
    - name: "memory"
      installed: {{value: "16 GB", {1}}}
      visible: {{value: "16 GB", {1}}}
      reserve: {{value: "1 GB", {1}}}
      peak: {{value: "20 GB/s", {1}}}
      achievable: {{value: "18 GB/s", {1}}}
  compute:
    - numeric: "int8"
      peak: {{value: "400 GFLOP/s", {1}}}
    - numeric: "fp32"
      peak: {{value: "200 GFLOP/s", {1}}}
backend:
  name: "bandwall-cpu"
  title: "made up"
  stream:
    default: {{value: "15 GB/s", {1}}}
  kv_stream:
    default: {{value: "10 GB/s", {1}}}
  gemm:
    default: {{rate: "100 GFLOP/s", n_half: 4, {1}}}
)",
                     cpu, source);
}
inline std::string profile() {
  static const std::string path = [] {
    const auto doctor = nlohmann::json::parse(run({"doctor", "-o", "json"}).out);
    return file("profile.yaml", profile_text(doctor["cpu"].get<std::string>()));
  }();
  return path;
}

inline int lines(const std::string& text) {
  return static_cast<int>(std::count(text.begin(), text.end(), '\n'));
}

}  // namespace bandwall::e2e
