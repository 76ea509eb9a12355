// SPDX-License-Identifier: GPL-2.0-or-later
/// Interrupt requests.   VT-d "Interrupt Remapping"
#include "vtd/interrupt.hpp"

#include "vtd/unit.hpp"

namespace vt::vtd {

Unit::Interrupt Unit::remap(Bdf source, u64 address, u32 data) {
  if (!listener_) return remap(source, address, data, nullptr);
  Touched touched;
  touched.source = source, touched.interrupt = true;
  const Interrupt i = remap(source, address, data, &touched);
  listener_->request(touched);
  return i;
}

Unit::Interrupt Unit::remap(Bdf source, u64 address, u32 data, Touched* touched) {
  Interrupt i;
  ++stats_.interrupts;
  bool remappable = RemappableRequest::is(address);
  IrTable table = ir_table();
  if (!interrupt_remapping_enabled() || !remappable) {
    // SDM 3A "Message Signalled Interrupts": the fields of a plain message.
    i.bypass = true;
    i.destination = static_cast<u32>(bits(address, 19, 12));
    i.redirection_hint = bit(address, 3);
    i.logical = bit(address, 2);
    i.vector = static_cast<u8>(data);
    i.delivery_mode = static_cast<u8>(bits(data, 10, 8));
    i.trigger_assert = bit(data, 14);
    i.level = bit(data, 15);
    i.ok = true;
    // VT-d "Interrupt Requests on Intel 64 Platforms": in x2APIC mode the compatibility format is blocked whatever CFIS says.
    if (interrupt_remapping_enabled() && (table.eime() || !(gsts() & gcmd::CFI))) {
      i = {};
      i.fault_reason = fault::ir_compatibility_blocked;
      record(source, 0, i.fault_reason, false, false);
    }
    return i;
  }

  RemappableRequest request = RemappableRequest::of(address, data);
  auto refuse = [&](u8 reason, bool fpd) {
    record(source, u64{request.index} << 48, reason, false, fpd);
    i.fault_reason = reason;
    return i;
  };
  if (request.reserved) return refuse(fault::ir_request_reserved, false);
  if (request.index >= table.entries()) return refuse(fault::ir_index_beyond_table, false);

  CachedIrte e;
  if (const CachedIrte* hit = irtes_.find([&](const CachedIrte& x) { return x.index == request.index; })) {
    ++stats_.irte_hits;
    if (touched) touched->interrupt_entry = Lookup::hit;
    e = *hit;
    if (out_.events()) {
      IrteLookup now = lookup_irte(memory(), caps_, table, request.index);
      if (now.fault_reason != e.reason || now.entry != e.entry) {
        ++stats_.stale_uses;
        Event event;
        event.kind = EventKind::stale_translation;
        event.step = out_.step();
        event.a = address, event.b = now.at.v;
        out_.events()->on(event);
      }
    }
  } else {
    ++stats_.irte_misses;
    IrteLookup l = lookup_irte(memory(), caps_, table, request.index);
    if (touched) {
      touched->interrupt_entry = Lookup::miss;
      if (l.read) touched->read(l.at, touched->interrupt_reads);
    }
    e.reason = l.fault_reason;
    e.index = static_cast<u16>(request.index);
    e.entry = l.entry;
    if (!irte_fault_for(e.reason, e.entry, source) || caps_.caching_mode) irtes_.fill(e);       // "Interrupt Entry Cache"
  }
  if (u8 reason = irte_fault_for(e.reason, e.entry, source)) return refuse(reason, e.entry.fault_processing_disable());
  i.ok = true;
  i.destination = e.entry.destination(table.eime());
  i.logical = e.entry.logical();
  i.redirection_hint = e.entry.redirection_hint();
  i.delivery_mode = e.entry.delivery_mode();
  i.vector = e.entry.vector();
  i.level = e.entry.level();
  i.trigger_assert = true;
  return i;
}

}  // namespace vt::vtd
