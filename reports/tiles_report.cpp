#include "reports/tiles_report.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "reports/table.h"

namespace bandwall {
namespace {

using Json = nlohmann::ordered_json;

std::string stages(const TileReport& r) {
  if (r.kernel.stages == 0) return "-";
  return fmt::format("{}{}", r.kernel.stages, r.kernel.automatic ? " (auto)" : "");
}

// With threads known the rules give blocks per SM, otherwise only what shared memory allows.
std::string blocks(const TileReport& r) {
  if (!r.launches) return "0";
  if (r.occupancy) return fmt::format("{} ({})", r.occupancy->blocks, r.occupancy->limited_by);
  return fmt::format("<= {} (shared memory)", r.blocks_by_shared);
}

std::string share(const TileReport& r) {
  if (!r.launches || !r.occupancy) return "-";
  return fmt::format("{:.0f} %", 100 * r.occupancy->share);
}

std::string detail(const TileReport& r) {
  std::string out =
      fmt::format("{}: {} {}\n", r.target, r.launches ? "launches:" : "does not launch:", r.reason);
  for (const TilePart& p : r.kernel.parts) {
    out += fmt::format("  {:>8} B  {}: {}\n", p.bytes, p.what, p.how);
  }
  if (r.largest_stages) {
    out += *r.largest_stages > 0
               ? fmt::format("  largest stage count that fits: {}\n", *r.largest_stages)
               : std::string("  no legal stage count fits\n");
  }
  for (const std::string& n : r.notes) out += "  note: " + n + "\n";
  return out;
}

}  // namespace

std::string tiles_text(const std::vector<TileReport>& reports, bool markdown) {
  Table table({{"target"},
               {"capability"},
               {"stages", Align::Right},
               {"shared B", Align::Right},
               {"limit B", Align::Right},
               {"spare B", Align::Right},
               {"blocks/SM"},
               {"warps", Align::Right},
               {"verdict"}});
  for (const TileReport& r : reports) {
    table.add({r.target, std::string(r.limits.capability->name), stages(r),
               fmt::format("{}", r.kernel.shared_bytes),
               fmt::format("{}", r.limits.shared_per_block), fmt::format("{}", r.spare), blocks(r),
               share(r), r.launches ? "launches" : "refused"});
  }
  std::string out;
  for (const TileReport& r : reports) {
    const bool again = &r != &reports.front() && r.kernel.title == (&r - 1)->kernel.title;
    if (!again) out += fmt::format("{}: {}\n", r.target, r.kernel.title);
  }
  out += "\n" + (markdown ? table.markdown() : table.text()) + "\n";
  if (markdown) out += "```\n";
  for (const TileReport& r : reports) out += detail(r);
  if (markdown) out += "```\n";
  return out;
}

std::string tiles_json(const std::vector<TileReport>& reports) {
  Json all = Json::array();
  for (const TileReport& r : reports) {
    Json parts = Json::array();
    for (const TilePart& p : r.kernel.parts) {
      parts.push_back({{"what", p.what}, {"bytes", p.bytes}, {"how", p.how}});
    }
    Json needs = Json::array();
    for (const Instruction i : r.kernel.needs) needs.push_back(name(i));
    Json j = {{"target", r.target},
              {"compute_capability", r.limits.capability->name},
              {"kernel", r.kernel.title},
              {"verdict", r.launches ? "launches" : "refused"},
              {"reason", r.reason},
              {"shared_bytes", r.kernel.shared_bytes},
              {"limit_bytes", r.limits.shared_per_block},
              {"spare_bytes", r.spare},
              {"stages", r.kernel.stages},
              {"stages_automatic", r.kernel.automatic},
              {"largest_stages", r.largest_stages ? Json(*r.largest_stages) : Json(nullptr)},
              {"threads", r.kernel.threads},
              {"registers", r.kernel.registers},
              {"blocks_by_shared_memory", r.blocks_by_shared}};
    if (r.occupancy) {
      j["blocks_per_sm"] = r.launches ? r.occupancy->blocks : 0;
      j["limited_by"] = r.occupancy->limited_by;
      j["occupancy"] = r.launches ? r.occupancy->share : 0.0;
    }
    j["needs"] = needs;
    j["parts"] = parts;
    j["source"] = r.kernel.source;
    j["notes"] = r.notes;
    all.push_back(j);
  }
  return all.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::string tiles_csv(const std::vector<TileReport>& reports) {
  std::string out =
      "target,capability,kernel,stages,shared_bytes,limit_bytes,spare_bytes,blocks_per_sm,"
      "verdict,reason\n";
  for (const TileReport& r : reports) {
    const std::string resident =
        r.occupancy ? fmt::format("{}", r.launches ? r.occupancy->blocks : 0) : "";
    out += fmt::format("{},{},{},{},{},{},{},{},{},{}\n", quoted(r.target),
                       r.limits.capability->name, quoted(r.kernel.title), r.kernel.stages,
                       r.kernel.shared_bytes, r.limits.shared_per_block, r.spare, resident,
                       r.launches ? "launches" : "refused", quoted(r.reason));
  }
  return out;
}

}  // namespace bandwall
