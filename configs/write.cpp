#include <fmt/format.h>

#include "configs/library.h"

namespace bandwall {
namespace {

std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    if (c == '\n') {
      out += "\\n";
    } else if (c == '\t') {
      out += "\\t";
    } else {
      out += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? ' ' : c;
    }
  }
  return out + '"';
}

// The reader refuses an empty note.
std::string note_of(const Source& source) {
  return quoted(source.note.empty() ? "not stated" : std::string_view(source.note));
}

// Lines of YAML, two spaces per level; figures and points stay on one line.
class Lines {
 public:
  explicit Lines(int level) : level_(level) {}
  std::string take() { return std::move(text_); }

  void line(std::string_view text) {
    text_.append(static_cast<std::size_t>(2 * level_), ' ').append(text).append("\n");
  }
  void text(std::string_view key, std::string_view value) {
    line(fmt::format("{}: {}", key, quoted(value)));
  }
  void open(std::string_view key) {
    line(fmt::format("{}:", key));
    ++level_;
  }
  void close() { --level_; }
  // A list item: its first key stands behind the dash.
  void item(std::string_view first) {
    line(fmt::format("- {}", first));
    ++level_;
  }

  static std::string sourced(std::string_view fields, const Source& source) {
    return fmt::format("{{{}, source: {}, note: {}}}", fields, name(source.kind), note_of(source));
  }
  static std::string value_text(double v) { return fmt::format("value: {}", v); }
  template <class Q>
  static std::string value_text(Q q) {
    return fmt::format("value: {}", quoted(to_text(q)));
  }
  template <class Q>
  void figure(std::string_view key, const Sourced<Q>& f) {
    line(fmt::format("{}: {}", key, sourced(value_text(f.value), f.source)));
  }
  template <class Q>
  void figure(std::string_view key, const std::optional<Sourced<Q>>& f) {
    if (f) figure(key, *f);
  }
  template <class Q>
  void figures(std::string_view key, const std::map<std::string, Sourced<Q>>& rows) {
    if (rows.empty()) return;
    open(key);
    for (const auto& [name, row] : rows) figure(name, row);
    close();
  }

 private:
  int level_;
  std::string text_;
};

void write_curves(Lines& out, const std::vector<RateCurve>& curves) {
  for (const RateCurve& curve : curves) {
    out.item(fmt::format("threads: {}", curve.threads));
    out.line(fmt::format("source: {}", name(curve.source.kind)));
    out.line(fmt::format("note: {}", note_of(curve.source)));
    out.open("points");
    for (const RatePoint& p : curve.points) {
      out.line(fmt::format("- {{working_set: {}, rate: {}}}", quoted(to_text(p.working_set)),
                           quoted(to_text(p.rate))));
    }
    out.close();
    out.close();
  }
}

void write_pools(Lines& out, const Machine& m) {
  out.open("pools");
  for (const MemoryPool& pool : m.pools) {
    out.item(fmt::format("name: {}", quoted(pool.name)));
    out.figure("installed", pool.installed);
    out.figure("visible", pool.visible);
    out.figure("reserve", pool.reserve);
    out.figure("peak", pool.peak);
    out.figure("achievable", pool.achievable);
    out.close();
  }
  out.close();
}

void write_caches_and_rates(Lines& out, const Machine& m) {
  if (!m.caches.empty()) {
    out.open("caches");
    for (const CacheLevel& cache : m.caches) {
      out.item(fmt::format("name: {}", quoted(cache.name)));
      out.figure("capacity", cache.capacity);
      out.close();
    }
    out.close();
  }
  if (!m.read_curves.empty()) {
    out.open("read_curves");
    write_curves(out, m.read_curves);
    out.close();
  }
  if (m.compute.empty()) return;
  out.open("compute");
  for (const ComputeRate& rate : m.compute) {
    out.item(fmt::format("numeric: {}", quoted(rate.numeric)));
    out.figure("peak", rate.peak);
    out.figure("achievable", rate.achievable);
    out.close();
  }
  out.close();
}

void write_limits_and_links(Lines& out, const Machine& m) {
  if (m.kernel_limits) {
    const KernelLimits& limits = *m.kernel_limits;
    out.open("kernel_limits");
    if (!limits.compute_capability.empty()) {
      out.text("compute_capability", limits.compute_capability);
    }
    out.figure("shared_per_block", limits.shared_per_block);
    out.figure("shared_per_sm", limits.shared_per_sm);
    out.figure("reserved_per_block", limits.reserved_per_block);
    out.figure("sm_count", limits.sm_count);
    out.figure("registers_per_sm", limits.registers_per_sm);
    out.figure("warps_per_sm", limits.warps_per_sm);
    out.figure("blocks_per_sm", limits.blocks_per_sm);
    out.close();
  }
  if (m.links.empty()) return;
  out.open("links");
  for (const Link& link : m.links) {
    out.item(fmt::format("name: {}", quoted(link.name)));
    out.figure("bandwidth", link.bandwidth);
    out.figure("latency", link.latency);
    out.close();
  }
  out.close();
}

void machine_lines(Lines& out, const Machine& m) {
  out.text("name", m.name);
  if (!m.title.empty()) out.text("title", m.title);
  if (m.devices != 1) out.line(fmt::format("devices: {}", m.devices));
  if (!m.default_backend.empty()) out.text("default_backend", m.default_backend);
  if (m.device_link) out.text("device_link", *m.device_link);
  write_pools(out, m);
  write_caches_and_rates(out, m);
  write_limits_and_links(out, m);
  out.figure("power", m.power);
  if (m.energy) {
    out.open("energy");
    out.figure("idle", m.energy->idle);
    out.figure("joules_per_byte", m.energy->joules_per_byte);
    out.figure("joules_per_flop", m.energy->joules_per_flop);
    out.close();
  }
  out.figure("price_usd", m.price_usd);
}

void write_gemm(Lines& out, const Backend& b) {
  if (b.gemm.empty()) return;
  out.open("gemm");
  for (const auto& [format, row] : b.gemm) {
    std::string fields =
        fmt::format("rate: {}, n_half: {}", quoted(to_text(row.value.rate)), row.value.n_half);
    std::string points;
    for (const GemmPoint& p : row.value.points) {
      points += fmt::format("{}{{rows: {}, rate: {}}}", points.empty() ? "" : ", ", p.rows,
                            quoted(to_text(p.rate)));
    }
    if (!points.empty()) fields += fmt::format(", points: [{}]", points);
    out.line(fmt::format("{}: {}", format, Lines::sourced(fields, row.source)));
  }
  out.close();
}

void write_stream_curves(Lines& out, const Backend& b) {
  if (b.stream_curves.empty()) return;
  out.open("stream_curves");
  for (const auto& [format, curves] : b.stream_curves) {
    if (curves.empty()) continue;
    out.open(format);
    write_curves(out, curves);
    out.close();
  }
  out.close();
}

void write_known_limits(Lines& out, const Backend& b) {
  if (b.known_limits.empty()) return;
  out.open("known_limits");
  for (const KnownLimit& limit : b.known_limits) {
    std::string words;
    for (const std::string& word : limit.when) words += (words.empty() ? "" : ", ") + word;
    out.item(fmt::format("when: [{}]", words));
    out.line(fmt::format("low: {}", limit.low));
    out.line(fmt::format("high: {}", limit.high));
    out.text("mechanism", limit.mechanism);
    out.line(fmt::format("source: {}", name(limit.source.kind)));
    out.line(fmt::format("note: {}", note_of(limit.source)));
    out.close();
  }
  out.close();
}

void backend_lines(Lines& out, const Backend& b, bool with_name = true) {
  if (with_name) out.text("name", b.name);
  if (!b.title.empty()) out.text("title", b.title);
  if (!b.version.empty()) out.text("version", b.version);
  if (!b.machine.empty()) out.text("machine", b.machine);
  out.line(fmt::format("calibrated: {}", b.calibrated));
  if (b.threads != 0) out.line(fmt::format("threads: {}", b.threads));
  if (b.efficiency_default != 1 || !b.efficiency_source.note.empty()) {
    out.figure("efficiency", Sourced<double>{b.efficiency_default, b.efficiency_source});
  }
  if (b.reference_bandwidth || b.reference_compute) {
    out.open("reference");
    out.figure("bandwidth", b.reference_bandwidth);
    out.figure("compute", b.reference_compute);
    out.close();
  }
  out.figures("stream", b.stream);
  write_stream_curves(out, b);
  out.figure("page_reading", b.page_reading);
  out.figures("kv_stream", b.kv_stream);
  out.figures("kv_elements", b.kv_elements);
  out.figures("kv_scores", b.kv_scores);
  write_gemm(out, b);
  out.figure("attention_rate", b.attention_rate);
  out.figures("op_seconds", b.op_seconds);
  out.figures("cached_op_seconds", b.cached_op_seconds);
  out.figures("batch_op_seconds", b.batch_op_seconds);
  out.figures("activation_stream", b.activation_stream);
  out.figure("layer_seconds", b.layer_seconds);
  out.figure("step_seconds", b.step_seconds);
  out.figure("context_bytes", b.context_bytes);
  out.figure("overlap", b.overlap);
  out.figure("routing_concentration", b.routing_concentration);
  write_known_limits(out, b);
}

}  // namespace

std::string write_machine(const Machine& machine) {
  Lines out(0);
  out.line("schema: 1");
  machine_lines(out, machine);
  return out.take();
}

std::string write_backend(const Backend& backend) {
  Lines out(0);
  out.line("schema: 1");
  backend_lines(out, backend);
  return out.take();
}

std::string write_profile_file(const ProfileFile& profile) {
  Lines out(0);
  out.line("schema: 1");
  if (!profile.date.empty()) out.text("date", profile.date);
  if (!profile.environment.empty()) out.text("environment", profile.environment);
  out.line(fmt::format("spread: {}", profile.spread));
  out.open("machine");
  machine_lines(out, profile.machine);
  out.close();
  out.open("backend");
  backend_lines(out, profile.backend);
  out.close();
  if (!profile.other_threads.empty()) out.open("other_threads");
  for (const Backend& b : profile.other_threads) {
    out.item(fmt::format("name: {}", quoted(b.name)));
    backend_lines(out, b, false);
    out.close();
  }
  std::string text = out.take();
  return text + fmt::format("hash: \"{}\"\n", profile_hash(text));
}

}  // namespace bandwall
