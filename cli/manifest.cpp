// SPDX-License-Identifier: GPL-2.0-or-later
#include "manifest.hpp"

#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "cpu/timing/timing.hpp"
#include "cycles.hpp"
#include "emu/dma_timing.hpp"
#include "firmware/timing.hpp"
#include "names.hpp"
#include "processors.hpp"
#include "run_dir.hpp"
#include "sandbox.hpp"
#include "text.hpp"

namespace vt::cli {
namespace {
namespace fs = std::filesystem;
using json = nlohmann::ordered_json;

double rounded(double x) { return std::round(x * 1000) / 1000; }

/// Sums a counter over the processors.
template <class F> u64 sum(emu::Machine& m, F of) {
  u64 n = 0;
  for (unsigned c = 0; c < m.cpus(); ++c) n += of(m.processor(c).stats);
  return n;
}

json counters(emu::Machine& m, const Recorder& r) {
  json j;
  json exits = json::object();
  u64 all = 0;
  for (unsigned n = 0; n < kExitReasons; ++n)
    if (u64 k = sum(m, [&](auto& s) { return s.exits[n]; })) exits[exit_name(n)] = k, all += k;
  j["vm_entries"] = r.entries();
  j["vm_exits_total"] = all;
  j["vm_exits"] = exits;
  json over_time = json::object();
  for (auto& [reason, bins] : r.exits_over_time()) {
    json list = json::array();
    for (std::size_t n = 0; n < bins.size(); ++n) if (bins[n]) list.push_back({n, bins[n]});
    over_time[exit_name(reason)] = list;
  }
  j["vm_exits_over_time"] = {{"steps_per_bin", r.steps_per_bin()}, {"exits", over_time}};
  json exceptions = json::object();
  for (unsigned n = 0; n < 32; ++n)
    if (u64 k = sum(m, [&](auto& s) { return s.exceptions[n]; })) exceptions[exception_name(n)] = k;
  j["exceptions"] = exceptions;
  j["interrupts"] = sum(m, [](auto& s) { return s.interrupts; });
  j["blocks_decoded"] = sum(m, [](auto& s) { return s.blocks_decoded; });
  j["tlb_fills"] = sum(m, [](auto& s) { return s.tlb_fills; });
  json memory = json::object(), ports = json::object();
  for (auto& [page, n] : m.bus().absent_memory()) memory[hex(page)] = n;
  for (auto& [port, n] : m.bus().absent_ports()) ports[hex(port)] = n;
  j["absent_memory"] = memory;
  j["absent_ports"] = ports;
  return j;
}

json cycle_stack(const cpu::CycleStack& s) {
  return {{"cycles", s.total() / cpu::kTicks}, {"instructions", s.instructions}, {"causes", causes_json(s)}, {"walks", s.walks}, {"guest_references", s.guest_references},
          {"nested_references", s.nested_references}, {"branches", s.branches}, {"mispredicted", s.mispredicted}};
}

std::string model_of(emu::Machine& m, Bdf at) {
  for (auto& f : m.platform().pci) if (f.bdf == at) return f.model;
  return {};
}

/// What remapping and DMA cost, by function.
json device_cycles(emu::Machine& m) {
  json all = json::array();
  for (auto& [at, c] : m.dma_timing()->functions())
    all.push_back({{"bdf", bdf_text(at)}, {"model", model_of(m, at)}, {"requests", c.requests}, {"iotlb_hits", c.iotlb_hits}, {"iotlb_misses", c.iotlb_misses},
                   {"context_hits", c.context_hits}, {"context_misses", c.context_misses}, {"context_references", c.context_reads}, {"walk_references", c.table_reads},
                   {"translation_cycles", c.translation_cycles}, {"interrupts", c.interrupts}, {"irte_hits", c.interrupt_entry_hits}, {"irte_misses", c.interrupt_entry_misses},
                   {"irte_references", c.interrupt_reads}, {"interrupt_cycles", c.interrupt_cycles}, {"lines_read", c.lines_read}, {"lines_written", c.lines_written},
                   {"lines_from_dram", c.lines_from_dram}, {"data_cycles", c.data_cycles}});
  return all;
}

/// Where cycles went, by processor and by whether VMX non-root operation spent them.
json timing(emu::Machine& m) {
  json all = json::array();
  for (unsigned n = 0; n < m.cpus(); ++n) {
    const cpu::Timing& t = *m.processor(n).timing();
    all.push_back({{"cpu", n}, {"cycles", t.cycles()}, {"root", cycle_stack(t.stack(false))}, {"guest", cycle_stack(t.stack(true))}});
  }
  return {{"mhz", m.platform().timing.profile.mhz}, {"cpus", all}, {"devices", device_cycles(m)}};
}

json vtd_units(emu::Machine& m) {
  json all = json::array();
  for (auto& u : m.vtd_units()) {
    json j;
    const vtd::Unit::Statistics& s = u->statistics();
    j["unit"] = u->index();
    j["address"] = hex(m.platform().drhds.at(u->index()).address);
    j["translation_enabled"] = u->translation_enabled();
    if (u->translation_enabled()) j["enabled_at_step"] = u->enabled_at_step();
    j["interrupt_remapping_enabled"] = u->interrupt_remapping_enabled();
    j["queued_invalidation_enabled"] = u->queue_enabled();
    j["root_table"] = hex(u->root_in_use().v);
    j["counters"] = {{"requests", s.requests}, {"iotlb_hits", s.iotlb_hits}, {"iotlb_misses", s.iotlb_misses},
                     {"context_hits", s.context_hits}, {"context_misses", s.context_misses}, {"interrupts", s.interrupts},
                     {"irte_hits", s.irte_hits}, {"irte_misses", s.irte_misses}, {"faults", s.faults},
                     {"faults_not_recorded", s.faults_not_recorded}, {"refused", s.refused}, {"stale_uses", s.stale_uses},
                     {"invalidations", s.invalidations}, {"messages", s.messages}, {"odd_accesses", s.odd_accesses}};
    all.push_back(j);
  }
  return all;
}

/// Who has done DMA and asked for interrupts, and how it went through the VT-d units.
json functions(emu::Machine& m) {
  json all = json::array();
  for (auto& [at, t] : m.traffic()) {
    json j{{"bdf", bdf_text(at)}, {"model", model_of(m, at)}};
    j["dma"] = {{"translated", t.dma_translated}, {"bypassed", t.dma_bypassed}, {"blocked", t.dma_blocked}};
    j["interrupts"] = {{"remapped", t.interrupts_remapped}, {"bypassed", t.interrupts_bypassed}, {"blocked", t.interrupts_blocked}};
    all.push_back(j);
  }
  return all;
}

/// What the guest depends on, field by field: from this and platform.json the machine can be made again.
json options(const RunOptions& o) {
  json j;
  std::error_code e;
  j["directory"] = fs::current_path(e).string();
  if (!o.kernel.empty()) j["kernel"] = o.kernel;
  if (!o.firmware.empty()) j["firmware"] = o.firmware;
  if (!o.protocol.empty()) j["protocol"] = o.protocol;
  if (!o.append.empty()) j["append"] = o.append;
  json modules = json::array();
  for (auto& m : o.modules) {
    const fw::Module module = parse_module(m);
    modules.push_back({{"file", module.file}, {"args", module.args}});
  }
  if (!modules.empty()) j["modules"] = modules;
  if (!o.initrd.empty()) j["initrd"] = o.initrd;
  json disks = json::array();
  for (auto& text : o.disks) {
    const DiskOption d = parse_disk(text);
    disks.push_back({{"file", d.file}, {"if", d.interface}});
  }
  if (!disks.empty()) j["disks"] = disks;
  return j;
}

}  // namespace

double mips(u64 retired, double seconds) { return seconds > 0 ? static_cast<double>(retired) / seconds / 1e6 : 0; }

int exit_status(const Stop& stop, const When& until) {
  switch (stop.reason()) {
    case StopReason::until: return status::ok;
    case StopReason::power_off: return until.kind == When::Kind::never ? status::ok : status::finding;  // it never came to that
    case StopReason::reset: case StopReason::triple_fault: case StopReason::halted: return status::finding;
    case StopReason::unsupported: return status::unsupported;
    case StopReason::exit_device: return stop.code() & 0xff;
    case StopReason::limit: return status::limit;
    case StopReason::interrupted: return status::interrupted;
    case StopReason::input_lost: return status::bad_input;
    case StopReason::none: break;
  }
  return status::internal;
}

json manifest_start(const RunOptions& o, const Prepared& p) {
  const std::string platform = fw::to_json(p.platform);
  json j;
  j["schema"] = kRunSchema;
  j["version"] = VITRINE_VERSION;
  j["arguments"] = o.arguments;
  j["options"] = options(o);
  json inputs = json::array();
  for (auto& i : p.inputs) inputs.push_back({{"role", i.role}, {"file", i.file}, {"size", i.size}, {"sha256", i.sha256}});
  j["inputs"] = inputs;
  j["platform"] = {{"name", p.platform.name}, {"file", kPlatform}, {"sha256", fw::sha256({reinterpret_cast<const u8*>(platform.data()), platform.size()})}};
  j["guest"] = {{"format", p.image.kernel_kind}, {"hypervisor", hv::kind_name(p.kernel.kind)}};
  if (!p.kernel.build_id.empty()) j["guest"]["build_id"] = p.kernel.build_id;
  if (p.symbols) j["guest"]["symbols"] = p.symbols->file();
  j["clock"] = {{"model", fw::model_name(p.platform.timing.model)}, {"tsc_hz", p.platform.cpu.tsc_hz}};
  if (p.platform.timing.model == timing::Model::flat) j["clock"]["steps_per_virtual_second"] = emu::kCyclesPerSecond;
  else j["clock"]["profile"] = p.platform.timing.profile.name;
  j["steps"] = 0;
  j["cycles"] = 0;
  j["retired"] = 0;
  j["end"] = {{"reason", stop_name(StopReason::none)}};
  j["exit_status"] = nullptr;
  j["state_hash"] = nullptr;
  return j;
}

void manifest_end(json& j, emu::Machine& m, const Prepared& p, const Recorder& r, HostTime host, int status) {
  const hv::Symbols* symbols = p.symbols ? &*p.symbols : nullptr;
  const cpu::Cpu& c = m.processor(m.current());
  j["steps"] = m.steps();
  j["cycles"] = m.cycles();
  j["retired"] = m.retired();
  json end;
  end["reason"] = stop_name(m.stop().reason());
  if (!m.stop().what().empty()) end["what"] = m.stop().what();
  if (!m.stop().where().empty()) end["where"] = m.stop().where();
  if (m.stop().reason() == StopReason::exit_device) end["code"] = m.stop().code();
  end["step"] = m.steps();
  end["cpu"] = m.current();
  end["rip"] = hex(c.rip);
  if (symbols)
    if (const std::string at = symbols->name(c.rip); !at.empty()) end["symbol"] = at;
  j["end"] = end;
  j["exit_status"] = status;
  j["host"] = {{"user_seconds", rounded(host.user)}, {"elapsed_seconds", rounded(host.elapsed)}, {"mips", rounded(mips(m.retired(), host.user))}, {"sandbox", sandbox::in_force()}};
  json eptps = json::array();
  for (auto& e : r.eptps())
    eptps.push_back({{"eptp", hex(e.eptp)}, {"root", hex(e.eptp & mask(51, 12))}, {"vmcs", hex(e.vmcs)}, {"first_step", e.first_step}, {"last_step", e.last_step}});
  j["eptps"] = eptps;
  j["vtd"] = vtd_units(m);
  j["functions"] = functions(m);
  j["stats"] = counters(m, r);
  if (m.timed()) j["timing"] = timing(m);
  json roms = json::array();
  for (auto& r : m.memory().ranges()) if (r.rom) roms.push_back({{"first", r.first.v}, {"size", r.size}});
  j["rom"] = roms;
  json processors = json::array();
  for (unsigned n = 0; n < m.cpus(); ++n) processors.push_back(processor_json(m, n, symbols));
  j["processors"] = processors;
}

std::string manifest_text(const json& j) { return j.dump(2, ' ', false, json::error_handler_t::replace) + '\n'; }

}  // namespace vt::cli
