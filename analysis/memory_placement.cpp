#include "analysis/memory_placement.h"

#include <algorithm>
#include <cmath>
#include <regex>

#include <fmt/format.h>

#include "hwmodel/error.h"

namespace bandwall {
namespace {

constexpr std::size_t kMostPattern = 500;
// All ways at once instead of one after the other: patterns such as (.*)*x would never end.
#ifdef __GLIBCXX__
constexpr auto kSyntax = std::regex::ECMAScript | std::regex_constants::__polynomial;
#else
constexpr auto kSyntax = std::regex::ECMAScript;
#endif

bool is_expert(Role role) {
  return role == Role::ExpertGate || role == Role::ExpertUp || role == Role::ExpertDown;
}

struct Pattern {
  std::regex regex;
  int where;
};

std::vector<Pattern> compiled(const Offload& o, int devices) {
  std::vector<Pattern> patterns;
  for (const TensorOverride& over : o.overrides) {
    if (over.where >= devices) {
      throw Error::input("--override-tensor",
                         fmt::format("'{}' names device {}, but there are {}: 0 to {}",
                                     over.pattern, over.where, devices, devices - 1));
    }
    if (over.pattern.empty() || over.pattern.size() > kMostPattern) {
      throw Error::input("--override-tensor",
                         fmt::format("a pattern has 1 to {} characters, this one {}", kMostPattern,
                                     over.pattern.size()));
    }
    try {
      patterns.push_back({std::regex(over.pattern, kSyntax), over.where});
    } catch (const std::regex_error& e) {
      throw Error::input("--override-tensor",
                         fmt::format("'{}' is no regular expression: {}", over.pattern, e.what()));
    }
  }
  return patterns;
}

std::vector<double> normalized(const std::vector<double>& shares, int devices) {
  if (shares.empty()) return std::vector<double>(static_cast<std::size_t>(devices), 1.0 / devices);
  if (shares.size() != static_cast<std::size_t>(devices)) {
    throw Error::input("--tensor-split", fmt::format("{} shares for {} devices; give one for each",
                                                     shares.size(), devices));
  }
  double sum = 0;
  for (const double s : shares) {
    if (!(s >= 0) || s > 1e9) {
      throw Error::input("--tensor-split", fmt::format("{} is no share; 0 or more is wanted", s));
    }
    sum += s;
  }
  if (!(sum > 0)) throw Error::input("--tensor-split", "all shares are 0; one must be more");
  std::vector<double> out;
  for (const double s : shares) out.push_back(s / sum);
  return out;
}

// Device of each block, then of the output. With a tensor or expert split: of the first device,
// which stands for all.
std::vector<int> layer_nodes(const Hyper& h, const Offload& o, const std::vector<double>& shares) {
  const std::int64_t all = h.layers + 1;
  const std::int64_t offloaded = std::clamp<std::int64_t>(o.gpu_layers.value_or(all), 0, all);
  const std::int64_t start = all - offloaded;
  std::vector<int> nodes(static_cast<std::size_t>(all), kHost);
  for (std::int64_t l = start; l < all; ++l) {
    const double at = static_cast<double>(l - start) / static_cast<double>(offloaded);
    std::size_t device = 0;
    if (o.split == Split::Layer) {
      double end = shares[0];
      while (device + 1 < shares.size() && at >= end) end += shares[++device];
      while (device > 0 && shares[device] == 0) --device;  // rounding never picks an empty share
    }
    nodes[static_cast<std::size_t>(l)] = static_cast<int>(device);
  }
  return nodes;
}

class Placer {
 public:
  Placer(const ModelSpec& model, const Offload& offload, const EngineRules& rules, Placement& p)
      : model_(model),
        offload_(offload),
        rules_(rules),
        patterns_(compiled(offload, p.devices)),
        p_(p) {
    p_.host_layers.resize(p_.layer_where.size());
  }

  void run() {
    std::int64_t table = 0;
    bool has_head = false;
    for (const TensorSpec& t : model_.tensors) {
      if (t.role == Role::TokenEmbedding) table += t.bytes;
      has_head = has_head || t.role == Role::OutputHead;
      p_.largest_tensor = std::max(p_.largest_tensor, t.bytes);
      const int where = where_of(t);
      if (where == kHost) {
        keep_in_host(t);
      } else if (p_.split == Split::Layer ? !of_no_block(t) : !divided(t)) {
        keep(t, where);
      } else {
        divide(t);
      }
    }
    for (std::size_t l = 0; l < p_.host_layers.size(); ++l) {
      if (p_.layer_where[l] != kHost) p_.staged = std::max(p_.staged, p_.host_layers[l].experts);
    }
    if (!has_head && rules_.table_on_host && p_.output() != kHost) p_.head_copy = table;
  }

 private:
  int where_of(const TensorSpec& t) const {
    for (const Pattern& pattern : patterns_) {
      if (std::regex_search(t.name, pattern.regex)) return pattern.where;
    }
    if (is_table(t)) return rules_.table_on_host ? kHost : 0;
    if (is_expert(t.role) && t.layer >= 0 && t.layer < offload_.cpu_expert_layers) return kHost;
    return p_.layer_where[block(t)];
  }

  // Its place in layer_where: what belongs to no block is kept with the output.
  std::size_t block(const TensorSpec& t) const {
    const std::size_t last = p_.layer_where.size() - 1;
    return t.layer < 0 ? last : std::min(static_cast<std::size_t>(t.layer), last);
  }

  // Weights whose block is not known: taken as spread over the devices.
  static bool of_no_block(const TensorSpec& t) { return t.layer < 0 && is_expert(t.role); }

  static bool is_table(const TensorSpec& t) {
    return t.role == Role::TokenEmbedding || t.role == Role::LayerEmbedding;
  }

  bool divided(const TensorSpec& t) const {
    if (p_.split == Split::Expert) return is_expert(t.role);
    return t.n_dims > 1 && !t.is_bias && t.role != Role::Router;
  }

  void keep_in_host(const TensorSpec& t) {
    if (is_table(t) && rules_.table_on_host) {
      p_.table += t.bytes;
      return;
    }
    p_.host_weights += t.bytes;
    Placement::InHost& in = p_.host_layers[block(t)];
    if (!is_expert(t.role)) {
      in.dense += t.bytes;
      return;
    }
    in.experts += t.bytes;
    p_.host_experts += t.bytes;
  }

  std::int64_t padding(const TensorSpec& t) const {
    const auto row = static_cast<std::int64_t>(rules_.row_step.value);
    const auto step = static_cast<std::int64_t>(rules_.tensor_step.value);
    const FormatInfo& f = info(t.format);
    std::int64_t size = t.bytes;
    if (f.quantized && t.dims[0] % row != 0) {
      size += (row - t.dims[0] % row) / f.values_per_block * f.bytes_per_block;
    }
    return (size + step - 1) / step * step - t.bytes;
  }

  void keep(const TensorSpec& t, int where) {
    if (p_.split == Split::Layer) {
      p_.weights[static_cast<std::size_t>(where)] += t.bytes;
      p_.padding[static_cast<std::size_t>(where)] += padding(t);
      ++p_.tensors[static_cast<std::size_t>(where)];
      return;
    }
    for (std::size_t d = 0; d < p_.weights.size(); ++d) {
      p_.weights[d] += t.bytes;
      ++p_.tensors[d];
    }
  }

  void divide(const TensorSpec& t) {
    std::int64_t left = t.bytes;
    for (std::size_t d = 0; d < p_.weights.size(); ++d) {
      const bool last = d + 1 == p_.weights.size();
      const auto part = last ? left
                             : std::min(left, static_cast<std::int64_t>(std::floor(
                                                  static_cast<double>(t.bytes) * p_.shares[d])));
      p_.weights[d] += part;
      ++p_.tensors[d];
      left -= part;
    }
  }

  const ModelSpec& model_;
  const Offload& offload_;
  const EngineRules& rules_;
  std::vector<Pattern> patterns_;
  Placement& p_;
};

}  // namespace

std::string_view name(Split split) {
  switch (split) {
    case Split::Layer:
      return "layer";
    case Split::Tensor:
      return "tensor";
    case Split::Expert:
      return "expert";
  }
  return "?";
}

Placement place(const ModelSpec& model, int devices, const Offload& offload,
                const EngineRules& rules) {
  BANDWALL_CHECK(devices >= 1);
  Placement p;
  p.devices = devices;
  p.split = devices > 1 ? offload.split : Split::Layer;
  p.shares = normalized(offload.shares, devices);
  p.layer_where = layer_nodes(model.hyper, offload, p.shares);
  p.weights.assign(static_cast<std::size_t>(devices), 0);
  p.tensors.assign(static_cast<std::size_t>(devices), 0);
  p.padding.assign(static_cast<std::size_t>(devices), 0);
  Placer(model, offload, rules, p).run();
  return p;
}

}  // namespace bandwall
