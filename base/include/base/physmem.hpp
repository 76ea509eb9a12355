// SPDX-License-Identifier: GPL-2.0-or-later
/// Physical memory: one MAP_NORESERVE mapping, host = base + Hpa, and one byte of flags per page.
/// Holes (no RAM, no ROM) have no `present` flag: the bus decides what answers there.
/// *Every* writer honours the flags: processors, walkers' A/D updates, DMA, VMCS, loaders.
#pragma once
#include <span>
#include <vector>

#include "base/archive.hpp"
#include "base/types.hpp"

namespace vt {

namespace page_flag {
inline constexpr u8 present = 0x01;  ///< RAM or ROM answers here
inline constexpr u8 rom = 0x02;      ///< writes are dropped
inline constexpr u8 code = 0x04;     ///< decoded instructions were made from it
inline constexpr u8 watched = 0x08;  ///< a table page or a debugger's watchpoint
inline constexpr u8 unsaved = 0x10;  ///< not yet saved since the checkpoint
inline constexpr u8 vmcs = 0x20;     ///< a processor's active VMCS
inline constexpr u8 reads_watched = 0x40;  ///< somebody is told of each access: no bare host pointer of any kind
/// A page may be written through a bare host pointer only if none of these is set (and present is).
inline constexpr u8 slow_write = rom | code | watched | unsaved | vmcs;
}  // namespace page_flag

enum class WriteCause : u8 { store, locked, walker_ad, dma, loader, vmcs, debugger };

class PhysMem {
 public:
  /// Told of writes to pages whose flags ask for it. `before` is called before the bytes change.
  class Listener {
   public:
    virtual ~Listener() = default;
    virtual void before_write(Hpa at, std::size_t n, u8 flags, WriteCause cause) = 0;
    virtual void after_write(Hpa at, std::size_t n, u8 flags, WriteCause cause) = 0;
  };

  /// `top`: first byte after the highest RAM or ROM; page aligned.
  explicit PhysMem(u64 top);
  ~PhysMem();
  PhysMem(const PhysMem&) = delete;
  PhysMem& operator=(const PhysMem&) = delete;

  void add_ram(Hpa first, u64 size);  ///< page aligned; ranges must not overlap
  void add_rom(Hpa first, u64 size);

  u64 top() const { return top_; }
  u8* host() { return base_; }
  const u8* host() const { return base_; }
  u8* flags() { return flags_.data(); }
  u8 flags(Hpa at) const { return at.v < top_ ? flags_[at.v >> kPageShift] : 0; }
  void set_flag(Hpa at, u8 f);    ///< whoever sets a slow_write flag also drops bare pointers to the page
  void clear_flag(Hpa at, u8 f);
  bool present(Hpa at) const { return flags(at) & page_flag::present; }
  bool present(Hpa at, u64 n) const;  ///< all of [at, at+n)

  /// Reading: nothing but RAM and ROM. Bytes that nobody backs read as ones.
  void read(Hpa at, void* to, std::size_t n) const;
  u64 peek64(Hpa at) const { u64 v; read(at, &v, 8); return v; }
  u32 peek32(Hpa at) const { u32 v; read(at, &v, 4); return v; }

  /// Writing through the flags. ROM and holes drop it (a loader may write ROM).
  void write(Hpa at, const void* from, std::size_t n, WriteCause cause);
  void poke64(Hpa at, u64 v, WriteCause cause) { write(at, &v, 8, cause); }
  void poke32(Hpa at, u32 v, WriteCause cause) { write(at, &v, 4, cause); }

  void add_listener(Listener* l) { listeners_.push_back(l); }
  void remove_listener(Listener* l);

  struct Range { Hpa first; u64 size; bool rom; };
  const std::vector<Range>& ranges() const { return ranges_; }

  /// Contents of all pages that are not zero. Flags are not state.
  void state(Ar& ar);

 private:
  void add(Hpa first, u64 size, u8 flags);
  u8* base_ = nullptr;
  u64 top_;
  std::vector<u8> flags_;
  std::vector<Range> ranges_;
  std::vector<Listener*> listeners_;
};

/// What a pure walker needs of memory.
template <class M>
concept ReadsPhys = requires(const M& m, Hpa at) { { m.peek64(at) } -> std::same_as<u64>; };

}  // namespace vt
