#include "reports/training_report.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "reports/table.h"

namespace bandwall {
namespace {

using Json = nlohmann::ordered_json;

std::string setting(const TrainOptions& o) {
  std::string text = fmt::format("{} with {}, {} x {} tokens, recomputation {}", name(o.mode),
                                 name(o.optimizer), o.batch, o.sequence, name(o.recompute));
  if (o.mode != TrainMode::Full) text += fmt::format(", rank {}", o.rank);
  return text;
}

std::string sentence(const TrainReport& r, const std::string& machine) {
  const bool short_of = r.headroom < Bytes(0);
  const std::string room = gb_and_gib(short_of ? Bytes(0) - r.headroom : r.headroom);
  const char* verdict = r.verdict == Verdict::Fits       ? "fits on"
                        : r.verdict == Verdict::TooClose ? "too close to call on"
                                                         : "does not fit on";
  return fmt::format("{} {}: {} {}", verdict, machine, short_of ? "short by" : "to spare", room);
}

}  // namespace

std::string training_text(const TrainReport& r, const std::string& model, const Machine& machine,
                          const TrainOptions& o, bool markdown) {
  Table table({{"what"}, {"GB", Align::Right}, {"GiB", Align::Right}, {"how"}});
  const auto row = [&](const std::string& what, Bytes b, const std::string& how) {
    table.add({what, fmt::format("{:.2f}", b.value() / kGiga),
               fmt::format("{:.2f}", b.value() / kGiB), how});
  };
  for (const TrainLine& l : r.lines) row(l.what, l.bytes, l.how);
  table.rule();
  row("needed", r.needed, "sum of the lines");
  row("usable", r.usable, "visible - reserve of " + machine.name + ": " + machine.pool().name);
  row("headroom", r.headroom, "usable - needed");
  std::string out = fmt::format("{}, {}: {}\n", model, setting(o), sentence(r, machine.name));
  out += fmt::format("trained {} parameters, frozen {}\n\n", r.trained, r.frozen);
  out += markdown ? table.markdown() : table.text();
  out += r.max_sequence ? fmt::format("\nlongest sequence that fits: {} tokens\n", *r.max_sequence)
                        : std::string("\nno sequence fits\n");
  for (const std::string& n : r.notes) out += "note: " + n + "\n";
  return out;
}

std::string training_json(const TrainReport& r, const std::string& model, const Machine& machine,
                          const TrainOptions& o) {
  Json lines = Json::array();
  for (const TrainLine& l : r.lines) {
    lines.push_back({{"what", l.what}, {"bytes", l.bytes.count()}, {"how", l.how}});
  }
  const Json j = {{"model", model},
                  {"machine", machine.name},
                  {"train", name(o.mode)},
                  {"optimizer", name(o.optimizer)},
                  {"recompute", name(o.recompute)},
                  {"sequence", o.sequence},
                  {"batch", o.batch},
                  {"rank", o.rank},
                  {"verdict", name(r.verdict)},
                  {"trained_parameters", r.trained},
                  {"frozen_parameters", r.frozen},
                  {"needed_bytes", r.needed.count()},
                  {"usable_bytes", r.usable.count()},
                  {"headroom_bytes", r.headroom.count()},
                  {"lines", lines},
                  {"max_sequence", r.max_sequence ? Json(*r.max_sequence) : Json(nullptr)},
                  {"notes", r.notes}};
  return j.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace bandwall
