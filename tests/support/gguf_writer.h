// A small GGUF writer for tests: sound files and, through the overrides, hostile ones, in memory.
//   GgufWriter w;  w.set("general.architecture", "llama");  w.add("output_norm.weight", {64});
//   std::vector<std::byte> file = w.build();
// Tensor data are zeros unless given. tiny_model() makes a complete model of an architecture.
#pragma once

#include <cstring>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "workload/architectures.h"
#include "workload/gguf.h"

namespace bandwall::testing {

using Blob = std::vector<std::byte>;

template <class T>
void put(Blob& out, T value) {
  const auto* p = reinterpret_cast<const std::byte*>(&value);
  out.insert(out.end(), p, p + sizeof value);
}
inline void put_text(Blob& out, std::string_view text) {
  put(out, static_cast<std::uint64_t>(text.size()));
  const auto* p = reinterpret_cast<const std::byte*>(text.data());
  out.insert(out.end(), p, p + text.size());
}

struct WrittenTensor {
  std::string name;
  std::vector<std::int64_t> dims;
  std::uint32_t type = 0;
  std::int64_t bytes = 0;
  Blob data;                            // zeros when empty
  std::optional<std::uint64_t> offset;  // instead of the next free place
};

class GgufWriter {
 public:
  std::string magic = "GGUF";
  std::uint32_t version = 3;
  std::uint64_t alignment = 32;  // of the layout; the key is written only by set()
  std::optional<std::uint64_t> claimed_tensors, claimed_keys;
  std::vector<std::pair<std::string, Blob>> values;  // type and payload
  std::vector<WrittenTensor> tensors;

  // Replaces a key that is already there.
  void set_raw(const std::string& key, GgufType type, const Blob& payload) {
    Blob value;
    put(value, static_cast<std::uint32_t>(type));
    value.insert(value.end(), payload.begin(), payload.end());
    for (auto& [old_key, old_value] : values) {
      if (old_key == key) {
        old_value = value;
        return;
      }
    }
    values.emplace_back(key, value);
  }
  template <class T>
  void set_as(const std::string& key, GgufType type, T value) {
    Blob payload;
    put(payload, value);
    set_raw(key, type, payload);
  }
  void set(const std::string& key, std::uint32_t value) { set_as(key, GgufType::U32, value); }
  void set(const std::string& key, float value) { set_as(key, GgufType::F32, value); }
  void set(const std::string& key, const char* text) {
    Blob payload;
    put_text(payload, text);
    set_raw(key, GgufType::String, payload);
  }
  void set_flag(const std::string& key, std::uint8_t value) { set_as(key, GgufType::Bool, value); }
  void set_array(const std::string& key, const std::vector<std::int32_t>& items) {
    Blob payload = array_head(GgufType::I32, items.size());
    for (const std::int32_t item : items) put(payload, item);
    set_raw(key, GgufType::Array, payload);
  }
  void set_array(const std::string& key, const std::vector<std::string>& items) {
    Blob payload = array_head(GgufType::String, items.size());
    for (const std::string& item : items) put_text(payload, item);
    set_raw(key, GgufType::Array, payload);
  }
  void remove(const std::string& key) {
    std::erase_if(values, [&](const auto& v) { return v.first == key; });
  }

  WrittenTensor& add(const std::string& name, const std::vector<std::int64_t>& dims,
                     Format format = Format::F32) {
    WrittenTensor t{name, dims, static_cast<std::uint32_t>(format), 0, {}, {}};
    std::int64_t rows = 1;
    for (std::size_t i = 1; i < dims.size(); ++i) rows *= dims[i];
    const FormatInfo& f = info(format);
    t.bytes = (dims.empty() ? 0 : dims[0] / f.values_per_block * f.bytes_per_block) * rows;
    tensors.push_back(t);
    return tensors.back();
  }
  WrittenTensor& tensor(const std::string& name) {
    for (WrittenTensor& t : tensors) {
      if (t.name == name) return t;
    }
    BANDWALL_CHECK(!"no such tensor");
    return tensors.front();
  }
  void drop(const std::string& name) {
    std::erase_if(tensors, [&](const WrittenTensor& t) { return t.name == name; });
  }

  Blob build() const {
    Blob out;
    for (const char c : magic) out.push_back(static_cast<std::byte>(c));
    put(out, version);
    put(out, claimed_tensors.value_or(tensors.size()));
    put(out, claimed_keys.value_or(values.size()));
    for (const auto& [key, value] : values) {
      put_text(out, key);
      out.insert(out.end(), value.begin(), value.end());
    }
    std::vector<std::uint64_t> offsets;
    std::uint64_t next = 0;
    for (const WrittenTensor& t : tensors) {
      put_text(out, t.name);
      put(out, static_cast<std::uint32_t>(t.dims.size()));
      for (const std::int64_t d : t.dims) put(out, d);
      put(out, t.type);
      offsets.push_back(t.offset.value_or(next));
      put(out, offsets.back());
      if (!t.offset) next = padded(next + static_cast<std::uint64_t>(t.bytes));
    }
    out.resize(padded(out.size()));
    const std::size_t data = out.size();
    out.resize(data + next);
    for (std::size_t i = 0; i < tensors.size(); ++i) {
      const Blob& bytes = tensors[i].data;
      if (!bytes.empty() && !tensors[i].offset) {
        std::memcpy(out.data() + data + offsets[i], bytes.data(), bytes.size());
      }
    }
    return out;
  }

 private:
  static Blob array_head(GgufType type, std::uint64_t count) {
    Blob payload;
    put(payload, static_cast<std::uint32_t>(type));
    put(payload, count);
    return payload;
  }
  std::uint64_t padded(std::uint64_t n) const {
    return (n + alignment - 1) / alignment * alignment;
  }
};

// Recurrent mixers of tiny_model(): 4 heads of 16 with states of 8 rows, 2 groups, 4 taps.
inline void add_tiny_recurrence(const Architecture& a, Hyper& h) {
  if (a.name != "nemotron_h_moe" && a.name != "qwen3next") return;
  h.ssm_inner = 64;
  h.ssm_state = 8;
  h.ssm_heads = 4;
  h.ssm_groups = 2;
  h.ssm_conv = 4;
  if (a.name == "qwen3next") {
    h.attention_interval = 2;
    return;
  }
  h.pattern = "ME*E";
  h.layers = 4;
  h.expert_latent = 32;
  h.rope_dims = 0;
}

// Metadata of the same; which mixer a block holds shows in arrays.
inline void set_recurrence(GgufWriter& w, const std::string& architecture, const Hyper& h) {
  if (h.ssm_conv == 0) return;
  const auto number = [&](const char* key, std::int64_t value) {
    w.set(architecture + "." + key, static_cast<std::uint32_t>(value));
  };
  number("ssm.conv_kernel", h.ssm_conv);
  number("ssm.inner_size", h.ssm_inner);
  number("ssm.state_size", h.ssm_state);
  number("ssm.time_step_rank", h.ssm_heads);
  number("ssm.group_count", h.ssm_groups);
  if (h.pattern.empty()) {
    number("full_attention_interval", h.attention_interval);
    return;
  }
  number("moe_latent_size", h.expert_latent);
  std::vector<std::int32_t> kv, ffn;
  for (const char letter : h.pattern) {
    kv.push_back(letter == '*' ? static_cast<std::int32_t>(h.kv_heads) : 0);
    ffn.push_back(letter == 'E' ? static_cast<std::int32_t>(h.expert_ffn) : 0);
  }
  w.set_array(architecture + ".attention.head_count_kv", kv);
  w.set_array(architecture + ".feed_forward_length", ffn);
}

// Shape of tiny_model(): 2 layers, hidden 64, 4 heads of 16 over 2, vocabulary 32, 4 experts top 2.
inline Hyper tiny_hyper(const Architecture& a) {
  Hyper h = {.layers = 2,
             .hidden = 64,
             .vocab = 32,
             .context_train = 256,
             .heads = 4,
             .kv_heads = 2,
             .head_dim_k = 16,
             .head_dim_v = 16,
             .rope_dims = 16};
  h.ffn = a.experts == Need::Always ? 0 : 96;
  if (a.experts == Need::Always) {
    h.experts = 4;
    h.experts_used = 2;
    h.expert_ffn = 32;
  }
  if (a.shared_expert) h.shared_ffn = 48;
  if (a.window_period > 0) h.window = 32;
  h.attention_gate = a.attention_gate;
  add_tiny_recurrence(a, h);
  if (a.latent_attention) {
    h.kv_heads = 1;
    h.kv_rank = h.head_dim_v = 32;
    h.rope_dims = 8;
    h.head_dim_k = 40;
    h.q_rank = 24;
    h.mla_key = 24;
    h.mla_value = 16;
    h.shared_ffn = 32;
    h.router = RouterKind::SigmoidBias;
  }
  return h;
}

inline const Architecture& architecture_row(const std::string& name) {
  const Architecture* a = find_architecture(name);
  BANDWALL_CHECK(a != nullptr);
  return *a;
}

inline GgufWriter tiny_model(const std::string& architecture, const Hyper& h) {
  GgufWriter w;
  const auto number = [&](const char* key, std::int64_t value) {
    w.set(architecture + "." + key, static_cast<std::uint32_t>(value));
  };
  w.set("general.architecture", architecture.c_str());
  w.set("general.name", "tiny");
  number("block_count", h.layers);
  number("context_length", h.context_train);
  number("embedding_length", h.hidden);
  number("feed_forward_length", h.ffn > 0 ? h.ffn : h.expert_ffn);
  number("attention.head_count", h.heads);
  number("attention.head_count_kv", h.kv_heads);
  w.set(architecture + ".attention.layer_norm_rms_epsilon", 1e-5f);
  if (h.experts > 0) {
    number("expert_count", h.experts);
    number("expert_used_count", h.experts_used);
    number("expert_feed_forward_length", h.expert_ffn);
  }
  if (h.shared_ffn > 0) {
    number("expert_shared_count", 1);
    number("expert_shared_feed_forward_length", h.shared_ffn);
  }
  if (h.window > 0) number("attention.sliding_window", h.window);
  set_recurrence(w, architecture, h);
  if (h.kv_rank > 0) {
    number("attention.key_length", h.head_dim_k);
    number("attention.value_length", h.head_dim_v);
    number("rope.dimension_count", h.rope_dims);
    number("attention.kv_lora_rank", h.kv_rank);
    number("attention.q_lora_rank", h.q_rank);
    number("attention.key_length_mla", h.mla_key);
    number("attention.value_length_mla", h.mla_value);
    number("expert_gating_func", 2);
  }
  for (const ExpectedTensor& t : expected_tensors(architecture_row(architecture), h)) {
    if (!t.required) continue;
    w.add(t.spec.name, {t.spec.dims, t.spec.dims + t.spec.n_dims});
  }
  return w;
}
inline GgufWriter tiny_model(const std::string& architecture) {
  return tiny_model(architecture, tiny_hyper(architecture_row(architecture)));
}

}  // namespace bandwall::testing
