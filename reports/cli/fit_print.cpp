#include "reports/cli/fit_print.h"

#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "reports/table.h"

namespace bandwall {
namespace {

using Json = nlohmann::ordered_json;

std::string dump(const Json& j) {
  return j.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

template <class T>
Json or_null(const std::optional<T>& v) {
  return v ? Json(*v) : Json(nullptr);
}

// More decimals would be noise, and differ between math libraries.
Json speed(const std::optional<double>& ts) {
  return ts ? Json(std::round(*ts * 1e4) / 1e4) : Json(nullptr);
}
std::string speed_text(const std::optional<double>& ts) {
  return ts ? fmt::format("{:.1f}", *ts) : "-";
}

std::string place_name(int where) {
  return where == kHost ? "host" : fmt::format("device {}", where);
}

std::string gb(Bytes b) { return fmt::format("{:.2f}", b.value() / kGiga); }
std::string gib(Bytes b) { return fmt::format("{:.2f}", b.value() / kGiB); }

std::string csv_field(const std::string& text) {
  if (text.find_first_of(",\"\n") == std::string::npos) return text;
  return quoted(text);
}

Json pool_json(const PoolReport& p) {
  return {{"name", p.name},
          {"verdict", name(p.verdict)},
          {"installed_bytes", p.installed.count()},
          {"visible_bytes", p.visible.count()},
          {"reserve_bytes", p.reserve.count()},
          {"usable_bytes", p.usable.count()},
          {"needed_bytes", p.needed.count()},
          {"headroom_bytes", p.headroom.count()}};
}

Json options_json(const FitOptions& o) {
  return {{"engine", o.engine.name},
          {"engine_version", o.engine.version},
          {"context", o.context},
          {"type_k", o.kv.k->name},
          {"type_v", o.kv.v->name},
          {"n_ubatch", o.n_ubatch},
          {"slots", o.slots},
          {"unified", o.unified},
          {"flash_attention", o.flash_attention}};
}

std::string answer_json(const FitAnswer& a) {
  const FitReport& r = a.fit;
  Json j = {{"model", a.model}, {"weight_bytes", a.weight_bytes}, {"machine", a.machine.name}};
  j.update(options_json(a.options));
  j.update(Json{{"verdict", name(r.verdict)},
                {"needed_bytes", r.needed.count()},
                {"usable_bytes", r.usable.count()},
                {"headroom_bytes", r.headroom.count()}});
  j["pools"] = Json::array();
  for (const PoolReport& p : r.pools) j["pools"].push_back(pool_json(p));
  j["lines"] = Json::array();
  for (const MemoryLine& l : r.lines) {
    j["lines"].push_back({{"what", l.what},
                          {"group", name(l.group)},
                          {"where", place_name(l.where)},
                          {"bytes", l.bytes.count()},
                          {"how", l.how}});
  }
  j["loading"] = {{"mapped_bytes", r.loading.mapped.count()},
                  {"mapped_how", r.loading.how_mapped},
                  {"direct_bytes", r.loading.direct.count()},
                  {"direct_how", r.loading.how_direct}};
  j["max_context"] = or_null(r.max_context);
  j["max_slots"] = or_null(r.max_slots);
  j["decode_tokens_per_second"] = speed(a.decode_ts);
  j["would_fit"] = Json::array();
  for (const Remedy& m : a.remedies) {
    j["would_fit"].push_back({{"what", m.what},
                              {"option", m.option},
                              {"verdict", name(m.fit.verdict)},
                              {"needed_bytes", deciding(m.fit).needed.count()},
                              {"headroom_bytes", deciding(m.fit).headroom.count()},
                              {"decode_tokens_per_second", speed(m.decode_ts)}});
  }
  j["notes"] = r.notes;
  return dump(j);
}

std::string answer_csv(const FitAnswer& a) {
  std::string out = "what,group,where,bytes,how\n";
  const auto row = [&](const std::string& what, std::string_view group, const std::string& where,
                       Bytes b, const std::string& how) {
    out +=
        fmt::format("{},{},{},{},{}\n", csv_field(what), group, where, b.count(), csv_field(how));
  };
  for (const MemoryLine& l : a.fit.lines) {
    row(l.what, name(l.group), place_name(l.where), l.bytes, l.how);
  }
  for (const PoolReport& p : a.fit.pools) {
    row("needed", "answer", p.name, p.needed, "sum of the lines");
    row("usable", "answer", p.name, p.usable, "visible - reserve");
    row("headroom", "answer", p.name, p.headroom, std::string(name(p.verdict)));
  }
  return out;
}

std::string lines_table(const FitAnswer& a, bool markdown) {
  const FitReport& r = a.fit;
  Table table({{"what"}, {"where"}, {"GB", Align::Right}, {"GiB", Align::Right}, {"how"}});
  const auto row = [&](const std::string& what, const std::string& where, Bytes b,
                       const std::string& how) {
    table.add({what, where, gb(b), gib(b), how});
  };
  for (const MemoryLine& l : r.lines) row(l.what, place_name(l.where), l.bytes, l.how);
  table.rule();
  for (const PoolReport& p : r.pools) {
    const bool limited = p.usable + p.reserve < p.visible;
    row("needed", p.name, p.needed, "sum of the lines");
    row("usable", p.name, p.usable,
        limited ? fmt::format("the engine's share of {} visible", gb_and_gib(p.visible))
                : fmt::format("{} visible - {} reserved for the system", gb_and_gib(p.visible),
                              gb_and_gib(p.reserve)));
    row("headroom", p.name, p.headroom, std::string(name(p.verdict)));
  }
  return markdown ? table.markdown() : table.text();
}

std::string remedies_table(const std::vector<Remedy>& remedies, bool markdown) {
  Table table({{"what"},
               {"verdict"},
               {"needed GB", Align::Right},
               {"headroom GB", Align::Right},
               {"decode tok/s", Align::Right},
               {"option"}});
  for (const Remedy& m : remedies) {
    const Deciding d = deciding(m.fit);
    table.add({m.what, std::string(name(m.fit.verdict)), gb(d.needed), gb(d.headroom),
               speed_text(m.decode_ts), m.option});
  }
  return "\nwhat would help:\n\n" + (markdown ? table.markdown() : table.text());
}

std::string answer_text(const FitAnswer& a, bool markdown) {
  const FitReport& r = a.fit;
  const FitOptions& o = a.options;
  std::string out = fmt::format("{} of {}, {} positions{}, K {} / V {}, {}: {}\n\n", a.model,
                                gb_and_gib(bytes(a.weight_bytes)), o.context,
                                o.slots > 1 ? fmt::format(", {} slots", o.slots) : "", o.kv.k->name,
                                o.kv.v->name, o.engine.name, verdict_sentence(r, a.machine.name));
  out += lines_table(a, markdown);
  out += r.max_context ? fmt::format("\nlargest context that fits: {} positions\n", *r.max_context)
                       : std::string("\nno context fits\n");
  if (r.max_slots) {
    const bool shared = o.engine.shared_context;
    out += fmt::format("most sequences that fit: {} of {} positions each\n", *r.max_slots,
                       shared ? std::max<std::int64_t>(1, o.context / o.slots) : o.context);
  }
  if (a.decode_ts && r.verdict != Verdict::DoesNotFit)
    out += fmt::format("decode: {:.1f} tok/s predicted\n", *a.decode_ts);
  out += fmt::format("while loading: {} with a mapped file, {} read directly\n",
                     gb_and_gib(r.loading.mapped), gb_and_gib(r.loading.direct));
  if (!a.remedies.empty()) out += remedies_table(a.remedies, markdown);
  if (!r.notes.empty()) out += "\n";
  for (const std::string& n : r.notes) out += "note: " + n + "\n";
  return out;
}

std::string pool_of(const Together& t, std::size_t machine) {
  const FitReport& f = t.machines[machine].fit;
  return f.pools[f.tightest].name;
}

Json together_json(const Together& t, const std::vector<Resident>& residents) {
  Json j = {{"verdict", name(t.verdict)}, {"joined", t.joined}, {"machines", Json::array()}};
  for (const TogetherMachine& m : t.machines) {
    Json one = {{"machine", m.machine.name},
                {"verdict", name(m.fit.verdict)},
                {"models", Json::array()},
                {"pools", Json::array()}};
    for (const std::size_t i : m.holds) one["models"].push_back(residents[i].title);
    for (const PoolReport& p : m.fit.pools) one["pools"].push_back(pool_json(p));
    j["machines"].push_back(one);
  }
  return j;
}

}  // namespace

std::string verdict_sentence(const FitReport& r, const std::string& machine) {
  const Bytes headroom = r.pools[r.tightest].headroom;
  const std::string where =
      r.pools.size() > 1 ? fmt::format(" ({})", r.pools[r.tightest].name) : std::string();
  switch (r.verdict) {
    case Verdict::Fits:
      return fmt::format("fits on {} with {} to spare{}", machine, gb_and_gib(headroom), where);
    case Verdict::TooClose:
      return headroom < Bytes(0) ? fmt::format("too close to call on {}: short by {}{}", machine,
                                               gb_and_gib(Bytes(0) - headroom), where)
                                 : fmt::format("too close to call on {}: {} to spare{}", machine,
                                               gb_and_gib(headroom), where);
    case Verdict::DoesNotFit:
      return fmt::format("does not fit on {}: short by {}{}", machine,
                         gb_and_gib(Bytes(0) - headroom), where);
  }
  return "";
}

std::string fit_answer(const FitAnswer& answer, const std::string& form) {
  if (form == "json") return answer_json(answer);
  if (form == "csv") return answer_csv(answer);
  return answer_text(answer, form == "md");
}

std::string fit_print_columns(const FitReport& fit, int devices) {
  std::string out;
  const auto row = [&](const std::string& device, int where) {
    const auto sum = [&](std::initializer_list<MemoryGroup> groups) {
      Bytes total;
      for (const MemoryLine& l : fit.lines) {
        for (const MemoryGroup g : groups) {
          if (l.where == where && l.group == g) total += l.bytes;
        }
      }
      return std::floor(total.value() / kMiB);
    };
    out += fmt::format("{} {:.0f} {:.0f} {:.0f}\n", device, sum({MemoryGroup::Weights}),
                       sum({MemoryGroup::Kv, MemoryGroup::State}), sum({MemoryGroup::Compute}));
  };
  for (int d = 0; d < devices; ++d) row(fmt::format("CUDA{}", d), d);
  row("Host", kHost);
  return out;
}

std::string rank_table(const std::vector<RankRow>& rows, const std::string& form) {
  if (form == "json") {
    Json all = Json::array();
    for (const RankRow& r : rows) {
      all.push_back({{"machine", r.machine},
                     {"model", r.model},
                     {"mix", r.mix},
                     {"verdict", name(r.verdict)},
                     {"weight_bytes", r.weight_bytes},
                     {"needed_bytes", r.needed.count()},
                     {"usable_bytes", r.usable.count()},
                     {"headroom_bytes", r.headroom.count()},
                     {"decode_tokens_per_second", speed(r.decode_ts)}});
    }
    return dump(all);
  }
  if (form == "csv") {
    std::string out =
        "machine,model,mix,verdict,weight_bytes,needed_bytes,headroom_bytes,decode_ts\n";
    for (const RankRow& r : rows) {
      out += fmt::format("{},{},{},{},{},{},{},{}\n", csv_field(r.machine), csv_field(r.model),
                         csv_field(r.mix), name(r.verdict), r.weight_bytes, r.needed.count(),
                         r.headroom.count(), r.decode_ts ? speed_text(r.decode_ts) : "");
    }
    return out;
  }
  Table table({{"machine"},
               {"model"},
               {"mix"},
               {"verdict"},
               {"weights GB", Align::Right},
               {"needed GB", Align::Right},
               {"headroom GB", Align::Right},
               {"decode tok/s", Align::Right}});
  for (const RankRow& r : rows) {
    table.add({r.machine, r.model, r.mix, std::string(name(r.verdict)), gb(bytes(r.weight_bytes)),
               gb(r.needed), gb(r.headroom), speed_text(r.decode_ts)});
  }
  return form == "md" ? table.markdown() : table.text();
}

std::string together_table(const Together& t, const std::vector<Resident>& residents,
                           const std::string& form) {
  if (form == "json") return dump(together_json(t, residents));
  if (form == "csv") {
    std::string out = "machine,model,pool,needed_bytes,usable_bytes,headroom_bytes,verdict\n";
    for (std::size_t m = 0; m < t.machines.size(); ++m) {
      const FitReport& f = t.machines[m].fit;
      const Deciding d = deciding(f);
      for (const std::size_t i : t.machines[m].holds) {
        out += fmt::format("{},{},{},{},{},{},{}\n", csv_field(t.machines[m].machine.name),
                           csv_field(residents[i].title), pool_of(t, m), d.needed.count(),
                           d.usable.count(), d.headroom.count(), name(f.verdict));
      }
    }
    return out;
  }
  Table table({{"machine"},
               {"holds"},
               {"verdict"},
               {"needed GB", Align::Right},
               {"usable GB", Align::Right},
               {"headroom GB", Align::Right},
               {"headroom GiB", Align::Right}});
  for (const TogetherMachine& m : t.machines) {
    std::string held;
    for (const std::size_t i : m.holds) held += (held.empty() ? "" : " + ") + residents[i].title;
    const Deciding d = deciding(m.fit);
    table.add({m.machine.name, held.empty() ? "nothing" : held, std::string(name(m.fit.verdict)),
               gb(d.needed), gb(d.usable), gb(d.headroom), gib(d.headroom)});
  }
  return fmt::format("{} models: {}{}\n\n", residents.size(), name(t.verdict),
                     t.joined ? ", each split over all devices" : "") +
         (form == "md" ? table.markdown() : table.text());
}

}  // namespace bandwall
