// Sizes that others published or logged, against our ledger of memory: footprints.csv holds them
// with their sources. Each row says what comes out:
//   agrees      bytes of weights, caches and states equal the printed figure to its last digit;
//               buffers are within 2 %, totals within 2 % or 150 MB
//   disagrees   a known miss, for the reason given; a row that starts to agree fails too
//   incomplete  the source lacks what the arithmetic needs; the reason says what
// Shapes that no shipped model has are in footprint_shapes.csv (named "#name" in the rows).
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <sstream>
#include <string>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "analysis/fit.h"
#include "configs/engines.h"
#include "configs/library.h"
#include "tests/support/csv.h"
#include "workload/mix.h"

namespace bandwall {
namespace {

using testing_support::CsvRow;
using testing_support::read_csv;

const std::string kFolder = std::string(BANDWALL_SOURCE_DIR) + "/tests/anchors/";

std::int64_t whole(const std::string& text) { return text.empty() ? 0 : std::stoll(text); }

ModelShape foreign_shape(const std::string& name) {
  static const std::vector<CsvRow> rows = read_csv(kFolder + "footprint_shapes.csv");
  for (const CsvRow& r : rows) {
    if (r.at("name") != name) continue;
    ModelShape shape;
    shape.name = name;
    shape.architecture = r.at("architecture");
    Hyper& h = shape.hyper;
    h.layers = whole(r.at("layers"));
    h.hidden = whole(r.at("hidden"));
    h.vocab = whole(r.at("vocab"));
    h.heads = whole(r.at("heads"));
    h.kv_heads = whole(r.at("kv_heads"));
    h.head_dim_k = h.head_dim_v = whole(r.at("head_dim"));
    h.ffn = whole(r.at("ffn"));
    h.window = whole(r.at("window"));
    h.window_period = whole(r.at("window_period"));
    h.attention_interval = whole(r.at("attention_interval"));
    h.ssm_inner = whole(r.at("ssm_inner"));
    h.ssm_state = whole(r.at("ssm_state"));
    h.ssm_heads = whole(r.at("ssm_heads"));
    h.ssm_groups = whole(r.at("ssm_groups"));
    h.ssm_conv = whole(r.at("ssm_conv"));
    h.tied_head = r.at("tied") == "1";
    h.rope_dims = h.head_dim_k;
    h.context_train = 1 << 18;
    return shape;
  }
  throw std::runtime_error("no shape " + name);
}

struct Case {
  ModelSpec model;
  FitOptions options;
  double given_weights = 0;  // where the weights are the log's own
};

const KvFormat* type(std::string name) {
  if (name == "turbo3" || name == "turbo4") name += "_0";
  const KvFormat* format = cache_layout_from_name(name);
  if (format == nullptr) throw std::runtime_error("no cache type " + name);
  return format;
}

KvConfig cache(const std::string& text) {
  const std::string first = text.substr(0, text.find(' '));  // "q8_0 (MLA latent)"
  if (first.empty() || first == "any") return {type("f16"), type("f16")};
  const std::size_t slash = first.find('/');
  if (slash == std::string::npos) return {type(first), type(first)};
  return {type(first.substr(0, slash)), type(first.substr(slash + 1))};
}

ModelSpec model_of(const CsvRow& r, const std::map<std::string, std::string>& settings) {
  const std::string& name = r.at("shape");
  ModelShape shape = name[0] == '#' ? foreign_shape(name.substr(1)) : load_model_shape(name);
  if (settings.count("experts") > 0) shape.hyper.experts = whole(settings.at("experts"));
  if (r.at("mix").empty()) {
    if (name[0] != '#') return model_from_shape(shape, shape.default_mix);
    ModelSpec alone;  // caches and buffers need no tensors
    alone.hyper = shape.hyper;
    return alone;
  }
  ModelSpec model = model_from_shape(shape, r.at("mix"));
  if (settings.count("importance") > 0) {
    apply_mix(*find_mix(r.at("mix")), Importance::Without, shape.architecture, model.hyper,
              model.tensors);
  }
  return model;
}

Case case_of(const CsvRow& r) {
  std::map<std::string, std::string> settings;
  std::istringstream in(r.at("settings"));
  for (std::string word; in >> word;) {
    settings[word.substr(0, word.find('='))] = word.substr(word.find('=') + 1);
  }
  Case c;
  c.model = model_of(r, settings);
  FitOptions& o = c.options;
  if (settings.count("engine") > 0) o.engine = load_engine(settings["engine"]);
  if (!r.at("ctx").empty()) o.context = whole(r.at("ctx"));
  if (settings.count("ctx") > 0) o.context = whole(settings["ctx"]);
  if (!r.at("n_ubatch").empty()) o.n_ubatch = whole(r.at("n_ubatch"));
  if (settings.count("ubatch") > 0) o.n_ubatch = whole(settings["ubatch"]);
  if (settings.count("slots") > 0) o.slots = whole(settings["slots"]);
  if (settings.count("draft_max") > 0) o.draft_max = whole(settings["draft_max"]);
  if (settings.count("hidden_copies") > 0) o.engine.hidden_copies.value = 2;
  if (settings.count("weights") > 0) c.given_weights = std::stod(settings["weights"]);
  o.unified = settings.count("unified") > 0;
  o.swa_full = settings.count("swa_full") > 0;
  o.whole_latent = settings.count("whole_latent") > 0;
  o.flash_attention = r.at("flash_attn") != "0";
  o.kv = cache(r.at("kind") == "kv" || r.at("part") == "device_total" ? r.at("kv_type") : "");
  return c;
}

double line(const MemoryLedger& ledger, std::string_view what, int where) {
  for (const MemoryLine& l : ledger.lines) {
    if (l.what == what && l.where == where) return l.bytes.value();
  }
  return 0;
}

// Bytes that our rules give for a row.
double predicted(const CsvRow& r) {
  const Case c = case_of(r);
  const Placement p = place(c.model, 1, c.options.offload, c.options.engine);
  const MemoryLedger l = memory_ledger(c.model, p, c.options);
  const std::string &kind = r.at("kind"), &part = r.at("part");
  if (kind == "file" || part == "all") {
    return kind == "kv" ? l.of(MemoryGroup::Kv).value()
                        : static_cast<double>(c.model.weight_bytes());
  }
  if (part == "device_total") {
    return c.given_weights + l.of(MemoryGroup::Kv, 0).value() +
           l.of(MemoryGroup::State, 0).value() + l.of(MemoryGroup::Compute, 0).value();
  }
  if (part == "table") return line(l, "token table", kHost);
  if (part == "output") return line(l, "output buffer", kHost);
  if (kind == "model_buffer") return l.of(MemoryGroup::Weights, 0).value();
  if (kind == "rs") return l.of(MemoryGroup::State).value();
  if (kind == "kv") {
    return line(l, part == "window" ? "KV cache of window layers" : "KV cache", 0);
  }
  return part == "host" ? line(l, "host buffer", kHost) : line(l, "compute buffer", 0);
}

double unit_of(const std::string& text) {
  if (text.rfind("GiB", 0) == 0) return kGiB;
  if (text.rfind("MiB", 0) == 0) return kMiB;
  if (text.rfind("GB", 0) == 0) return kGiga;
  return 1;
}

// Half a unit of the last printed digit.
double last_digit(const std::string& value) {
  const std::size_t point = value.find('.');
  const std::size_t digits = point == std::string::npos ? 0 : value.size() - point - 1;
  return 0.5 * std::pow(10.0, -static_cast<double>(digits)) * (1 + 1e-6);
}

// The figure of the row and what is compared with it, in the row's unit; and the tolerance.
struct Comparison {
  double published, ours, tolerance;
  bool agrees() const { return std::fabs(ours - published) <= tolerance; }
};

Comparison compare(const CsvRow& r) {
  Comparison c{std::stod(r.at("value")), predicted(r), last_digit(r.at("value"))};
  const std::string& unit = r.at("unit");
  if (unit == "bpw") {
    const Case k = case_of(r);
    c.ours = 8 * c.ours / static_cast<double>(k.model.parameters());
  } else if (unit == "B/token") {
    c.ours /= static_cast<double>(case_of(r).options.context);
  } else {
    c.ours /= unit_of(unit);
  }
  if (unit.find("du -h") != std::string::npos) {  // rounded up
    c.published -= 0.5;
    c.tolerance = 0.5;
  }
  if (unit.find("cut off") != std::string::npos) {
    c.published += 0.5;
    c.tolerance = 0.5;
  }
  if (r.at("kind") == "compute") c.tolerance = std::max(c.tolerance, 0.02 * c.published);
  if (r.at("part") == "device_total") {
    c.tolerance = std::max(0.02 * c.published, 150e6 / unit_of(unit));
  }
  return c;
}

std::string title(const CsvRow& r) {
  return fmt::format("{} {} {} {} ctx {} {}", r.at("model"), r.at("quant"), r.at("kind"),
                     r.at("part"), r.at("ctx"), r.at("kv_type"));
}

TEST(FootprintAnchors, EveryRowComesOutAsItSays) {
  int agree = 0, disagree = 0, incomplete = 0;
  for (const CsvRow& r : read_csv(kFolder + "footprints.csv")) {
    const std::string& verdict = r.at("verdict");
    EXPECT_FALSE(r.at("source").empty()) << title(r);
    if (verdict == "incomplete") {
      EXPECT_FALSE(r.at("reason").empty()) << title(r);
      ++incomplete;
      continue;
    }
    const Comparison c = compare(r);
    const std::string figures = fmt::format("{}: published {} {}, ours {:.4f}", title(r),
                                            r.at("value"), r.at("unit"), c.ours);
    if (verdict == "disagrees") {
      EXPECT_FALSE(r.at("reason").empty()) << figures;
      EXPECT_FALSE(c.agrees()) << figures << ": agrees now; " << r.at("reason");
      std::printf("  %s (%+.1f %%): disagrees, %s\n", figures.c_str(),
                  100 * (c.ours / c.published - 1), r.at("reason").c_str());
      ++disagree;
    } else {
      EXPECT_EQ(verdict, "agrees") << figures;
      EXPECT_TRUE(c.agrees()) << figures << " (" << r.at("source") << ")";
      ++agree;
    }
  }
  std::printf("  footprints: %d agree, %d disagree for a reason, %d lack inputs\n", agree, disagree,
              incomplete);
  EXPECT_GT(agree, 150);
}

}  // namespace
}  // namespace bandwall
