// SPDX-License-Identifier: GPL-2.0-or-later
/// The description as text: what `to_json` writes, less what follows from the rest, with "import".
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "firmware/import.hpp"

namespace vt::fw {

std::string import_json(const Imported& r, std::span<const ImportInput> inputs) {
  using json = nlohmann::ordered_json;
  json j = json::parse(to_json(r.platform));
  if (r.platform.mtrrs_derived) j.erase("mtrrs");
  if (r.platform.e820_derived) j.erase("e820");
  else j.erase("memory");
  json out = json::object();
  for (auto& [k, v] : j.items()) out[k] = v;
  json& i = out["import"] = json::object();
  i["files"] = json::array();
  for (const ImportInput& in : inputs) i["files"].push_back(in.name);
  i["fields"] = json::array();
  for (const Origin& o : r.platform.origins) {
    json e{{"field", o.field}, {"from", o.from}, {"guessed", o.guessed}};
    if (o.guessed) e["why"] = o.why;
    i["fields"].push_back(std::move(e));
  }
  auto notes = [&](const char* name, std::initializer_list<ImportNote::Kind> kinds) {
    json& a = i[name] = json::array();
    for (const ImportNote& n : r.notes)
      if (std::find(kinds.begin(), kinds.end(), n.kind) != kinds.end()) a.push_back({{"from", n.from}, {"what", n.what}});
  };
  notes("not_carried", {ImportNote::Kind::not_carried, ImportNote::Kind::conflict, ImportNote::Kind::ignored});
  notes("unreadable", {ImportNote::Kind::unreadable});
  i["tables"] = json::array();
  for (const ImportedTable& t : r.tables) {
    std::string hex;
    for (u8 b : t.bytes) hex += fmt::format("{:02x}", b);
    i["tables"].push_back({{"signature", t.signature}, {"from", t.from}, {"bytes", hex}});
  }
  return out.dump(2, ' ', false, json::error_handler_t::replace) + "\n";
}

}  // namespace vt::fw
