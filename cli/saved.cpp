// SPDX-License-Identifier: GPL-2.0-or-later
#include "saved.hpp"

#include <fmt/format.h>

#include <charconv>
#include <filesystem>
#include <fstream>

#include "run_dir.hpp"
#include "verbs.hpp"
#include "when.hpp"

namespace vt::cli {

std::optional<u64> parse_hex(std::string_view s) {
  if (s.starts_with("0x") || s.starts_with("0X")) s.remove_prefix(2);
  u64 v = 0;
  auto [end, error] = std::from_chars(s.data(), s.data() + s.size(), v, 16);
  if (s.empty() || error != std::errc{} || end != s.data() + s.size()) return {};
  return v;
}

Saved::Saved(const std::string& run) : path_(run_at_end(run)) {
  const std::string file = path_ + "/" + kManifest;
  std::ifstream in(file);
  if (!in) throw InputError(fmt::format("{}: is not a run directory (it has no {}); make one with vitrine run -o DIR", path_, kManifest));
  manifest_ = nlohmann::ordered_json::parse(in, nullptr, false);
  if (!manifest_.is_object() || !manifest_.contains("schema")) throw InputError(file + ": is not a manifest of vitrine");
  if (manifest_["schema"] != kRunSchema)
    throw InputError(fmt::format("{}: schema: this version reads \"{}\" only; run again", file, kRunSchema));
}

emu::Machine& Saved::machine() {
  if (machine_) return *machine_;
  const std::string checkpoint = path_ + "/" + kEndCheckpoint;
  std::error_code e;
  if (!std::filesystem::exists(checkpoint, e))
    throw InputError(fmt::format("{}: has no checkpoint of its end ({}): the run was cut off, or its cache removed; run again", path_, kEndCheckpoint));
  machine_ = std::make_unique<emu::Machine>(fw::load_platform(path_ + "/" + kPlatform), silent_);
  try {
    // ROM images were not in the platform: the loader has put them there.
    for (auto& rom : manifest_.value("rom", nlohmann::ordered_json::array()))
      for (u64 at = rom.at("first").get<u64>(), end = at + rom.at("size").get<u64>(); at < end && at < machine_->memory().top(); at += kPageSize)
        if (!machine_->memory().present(Hpa{at})) machine_->memory().add_rom(Hpa{at}, kPageSize);
  } catch (const nlohmann::json::exception& x) {
    throw InputError(fmt::format("{}/{}: rom: {}", path_, kManifest, x.what()));
  }
  emu::load_checkpoint(*machine_, checkpoint);
  return *machine_;
}

bool Saved::is_xen() const {
  const auto guest = manifest_.value("guest", nlohmann::ordered_json::object());
  return guest.is_object() && guest.value("hypervisor", "") == "xen";
}

std::vector<Saved::KnownEptp> Saved::eptps() {
  std::vector<KnownEptp> all;
  auto add = [&all](u64 v, std::optional<u64> step) {
    const ept::Eptp eptp{v};
    if (!v) return;
    for (auto& k : all)
      if (k.eptp.root() == eptp.root()) { k.eptp = eptp; return; }
    all.push_back({eptp, step});
  };
  for (auto& e : manifest_.value("eptps", nlohmann::ordered_json::array()))
    if (e.is_object() && e.contains("eptp") && e["eptp"].is_string()) {
      std::optional<u64> step;
      if (e.contains("first_step") && e["first_step"].is_number_unsigned()) step = e["first_step"].get<u64>();
      add(parse_hex(e["eptp"].get<std::string>()).value_or(0), step);
    }
  for (unsigned n = 0; n < machine().cpus(); ++n) add(machine().processor(n).vmx.eptp, {});
  return all;
}

}  // namespace vt::cli
