#include "tests/support/golden.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <set>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace bandwall::testing {
namespace {

using Json = nlohmann::json;

Json read_json(const std::string& path) {
  std::ifstream in(path);
  if (!in) throw std::runtime_error("cannot read " + path);
  return Json::parse(in);
}

std::vector<float> read_floats(const std::string& path, std::int64_t count) {
  std::vector<float> values(static_cast<std::size_t>(count));
  std::ifstream in(path, std::ios::binary);
  in.read(reinterpret_cast<char*>(values.data()), count * 4);
  if (in.gcount() != count * 4) throw std::runtime_error("too short: " + path);
  return values;
}

GoldenLimits limits_of(const Json& j) {
  return {j.at("rms_rel_median"), j.at("rms_rel_position"),
          j.at("max_abs"),        j.at("kl_max"),
          j.at("clear_gap"),      j.value("unsafe_rms_rel_position", 0.0)};
}

GoldenTest read_test(const std::string& folder, const Json& j) {
  GoldenTest t;
  t.id = j.at("id");
  t.prompt = j.at("prompt").get<std::vector<std::int32_t>>();
  t.greedy = j.at("greedy").get<std::vector<std::int32_t>>();
  t.greedy_gap = j.at("greedy_gap").get<std::vector<double>>();
  t.rows = j.at("shape")[0];
  t.vocab = j.at("shape")[1];
  t.logits = read_floats(folder + "/" + j.at("logits").get<std::string>(), t.rows * t.vocab);
  std::vector<std::int64_t> positions;
  for (std::int64_t i = 0; i < t.rows; ++i) {
    positions.push_back(static_cast<std::int64_t>(t.prompt.size()) - t.rows + i);
  }
  t.safe.assign(static_cast<std::size_t>(t.rows), true);
  if (j.contains("safe_positions")) {
    const auto safe = j.at("safe_positions").get<std::set<std::int64_t>>();
    for (std::size_t i = 0; i < t.safe.size(); ++i) t.safe[i] = safe.contains(positions[i]);
  }
  if (std::none_of(t.safe.begin(), t.safe.end(), [](bool s) { return s; })) {
    t.safe.assign(t.safe.size(), true);
  }
  for (const char* key : {"tolerance", "tolerance_exact", "tolerance_kv_f16"}) {
    if (j.contains(key)) t.limits[key] = limits_of(j.at(key));
  }
  if (j.contains("experts")) {
    for (const auto& [layer, rows] : j.at("experts").items()) {
      t.experts[std::stoi(layer)] = rows.get<std::vector<std::vector<std::int32_t>>>();
      t.margins[std::stoi(layer)] = j.at("expert_margin").at(layer).get<std::vector<double>>();
    }
    t.safe_margin = j.at("expert_margin_safe");
  }
  return t;
}

std::vector<double> log_softmax(const float* x, std::int64_t n) {
  const double max = *std::max_element(x, x + n);
  double sum = 0;
  for (std::int64_t i = 0; i < n; ++i) sum += std::exp(x[i] - max);
  std::vector<double> out;
  for (std::int64_t i = 0; i < n; ++i) out.push_back(x[i] - max - std::log(sum));
  return out;
}

struct PositionError {
  double error = 0, max_abs = 0, kl = 0, gap = 0;
  bool top_equal = false;
};

double median(std::vector<double> x) {
  std::sort(x.begin(), x.end());
  const std::size_t n = x.size();
  return n % 2 == 1 ? x[n / 2] : 0.5 * (x[n / 2 - 1] + x[n / 2]);
}

// rms of the reference's logits about the mean of their position.
double spread(const GoldenTest& t) {
  double sum = 0;
  for (std::int64_t p = 0; p < t.rows; ++p) {
    const float* r = t.logits.data() + p * t.vocab;
    double mean = 0;
    for (std::int64_t i = 0; i < t.vocab; ++i) mean += r[i];
    mean /= static_cast<double>(t.vocab);
    for (std::int64_t i = 0; i < t.vocab; ++i) sum += (r[i] - mean) * (r[i] - mean);
  }
  return std::sqrt(sum / static_cast<double>(t.rows * t.vocab));
}

PositionError compare(const float* ours, const float* reference, std::int64_t vocab, double rms) {
  PositionError e;
  double squares = 0;
  for (std::int64_t i = 0; i < vocab; ++i) {
    const double d = static_cast<double>(ours[i]) - reference[i];
    squares += d * d;
    e.max_abs = std::max(e.max_abs, std::abs(d));
  }
  e.error = std::sqrt(squares / static_cast<double>(vocab)) / rms;
  const auto lo = log_softmax(ours, vocab), lr = log_softmax(reference, vocab);
  for (std::size_t i = 0; i < lo.size(); ++i) e.kl += std::exp(lr[i]) * (lr[i] - lo[i]);
  std::vector<float> sorted(reference, reference + vocab);
  std::sort(sorted.rbegin(), sorted.rend());
  e.gap = sorted[0] - sorted[1];
  e.top_equal = std::max_element(ours, ours + vocab) - ours ==
                std::max_element(reference, reference + vocab) - reference;
  return e;
}

}  // namespace

std::vector<std::string> golden_names(const std::string& folder) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    std::filesystem::path p = entry.path();
    if (p.extension() != ".json") continue;
    if (std::filesystem::exists(p.replace_extension(".gguf"))) names.push_back(p.stem());
  }
  std::sort(names.begin(), names.end());
  return names;
}

Golden load_golden(const std::string& folder, const std::string& name) {
  const Json j = read_json(folder + "/" + name + ".json");
  Golden g;
  g.name = name;
  g.model = folder + "/" + name + ".gguf";
  g.f32 = j.at("weights_f32");
  for (const Json& t : j.at("tests")) g.tests.push_back(read_test(folder, t));
  if (j.contains("kv_variants")) {
    const auto size = static_cast<std::int64_t>(g.tests.front().logits.size());
    for (const Json& c : j.at("kv_variants")) {
      g.caches.push_back(
          {c.at("id"), c.at("k"), c.at("v"), c.at("rotated"), limits_of(c.at("tolerance")), {}});
      if (!c.contains("logits")) continue;
      g.caches.back().logits = read_floats(folder + "/" + c.at("logits").get<std::string>(), size);
    }
  }
  return g;
}

std::vector<std::string> judge(const GoldenTest& t, const GoldenLimits& limits,
                               std::span<const float> ours) {
  const auto rows = static_cast<std::int64_t>(ours.size()) / t.vocab;
  if (rows < t.rows) return {fmt::format("{} rows of logits, {} expected", rows, t.rows)};
  const float* at = ours.data() + (rows - t.rows) * t.vocab;
  const double rms = spread(t);
  std::vector<double> errors;
  PositionError worst;
  double worst_unsafe = 0;
  bool clear_differs = false;
  for (std::int64_t p = 0; p < t.rows; ++p) {
    const PositionError e = compare(at + p * t.vocab, t.logits.data() + p * t.vocab, t.vocab, rms);
    if (!std::isfinite(e.error)) return {fmt::format("position {} is not finite", p)};
    errors.push_back(e.error);
    if (!t.safe[static_cast<std::size_t>(p)]) {
      worst_unsafe = std::max(worst_unsafe, e.error);
      continue;
    }
    worst.error = std::max(worst.error, e.error);
    worst.max_abs = std::max(worst.max_abs, e.max_abs);
    worst.kl = std::max(worst.kl, e.kl);
    clear_differs = clear_differs || (e.gap > limits.clear_gap && !e.top_equal);
  }
  std::vector<std::string> bad;
  const auto limit = [&](const char* what, double value, double most) {
    if (!(value <= most)) bad.push_back(fmt::format("{} {:.3g} > {:.3g}", what, value, most));
  };
  limit("median error of the positions", median(errors), limits.rms_rel_median);
  limit("error of a safe position", worst.error, limits.rms_rel_position);
  limit("largest difference at safe positions", worst.max_abs, limits.max_abs);
  limit("KL at safe positions", worst.kl, limits.kl_max);
  if (limits.unsafe_rms_rel_position > 0) {
    limit("error of an unsafe position", worst_unsafe, limits.unsafe_rms_rel_position);
  }
  if (clear_differs) bad.push_back("the top token differs at a safe position with a clear winner");
  return bad;
}

std::vector<std::string> judge_greedy(const GoldenTest& t, const GoldenLimits& limits,
                                      const std::vector<std::int32_t>& ours) {
  std::size_t need = 0, same = 0;
  while (need < t.greedy_gap.size() && t.greedy_gap[need] >= limits.clear_gap) ++need;
  need = std::min(need, ours.size());
  while (same < ours.size() && same < t.greedy.size() && ours[same] == t.greedy[same]) ++same;
  if (same >= need) return {};
  return {fmt::format("greedy tokens agree for {} steps, {} required", same, need)};
}

std::vector<std::string> judge_experts(
    const GoldenTest& t, const std::vector<std::vector<std::vector<std::int32_t>>>& ours) {
  std::vector<std::string> bad;
  for (const auto& [layer, rows] : t.experts) {
    const auto& mine = ours.at(static_cast<std::size_t>(layer));
    if (mine.size() < rows.size()) return {fmt::format("layer {}: {} choices", layer, mine.size())};
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const auto& have = mine[mine.size() - rows.size() + i];
      const bool equal = std::set<std::int32_t>(have.begin(), have.end()) ==
                         std::set<std::int32_t>(rows[i].begin(), rows[i].end());
      if (!equal && t.margins.at(layer)[i] >= t.safe_margin) {
        bad.push_back(
            fmt::format("layer {}, row {}: other experts in spite of a safe margin", layer, i));
      }
    }
  }
  return bad;
}

}  // namespace bandwall::testing
