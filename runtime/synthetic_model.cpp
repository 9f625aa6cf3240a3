#include "runtime/synthetic_model.h"

#include <cstring>
#include <vector>

#include "hwmodel/error.h"
#include "workload/architectures.h"
#include "workload/gguf.h"

namespace bandwall {
namespace {

constexpr std::size_t kAlignment = 32;

class Header {
 public:
  template <class T>
  void put(T value) {
    const auto* p = reinterpret_cast<const std::byte*>(&value);
    bytes_.insert(bytes_.end(), p, p + sizeof value);
  }
  void put_text(std::string_view text) {
    put(static_cast<std::uint64_t>(text.size()));
    const auto* p = reinterpret_cast<const std::byte*>(text.data());
    bytes_.insert(bytes_.end(), p, p + text.size());
  }
  void number(const std::string& key, std::int64_t value) {
    put_text(key);
    put(static_cast<std::uint32_t>(GgufType::U32));
    put(static_cast<std::uint32_t>(value));
    ++keys_;
  }
  void real(const std::string& key, float value) {
    put_text(key);
    put(static_cast<std::uint32_t>(GgufType::F32));
    put(value);
    ++keys_;
  }
  void text(const std::string& key, std::string_view value) {
    put_text(key);
    put(static_cast<std::uint32_t>(GgufType::String));
    put_text(value);
    ++keys_;
  }
  std::uint64_t keys() const { return keys_; }
  const std::vector<std::byte>& bytes() const { return bytes_; }

 private:
  std::vector<std::byte> bytes_;
  std::uint64_t keys_ = 0;
};

std::size_t padded(std::size_t n) { return (n + kAlignment - 1) / kAlignment * kAlignment; }

void put_keys(const std::string& a, const Hyper& h, Header& out) {
  out.text("general.architecture", a);
  out.text("general.name", "synthetic");
  out.number(a + ".block_count", h.layers);
  out.number(a + ".context_length", h.context_train);
  out.number(a + ".embedding_length", h.hidden);
  out.number(a + ".feed_forward_length", h.ffn > 0 ? h.ffn : h.expert_ffn);
  out.number(a + ".attention.head_count", h.heads);
  out.number(a + ".attention.head_count_kv", h.kv_heads);
  out.number(a + ".attention.key_length", h.head_dim_k);
  out.number(a + ".attention.value_length", h.head_dim_v);
  out.real(a + ".attention.layer_norm_rms_epsilon", 1e-5f);
  out.number(a + ".rope.dimension_count", h.rope_dims);
  if (h.experts == 0) return;
  out.number(a + ".expert_count", h.experts);
  out.number(a + ".expert_used_count", h.experts_used);
  out.number(a + ".expert_feed_forward_length", h.expert_ffn);
}

bool is_plain(const TensorSpec& t) { return t.n_dims < 2 || t.is_bias || t.role == Role::Router; }

void fill(const TensorSpec& t, std::byte* at, std::size_t size, std::uint64_t seed) {
  if (t.n_dims > 1 && !t.is_bias) {
    fill_random_blocks(t.format, at, size, seed);
    return;
  }
  const float value = t.name.ends_with(".bias") ? 0.0f : 1.0f;   // a bias or the weight of a norm
  for (std::size_t i = 0; i + sizeof value <= size; i += sizeof value) {
    std::memcpy(at + i, &value, sizeof value);
  }
}

}  // namespace

SyntheticModel synthetic_model(const std::string& architecture, const Hyper& hyper, Format format) {
  const Architecture* a = find_architecture(architecture);
  BANDWALL_CHECK(a != nullptr);
  std::vector<TensorSpec> tensors;
  for (const ExpectedTensor& t : expected_tensors(*a, hyper)) {
    if (!t.required) continue;
    TensorSpec spec = t.spec;
    const bool whole = spec.dims[0] % info(format).values_per_block == 0;
    spec.format = is_plain(spec) || !whole ? Format::F32 : format;
    spec.bytes = row_bytes(spec.format, spec.dims[0]) * (spec.values() / spec.dims[0]);
    tensors.push_back(std::move(spec));
  }
  Header body;
  put_keys(architecture, hyper, body);
  std::size_t data = 0;
  for (const TensorSpec& t : tensors) {
    body.put_text(t.name);
    body.put(static_cast<std::uint32_t>(t.n_dims));
    for (int d = 0; d < t.n_dims; ++d) body.put(t.dims[d]);
    body.put(static_cast<std::uint32_t>(t.format));
    body.put(static_cast<std::uint64_t>(data));
    data = padded(data + static_cast<std::size_t>(t.bytes));
  }
  Header head;
  head.put(std::uint32_t{0x46554747});   // "GGUF"
  head.put(std::uint32_t{3});
  head.put(static_cast<std::uint64_t>(tensors.size()));
  head.put(body.keys());
  const std::size_t start = padded(head.bytes().size() + body.bytes().size());
  SyntheticModel model{std::make_unique<Arena>(start + data), start + data};
  std::byte* out = model.memory->data();
  std::memset(out, 0, start);
  std::memcpy(out, head.bytes().data(), head.bytes().size());
  std::memcpy(out + head.bytes().size(), body.bytes().data(), body.bytes().size());
  std::size_t at = start;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const auto size = static_cast<std::size_t>(tensors[i].bytes);
    fill(tensors[i], out + at, size, i + 1);
    at += padded(size);
  }
  return model;
}

}  // namespace bandwall
