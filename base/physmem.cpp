// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/physmem.hpp"

#include <sys/mman.h>

#include <algorithm>

#include "base/bits.hpp"
#include "base/check.hpp"

namespace vt {

PhysMem::PhysMem(u64 top) : top_(align_up(top, kPageSize)), flags_(top_ >> kPageShift) {
  void* p = ::mmap(nullptr, top_ + kPageSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  CHECK(p != MAP_FAILED, "cannot reserve address space for guest memory");
  base_ = static_cast<u8*>(p);
}
PhysMem::~PhysMem() { ::munmap(base_, top_ + kPageSize); }

void PhysMem::add(Hpa first, u64 size, u8 flags) {
  CHECK(first.v % kPageSize == 0 && size % kPageSize == 0 && first.v + size <= top_);
  for (u64 p = first.v >> kPageShift; p < (first.v + size) >> kPageShift; ++p) {
    CHECK(!flags_[p], "memory ranges overlap");
    flags_[p] = flags;
  }
  ranges_.push_back({first, size, (flags & page_flag::rom) != 0});
}
void PhysMem::add_ram(Hpa first, u64 size) { add(first, size, page_flag::present); }
void PhysMem::add_rom(Hpa first, u64 size) { add(first, size, page_flag::present | page_flag::rom); }

void PhysMem::set_flag(Hpa at, u8 f) { CHECK(at.v < top_); flags_[at.v >> kPageShift] |= f; }
void PhysMem::clear_flag(Hpa at, u8 f) { CHECK(at.v < top_); flags_[at.v >> kPageShift] &= static_cast<u8>(~f); }

bool PhysMem::present(Hpa at, u64 n) const {
  for (u64 p = at.v >> kPageShift; p <= (at.v + n - 1) >> kPageShift; ++p)
    if (!(flags(Hpa{p << kPageShift}) & page_flag::present)) return false;
  return true;
}

void PhysMem::read(Hpa at, void* to, std::size_t n) const {
  auto* out = static_cast<u8*>(to);
  while (n) {
    std::size_t run = std::min<std::size_t>(n, kPageSize - at.v % kPageSize);
    if (present(at)) std::memcpy(out, base_ + at.v, run);
    else std::memset(out, 0xff, run);
    out += run, at += run, n -= run;
  }
}

void PhysMem::write(Hpa at, const void* from, std::size_t n, WriteCause cause) {
  auto* in = static_cast<const u8*>(from);
  while (n) {
    std::size_t run = std::min<std::size_t>(n, kPageSize - at.v % kPageSize);
    u8 f = flags(at);
    bool writable = (f & page_flag::present) && (!(f & page_flag::rom) || cause == WriteCause::loader);
    if (writable) {
      bool tell = f & (page_flag::slow_write & ~page_flag::rom);
      if (tell) for (auto* l : listeners_) l->before_write(at, run, f, cause);
      std::memcpy(base_ + at.v, in, run);
      if (tell) for (auto* l : listeners_) l->after_write(at, run, f, cause);
    }
    in += run, at += run, n -= run;
  }
}

void PhysMem::remove_listener(Listener* l) { std::erase(listeners_, l); }

void PhysMem::state(Ar& ar) {
  static constexpr std::array<u8, kPageSize> kZero{};
  ar.enter("memory");
  constexpr u64 kEnd = ~u64{0};
  if (ar.loading()) {
    for (auto& r : ranges_) CHECK(::madvise(base_ + r.first.v, r.size, MADV_DONTNEED) == 0);
    for (u64 page = 0;;) {
      ar(page);
      if (page == kEnd) break;
      if (page >= flags_.size() || !(flags_[page] & page_flag::present)) throw std::runtime_error("damaged state: a page outside memory");
      ar.bytes(base_ + (page << kPageShift), kPageSize);
    }
  } else {
    for (u64 page = 0; page < flags_.size(); ++page) {
      if (!(flags_[page] & page_flag::present)) continue;
      u8* p = base_ + (page << kPageShift);
      if (std::memcmp(p, kZero.data(), kPageSize) == 0) continue;
      ar(page);
      ar.bytes(p, kPageSize);
    }
    u64 end = kEnd;
    ar(end);
  }
  ar.leave();
}

}  // namespace vt
