// SPDX-License-Identifier: GPL-2.0-or-later
/// One logical processor. Instruction functions see it as `C`; what they may use is here: registers, lazy
/// flags, memory access, faults. Bodies: engine.cpp (blocks, dispatch), mmu.cpp + tlb.cpp (translation),
/// deliver.cpp (exceptions, interrupts), far.cpp (segments, far transfers), msr.cpp, cpuid.cpp, apic.cpp,
/// vmx/ (VMX), insn/ (instructions).
#pragma once
#include <memory>

#include "base/check.hpp"
#include "base/physmem.hpp"
#include "base/timing.hpp"
#include "cpu/apic.hpp"
#include "cpu/contexts.hpp"
#include "cpu/fault.hpp"
#include "cpu/host_cache.hpp"
#include "cpu/insn.hpp"
#include "cpu/model.hpp"
#include "cpu/observer.hpp"
#include "cpu/outside.hpp"
#include "cpu/state.hpp"
#include "cpu/tlb.hpp"
#include "cpu/vmx.hpp"

namespace vt::cpu {

class BlockCache;
class Timing;
struct Block;
struct LastLevel;

class Cpu : public CpuState {
 public:
  Cpu(Outside& out, const CpuModel& model, unsigned index, bool bootstrap);
  ~Cpu();
  Cpu(const Cpu&) = delete;
  Cpu& operator=(const Cpu&) = delete;

  // --- the machine's side ---------------------------------------------------------------------
  /// Makes at most `steps` steps; less when a device was reached, everything halted or a stop was asked for.
  /// Returns the steps made.
  u64 run(u64 steps);
  /// True when nothing but an event can make it go on (HLT, shutdown, wait-for-SIPI) and none is pending.
  bool idle() const;
  void reset(bool init);                    ///< power-on (false) or INIT (true).   SDM 3A "Processor State After Reset"
  void receive(const ApicMessage& m);       ///< an interrupt message addressed to this processor
  void timer_expired();
  void preemption_timer_expired() { vmx.preemption_expired = true, attention = true; }
  void pic_line(bool asserted);             ///< INTR of the 8259
  bool pic_asserted() const { return pic_intr_; }
  void state(Ar& a);                        ///< everything architectural: registers, TLB, APIC, VMX
  void drop_host_pointers() { contexts.forget_all(); }
  void drop_derived();                      ///< host pointers, blocks' links: any moment between runs
  void code_written(Hpa at, std::size_t n); ///< decoded instructions made from these bytes are void
  u64 retired = 0;                          ///< steps that were instructions (each iteration of a repeated one): statistics, not state
  struct Stats { u64 exits[70] = {}, blocks_decoded = 0, tlb_fills = 0, exceptions[32] = {}, interrupts = 0; } stats;

  /// Null: nobody. Not while it runs, as decoded code is dropped.
  void observe(Observer* o);
  Observer* observer() const { return observer_; }
  bool watches_all() const { return watches_all_; }   ///< the observer wants everything
  /// Linear address of the instruction that executes; between instructions, of the next one.
  u64 current_rip() const { return block && cur ? r[kRipReg] + cur->off : rip; }

  unsigned index() const { return index_; }
  const CpuModel& model() const { return model_; }
  Outside& out() { return out_; }
  PhysMem& memory() { return mem_; }

  // --- time -----------------------------------------------------------------------------------
  /// Steps made in this run() before the instruction `cur`.
  u64 steps_before_current() const;
  /// Virtual time, ns: 1 step = 1 ns (flat), or this processor's clock.
  u64 now() const { return VT_UNLIKELY(timing_ != nullptr) ? timed_now() : out_.slice_start() + steps_before_current(); }
  u64 step() const { return out_.slice_start_step() + steps_before_current() - paid_; }   ///< that is under way, or comes next
  /// A timing model other than flat; once, before the first run. Null: flat.
  void set_timing(const timing::Timing& t, LastLevel& last);
  Timing* timing() const { return timing_.get(); }
  u64 tsc() const;                          ///< with offset; without VMX's
  /// Repeated string instructions: iterations that may be made now (>= 1), and the account of those beyond the
  /// first (the block has paid for one). One at a time where something is to be looked at after each: in `careful` mode, under an
  /// interrupt shadow, with TF, RF or breakpoints.
  u64 allowance() const { return single_step_needed() ? 1 : timing_ ? timed_allowance() : static_cast<u64>(budget) + 1; }
  void charge(u64 extra_iterations) { budget -= static_cast<i64>(extra_iterations); }
  u64 iterations = 0;                       ///< of the repeated instruction that executes: made, and not charged yet

  // --- registers ------------------------------------------------------------------------------
  template <class T>
  T reg(unsigned n) const {
    if constexpr (sizeof(T) == 1) return static_cast<T>(reinterpret_cast<const u8*>(r)[(n & 15) * 8 + (n >> 5)]);
    else return static_cast<T>(r[n]);
  }
  /// 32-bit writes clear the upper half; 8 and 16-bit ones keep the rest.
  template <class T>
  void set_reg(unsigned n, T v) {
    if constexpr (sizeof(T) == 1) reinterpret_cast<u8*>(r)[(n & 15) * 8 + (n >> 5)] = static_cast<u8>(v);
    else if constexpr (sizeof(T) == 2) std::memcpy(&r[n], &v, 2);
    else if constexpr (sizeof(T) == 4) r[n] = static_cast<u32>(v);
    else r[n] = static_cast<u64>(v);
  }
  u64 rip_of(const Insn& i) const { return (r[kRipReg] + i.off) & ip_mask(i); }
  u64 rip_after(const Insn& i) const { return (r[kRipReg] + i.next_off()) & ip_mask(i); }
  static u64 ip_mask(const Insn&) { return ~u64{0}; }  ///< IP wraps are taken care of where rip is written (`set_target`)

  // --- flags: results and operands of any width --------------------------------------------------
  template <class T> void flags_logic(T res) { lf = {static_cast<i64>(static_cast<std::make_signed_t<T>>(res)), 0, 0}; }
  template <class T> void flags_add(T a, T b, T res, bool carry) {
    using S = std::make_signed_t<T>;
    lf = {static_cast<i64>(static_cast<S>(res)), static_cast<i64>(static_cast<S>(a)) ^ static_cast<i64>(static_cast<S>(b)) ^ static_cast<i64>(static_cast<S>(res)), carry};
  }
  template <class T> void flags_sub(T a, T b, T res, bool borrow) { flags_add<T>(a, b, res, borrow); }  // same carries-in, seen as borrows

  // --- memory: linear addresses -------------------------------------------------------------------
  /// Effective address of the memory operand, before the segment.
  u64 ea(const Insn& i) const {
    if (VT_LIKELY(i.ea() == Ea::plain64 || i.ea() == Ea::seg64)) return r[i.rm] + (r[i.index] << i.scale()) + static_cast<i64>(i.disp);
    return ea_narrow(i);
  }
  /// Linear address of `size` bytes of the memory operand at `ea(i) + offset`. Segmentation checks are made where the form needs
  /// them; false: the fault is recorded.
  [[nodiscard]] bool linear(const Insn& i, unsigned size, bool write, u64& la, u64 offset = 0) {
    if (VT_LIKELY(i.ea() == Ea::plain64)) { la = r[i.rm] + (r[i.index] << i.scale()) + static_cast<i64>(i.disp) + offset; return true; }
    if (i.ea() == Ea::plain32) { la = static_cast<u32>(r[i.rm] + (r[i.index] << i.scale()) + static_cast<u64>(static_cast<i64>(i.disp)) + offset); return true; }
    return linear_general(i, size, write, la, offset);
  }
  /// Segment + offset to linear with all checks of the current mode (string instructions, implicit operands).
  [[nodiscard]] bool linear_seg(unsigned s, u64 offset, unsigned size, bool write, u64& la);

  template <class T>
  [[nodiscard]] bool load_at(u64 la, T& v, u8 s = DS) {
    const HostCache::Entry& e = host.rd[HostCache::slot(la)];
    if (VT_LIKELY((((la + sizeof(T) - 1) & kPageMask) | host.tag) == e.tag)) {
      std::memcpy(&v, reinterpret_cast<const void*>(e.addend + la), sizeof(T));
      return true;
    }
    return load_slow(la, &v, sizeof(T), s);
  }
  template <class T>
  [[nodiscard]] bool store_at(u64 la, const T& v, u8 s = DS) {
    const HostCache::Entry& e = host.wr[HostCache::slot(la)];
    if (VT_LIKELY((((la + sizeof(T) - 1) & kPageMask) | host.tag) == e.tag)) {
      std::memcpy(reinterpret_cast<void*>(e.addend + la), &v, sizeof(T));
      return true;
    }
    return store_slow(la, &v, sizeof(T), s);
  }
  template <class T>
  [[nodiscard]] bool load(const Insn& i, T& v, u64 offset = 0) {
    u64 la;
    return linear(i, sizeof(T), false, la, offset) && load_at<T>(la, v, i.seg);
  }
  template <class T>
  [[nodiscard]] bool store(const Insn& i, const T& v, u64 offset = 0) {
    u64 la;
    return linear(i, sizeof(T), true, la, offset) && store_at<T>(la, v, i.seg);
  }
  /// Read-modify-write of the memory operand: `f(old) -> new`. The write access is checked before f runs, so f may
  /// set flags and registers; after it nothing can fault. LOCK needs nothing more: one processor runs at a time.
  template <class T, class F>
  [[nodiscard]] bool modify(const Insn& i, F f) {
    u64 la;
    return linear(i, sizeof(T), true, la) && modify_at<T>(la, i.seg, f);
  }
  /// The same at a linear address whose segment checks are made.
  template <class T, class F>
  [[nodiscard]] bool modify_at(u64 la, u8 s, F f) {
    const HostCache::Entry& e = host.wr[HostCache::slot(la)];
    T v;
    if (VT_LIKELY((((la + sizeof(T) - 1) & kPageMask) | host.tag) == e.tag)) {
      void* p = reinterpret_cast<void*>(e.addend + la);
      std::memcpy(&v, p, sizeof(T));
      v = f(v);
      std::memcpy(p, &v, sizeof(T));
      return true;
    }
    if (!load_for_write(la, &v, sizeof(T), s)) return false;
    v = f(v);
    return store_slow(la, &v, sizeof(T), s);
  }
  /// Alignment that the instruction demands whatever EFLAGS.AC says (SSE): #GP(0) or #SS(0) is recorded.
  [[nodiscard]] bool aligned(u64 la, unsigned size, u8 s = DS) { return VT_LIKELY(!(la & (size - 1))) || (gp(0), false); }

  bool load_slow(u64 la, void* to, unsigned size, u8 s);              ///< up to 64 bytes, any page crossing
  bool store_slow(u64 la, const void* from, unsigned size, u8 s);
  bool load_for_write(u64 la, void* to, unsigned size, u8 s);         ///< a load that faults as the store would
  bool probe_write(u64 la, unsigned size, u8 s);                      ///< faults as the store would; no effect (FXSAVE and others that write much)
  /// Implicit supervisor accesses: descriptor tables, TSS, whatever CPL is.
  bool load_system(u64 la, void* to, unsigned size);
  bool store_system(u64 la, const void* from, unsigned size);
  /// Host pointers for runs of string instructions: bytes of [la, la+n) that may be touched directly (0: take the slow path).
  u64 direct_run(u64 la, bool write, u8*& host_pointer) {
    const HostCache::Entry& e = (write ? host.wr : host.rd)[HostCache::slot(la)];
    if (((la & kPageMask) | host.tag) != e.tag) return 0;
    host_pointer = reinterpret_cast<u8*>(e.addend + la);
    return kPageSize - (la & ~kPageMask);
  }

  // --- stack --------------------------------------------------------------------------------------
  /// Widths: T is u16, u32 or u64. The stack pointer moves only when the access succeeded.
  template <class T> [[nodiscard]] bool push(T v) {
    u64 la, sp = r[4] - sizeof(T);
    if (VT_LIKELY(stack64)) { if (!store_at<T>(sp, v, SS)) return false; r[4] = sp; return true; }
    sp = stack_mask(sp);
    if (!linear_seg(SS, sp, sizeof(T), true, la) || !store_at<T>(la, v, SS)) return false;
    set_sp(sp);
    return true;
  }
  template <class T> [[nodiscard]] bool pop(T& v) {
    if (VT_LIKELY(stack64)) { if (!load_at<T>(r[4], v, SS)) return false; r[4] += sizeof(T); return true; }
    if (!peek_stack<T>(0, v)) return false;
    set_sp(r[4] + sizeof(T));
    return true;
  }
  /// Reads at SP + offset without moving it.
  template <class T> [[nodiscard]] bool peek_stack(u64 offset, T& v) {
    if (VT_LIKELY(stack64)) return load_at<T>(r[4] + offset, v, SS);
    u64 la;
    return linear_seg(SS, stack_mask(r[4] + offset), sizeof(T), false, la) && load_at<T>(la, v, SS);
  }
  u64 stack_mask(u64 sp) const { return stack64 ? sp : stack32 ? static_cast<u32>(sp) : static_cast<u16>(sp); }
  void set_sp(u64 sp) { if (stack64) r[4] = sp; else if (stack32) r[4] = static_cast<u32>(sp); else set_reg<u16>(4, static_cast<u16>(sp)); }

  // --- faults: record and return Next::fault --------------------------------------------------------
  Fault fault;
  Next raise(u8 vector) { fault = {}; fault.kind = Fault::Kind::exception; fault.vector = vector; return Next::fault; }
  Next raise(u8 vector, u32 error) { raise(vector); fault.has_error = true; fault.error = error; return Next::fault; }
  Next gp(u32 error) { return raise(GP, error); }
  Next ss(u32 error) { return raise(SS_, error); }
  Next np(u32 error) { return raise(NP, error); }
  Next ts(u32 error) { return raise(TS, error); }
  Next ud() { return raise(UD); }
  Next nm() { return raise(NM); }
  /// Documented and offered, but not modelled: the run ends and says so.
  Next unsupported(std::string_view what, std::string_view where);

  // --- control transfer ---------------------------------------------------------------------------
  u64 target = 0;                           ///< next rip of Next::jump and Next::leave
  /// Near transfer: checks canonical form or the code segment's limit, wraps to the operand size. False: #GP(0).
  [[nodiscard]] bool set_target(u64 rip, unsigned osz) {
    if (VT_LIKELY(osz == 2)) { target = rip; return VT_LIKELY(static_cast<u64>(static_cast<i64>(rip << 16) >> 16) == rip) || (gp(0), false); }
    target = osz == 1 ? static_cast<u32>(rip) : static_cast<u16>(rip);
    return VT_LIKELY(target <= seg[CS].limit) || code64_now || (gp(0), false);
  }
  /// far.cpp. Loading a segment register (not CS) with all checks of "MOV" in the current mode.
  [[nodiscard]] bool load_segment(unsigned s, u16 selector);
  Next far_jump(const Insn& i, u16 selector, u64 offset);
  Next far_call(const Insn& i, u16 selector, u64 offset);
  Next far_return(const Insn& i, unsigned osz, u16 pop_bytes);
  Next iret(const Insn& i, unsigned osz);
  Next software_interrupt(const Insn& i, u8 vector, u8 vmx_type);  ///< INT n, INT3, INTO, INT1
  /// deliver.cpp: turns `fault` into an exception, a VM exit or a shutdown. One step.
  void deliver();
  /// Delivers the event that vmx.idt_vectoring_info names through the IDT. False: a fault is recorded in `fault`
  /// with this event as the one under way.
  bool deliver_event(u8 vector, bool has_error, u32 error, bool software, u64 return_rip, bool external);

  // --- things that follow from control registers ----------------------------------------------------
  /// Call after any change to CR0, CR3, CR4, EFER, CS, SS, a data segment, CPL, EFLAGS.AC/VM, VMX operation, EPTP, VPID, XCR0: recomputes
  /// the decode mode, the stack width and the translation context. Cheap; the only place that does it.
  void update();
  u16 mode = 0;                             ///< decode mode (cpu/block.hpp: mode bits)
  bool stack64 = false, stack32 = false, code64_now = false;
  bool non_root() const { return vmx.non_root; }

  // --- parts ----------------------------------------------------------------------------------------
  HostCache host;
  Tlb tlb;
  Contexts contexts{*this};                 ///< voids host pointers and block links when the TLB drops what stands behind them
  LocalApic apic;
  Vmx vmx;
  /// Translation by the whole chain (TLB, paging, EPT). False: `fault` is recorded. `user`: as CPL 3.
  bool translate(u64 la, Access want, bool user, Hpa& at);
  bool fetch_page(u64 la, Hpa& page);       ///< physical page of a code address, filling host.ex
  bool ifetch(u64 la, u8* to, unsigned n, unsigned& got);  ///< bytes for the decoder: stops (got < n) before a page that faults; fault recorded

  // --- engine.cpp -------------------------------------------------------------------------------------
  const Insn* cur = nullptr;                ///< the instruction that executes (valid in functions that may fault)
  Block* block = nullptr;
  i64 budget = 0;                           ///< steps left after the block that executes
  bool careful = false;                     ///< one instruction, alone: devices and stores into code are allowed now
  bool leave_run = false;                   ///< a device was reached: run() returns after this step
  u64 links_valid = 1;                      ///< Block links made under another value are void
  Next why = Next::seq;                     ///< why the chain was left
  const Insn* left_at = nullptr;
  void want_attention() { attention = true; }  ///< something asynchronous may be pending
  bool attention = true;
  /// After a device was reached: has the outer loop something to do?
  bool must_look() const { return attention || leave_run || stop_.requested(); }
  BlockCache& blocks() { return *blocks_; }

 private:
  u64 ea_narrow(const Insn& i) const;
  bool linear_general(const Insn& i, unsigned size, bool write, u64& la, u64 offset);
  bool pending();                           ///< asynchronous events at an instruction boundary; true if it made a step
  void execute(Block& b);
  bool single_step_needed() const;

  Outside& out_;
  PhysMem& mem_;
  Stop& stop_;
  CpuModel model_;
  unsigned index_;
  bool bootstrap_;
  bool pic_intr_ = false;
  Observer* observer_ = nullptr;
  bool watches_all_ = false;
  /// A delivery has paid for its step before it is made: events in it still belong to that step.
  u64 paid_ = 0;
  struct Paid {
    explicit Paid(Cpu& cpu) : c(cpu) { --c.budget, c.paid_ = 1; }
    ~Paid() { c.paid_ = 0; }
    Cpu& c;
  };
  u64 timed_now() const;
  u64 timed_allowance() const;
  u64 run_budget_ = 0;                      ///< what run() was given
  std::unique_ptr<BlockCache> blocks_;
  std::unique_ptr<Timing> timing_;
};

}  // namespace vt::cpu
