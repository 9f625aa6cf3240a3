#include "reports/cli/synthetic.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "configs/library.h"
#include "hwmodel/error.h"
#include "reports/cli/common.h"
#include "runtime/host.h"

namespace bandwall {
namespace {

// The first `layers` blocks. What counts layers from the end or in all (a mix that gives some
// layers more bits) then counts the blocks that are left.
void cut_layers(Hyper& h, std::int64_t layers) {
  h.layers = layers;
  h.dense_layers = std::min(h.dense_layers, layers);
  if (!h.pattern.empty()) h.pattern.resize(static_cast<std::size_t>(layers));
}

}  // namespace

SyntheticChoice choose_synthetic(const Arguments& a, const std::string& text) {
  const std::size_t colon = text.find(':');
  ModelShape shape = load_model_shape(text.substr(0, colon));
  if (colon == std::string::npos || colon + 1 == text.size()) {
    throw Error::input(text, fmt::format("write MODEL:MIX, such as {}:Q4_K_M", shape.name));
  }
  const std::string mix = text.substr(colon + 1);
  SyntheticChoice c;
  c.full = model_from_shape(shape, mix);
  if (a.has("layers")) cut_layers(shape.hyper, a.integer("layers", 1, shape.hyper.layers));
  if (a.has("vocab")) shape.hyper.vocab = a.integer("vocab", 258, 1 << 24);
  shape.hyper.mtp_layers = 0;  // not part of a step
  c.cut = model_from_shape(shape, mix);
  c.options.vocabulary = true;
  c.title = fmt::format(
      "{}:{}, {}synthetic", shape.name, mix,
      c.is_cut() ? fmt::format("{} of {} layers, ", c.cut.hyper.layers, c.full.hyper.layers) : "");
  return c;
}

SyntheticModel build_synthetic(const SyntheticChoice& c) {
  const auto needed = static_cast<double>(synthetic_bytes(c.cut, c.options));
  const std::optional<Bytes> available = host_info().memory_available;
  if (available && needed > available->value()) {
    const double layer = needed / static_cast<double>(c.cut.hyper.layers);
    const double fits = std::floor(0.9 * available->value() / layer);
    throw Error::input(
        c.title, fmt::format("needs {} in memory, {} is available; {}", gb_and_gib(Bytes(needed)),
                             gb_and_gib(*available),
                             fits >= 1 ? fmt::format("about --layers {:.0f} fits", fits)
                                       : "not even one layer fits, a smaller --vocab may"));
  }
  note(fmt::format("bandwall: making up {} of weights ({})", gb_and_gib(Bytes(needed)), c.title));
  const auto size = static_cast<std::size_t>(needed);
  SyntheticModel model{std::make_unique<Arena>(size), size};
  std::byte* at = model.memory->data();
  write_synthetic(c.cut, c.options, [&](std::span<const std::byte> piece) {
    if (interrupted()) throw Interrupted{};
    at = std::copy(piece.begin(), piece.end(), at);
  });
  return model;
}

void tell_full_depth(const SyntheticChoice& c, const Host& host, BytesPerSecond now,
                     const KvConfig& kv, int threads) {
  if (!c.is_cut()) return;
  Machine machine = host.profile.machine;
  Backend backend = host.profile.backend;
  follow_bandwidth(machine, backend, now, threads);
  Scenario s;
  s.n_gen = 1;
  s.kv = kv;
  s.threads = threads;
  const Throughput t = predict_decode(machine, backend, c.full, s);
  note(
      fmt::format("bandwall: with all {} layers and {} tokens of vocabulary: {} of weights, {} "
                  "read per token, {:.2f} tok/s expected here in decode if they fit",
                  c.full.hyper.layers, c.full.hyper.vocab,
                  gb_and_gib(Bytes(static_cast<double>(c.full.weight_bytes()))),
                  gb_and_gib(t.bytes_weights + t.bytes_kv), t.ts));
}

OptionSpec option_synthetic() {
  return {"synthetic", "MODEL:MIX", "",
          "random weights of a shipped model's true shape, in memory, instead of a file"};
}

std::vector<OptionSpec> options_cut() {
  return {{"layers", "L", "", "with the first L blocks only"},
          {"vocab", "N", "", "with N tokens, at least 258, instead of the model's own number"}};
}

}  // namespace bandwall
