// SPDX-License-Identifier: GPL-2.0-or-later
/// vitrine platform import.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "firmware/import.hpp"
#include "text.hpp"
#include "verbs.hpp"

namespace vt::cli {
namespace {

constexpr std::size_t kMost = std::size_t{64} << 20;   // a paste; the largest logs have a few MiB

std::string read_input(const std::string& file) {
  std::string bytes;
  if (file == "-") {
    char block[65536];
    std::size_t n;
    while ((n = std::fread(block, 1, sizeof block, stdin)) > 0 && bytes.size() <= kMost) bytes.append(block, n);
  } else {
    std::error_code error;
    if (std::filesystem::is_directory(file, error)) throw InputError(file + ": is a directory; give the files in it");
    std::ifstream in(file, std::ios::binary);
    if (!in) throw InputError(file + ": cannot be opened; check the path");
    std::string block(65536, '\0');
    while (bytes.size() <= kMost && (in.read(block.data(), static_cast<std::streamsize>(block.size())), in.gcount() > 0)) bytes.append(block, 0, static_cast<std::size_t>(in.gcount()));
    if (in.bad()) throw InputError(file + ": cannot be read");
  }
  if (bytes.size() > kMost) throw InputError(file + ": is larger than 64 MiB; give the part with the boot log");
  if (bytes.empty()) throw InputError(file + ": is empty");
  return bytes;
}

const char* kind_name(fw::ImportNote::Kind k) {
  static constexpr const char* kNames[] = {"unreadable", "not carried", "conflict", "ignored"};
  return kNames[static_cast<unsigned>(k) & 3];
}

void report(const fw::Imported& r) {
  for (auto& n : r.notes) print_warning(fmt::format("{}: {}: {}", n.from, kind_name(n.kind), n.what));
  std::size_t guesses = static_cast<std::size_t>(std::count_if(r.platform.origins.begin(), r.platform.origins.end(), [](auto& o) { return o.guessed; }));
  std::fprintf(stderr, "vitrine: %zu E820 ranges, %zu units, %zu RMRRs, %zu PCI functions; %zu values guessed (vitrine platform lint lists them)\n", r.platform.e820.size(),
               r.platform.drhds.size(), r.platform.rmrrs.size(), r.platform.pci.size(), guesses);
}

std::string object(const fw::Imported& r, const std::string& description) {
  using json = nlohmann::ordered_json;
  json j{{"schema", "vitrine.import/1"}};
  j["platform"] = json::parse(description);
  j["notes"] = json::array();
  for (auto& n : r.notes) j["notes"].push_back({{"kind", kind_name(n.kind)}, {"from", n.from}, {"what", n.what}});
  j["guesses"] = json::array();
  for (auto& o : r.platform.origins)
    if (o.guessed) j["guesses"].push_back({{"field", o.field}, {"from", o.from}, {"why", o.why}});
  return j.dump(2, ' ', false, json::error_handler_t::replace) + "\n";
}

}  // namespace

int platform_import(const ImportOptions& o) {
  std::vector<fw::ImportInput> inputs;
  for (auto& file : o.files) {
    inputs.push_back({file == "-" ? "stdin" : std::filesystem::path(file).filename().string(), read_input(file)});
  }
  for (std::size_t i = 0; i < inputs.size(); ++i)     // positions have to be unambiguous
    for (std::size_t j = 0; j < inputs.size(); ++j)
      if (i != j && std::filesystem::path(o.files[i]).filename() == std::filesystem::path(o.files[j]).filename()) inputs[i].name = o.files[i];
  const std::string stem = std::filesystem::path(o.out.empty() ? inputs[0].name : o.out).stem().string();
  fw::Imported r;
  try {
    r = fw::import_platform(inputs, stem);
  } catch (const fw::ImportError& e) {
    throw InputError(e.what());
  }
  const std::string description = fw::import_json(r, inputs);
  report(r);
  if (!o.out.empty()) {
    std::ofstream out(o.out, std::ios::binary);
    out << description;
    out.close();
    if (!out) throw InputError(o.out + ": cannot be written; check the path");
  }
  if (o.json || o.out.empty()) std::fputs((o.json ? object(r, description) : description).c_str(), stdout);
  return status::ok;
}

}  // namespace vt::cli
