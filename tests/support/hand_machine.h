// Machines and backends written by hand for tests, round figures.
#pragma once

#include "hwmodel/machine.h"

namespace bandwall::testing_support {

template <class T>
Sourced<T> given(T value) {
  return {value, {Source::Kind::Assumed, "test"}};
}

// 128 GB pool of which 120 are usable, 250 GB/s peak, 200 reached, one ceiling of 100 TFLOP/s.
inline Machine hand_machine() {
  Machine m;
  m.name = "box";
  m.title = "Box";
  MemoryPool pool;
  pool.name = "unified";
  pool.installed = given(Bytes(128e9));
  pool.visible = given(Bytes(124e9));
  pool.reserve = given(Bytes(4e9));
  pool.peak = given(BytesPerSecond(250e9));
  pool.achievable = given(BytesPerSecond(200e9));
  m.pools.push_back(pool);
  m.compute.push_back({"bf16", given(FlopsPerSecond(100e12)), std::nullopt});
  return m;
}

inline Backend hand_backend() {
  Backend b;
  b.name = "box-engine";
  b.machine = "box";
  b.calibrated = true;
  b.stream["default"] = given(BytesPerSecond(180e9));
  b.stream["Q8_0"] = given(BytesPerSecond(200e9));
  b.stream["F32"] = given(BytesPerSecond(200e9));
  b.kv_stream["f16"] = given(BytesPerSecond(160e9));
  b.kv_stream["default"] = given(BytesPerSecond(150e9));
  b.kv_elements["default"] = given(ElementsPerSecond(3e11));
  b.gemm["default"] = given(GemmRate{FlopsPerSecond(30e12), 16});
  b.attention_rate = given(FlopsPerSecond(40e12));
  b.op_seconds["default"] = given(Seconds(2e-6));
  b.layer_seconds = given(Seconds(20e-6));
  b.step_seconds = given(Seconds(100e-6));
  return b;
}

// The same host seen through a time machine: every rate times `rates`, every fixed cost times
// `costs`.
inline Machine scaled(Machine m, double rates) {
  for (MemoryPool& p : m.pools) {
    p.peak.value = p.peak.value * rates;
    p.achievable.value = p.achievable.value * rates;
  }
  for (ComputeRate& c : m.compute) c.peak.value = c.peak.value * rates;
  return m;
}

inline Backend scaled(Backend b, double rates, double costs) {
  for (auto& [key, row] : b.stream) row.value = row.value * rates;
  for (auto& [key, row] : b.kv_stream) row.value = row.value * rates;
  for (auto& [key, row] : b.kv_elements) row.value = row.value * rates;
  for (auto& [key, row] : b.activation_stream) row.value = row.value * rates;
  for (auto& [key, row] : b.gemm) row.value.rate = row.value.rate * rates;
  if (b.attention_rate) b.attention_rate->value = b.attention_rate->value * rates;
  for (auto& [key, row] : b.op_seconds) row.value = row.value * costs;
  if (b.layer_seconds) b.layer_seconds->value = b.layer_seconds->value * costs;
  if (b.step_seconds) b.step_seconds->value = b.step_seconds->value * costs;
  return b;
}

}  // namespace bandwall::testing_support
