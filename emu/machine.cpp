// SPDX-License-Identifier: GPL-2.0-or-later
#include "emu/machine.hpp"

#include <algorithm>

#include "board.hpp"
#include "cpu/timing/timing.hpp"
#include "emu/dma_timing.hpp"
#include "firmware/layout.hpp"

namespace vt::emu {
namespace {

/// First byte after everything that DRAM backs; 4 GiB at least, as a ROM may end there.
u64 top_of_memory(const fw::Platform& p) {
  u64 top = u64{1} << 32;
  for (auto& r : fw::backing(p)) top = std::max(top, r.last() + 1);
  return top;
}

vtd::Caps caps_of(const fw::Drhd& d, const fw::Platform& p) {
  vtd::Caps c;
  c.agaw_39 = std::find(d.sagaw.begin(), d.sagaw.end(), 39u) != d.sagaw.end();
  c.agaw_48 = std::find(d.sagaw.begin(), d.sagaw.end(), 48u) != d.sagaw.end();
  c.mgaw = d.mgaw, c.host_address_width = p.host_address_width;
  c.superpage_2m = d.superpage_2m, c.superpage_1g = d.superpage_1g, c.caching_mode = d.caching_mode, c.coherent = d.coherent;
  c.queued_invalidation = d.queued_invalidation, c.interrupt_remapping = d.interrupt_remapping;
  c.extended_interrupt_mode = d.extended_interrupt_mode, c.snoop_control = d.snoop_control, c.pass_through = d.pass_through;
  c.write_buffer_flush = d.write_buffer_flush, c.zero_length_read = d.zero_length_read, c.plmr = d.plmr, c.phmr = d.phmr;
  c.drain_reads = d.drain_reads, c.drain_writes = d.drain_writes, c.domain_id_bits = d.domain_id_bits;
  c.fault_records = d.fault_records, c.fault_offset = d.fault_offset, c.iotlb_offset = d.iotlb_offset;
  c.iotlb_entries = d.iotlb_entries, c.context_entries = d.context_entries;
  return c;
}

}  // namespace

struct Machine::ApicTimer final : Timed {
  explicit ApicTimer(cpu::Cpu& c) : cpu(c) {}
  enum Kind : u32 { apic, preemption };
  void expire(u32 kind, u64) override { kind == apic ? cpu.timer_expired() : cpu.preemption_timer_expired(); }
  cpu::Cpu& cpu;
};

void Machine::arm_timer(unsigned cpu, u64 cycle) {
  if (cycle == ~u64{0}) queue_.cancel(*timers_[cpu], ApicTimer::apic);
  else at(cycle, *timers_[cpu], ApicTimer::apic);
}
void Machine::arm_preemption_timer(unsigned cpu, u64 cycle) {
  if (cycle == ~u64{0}) queue_.cancel(*timers_[cpu], ApicTimer::preemption);
  else at(cycle, *timers_[cpu], ApicTimer::preemption);
}

Machine::Machine(const fw::Platform& platform, SerialSink& console, Backends backends)
    : platform_(platform), memory_(top_of_memory(platform)), backends_(std::move(backends)) {
  for (auto& r : fw::backing(platform_)) memory_.add_ram(Hpa{r.first}, r.size);
  memory_.add_listener(this);
  if (platform_.vtd)
    for (auto& d : platform_.drhds) {
      const vtd::Caps caps = caps_of(d, platform_);
      if (const std::string wrong = vtd::defect(caps); !wrong.empty())
        throw fw::PlatformError(platform_.file, "drhds[" + std::to_string(units_.size()) + "]", wrong);
      units_.push_back(std::make_unique<vtd::Unit>(*this, caps, static_cast<u8>(units_.size())));
    }
  cpu::CpuModel model;
  try {
    model = cpu::make_model(platform_.cpu.model, platform_.cpu.features, platform_.cpu.count, platform_.cpu.physical_address_bits, platform_.cpu.tsc_hz);
  } catch (const std::invalid_argument& e) {
    throw fw::PlatformError(platform_.file, "cpu", e.what());
  }
  for (unsigned n = 0; n < platform_.cpu.count; ++n) {
    cpus_.push_back(std::make_unique<cpu::Cpu>(*this, model, n, n == 0));
    timers_.push_back(std::make_unique<ApicTimer>(*cpus_.back()));
    queue_.add_owner(*timers_.back());
  }
  if (platform_.timing.model != timing::Model::flat) {
    last_level_ = std::make_unique<cpu::LastLevel>(platform_.timing.profile);
    for (auto& c : cpus_) c->set_timing(platform_.timing, *last_level_);
    dma_timing_ = std::make_unique<DmaTiming>(platform_.timing.profile, *last_level_);
    for (auto& u : units_) u->listen(dma_timing_.get());
    parked_.resize(cpus_.size());
  }
  board_ = std::make_unique<Board>(*this, console);
  set_up_processors();
  queue_.seal();
}
Machine::~Machine() { memory_.remove_listener(this); }

/// What firmware leaves behind in the processors: MTRRs, virtual-wire interrupts, the VMX lock.
void Machine::set_up_processors() {
  const fw::Platform& p = platform_;
  for (unsigned n = 0; n < cpus(); ++n) {
    cpu::Cpu& c = *cpus_[n];
    c.msr.mtrr_def_type = 0xc00 | static_cast<u64>(p.mtrrs.def);
    static constexpr u64 kWb = 0x0606060606060606;
    for (unsigned k = 0; k < 11; ++k) c.msr.mtrr_fixed[k] = kWb;
    c.msr.mtrr_fixed[2] = 0;  // A0000-BFFFF
    const u64 address_mask = mask(p.cpu.physical_address_bits - 1, 12);
    CHECK(p.mtrrs.variable.size() <= std::size(c.msr.mtrr_base), "the platform checks allow ten ranges");
    for (std::size_t k = 0; k < p.mtrrs.variable.size(); ++k) {
      auto& v = p.mtrrs.variable[k];
      c.msr.mtrr_base[k] = v.base | static_cast<u64>(v.type);
      c.msr.mtrr_mask[k] = (address_mask & ~(v.size - 1)) | 0x800;
    }
    if (c.model().has(cpu::Feature::vmx)) c.msr.feature_control = 5;  // locked, VMXON outside SMX
    c.apic.write(0x0f0, 0x1ff);
    if (n == 0) c.apic.write(0x350, 0x700);  // LINT0: ExtINT
    c.apic.write(0x360, 0x400);              // LINT1: NMI
  }
}

void Machine::load(const std::vector<fw::Blob>& firmware, const fw::Image& image) {
  for (auto* list : {&firmware, &image.blobs})
    for (auto& b : *list) {
      for (u64 page = b.at.v & kPageMask; page < b.at.v + b.bytes.size(); page += kPageSize)
        if (page < memory_.top() && !memory_.present(Hpa{page})) memory_.add_rom(Hpa{page}, kPageSize);
      memory_.write(b.at, b.bytes.data(), b.bytes.size(), WriteCause::loader);
    }
  cpu::Cpu& c = *cpus_[0];
  const fw::Entry& e = image.entry;
  if (e.mode == fw::Entry::Mode::protected_flat32) {
    // Multiboot "I386 machine state" and its relatives.
    c.cr0 = (c.cr0 & ~(cpu::cr0::CD | cpu::cr0::NW)) | cpu::cr0::PE;
    for (unsigned s = 0; s < 6; ++s) {
      c.seg[s].base = 0, c.seg[s].limit = ~0u;
      c.seg[s].sel = s == cpu::CS ? 0x10 : 0x18;  // Linux boot protocol: __BOOT_CS, __BOOT_DS
      c.seg[s].ar = s == cpu::CS ? 0xc09b : 0xc093;
    }
    board_->post();
    c.rip = e.eip, c.r[0] = e.eax, c.r[3] = e.ebx, c.r[6] = e.esi, c.r[4] = e.esp;
  }
  c.update();
}

pci::ConfigSpace& Machine::pci() { return board_->config; }
const std::vector<NetworkCard*>& Machine::network_cards() const { return board_->cards; }
const std::vector<std::unique_ptr<Disk>>& Machine::disks() const { return board_->disks; }
const IoApic& Machine::ioapic() const { return board_->ioapic; }
const Vga* Machine::vga() const { return board_->vga.get(); }
void Machine::type(u8 byte) { board_->serial.type(byte); }
u64 Machine::retired() const {
  u64 n = 0;
  for (auto& c : cpus_) n += c->retired;
  return n;
}

void Machine::state(Ar& ar) { state(ar, true); }
void Machine::state_but_memory(Ar& ar) { state(ar, false); }

void Machine::state(Ar& ar, bool memory) {
  ar(time_, steps_, slice_cpu_, slice_left_);
  ar.section("events", queue_);
  if (memory) ar.section("memory", memory_);
  if (timed()) {
    ar(handed_out_, slice_end_, parked_);
    ar.section("llc", *last_level_);
    ar.section("dma", *dma_timing_);
  }
  for (auto& c : cpus_) c->state(ar);
  ar.section("board", *board_);
  if (memory) for (auto& d : board_->disks) ar.section(d->name(), *d);
  if (ar.loading() && slice_cpu_ >= cpus_.size()) throw std::runtime_error("damaged state: a processor that does not exist");
}

std::string Machine::state_hash() {
  HashAr h;
  std::string json = fw::to_json(platform_);  // what the guest has not asked about yet is a difference, too
  h(json);
  state(h);
  return h.hex();
}

void Machine::observe(cpu::Observer* observer) { for (auto& c : cpus_) c->observe(observer); }

Machine::Position Machine::position() const {
  const cpu::Cpu& c = running_ ? *running_ : *cpus_[slice_cpu_];
  return {static_cast<u16>(c.index()), step(), c.current_rip()};
}

void Machine::drop_derived() { for (auto& c : cpus_) c->drop_derived(); }

}  // namespace vt::emu
