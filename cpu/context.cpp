// SPDX-License-Identifier: GPL-2.0-or-later
#include "cpu/block.hpp"
#include "cpu/cpu.hpp"
#include "cpu/timing/timing.hpp"

namespace vt::cpu {

namespace {

/// Allows every access at every 32-bit offset, and adds nothing.
bool flat_data(const Segment& s) {
  return s.base == 0 && s.limit == 0xffff'ffff && !s.unusable() && s.present() && s.s() && (s.type() & 0xe) == 2;
}

}  // namespace

void Cpu::update() {
  code64_now = code64();
  stack64 = code64_now;
  stack32 = !code64_now && seg[SS].db();
  u16 m = code64_now ? 2 : seg[CS].db() ? 1 : 0;
  if (!code64_now && seg[CS].base == 0 && seg[CS].limit == 0xffff'ffff && flat_data(seg[DS]) && flat_data(seg[ES]) && flat_data(seg[SS])) m |= mode_bit::flat;
  if (!(cr0 & (cr0::TS | cr0::EM))) m |= mode_bit::x87_ok;
  if (!(cr0 & cr0::TS)) m |= mode_bit::vex_ok;
  if (cr0 & cr0::EM) m |= mode_bit::mmx_ud;
  if ((cr0 & cr0::EM) || !(cr4 & cr4::OSFXSR)) m |= mode_bit::sse_ud;
  if (!(cr4 & cr4::OSXSAVE) || (xcr0 & 6) != 6) m |= mode_bit::avx_ud;
  if (protected_mode() && !vm86()) m |= mode_bit::protected_mode;
  mode = m;
  contexts.select();
}

Contexts::Contexts(Cpu& c) : c_(c) { c.tlb.observe(this); }

void Contexts::select() {
  const bool non_root = c_.vmx.non_root, paging = c_.cr0 & cr0::PG;
  tlb_.eptp = non_root ? c_.vmx.eptp & mask(51, 12) : 0;
  tlb_.vpid = non_root ? c_.vmx.vpid : 0;
  tlb_.pcid = paging && (c_.cr4 & cr4::PCIDE) ? static_cast<u16>(c_.cr3 & 0xfff) : 0;
  if (Timing* t = c_.timing()) t->context(non_root, tlb_);
  const bool user = c_.cpl() == 3, ac = c_.flags & rflags::AC;
  key_.eptp = non_root ? c_.vmx.eptp : 0;
  key_.vpid = tlb_.vpid;
  key_.pcid = tlb_.pcid;
  key_.rights = 0;
  if (paging) {
    const bool smap = c_.cr4 & cr4::SMAP;
    key_.rights = 1u | (c_.cr0 & cr0::WP ? 2u : 0) | (user ? 4u : 0) | (c_.cr4 & cr4::SMEP ? 8u : 0) | (smap ? 0x10u : 0) |
                  (smap && !user && ac ? 0x20u : 0) | (c_.cr4 & cr4::PAE ? 0x40u : 0) | (c_.long_mode() ? 0x80u : 0);
  }
  fetch_key_ = key_;
  fetch_key_.rights &= 0xcd;
  // SDM 3A "Alignment Checking"; data breakpoints are looked for in the slow path.
  bypass_ = (user && ac && (c_.cr0 & cr0::AM)) || (c_.dr[7] & 0xff);
  activate();
}

unsigned Contexts::hash(const Key& k) {
  const u64 h = (k.eptp >> 12) * 0x9e3779b97f4a7c15 + (static_cast<u64>(k.pcid) * 5 + k.vpid * 3u) * 0xff51afd7ed558ccd + k.rights * 0xc4ceb9fe1a85ec53;
  return static_cast<unsigned>(h >> 40) % kSlots;
}

void Contexts::activate() {
  Slot& s = tags_[hash(key_)];
  if (s.id == 0 || !(s.key == key_)) {
    if (next_tag_ > kLastTag) {
      // Tags come back into use now: nothing may be left that carries an old one. A block may be running (STAC): that its page was
      // fetched has to stay known.
      const auto fetched = c_.host.fetched;
      c_.host.drop_all();
      c_.host.fetched = fetched;
      for (Slot& x : tags_) x = {};
      for (Slot& x : links_) x = {};
      next_tag_ = 1;
    }
    s = {key_, next_tag_++};
  }
  c_.host.tag = bypass_ ? kBypass : s.id;
  Slot& l = links_[hash(fetch_key_)];
  if (l.id == 0 || !(l.key == fetch_key_)) l = {fetch_key_, next_links_++};
  c_.links_valid = l.id;
}

void Contexts::forget_all() {
  code_dropped_ = true;
  for (Slot& s : tags_) s.id = 0;  // tags are not used again before host.drop_all(): every entry is dead
  for (Slot& s : links_) s.id = 0;
  c_.host.fetched.reset();
  activate();
}

void Contexts::void_links() {
  code_dropped_ = true;
  for (Slot& s : links_) s.id = 0;
  activate();
}

void Contexts::dropped(u64 la, u64 size) {
  HostCache& h = c_.host;
  if (size == kPageSize) {
    h.drop_page(la);
    if (h.fetched[HostCache::fetched_slot(la)]) void_links();
    return;
  }
  for (auto* a : {h.rd, h.wr, h.ex})
    for (unsigned i = 0; i < HostCache::kSlots; ++i)
      if (a[i].tag != HostCache::kNever && (a[i].tag & kPageMask) - la < size) a[i].tag = HostCache::kNever;
  if (h.fetched.any()) void_links();
}

}  // namespace vt::cpu
