#include <fmt/format.h>

#include "configs/load.h"
#include "workload/cost_key.h"
#include "workload/format.h"
#include "workload/ledger.h"

namespace bandwall {
namespace {

std::vector<std::string> with_default(std::vector<std::string> names) {
  names.emplace_back("default");
  return names;
}

std::vector<std::string> format_keys() {
  std::vector<std::string> names;
  for (const FormatInfo& f : all_formats()) {
    names.emplace_back(f.name);
    for (const char* op : {".experts", ".dense_ffn"}) names.push_back(std::string(f.name) + op);
  }
  return with_default(std::move(names));
}

std::vector<std::string> kv_keys() {
  std::vector<std::string> names;
  for (const KvFormat& f : all_kv_formats()) names.emplace_back(f.name);
  for (const KvFormat& f : foreign_kv_formats()) names.emplace_back(f.name);
  return with_default(std::move(names));
}

std::vector<std::string> op_keys() {
  return with_default(cost_keys());
}

// Calls read(rows, key) for every key of an optional mapping with known keys.
template <class Read>
void each_row(Reader& r, std::string_view key, const std::vector<std::string>& known, Read read) {
  auto rows = r.optional_child(key);
  if (!rows) return;
  for (const std::string& row : rows->keys()) {
    check_key(*rows, row, row, known);
    read(*rows, row);
  }
}

template <class Q>
void read_rows(Reader& r, std::string_view key, const std::vector<std::string>& known,
               std::map<std::string, Sourced<Q>>& into) {
  each_row(r, key, known, [&](Reader& rows, const std::string& row) {
    into[row] = rows.figure<Q>(row);
  });
}

void read_gemm(Reader& r, Backend& b) {
  each_row(r, "gemm", format_keys(), [&](Reader& rows, const std::string& row) {
    Reader one = rows.child(row);
    Sourced<GemmRate> rate;
    rate.value.rate = one.quantity<FlopsPerSecond>("rate");
    rate.value.n_half = one.number("n_half", 0, 1e6);
    rate.source = one.source();
    for (Reader& point : one.children("points")) {
      const double n = point.number("rows", 1, 1e9);
      if (!(n > (rate.value.points.empty() ? 1 : rate.value.points.back().rows))) {
        point.problem("rows", "must be above 1 and rise from point to point");
      }
      rate.value.points.push_back({n, point.quantity<FlopsPerSecond>("rate")});
    }
    b.gemm[row] = rate;
  });
}

void read_reference(Reader& r, Backend& b) {
  auto reference = r.optional_child("reference");
  if (!reference) return;
  b.reference_bandwidth = reference->optional_figure<BytesPerSecond>("bandwidth");
  b.reference_compute = reference->optional_figure<FlopsPerSecond>("compute");
}

KnownLimit read_limit(Reader& r) {
  KnownLimit limit;
  limit.when = r.texts("when");
  for (const std::string& word : limit.when) check_key(r, "when", word, limit_words());
  if (limit.when.empty()) r.problem("when", "say when it holds, with at least one word");
  limit.low = r.number("low", 0.01, 1);
  limit.high = r.number("high", 1, 100);
  limit.mechanism = r.text("mechanism");
  limit.source = r.source();
  return limit;
}

void read_shape_of_time(Reader& r, Backend& b) {
  b.overlap = r.optional_figure<double>("overlap");
  if (b.overlap && !(b.overlap->value >= 1 && b.overlap->value <= 64)) {
    r.problem("overlap", "is an exponent of 1 (times add) to 64 (the longer one counts)");
  }
  b.routing_concentration = r.optional_figure<double>("routing_concentration");
  if (b.routing_concentration &&
      !(b.routing_concentration->value > 0 && b.routing_concentration->value <= 1e6)) {
    r.problem("routing_concentration", "must be above 0 and at most 1e6");
  }
  for (Reader& limit : r.children("known_limits")) b.known_limits.push_back(read_limit(limit));
}

}  // namespace

Backend read_backend(Reader& r) {
  Backend b;
  b.name = r.text("name");
  b.title = r.optional_text("title").value_or("");
  b.version = r.optional_text("version").value_or("");
  b.machine = r.optional_text("machine").value_or("");
  b.calibrated = r.flag("calibrated", false);
  b.threads = static_cast<int>(r.optional_integer("threads", 0, 4096).value_or(0));
  if (const auto efficiency = r.optional_figure<double>("efficiency")) {
    b.efficiency_default = efficiency->value;
    b.efficiency_source = efficiency->source;
    if (efficiency->value <= 0 || efficiency->value > 1) {
      r.problem("efficiency", "must be above 0 and at most 1");
    }
  }
  read_reference(r, b);
  read_rows(r, "stream", format_keys(), b.stream);
  each_row(r, "stream_curves", format_keys(), [&](Reader& rows, const std::string& row) {
    for (Reader& curve : rows.children(row)) b.stream_curves[row].push_back(read_curve(curve));
  });
  b.page_reading = r.optional_figure<BytesPerSecond>("page_reading");
  read_rows(r, "kv_stream", kv_keys(), b.kv_stream);
  read_rows(r, "kv_elements", kv_keys(), b.kv_elements);
  read_rows(r, "kv_scores", kv_keys(), b.kv_scores);
  read_gemm(r, b);
  b.attention_rate = r.optional_figure<FlopsPerSecond>("attention_rate");
  read_rows(r, "op_seconds", op_keys(), b.op_seconds);
  read_rows(r, "cached_op_seconds", op_keys(), b.cached_op_seconds);
  read_rows(r, "batch_op_seconds", op_keys(), b.batch_op_seconds);
  read_rows(r, "activation_stream", op_keys(), b.activation_stream);
  b.layer_seconds = r.optional_figure<Seconds>("layer_seconds");
  b.step_seconds = r.optional_figure<Seconds>("step_seconds");
  b.context_bytes = r.optional_figure<Bytes>("context_bytes");
  read_shape_of_time(r, b);
  if (b.calibrated && b.machine.empty()) {
    r.problem("calibrated", "figures measured on a machine need its name (key machine)");
  }
  return b;
}

}  // namespace bandwall
