#include "runtime/synthetic_model.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <vector>

#include <fmt/format.h>

#include "hwmodel/error.h"
#include "runtime/kernels/kernels.h"
#include "runtime/tokenizer_bpe.h"
#include "workload/architectures.h"
#include "workload/gguf_header.h"

namespace bandwall {
namespace {

class Random {  // splitmix64
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}
  std::uint64_t next() {
    std::uint64_t z = (state_ += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }
  // Nearly normal, variance 1: the sum of 12 sixteen-bit numbers; the same bits everywhere.
  float normal() {
    std::int64_t sum = 0;
    for (int i = 0; i < 3; ++i) {
      const std::uint64_t four = next();
      for (int j = 0; j < 64; j += 16) sum += static_cast<std::int64_t>((four >> j) & 0xffff);
    }
    return static_cast<float>(static_cast<double>(sum) / 65536.0 - 6.0);
  }

 private:
  std::uint64_t state_;
};

bool is_float(Format f) { return f == Format::F32 || f == Format::F16 || f == Format::BF16; }

void store_float(Format format, float value, std::byte* at) {
  if (format == Format::F32) {
    std::memcpy(at, &value, sizeof value);
    return;
  }
  std::uint32_t bits = 0;
  std::memcpy(&bits, &value, sizeof bits);
  const auto half =
      format == Format::F16 ? float_to_half(value) : static_cast<std::uint16_t>(bits >> 16);
  std::memcpy(at, &half, sizeof half);
}

// Different blocks of one format whose largest value lies near `size`. Random bytes are drawn until
// they expand to that, so that no block layout is written down here a second time.
std::vector<std::byte> block_pool(Format format, double size, std::uint64_t seed) {
  constexpr std::size_t kBlocks = 256;
  constexpr int kMostTries = 1 << 16;
  const auto block = static_cast<std::size_t>(info(format).bytes_per_block);
  const std::int64_t values = info(format).values_per_block;
  Random random(seed);
  std::vector<std::byte> pool(kBlocks * block);
  std::vector<float> expanded(static_cast<std::size_t>(values));
  for (std::size_t at = 0; at < pool.size(); at += block) {
    int tries = 0;
    for (bool good = false; !good; ++tries) {
      BANDWALL_CHECK(tries < kMostTries);
      for (std::size_t i = 0; i < block; ++i) pool[at + i] = std::byte(random.next() >> 56);
      dequantize(format, pool.data() + at, values, expanded.data());
      double most = 0;
      for (const float x : expanded)
        most = std::isfinite(x) ? std::max(most, std::fabs(double{x})) : HUGE_VAL;
      good = most > size / 2 && most < size * 2;
    }
  }
  return pool;
}

bool is_matrix(const TensorSpec& t) {
  return t.n_dims > 1 && !t.is_bias && t.name.ends_with(".weight");
}

// Values of one tensor as pieces: vectors are neutral (1, biases 0), matrices random.
class Filler {
 public:
  Filler(std::uint64_t seed, const ByteSink& sink) : seed_(seed), sink_(sink), piece_(kPiece) {}

  void fill(const TensorSpec& t, std::uint64_t index) {
    Random random(seed_ * 0x9e3779b9u + index);
    if (!is_matrix(t) || is_float(t.format)) {
      floats(t, random);
    } else {
      blocks(t, random);
    }
  }
  void zeros(std::int64_t bytes) {
    std::fill(piece_.begin(), piece_.begin() + bytes, std::byte{0});
    sink_({piece_.data(), static_cast<std::size_t>(bytes)});
  }

 private:
  static constexpr std::size_t kPiece = std::size_t{1} << 20;

  void floats(const TensorSpec& t, Random& random) {
    const auto size = static_cast<std::size_t>(info(t.format).bytes_per_block);
    const auto scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(t.dims[0])));
    // A state must decay: exp(-1 dt) per token.
    const float neutral = t.name.ends_with(".bias")   ? 0.0f
                          : t.name.ends_with("ssm_a") ? -1.0f
                                                      : 1.0f;
    std::size_t at = 0;
    for (std::int64_t i = 0; i < t.values(); ++i) {
      store_float(t.format, is_matrix(t) ? scale * random.normal() : neutral, piece_.data() + at);
      at += size;
      if (at < kPiece && i + 1 < t.values()) continue;
      sink_({piece_.data(), at});
      at = 0;
    }
  }

  void blocks(const TensorSpec& t, Random& random) {
    const auto block = static_cast<std::size_t>(info(t.format).bytes_per_block);
    std::vector<std::byte>& pool = pools_[{t.format, t.dims[0]}];
    if (pool.empty()) {
      // Three standard deviations of 1/sqrt(row length).
      pool = block_pool(t.format, 3.0 / std::sqrt(static_cast<double>(t.dims[0])), seed_);
    }
    std::size_t at = 0;
    std::uint64_t bits = 0;
    const std::int64_t count = t.bytes / static_cast<std::int64_t>(block);
    for (std::int64_t i = 0; i < count; ++i) {
      bits = i % 8 == 0 ? random.next() : bits >> 8;
      std::memcpy(piece_.data() + at, pool.data() + (bits & 0xff) * block, block);
      at += block;
      if (at + block <= kPiece && i + 1 < count) continue;
      sink_({piece_.data(), at});
      at = 0;
    }
  }

  std::uint64_t seed_;
  const ByteSink& sink_;
  std::vector<std::byte> piece_;
  std::map<std::pair<Format, std::int64_t>, std::vector<std::byte>> pools_;
};

// 256 byte tokens, one merge, an end of text, and names that no text gives.
void put_vocabulary(std::int64_t vocab, GgufHeader& header) {
  constexpr std::int64_t kNormal = 1, kControl = 3, kUnused = 5, kLeast = 258;
  if (vocab < kLeast) {
    throw Error::input("vocabulary",
                       fmt::format("{} tokens; a byte-level one needs {}", vocab, kLeast));
  }
  std::vector<std::string> tokens;
  std::vector<std::int64_t> types;
  for (int b = 0; b < 256; ++b) tokens.emplace_back(printable_byte(static_cast<unsigned char>(b)));
  types.assign(256, kNormal);
  const std::string space = std::string(printable_byte(' '));
  tokens.push_back(space + "t");
  types.push_back(kNormal);
  while (static_cast<std::int64_t>(tokens.size()) < vocab - 1) {
    tokens.push_back(fmt::format("<unused{}>", tokens.size()));
    types.push_back(kUnused);
  }
  tokens.push_back("<|endoftext|>");
  types.push_back(kControl);
  const std::vector<std::string> merges = {space + " t"};
  header.text("tokenizer.ggml.model", "gpt2");
  header.text("tokenizer.ggml.pre", "gpt-2");
  header.texts("tokenizer.ggml.tokens", tokens);
  header.numbers("tokenizer.ggml.token_type", types);
  header.texts("tokenizer.ggml.merges", merges);
  header.number("tokenizer.ggml.bos_token_id", vocab - 1);
  header.number("tokenizer.ggml.eos_token_id", vocab - 1);
  header.flag("tokenizer.ggml.add_bos_token", false);
}

GgufHeader header_of(const ModelSpec& spec, const SyntheticOptions& options) {
  const Architecture* a = find_architecture(spec.architecture);
  BANDWALL_CHECK(a != nullptr);
  GgufHeader header;
  header.text("general.architecture", spec.architecture);
  header.text("general.name", fmt::format("{}, synthetic", spec.name));
  if (const auto type = file_type_number(spec.quantization)) {
    header.number("general.file_type", *type);
  }
  header.number("general.quantization_version", 2);
  write_hyper(*a, spec.hyper, header);
  if (options.vocabulary) put_vocabulary(spec.hyper.vocab, header);
  for (const TensorSpec& t : spec.tensors) {
    const std::int64_t block = info(t.format).values_per_block;
    const bool whole = t.dims[0] % block == 0;
    if (!whole || t.bytes != row_bytes(t.format, t.dims[0]) * (t.values() / t.dims[0])) {
      throw Error::input(spec.name, fmt::format("tensor {}: only its published share of bytes is "
                                                "known; take a mix with rules, such as Q4_K_M",
                                                t.name));
    }
    if (!has_kernels(t.format)) {
      throw Error::input(spec.name, fmt::format("tensor {}: blocks of {} cannot be made up; take "
                                                "a mix with kernels, such as Q4_K_M",
                                                t.name, name(t.format)));
    }
    header.tensor(t);
  }
  return header;
}

}  // namespace

std::int64_t synthetic_bytes(const ModelSpec& spec, const SyntheticOptions& options) {
  return header_of(spec, options).file_bytes();
}

void write_synthetic(const ModelSpec& spec, const SyntheticOptions& options, const ByteSink& sink) {
  const GgufHeader header = header_of(spec, options);
  const std::vector<std::byte> head = header.bytes();
  sink(head);
  Filler filler(options.seed, sink);
  auto at = static_cast<std::int64_t>(head.size());
  for (std::size_t i = 0; i < spec.tensors.size(); ++i) {
    if (header.offset_of(i) > at) filler.zeros(header.offset_of(i) - at);
    filler.fill(spec.tensors[i], i);
    at = header.offset_of(i) + spec.tensors[i].bytes;
  }
  if (header.file_bytes() > at) filler.zeros(header.file_bytes() - at);
}

SyntheticModel synthetic_model(const ModelSpec& spec, const SyntheticOptions& options,
                               Pages pages) {
  const auto size = static_cast<std::size_t>(synthetic_bytes(spec, options));
  SyntheticModel model{std::make_unique<Arena>(size, pages), size};
  std::byte* at = model.memory->data();
  write_synthetic(spec, options, [&](std::span<const std::byte> piece) {
    std::memcpy(at, piece.data(), piece.size());
    at += piece.size();
  });
  return model;
}

ModelSpec uniform_spec(const std::string& architecture, const Hyper& hyper, Format format) {
  const Architecture* a = find_architecture(architecture);
  BANDWALL_CHECK(a != nullptr);
  ModelSpec model;
  model.name = architecture;
  model.architecture = architecture;
  model.quantization = name(format);
  model.hyper = hyper;
  for (const ExpectedTensor& t : expected_tensors(*a, hyper)) {
    if (!t.required) continue;
    TensorSpec spec = t.spec;
    const bool whole = spec.dims[0] % info(format).values_per_block == 0;
    const bool plain = !is_matrix(spec) || spec.role == Role::Router || spec.role == Role::SsmNorm;
    spec.format = plain || !whole ? Format::F32 : format;
    spec.bytes = row_bytes(spec.format, spec.dims[0]) * (spec.values() / spec.dims[0]);
    model.tensors.push_back(std::move(spec));
  }
  return model;
}

}  // namespace bandwall
