// SPDX-License-Identifier: GPL-2.0-or-later
/// One remapping unit: register file, DMA remapping, interrupt remapping, queued invalidation, faults.
/// Legacy mode. Commands complete within the write that gives them; the handshakes are those of the manual.
/// Not seen here: processor caches (ECAP.C clear asks software for CLFLUSH, memory is coherent anyway), paging-structure
/// caches (IH changes nothing), advanced fault logging, device-TLBs, posting: none of these is offered.
#pragma once
#include <array>
#include <vector>

#include "vtd/caches.hpp"
#include "vtd/outside.hpp"
#include "vtd/queue.hpp"
#include "vtd/registers.hpp"
#include "vtd/touched.hpp"

namespace vt::vtd {

class Unit {
 public:
  /// `caps` must be without defect(). `index` is for event records.
  Unit(Outside& out, const Caps& caps, u8 index);

  /// Software uses 4 bytes, or 8 on 64-bit registers. Narrower reads give the bytes; other writes are dropped, other reads are ones.
  u64 read(u64 offset, unsigned size);
  void write(u64 offset, unsigned size, u64 value);
  /// Sticky registers (FSTS_REG, ICS_REG, FRCD_REG) are cleared by a power-on only.
  void reset(bool power_on = true);

  struct Translation {
    bool ok = false;
    Hpa at;
    u64 bytes_left = 0;          ///< from `at` to the end of the translated page, or to the interrupt range before it
    u8 fault_reason = 0;         ///< 0 and not ok: refused without a fault (protected region, interrupt range)
    bool from_iotlb = false;
    bool translated = false;     ///< by tables; else the address went through as it was
  };
  /// A DMA request; `access::none` is a zero-length read. Records the fault and sends the fault message itself.
  /// Writes to the interrupt address range are interrupt requests: those go to remap(), not here.
  Translation translate(Bdf source, Iova at, Access want);

  struct Interrupt {
    bool ok = false;
    u32 destination = 0;
    bool logical = false, redirection_hint = false;
    u8 delivery_mode = 0, vector = 0;
    bool level = false, trigger_assert = false;
    u8 fault_reason = 0;
    bool bypass = false;         ///< not remapped: deliver as the plain MSI it is (the fields are its own)
  };
  /// An interrupt request: a 4-byte write to 0xFEExxxxx.
  Interrupt remap(Bdf source, u64 address, u32 data);
  /// Hears of each request, once it is done; null: nobody. Not part of the state.
  void listen(RequestListener* l) { listener_ = l; }

  const Caps& caps() const { return caps_; }
  u8 index() const { return index_; }
  bool translation_enabled() const { return gsts() & gcmd::TE; }
  bool interrupt_remapping_enabled() const { return gsts() & gcmd::IRE; }
  bool queue_enabled() const { return gsts() & gcmd::QIE; }
  u64 root_table() const { return values_[r::RTADDR]; }   ///< RTADDR_REG as software wrote it
  Hpa root_in_use() const { return Hpa(root_); }          ///< what SRTP took over
  IrTable ir_table() const { return {irta_}; }            ///< what SIRTP took over
  u64 enabled_at_step() const { return enabled_at_step_; }  ///< of the last 0 to 1 change of TES; not part of the state
  const char* register_name(u64 offset) const;
  u64 register_value(unsigned row) const { return values_.at(row); }   ///< row of vt::vtd::r
  FaultRecord fault_record(unsigned i) const { return {values_.at(r::FRCD + 2 * i), values_.at(r::FRCD + 2 * i + 1)}; }
  const FillOrder<CachedTranslation>& iotlb() const { return iotlb_; }
  const FillOrder<CachedContext>& context_cache() const { return contexts_; }
  const FillOrder<CachedIrte>& interrupt_entry_cache() const { return irtes_; }

  /// Counters since the unit was made; not part of the state.
  struct Statistics {
    u64 requests = 0, iotlb_hits = 0, iotlb_misses = 0, context_hits = 0, context_misses = 0;
    u64 interrupts = 0, irte_hits = 0, irte_misses = 0;
    u64 faults = 0, faults_not_recorded = 0, refused = 0, stale_uses = 0;
    u64 invalidations = 0, messages = 0, odd_accesses = 0;
  };
  const Statistics& statistics() const { return stats_; }

  void state(Ar& ar);

 private:
  // unit.cpp
  u32 dword(u64 offset) const;
  void store(unsigned row, u64 value, u64 which);
  void effect(Effect e, unsigned row, u64 value, u64 which);
  void command(u32 value);
  u32 gsts() const { return static_cast<u32>(values_[r::GSTS]); }
  void emit(EventKind kind, u64 b, u64 c, u64 d = 0);
  const PhysMem& memory() const { return out_.memory(); }
  // fault.cpp
  void record(Bdf source, u64 info, u8 reason, bool read, bool fpd);
  void raise(u32 status);
  void faults_changed();
  void condition(unsigned control);
  void unmasked(unsigned control);
  // queue.cpp
  void run_queue();
  void execute(Descriptor d);
  void invalidate_contexts(Descriptor d);
  void invalidate_iotlb(Descriptor d);
  void context_command();
  void iotlb_command();
  // dma.cpp
  Translation translate(Bdf source, Iova at, Access want, Touched* touched);
  CachedContext context_of(Bdf source, Touched* touched);
  bool in_protected_region(u64 at) const;
  void watch_translation(const CachedTranslation& e, const ContextEntry& context, Iova at);
  // interrupt.cpp
  Interrupt remap(Bdf source, u64 address, u32 data, Touched* touched);

  Outside& out_;
  const Caps caps_;
  const u8 index_;
  std::vector<Reg> rows_;                            ///< kRegs, kIotlbRegs and the fault records, at their places
  std::array<u16, kRegisterFile / 4> row_at_{};      ///< row + 1 of each dword; 0: none

  std::vector<u64> values_;
  u64 root_ = 0, irta_ = 0;
  u32 next_record_ = 0;
  FillOrder<CachedContext> contexts_;
  FillOrder<CachedTranslation> iotlb_;
  FillOrder<CachedIrte> irtes_;

  u64 enabled_at_step_ = 0;
  Statistics stats_;
  RequestListener* listener_ = nullptr;
};

}  // namespace vt::vtd
