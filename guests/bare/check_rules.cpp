// SPDX-License-Identifier: GPL-2.0-or-later
// EXPECT exit 0
// NEEDS vitrine
// A hypervisor of one page of code for the rules of `vitrine check` (tests/cli/test_check_rules.py): maps a guest by EPT and a device by VT-d, does
// what its command line names ("RULE bad", "RULE near", "RULE fixed"), and runs the guest. Without a word all is as it should be.
// Names and bits of what asks for mappings are Xen's, so that the ledger has attempts, origins and types.
#include "vmx.hpp"
using namespace vmx;

asm(R"(
        .globl vmx_enter, vmx_exit_entry
vmx_enter:                              # (regs, launch)
        push    %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15
        mov     $0x6c14, %eax           # HOST_RSP
        vmwrite %rsp, %rax
        test    %esi, %esi
        jz      1f
        vmlaunch
        jmp     2f
1:      vmresume
2:      mov     $1, %eax
        jmp     4f
vmx_exit_entry:
        xor     %eax, %eax
4:      pop     %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx
        ret
)");
extern "C" u8 toy_guest[];
asm(".globl toy_guest\ntoy_guest: vmcall\n hlt\n");

// What a kernel is known by; the numbers that follow the names are of no consequence.
extern "C" const char toy_banner[];
const char toy_banner[] = "Xen version %d.%d%s (a toy for tests)\n";

namespace {
u64 a_of(const volatile void* p) { return reinterpret_cast<u64>(p); }

// ---- the hypervisor's own frames, out of the guest's reach ----
constexpr u64 kPool = 0x2000000;
u64 next_frame = kPool;
u64 frame() { const u64 f = next_frame; next_frame += 0x1000; return f; }   // memory is zero at power-on
constexpr u64 kImage = 0x100000, kImageEnd = 0x200000;                      // what the guest has of the low 2 MiB: this program
constexpr u64 kFree = 0x3000000;                                            // RAM to give to the guest
constexpr u64 kHole = 0x40000000;                                           // where the rules' mappings go

enum Type : u64 { ram_rw = 0, mmio_direct = 5, grant_rw = 7, ioreq_server = 15 };
constexpr u64 kWb = 6, kUc = 0, kRwx = 7, kRw = 3;
u64 ept_root, device_root, root_table, context_table, queue, iommu_flushes = 1;
bool translating, flush_lines = true, coherent;

constexpr u64 kUnit = 0xfed90000;
enum : u32 { CAP = 0x08, ECAP = 0x10, GCMD = 0x18, GSTS = 0x1c, RTADDR = 0x20, IQT = 0x88, IQA = 0x90 };
u16 bdf;
u64 bar;

// ---- tables ----
u64 table_at(u64 root, u64 address, unsigned level, bool device);
void device_store(u64 at, u64 v) {
  write64(at, v);
  if (!coherent && flush_lines) asm volatile("clflush (%0); mfence" : : "r"(at) : "memory");
}
u64 entry_at(u64 root, u64 address, unsigned level, bool device) { return table_at(root, address, level, device) + 8 * (address >> (12 + 9 * (level - 1)) & 511); }
u64 table_at(u64 root, u64 address, unsigned level, bool device) {
  u64 table = root;
  for (unsigned l = 4; l > level; --l) {
    const u64 at = table + 8 * (address >> (12 + 9 * (l - 1)) & 511);
    if ((read64(at) & 7) == 0) {
      const u64 fresh = frame();
      if (device) device_store(at, fresh | kRw);
      else write64(at, fresh | kRwx);
    }
    table = read64(at) & 0xffffffffff000;
  }
  return table;
}

Regs g;
bool launched;
}  // namespace

// ---- what asks for mappings, with Xen's names; each a function of its own that calls, so that the chain is whole ----
#define CALLED extern "C" [[gnu::noinline, gnu::used]]
CALLED long ept_set_entry(u64 p2m, u64 gfn, u64 mfn, u64 order, u64 type, u64 access) {
  (void)p2m, (void)order;
  const u64 emt = type == mmio_direct ? kUc : kWb;
  const u64 e = mfn == ~u64{0} ? 0 : mfn << 12 | (access & 7) | emt << 3 | type << 52 | access << 58;
  write64(entry_at(ept_root, gfn << 12, 1, false), e);
  barrier();
  return 0;
}
CALLED long p2m_add_page(u64 d, u64 gfn, u64 mfn, u64 order, u64 type) {   // with the guard
  const u64 old = read64(entry_at(ept_root, gfn << 12, 1, false));
  if ((old & 7) != 0 && (old >> 52 & 63) == mmio_direct) {
    if (has_word("halt")) exit(0);                      // a guard that ends everything
    return -1;
  }
  const long r = ept_set_entry(d, gfn, mfn, order, type, type == mmio_direct ? kRw : kRwx);
  barrier();
  return r;
}
CALLED long p2m_remove_page(u64 d, u64 gfn, u64 mfn, u64 order) {
  (void)mfn;
  const long r = ept_set_entry(d, gfn, ~u64{0}, order, 1, 0);
  barrier();
  return r;
}
CALLED long iommu_map(u64 d, u64 dfn, u64 mfn, u64 count, u64 flags, u64* flush) {
  (void)d, (void)count, (void)flush;
  device_store(entry_at(device_root, dfn << 12, 1, true), mfn << 12 | flags);
  barrier();
  return 0;
}
CALLED long iommu_unmap(u64 d, u64 dfn, u64 count, u64 flags, u64* flush) {
  (void)d, (void)count, (void)flags, (void)flush;
  device_store(entry_at(device_root, dfn << 12, 1, true), 0);
  barrier();
  return 0;
}
// Two passes of the same construction.
CALLED long first_pass(u64 gfn, u64 mfn, u64 type) { const long r = p2m_add_page(0x1000, gfn, mfn, 0, type); barrier(); return r; }
CALLED long second_pass(u64 gfn, u64 mfn, u64 type) { const long r = p2m_add_page(0x1000, gfn, mfn, 0, type); barrier(); return r; }
CALLED void raw_pass(u64 gfn, u64 mfn, u64 type, u64 access) { ept_set_entry(0x1000, gfn, mfn, 0, type, access); barrier(); }
CALLED void raw_entry(u64 gfn, u64 entry) { write64(entry_at(ept_root, gfn << 12, 1, false), entry); barrier(); }
CALLED void remove_pass(u64 gfn) { p2m_remove_page(0x1000, gfn, 0, 0); barrier(); }
CALLED void device_pass(u64 dfn, u64 mfn) { iommu_map(0x1000, dfn, mfn, 1, kRw, &iommu_flushes); barrier(); }
CALLED void device_remove(u64 dfn) { iommu_unmap(0x1000, dfn, 1, 0, &iommu_flushes); barrier(); }

namespace {
bool bad, near, fixed;
bool rule(const char* name) { return has_word(name); }

void invept_all() { invept(2, 0); }
void enter_guest() {
  vmwrite(GUEST_RIP, a_of(toy_guest));
  vmwrite(GUEST_RFLAGS, 2);
  const Outcome o = vmx_enter(&g, !launched);
  launched = true;
  check_eq("the guest ran and called", o == succeed ? vmread(EXIT_REASON) : 0x1000 + error(), 18);
}

void submit(u64 lo, u64 hi) {
  const u64 tail = read64(kUnit + IQT);
  write64(queue + tail, lo);
  write64(queue + tail + 8, hi);
  write64(kUnit + IQT, (tail + 16) & 0xfff);
}
void flush_contexts() { submit(1 | 1 << 4, 0); }
void flush_iotlb() { submit(2 | 1 << 4, 0); }
void flush_iotlb_domain(u16 domain) { submit(2 | 2 << 4 | u64{domain} << 16, 0); }
void flush_iotlb_page(u16 domain, u64 address) { submit(2 | 3 << 4 | u64{domain} << 16, address); }
constexpr u16 kDomain = 7;

bool command(u32 set, u32 status) {
  write32(kUnit + GCMD, set);
  for (u32 i = 0; i < 1000000; ++i) if ((read32(kUnit + GSTS) & status) != 0) return true;
  return false;
}
u32 enabled() { return read32(kUnit + GSTS) & (1u << 31 | 1u << 26); }
void translate(bool flush) {
  write64(kUnit + RTADDR, root_table);
  command(enabled() | 1u << 30, 1u << 30);
  if (flush) flush_contexts(), flush_iotlb();
  check("translation enabled", command(enabled() | 1u << 31, 1u << 31));
  translating = true;
}

u32 config(u16 f, u32 r) { outl(0xcf8, 0x80000000 | u32{f} << 8 | (r & 0xfc)); return inl(0xcfc); }
void config(u16 f, u32 r, u32 v) { outl(0xcf8, 0x80000000 | u32{f} << 8 | (r & 0xfc)); outl(0xcfc, v); }
u32 dma_read(u64 from) {   // -> STATUS: 2 done, 4 refused
  write32(bar + 0x20, 6);
  write64(bar + 8, from);
  write32(bar + 0x18, 4);
  write32(bar + 0x1c, 1);
  u32 s = read32(bar + 0x20);
  while ((s & 1) != 0) s = read32(bar + 0x20);
  return s;
}

void vmcs_state() {
  write_world(vmx_exit_entry);
  vmwrite(PIN_CONTROLS, adjust(pin_caps(), 0));
  vmwrite(PRIMARY_CONTROLS, adjust(primary_caps(), 1u << 7 | 1u << 31));
  vmwrite(SECONDARY_CONTROLS, adjust(secondary_caps(), 1u << 1));
  vmwrite(EXIT_CONTROLS, adjust(exit_caps(), 1u << 9 | 1u << 20 | 1u << 21));
  vmwrite(ENTRY_CONTROLS, adjust(entry_caps(), 1u << 9 | 1u << 15));
  vmwrite(EPT_POINTER, ept_root | 6 | 3 << 3);
}

void set_up() {
  ept_root = frame(), device_root = frame(), root_table = frame(), context_table = frame(), queue = frame();
  const u64 on = frame(), vmcs = frame();
  set_cr4(cr4() | 1 << 13);
  write32(on, u32(rdmsr(0x480)) & 0x7fffffff);
  write32(vmcs, u32(rdmsr(0x480)) & 0x7fffffff);
  check_eq("VMXON", vmxon(on), succeed);
  check_eq("VMCLEAR", vmclear(vmcs), succeed);
  check_eq("VMPTRLD", vmptrld(vmcs), succeed);
  vmcs_state();
  coherent = (read64(kUnit + ECAP) & 1) != 0;
  for (u32 f = 0; f < 256; ++f) if (config(u16(f), 0) == 0x10f01af4) { bdf = u16(f); break; }
  bar = config(bdf, 0x10) & ~15u;
  config(bdf, 4, (config(bdf, 4) & 0xffff) | 6);
  write64(kUnit + IQT, 0);
  write64(kUnit + IQA, queue);
  check("queued invalidation", command(enabled() | 1u << 26, 1u << 26));
  // The root is known before it is filled, as in Xen.
  write64(kUnit + RTADDR, root_table);
  command(enabled() | 1u << 30, 1u << 30);
  device_store(root_table, context_table | 1);
}
CALLED void give_tables(u16 device) {
  device_store(context_table + 16 * device + 8, 2 | u64{kDomain} << 8);
  device_store(context_table + 16 * device, device_root | 1);
  barrier();
}

constexpr u64 kSlot = kHole >> 12, kRam = kFree >> 12;

/// What a domain's construction does; then a first run of the guest.
void build() {
  for (u64 f = kImage >> 12; f < kImageEnd >> 12; ++f) first_pass(f, f, ram_rw), device_pass(f, f);
  // A page of its own, where the device and the guest agree.
  first_pass(kSlot + 100, kRam + 100, ram_rw);
  device_pass(kSlot + 100, kRam + 100);
}

/// Before translation is enabled.
void early() {
  if (rule("rmrr-missing") && !bad) for (u64 f = 0x7bf00; f < 0x7c000; ++f) device_pass(f, f), first_pass(f, f, mmio_direct);
  if (rule("reserved-missing")) {
    if (bad || fixed) device_pass(0x9f, 0x9f), first_pass(0x9f, 0x9f, mmio_direct);
    if (fixed) for (u64 f = 0xf0; f < 0x100; ++f) device_pass(f, f), first_pass(f, f, mmio_direct);
  }
}

void late() {
  const u64 x = kSlot, a = kRam, b = kRam + 1;
  if (rule("refused-mapping")) {
    first_pass(x, 0xe0000, mmio_direct), device_pass(x, 0xe0000);
    if (fixed) remove_pass(x), invept_all(), device_remove(x), flush_iotlb();
    const long r = second_pass(near ? x + 1 : x, a, ram_rw);
    if (r == 0) device_pass(near ? x + 1 : x, a);
    check_eq("what the guard said", u64(r), bad ? u64(-1) : 0);
  }
  if (rule("established-twice")) {
    first_pass(x, a, ram_rw);
    if (fixed) remove_pass(x), invept_all();
    if (near) first_pass(x, b, ram_rw);
    else second_pass(x, b, ram_rw);
    invept_all();
    device_pass(x, b);
  }
  if (rule("established-twice-access")) raw_pass(x, a, ram_rw, kRwx), device_pass(x, a), second_pass(x + 1, b, ram_rw), device_pass(x + 1, b), first_pass(x, a, ram_rw);
  if (rule("ept-vtd")) {
    first_pass(x, a, near ? ioreq_server : ram_rw);
    device_pass(x, b);
    if (fixed) device_pass(x, a), flush_iotlb_domain(kDomain);
    first_pass(x + 1, 0xe0000, mmio_direct);   // not executable for the guest: no difference
    device_pass(x + 1, 0xe0000);
  }
  if (rule("denied-iomem-mapped")) {
    const u64 target = near ? 0xfed91 : kUnit >> 12;
    first_pass(x, target, mmio_direct);
    if (fixed) remove_pass(x), invept_all();
    else device_pass(x, target);
  }
  if (rule("denied-own-table")) {
    const u64 target = near ? kRam : ept_root >> 12;
    first_pass(x, target, ram_rw);
    if (fixed) remove_pass(x), invept_all();
    else device_pass(x, target);
  }
  if (rule("cacheable-mmio")) {
    raw_entry(x, 0xfebf0000 | kRw | (near ? kUc : kWb) << 3);
    device_pass(x, 0xfebf0);
    if (fixed) raw_entry(x, 0xfebf0000 | kRw | kUc << 3), invept_all();
  }
  if (rule("aliased-ram")) {
    first_pass(x, a, ram_rw), device_pass(x, a);
    first_pass(x + 1, a, near ? grant_rw : ram_rw), device_pass(x + 1, a);
    if (fixed) remove_pass(x + 1), invept_all(), device_remove(x + 1), flush_iotlb();
  }
  if (rule("beyond-width")) {
    const u64 width = cpuid(0x80000008).a & 0xff, beyond = u64{1} << width;
    raw_entry(x, (near ? beyond - 0x1000 : beyond) | kRw | kUc << 3);
    if (near) device_pass(x, (beyond - 0x1000) >> 12);
    if (fixed) raw_entry(x, 0), invept_all();
  }
  enter_guest();
  if (rule("flush-missing")) {
    first_pass(x, a, ram_rw), device_pass(x, a);      // what was not present needs no flush
    enter_guest();
    if (!near) {
      first_pass(x, b, ram_rw);
      device_pass(x, b), flush_iotlb_domain(kDomain);
      if (fixed) invept(1, ept_root | 6 | 3 << 3);
    }
  }
  if (rule("flush-missing-vtd")) {
    first_pass(x, a, ram_rw), device_pass(x, a);
    enter_guest();
    first_pass(x, b, ram_rw), invept_all();
    device_pass(x, b);
    if (near) flush_iotlb_page(kDomain, x << 12);
    if (fixed) flush_iotlb_domain(kDomain);
    if (bad) flush_iotlb_page(kDomain, (x + 1) << 12), flush_iotlb_domain(kDomain + 1);
  }
  if (rule("flush-missing-context")) {
    device_store(context_table + 16 * bdf + 8, 2 | u64{kDomain + 1} << 8);
    if (near) submit(1 | 3 << 4 | u64{kDomain} << 16 | u64{bdf} << 32, 0);
    if (fixed) flush_contexts();
    if (bad) submit(1 | 3 << 4 | u64{kDomain} << 16 | u64(bdf ^ 8) << 32, 0);
    flush_iotlb();
  }
  if (rule("unflushed-line")) {                        // on a unit that does not snoop; "near": on one that does
    flush_lines = fixed;
    first_pass(x, a, ram_rw), device_pass(x, a);
    flush_lines = true;
    flush_iotlb();
  }
  if (rule("write-buffer")) {                          // CAP.RWBF: flushed by command, or implied in an invalidation
    first_pass(x, a, ram_rw), device_pass(x, a);
    if (near) flush_iotlb_page(kDomain, 0);
    if (fixed) write32(kUnit + GCMD, enabled() | 1u << 27);
  }
  if (rule("caching-mode")) {                          // CAP.CM: what was not present is kept as well
    first_pass(x, a, ram_rw), device_pass(x, a);
    if (!bad) flush_iotlb_page(kDomain, x << 12);
  }
  if (rule("stale-translation")) {
    first_pass(x, a, ram_rw), device_pass(x, a);
    first_pass(x + 1, a + 1, ram_rw), device_pass(x + 1, a + 1);
    check_eq("DMA", dma_read((near ? x + 1 : x) << 12), 2);
    first_pass(x, b + 1, ram_rw), device_pass(x, b + 1), invept_all();
    if (fixed) flush_iotlb_page(kDomain, x << 12);
    check_eq("DMA again", dma_read((near ? x + 1 : x) << 12), 2);
    flush_iotlb();
  }
  if (rule("dma-fault")) {
    first_pass(x, a, ram_rw), device_pass(x, a);
    if (!near) device_remove(x), flush_iotlb(), remove_pass(x), invept_all();
    if (fixed) first_pass(x, a, ram_rw), device_pass(x, a);
    check_eq("DMA refused", dma_read(x << 12) & 4, bad ? 4 : 0);
  }
  if (rule("rmrr-lost")) {
    constexpr u64 kPage = 0x7bf10;
    if (fixed) device_remove(kPage), flush_iotlb(), remove_pass(kPage);   // asked for
    if (near) device_pass(kPage, kPage);                                  // the same again
    if (bad) device_pass(kPage, kRam), flush_iotlb(), remove_pass(kPage), first_pass(kPage, kRam, ram_rw);
    invept_all();
  }
  enter_guest();
}
}  // namespace

extern "C" void rt_main() {
  if ((cpuid(1).c >> 5 & 1) == 0) { check("this processor has VMX", false); return; }
  bad = has_word("bad"), near = has_word("near"), fixed = has_word("fixed");
  set_up();
  build();
  give_tables(bdf);
  if (rule("rmrr-missing") || rule("rmrr-lost")) give_tables(0x1d << 3);
  if (rule("rmrr-lost")) for (u64 f = 0x7bf00; f < 0x7c000; ++f) device_pass(f, f), first_pass(f, f, mmio_direct);
  early();
  translate(!(rule("flush-missing-root") && bad));
  late();
  if (has_word("linger")) for (u32 i = 0; i < 20000000; ++i) barrier();
  printf("%c", toy_banner[0]);   // it is used
}
