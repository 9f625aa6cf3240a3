#include <fmt/format.h>

#include "configs/load.h"

namespace bandwall {
namespace {

const std::vector<std::string> kLayouts = {"slots", "blocks", "exact"};

CacheLayout read_layout(Reader& r) {
  const std::string text = r.text("layout");
  if (!text.empty()) check_key(r, "layout", text, kLayouts);
  if (text == "blocks") return CacheLayout::Blocks;
  return text == "exact" ? CacheLayout::Exact : CacheLayout::Slots;
}

void read_figure(Reader& r, std::string_view key, double least, double most,
                 Sourced<double>& into) {
  const auto figure = r.optional_figure<double>(key);
  if (!figure) return;
  into = *figure;
  if (into.value < least || into.value > most) {
    r.problem(key, fmt::format("{} is outside {}..{}", into.value, least, most));
  }
}

void read_compute(Reader r, CacheLayout layout, EngineRules& e) {
  constexpr double kMostRows = 1e7, kMostCopies = 1e3;
  if (layout == CacheLayout::Slots) {
    read_figure(r, "hidden_copies", 0, kMostCopies, e.hidden_copies);
    read_figure(r, "mask_bytes", 0, kMostCopies, e.mask_bytes);
    read_figure(r, "ffn_bytes", 0, kMostCopies, e.ffn_bytes);
    read_figure(r, "host_hidden_copies", 0, kMostCopies, e.host_hidden_copies);
    read_figure(r, "host_mask_bytes", 0, kMostCopies, e.host_mask_bytes);
  } else {
    read_figure(r, "batch_rows", 1, kMostRows, e.batch_rows);
    read_figure(r, "batch_sequences", 1, kMostRows, e.batch_sequences);
    read_figure(r, "ffn_copies", 0, kMostCopies, e.ffn_copies);
    read_figure(r, "row_copies", 0, kMostCopies, e.row_copies);
    read_figure(r, "logit_bytes", 0, kMostCopies, e.logit_bytes);
  }
}

}  // namespace

EngineRules read_engine(Reader& r) {
  EngineRules e;
  e.name = r.text("name");
  e.title = r.optional_text("title").value_or("");
  e.version = r.text("version");
  e.layout = read_layout(r);
  e.shared_context = r.flag("shared_context", false);
  e.table_on_host = r.flag("table_on_host", false);
  e.page_cache_weights = r.flag("page_cache_weights", false);
  read_figure(r, "cell_step", 1, 1 << 20, e.cell_step);
  e.row_step = e.tensor_step = {1, {}};  // no padding
  read_figure(r, "row_step", 1, 1 << 20, e.row_step);
  read_figure(r, "tensor_step", 1, 1 << 20, e.tensor_step);
  read_figure(r, "state_value_bytes", 1, 8, e.state_value_bytes);
  read_figure(r, "state_extra_columns", 0, 16, e.state_extra_columns);
  read_figure(r, "memory_share", 0.01, 1, e.memory_share);
  read_figure(r, "free_share", 0.01, 1, e.free_share);
  if (const auto bytes = r.optional_figure<Bytes>("runtime_bytes")) e.runtime_bytes = *bytes;
  if (auto compute = r.optional_child("compute")) read_compute(*compute, e.layout, e);
  if (e.layout == CacheLayout::Blocks && !(e.batch_rows.value > 0)) {
    r.problem("compute", "missing; an engine with cache blocks needs the batch it profiles");
  }
  return e;
}

}  // namespace bandwall
