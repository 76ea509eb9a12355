// SPDX-License-Identifier: GPL-2.0-or-later
#include "guest.hpp"

#include "firmware/timing.hpp"

#include <unistd.h>

#include <climits>
#include <cstdlib>
#include <filesystem>
#include <ostream>

namespace vt::emu {

std::string build_directory() {
  if (const char* set = std::getenv("BUILD")) return set;
  char self[PATH_MAX];
  const ssize_t n = readlink("/proc/self/exe", self, sizeof self);
  return std::filesystem::path(std::string(self, n > 0 ? static_cast<std::size_t>(n) : 0)).parent_path().parent_path().parent_path().string();
}

Guest bare(const std::string& name, u64 limit, const std::string& append, const std::string& platform) {
  Guest g;
  g.name = name, g.kernel = build_directory() + "/bare/" + name, g.append = append, g.limit = limit;
  if (!platform.empty()) g.platform = VT_SOURCE_ROOT "/platforms/" + platform;
  return g;
}

Guest xen(u64 limit) {
  const std::string guests = build_directory() + "/guests/";
  Guest g;
  g.name = "xen", g.kernel = guests + "xen.gz", g.limit = limit, g.memory = u64{2} << 30;
  g.append = "console=com1 com1=115200,8n1 loglvl=all guest_loglvl=all dom0=pvh,verbose dom0_mem=512M iommu=verbose no-real-mode noreboot";
  g.modules = {{guests + "vmlinuz", "console=hvc0 earlyprintk=xen"}, {guests + "initrd.gz", ""}};
  return g;
}

bool there(const Guest& g) {
  bool all = std::filesystem::exists(g.kernel);
  for (auto& m : g.modules) all = all && std::filesystem::exists(m.file);
  return all;
}

fw::Platform platform_of(const Guest& g) {
  fw::Platform p = g.platform.empty() ? fw::default_platform(g.memory) : fw::load_platform(g.platform);
  if (g.timing != timing::Model::flat) {
    p.timing = {g.timing, fw::load_profile("measured-server")};
    p.timing.profile.llc.size = u64{512} << 10;   // its state is hashed often
    fw::complete(p);
  }
  return p;
}

void PrintTo(const Guest& g, std::ostream* to) { *to << g.name; }

Booted::Booted(const Guest& g) : Booted(platform_of(g), g) {}
Booted::Booted(const fw::Platform& p, const Guest& g) : machine(std::make_unique<Machine>(p, console)) {
  fw::LoadRequest r;
  r.kernel = g.kernel, r.append = g.append, r.modules = g.modules;
  machine->load(fw::build_firmware(p), fw::load(p, r));
}

Outcome outcome(Machine& m, const Console& c) {
  return {m.state_hash(), c.text, std::to_string(static_cast<int>(m.stop().reason())) + " " + m.stop().what() + " " + std::to_string(m.stop().code()), m.steps(), m.retired()};
}
void PrintTo(const Outcome& o, std::ostream* to) {
  *to << o.steps << " steps, state " << o.hash << ", end " << o.end << ", console:\n" << (o.console.size() > 400 ? "..." + o.console.substr(o.console.size() - 400) : o.console);
}

Raw::Raw(std::vector<u8> code, unsigned cpus) {
  fw::Platform p = fw::default_platform(u64{32} << 20);
  p.cpu.count = cpus;
  fw::complete(p);
  machine = std::make_unique<Machine>(p, console);
  fw::Image image;
  image.blobs.push_back({Hpa{0x100000}, std::move(code), "code"});
  image.entry.mode = fw::Entry::Mode::protected_flat32;
  image.entry.eip = 0x100000;
  image.entry.esp = 0x100000;
  machine->load(fw::build_firmware(p), image);
}

void Raw::start(unsigned cpu, u32 eip) {
  cpu::Cpu& c = machine->processor(cpu);
  const cpu::Cpu& first = machine->processor(0);
  c.cr0 = first.cr0;
  for (unsigned s = 0; s < 6; ++s) c.seg[s] = first.seg[s];
  c.rip = eip;
  c.r[4] = 0xf0000 - 0x1000 * cpu;
  c.activity = cpu::Activity::active;
  c.update();
}

}  // namespace vt::emu
