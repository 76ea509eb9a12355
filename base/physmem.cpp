// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/physmem.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

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

namespace {

/// What the host says of `n` pages, an entry each: bit 63 present, bit 62 swapped. What is neither was never written: zero. This only
/// saves looking at each; false, if the host does not tell.
bool host_pages(const void* first, u64 n, u64* entry) {
  const int f = ::open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
  if (f < 0) return false;
  const u64 at = reinterpret_cast<u64>(first) / static_cast<u64>(::sysconf(_SC_PAGESIZE)) * 8;
  u64 done = 0;
  while (done < n * 8) {
    const ssize_t got = ::pread(f, reinterpret_cast<u8*>(entry) + done, n * 8 - done, static_cast<off_t>(at + done));
    if (got <= 0) break;
    done += static_cast<u64>(got);
  }
  ::close(f);
  return done == n * 8;
}

/// Pages that may hold something.
std::vector<u64> maybe_used(const u8* first, u64 n) {
  std::vector<u64> entry(n);
  u64 own = 0;  // the page of these very entries is in use: does the host say so?
  const bool told = ::sysconf(_SC_PAGESIZE) == static_cast<long>(kPageSize) && host_pages(first, n, entry.data()) && host_pages(entry.data(), 1, &own) && own >> 62;
  if (!told) entry.assign(n, ~u64{0});
  return entry;
}

}  // namespace

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
    constexpr u64 kMany = 1 << 16;
    std::vector<u64> entry;
    for (u64 page = 0; page < flags_.size(); ++page) {
      if (page % kMany == 0) entry = maybe_used(base_ + (page << kPageShift), std::min<u64>(kMany, flags_.size() - page));
      if (!(entry[page % kMany] >> 62) || !(flags_[page] & page_flag::present)) continue;
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
