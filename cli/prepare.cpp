// SPDX-License-Identifier: GPL-2.0-or-later
#include "prepare.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "cpu/model.hpp"
#include "firmware/models.hpp"
#include "firmware/timing.hpp"
#include "text.hpp"

namespace vt::cli {
namespace {

constexpr const char* kProfile = ",profile=";

void apply_cpu(fw::Platform& p, const std::string& s) {
  for (std::size_t at = 0; at <= s.size();) {
    const std::size_t comma = std::min(s.find(',', at), s.size());
    const std::string word = s.substr(at, comma - at);
    if (word.empty()) throw UsageError(fmt::format("--cpu {}: an empty word; write MODEL,+feature,-feature", s));
    if (word[0] == '+' || word[0] == '-') p.cpu.features.push_back(word);
    else if (at == 0) p.cpu.model = word;
    else throw UsageError(fmt::format("--cpu {}: '{}' has to begin with + or -", s, word));
    at = comma + 1;
  }
  try {
    (void)cpu::make_model(p.cpu.model, p.cpu.features, p.cpu.count, p.cpu.physical_address_bits, p.cpu.tsc_hz);
  } catch (const std::invalid_argument& e) {
    throw UsageError(fmt::format("--cpu {}: {}", s, e.what()));
  }
}

/// MODEL[,iobase=PORT][,iosize=N]
void add_isa_device(fw::Platform& p, const std::string& s, const std::vector<std::string>& words) {
  fw::IsaDevice d{words[0]};
  for (std::size_t n = 1; n < words.size(); ++n) {
    const std::size_t equals = words[n].find('=');
    const std::string key = words[n].substr(0, equals);
    const u64 value = equals == std::string::npos ? 0 : parse_number(words[n].substr(equals + 1)).value_or(0);
    if (key != "iobase" && key != "iosize") throw UsageError(fmt::format("--device {}: '{}': there are only iobase=PORT and iosize=N, as iobase=0xf4,iosize=4", s, words[n]));
    if (!value || value > 0xffff) throw UsageError(fmt::format("--device {}: '{}': not a number from 1 to 0xffff", s, words[n]));
    (key == "iobase" ? d.iobase : d.iosize) = static_cast<u16>(value);
  }
  p.isa.push_back(std::move(d));
}

/// MODEL[,at=BDF]
void add_device(fw::Platform& p, const std::string& s) {
  const auto words = split(s, ',');
  if (fw::isa_model(words[0])) return add_isa_device(p, s, words);
  std::optional<Bdf> at;
  for (std::size_t n = 1; n < words.size(); ++n) {
    if (!words[n].starts_with("at=")) throw UsageError(fmt::format("--device {}: '{}': there is only at=BDF, as at=00:05.0", s, words[n]));
    at = parse_bdf(words[n].substr(3));
    if (!at) throw UsageError(fmt::format("--device {}: '{}' is not a place; write at=bus:device.function in hexadecimal, as at=00:05.0", s, words[n]));
  }
  try {
    fw::add_function(p, words[0], at);
  } catch (const std::invalid_argument& e) {
    throw UsageError(fmt::format("--device {}: {}", s, e.what()));
  }
}

/// Which images go together.
void check_images(const RunOptions& o) {
  if (o.kernel.empty() == o.firmware.empty())
    throw UsageError(o.kernel.empty() ? "give a --kernel, or a ROM image as --firmware" : "--kernel and --firmware exclude each other");
  for (auto& m : o.modules)
    if (parse_module(m).file.empty()) throw UsageError("--module: the file is missing; write --module 'FILE ARGS'");
  if (!o.firmware.empty() && (!o.append.empty() || !o.modules.empty() || !o.initrd.empty()))
    throw UsageError("--firmware: a ROM image takes no --append, --module or --initrd");
  const auto known = fw::boot_protocols();
  if (!o.protocol.empty() && std::find(known.begin(), known.end(), o.protocol) == known.end()) {
    std::string all;
    for (auto* name : known) all += (all.empty() ? "" : ", ") + std::string(name);
    throw UsageError(fmt::format("--protocol {}: there is {}", o.protocol, all));
  }
  if (!o.firmware.empty() && !o.protocol.empty()) throw UsageError("--firmware: a ROM image starts at the reset vector, --protocol is for a --kernel");
}

}  // namespace

fw::Platform make_platform(const PlatformOptions& o) {
  std::optional<u64> memory;
  if (!o.memory.empty()) {
    memory = parse_number(o.memory);
    if (!memory) throw UsageError(fmt::format("--memory {}: not a size; write 2G, 512M or a number of bytes", o.memory));
  }
  fw::Platform p = o.platform.empty() ? fw::default_platform(u64{2} << 30) : fw::load_platform(o.platform);
  if (!memory && !o.cpus && o.cpu.empty() && o.devices.empty()) return p;
  if (memory) {
    if (!p.e820_derived)
      throw UsageError(fmt::format("--memory {}: {} gives its memory map itself; leave the option out, or the file's \"e820\"", o.memory, o.platform));
    p.memory = *memory;
  }
  if (o.cpus) p.cpu.count = *o.cpus;
  if (!o.cpu.empty()) apply_cpu(p, o.cpu);
  for (auto& d : o.devices) add_device(p, d);
  try {
    fw::complete(p);
  } catch (const fw::PlatformError& e) {
    // The file by itself was good, so it is the option.
    if (memory && (e.field == "memory" || e.field.starts_with("e820"))) throw UsageError(fmt::format("--memory {}: {}", o.memory, e.what()));
    if (o.cpus && e.field.starts_with("cpu")) throw UsageError(fmt::format("--cpus {}: {}", *o.cpus, e.what()));
    throw;
  }
  return p;
}

fw::Module parse_module(const std::string& s) {
  const std::size_t space = s.find(' ');
  if (space == s.npos) return {s, {}};
  const std::size_t args = s.find_first_not_of(' ', space);
  return {s.substr(0, space), args == s.npos ? std::string{} : s.substr(args)};
}

Prepared prepare(const RunOptions& o) {
  check_images(o);
  fw::Platform platform = make_platform(o.platform);
  if (o.net && std::ranges::none_of(platform.pci, [](auto& f) { return f.model == kNetworkCard; })) {
    PlatformOptions more = o.platform;
    more.devices.push_back(kNetworkCard);
    platform = make_platform(more);
  }
  if (!o.schedule_seed.empty()) {
    const auto seed = parse_number(o.schedule_seed);
    if (!seed) throw UsageError(fmt::format("--schedule-seed {}: not a number", o.schedule_seed));
    platform.cpu.schedule_seed = *seed;
  }
  if (!o.timing.empty()) {
    try {
      platform.timing = fw::parse_timing(o.timing, platform.timing);
    } catch (const std::invalid_argument& e) {
      throw UsageError(fmt::format("--timing {}: {}", o.timing, e.what()));
    }
    fw::complete(platform);   // the TSC may follow the profile's clock
  }
  Prepared p = prepare(platform, o);
  auto add = [&](const char* role, const std::string& file) {
    std::error_code e;
    const auto size = std::filesystem::file_size(file, e);
    p.inputs.push_back({role, file, e ? 0 : static_cast<u64>(size), fw::sha256_file(file)});
  };
  if (!o.platform.platform.empty()) add("platform", o.platform.platform);
  if (const auto profile = o.timing.find(kProfile); profile != o.timing.npos) {
    const std::string name = o.timing.substr(profile + std::string_view(kProfile).size());
    const auto built_in = fw::profile_names();
    if (std::ranges::find(built_in, name) == built_in.end()) add("profile", name);
  }
  add(o.firmware.empty() ? "kernel" : "firmware", o.kernel.empty() ? o.firmware : o.kernel);
  for (auto& m : o.modules) add("module", parse_module(m).file);
  if (!o.initrd.empty()) add("initrd", o.initrd);
  for (auto& d : p.disks) p.inputs.push_back({"disk", d->file(), d->size(), d->sha256()});
  if (p.symbols) add("symbols", p.symbols->file());
  return p;
}

Prepared prepare(const fw::Platform& platform, const RunOptions& o) {
  check_images(o);
  Prepared p;
  fw::LoadRequest request{o.kernel.empty() ? o.firmware : o.kernel, o.append, {}, o.initrd, o.protocol};
  for (auto& m : o.modules) request.modules.push_back(parse_module(m));
  p.platform = platform;
  p.disks = attach_disks(p.platform, o.disks);
  p.image = fw::load(p.platform, request);
  if (!o.firmware.empty() && p.image.kernel_kind != "rom")
    throw fw::LoadError(o.firmware, fmt::format("is a kernel ({}), not a ROM image; give it as --kernel", p.image.kernel_kind));
  p.firmware = fw::build_firmware(p.platform, p.image.kernel_kind != "rom");
  p.kernel = hv::inspect_kernel(request.kernel);
  p.symbols = hv::Symbols::for_kernel(request.kernel, p.kernel.build_id, o.symbols);
  return p;
}

}  // namespace vt::cli
